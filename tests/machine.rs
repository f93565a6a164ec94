//! What the plan reads of a machine, from trees in the shape of the boards that people own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may end where it fails"
)]

use std::process::{Command, Stdio};

use portunus::addr::{Affinity, IntId, Pa, PaSpan};
use portunus::fdt::Tree;
use portunus::plan::{Conduit, EnableMethod, Gic, Machine, UartKind, machine};

/// Compiles a source with `dtc` and reads the machine from it.
fn read(source: &str) -> Result<Machine, String> {
    use std::io::Write;
    let mut dtc = Command::new("dtc")
        .args(["-q", "-I", "dts", "-O", "dtb"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("dtc compiles the trees of these tests: `make setup` installs it");
    dtc.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = dtc.wait_with_output().unwrap();
    assert!(output.status.success(), "dtc refused:\n{source}");
    let mut blob = output.stdout;
    let tree = Tree::parse(&mut blob).map_err(|error| error.to_string())?;
    machine(&tree).map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect())
}

fn span(start: u64, size: u64) -> PaSpan {
    PaSpan::new(Pa::new(start), size).unwrap()
}

#[test]
fn qemu_virt_with_a_gicv3() {
    let machine = read(include_str!("machines/virt.dts")).unwrap();
    assert_eq!(machine.model, "linux,dummy-virt");
    assert_eq!(machine.cpus.len(), 2);
    assert!(machine.cpus.iter().all(|cpu| cpu.enable == EnableMethod::Psci));
    assert_eq!(machine.psci, Some(Conduit::Smc));
    assert_eq!(machine.ram, [span(0x4000_0000, 0x4000_0000)]);
    let gic = Gic::V3 {
        dist: span(0x800_0000, 0x1_0000),
        redist: vec![span(0x80a_0000, 0xf6_0000)],
        stride: None,
        maintenance: IntId::new(25),
    };
    assert_eq!(machine.gic, gic);
    let uart = machine.uart.unwrap();
    assert_eq!(
        (uart.kind, uart.regs.start(), uart.irq),
        (UartKind::Pl011, Pa::new(0x900_0000), Some(IntId::new(33)))
    );
    assert_eq!((machine.timer.hyp, machine.timer.virt), (IntId::new(26), IntId::new(27)));
}

#[test]
fn a_raspberry_pi_4_has_its_devices_behind_ranges_and_its_cpus_in_a_spin_table() {
    let machine = read(include_str!("machines/rpi4.dts")).unwrap();
    let release = |cpu: u64| EnableMethod::SpinTable(Pa::new(0xd8 + 8 * cpu));
    assert_eq!(
        machine.cpus.iter().map(|cpu| cpu.enable).collect::<Vec<_>>(),
        (0..4).map(release).collect::<Vec<_>>()
    );
    assert_eq!(machine.reserved, [span(0, 0x1000)], "the spin-table's page is in the reservation block");
    assert_eq!(machine.ram, [span(0, 0x3c00_0000), span(0x4000_0000, 0x4000_0000)]);
    let gic = Gic::V2 {
        dist: span(0xff84_1000, 0x1000),
        cpu: span(0xff84_2000, 0x2000),
        hyp: span(0xff84_4000, 0x2000),
        vcpu: span(0xff84_6000, 0x2000),
        maintenance: IntId::new(25),
    };
    assert_eq!(machine.gic, gic);
    let uart = machine.uart.unwrap();
    assert_eq!(uart.kind, UartKind::Bcm2835Aux);
    assert_eq!(uart.regs.start(), Pa::new(0xfe21_5040));
}

#[test]
fn reserved_memory_that_is_called_memory_is_not_ram() {
    let machine = read(include_str!("machines/zcu102.dts")).unwrap();
    assert_eq!(machine.ram, [span(0, 0x8000_0000), span(0x8_0000_0000, 0x8000_0000)]);
    assert_eq!(machine.reserved, [span(0x3ed0_0000, 0x4_0000)]);
    assert_eq!(machine.uart.unwrap().kind, UartKind::Cadence);
    assert_eq!(machine.cpus[3].affinity, Affinity::from_mpidr(3));
}

#[test]
fn a_machine_that_cannot_be_used_says_all_that_is_wrong() {
    let complaints = read("/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; };").unwrap_err();
    for part in ["there is no CPU node", "there is no RAM", "no interrupt controller", "= help: "] {
        assert!(complaints.contains(part), "`{part}` is missing from:\n{complaints}");
    }
}

#[test]
fn dtuart_on_the_command_line_goes_before_stdout_path() {
    let source = include_str!("machines/virt.dts").to_string()
        + "/ { aliases { other = \"/other\"; }; chosen { xen,xen-bootargs = \"console=dtuart dtuart=other:115200\"; };
             other { compatible = \"arm,sbsa-uart\"; reg = <0 0xa000000 0 0x1000>; }; };";
    assert_eq!(read(&source).unwrap().uart.unwrap().path, "/other");
}
