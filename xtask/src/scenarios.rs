//! What must be seen under QEMU: each scenario is a machine, an image, and the lines that a user would look for.

mod linux;

use std::fs;

use crate::image::IMAGE;
use crate::linux::Hypervisor;
use crate::qemu::{self, BASE, Expectation, Run};
use crate::trees;

/// How the image is made from the one that is shipped.
enum Variant {
    /// As it is.
    Shipped,
    /// Loaded at this offset from the start of RAM, by its header's `text_offset`.
    At(u64),
    /// Entered with this value in x0 instead of a tree's address.
    WithX0(u64),
}

struct Scenario {
    name: String,
    machine: Vec<&'static str>,
    variant: Variant,
    fragment: Option<&'static str>,
    wanted: Vec<&'static str>,
}

/// No run may ever print these.
const FORBIDDEN: [&str; 2] = ["fault in the hypervisor", "broken invariant"];
const EL2: &str = "virt,virtualization=on,gic-version=3,dtb-randomness=off";

fn scenario(name: &str, machine: &[&'static str], wanted: &[&'static str]) -> Scenario {
    Scenario {
        name: name.into(),
        machine: machine.to_vec(),
        variant: Variant::Shipped,
        fragment: None,
        wanted: wanted.to_vec(),
    }
}

fn all() -> Vec<Scenario> {
    let two = ["-M", EL2, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];
    let booted = [
        "Portunus 0.1.0 on linux,dummy-virt",
        "GICv3 with 288 interrupt lines",
        "2 of 2 CPUs ready",
        "sealed",
    ];
    let mut list = Vec::new();
    for cpu in ["cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "max"] {
        list.push(scenario(
            &format!("boot-{cpu}"),
            &["-M", EL2, "-cpu", cpu, "-smp", "4", "-m", "1G"],
            &["Portunus 0.", "RAM 0x40000000-0x80000000", "4 of 4 CPUs ready"],
        ));
    }
    list.push(scenario(
        "boot-one-cpu",
        &["-M", EL2, "-cpu", "cortex-a57", "-smp", "1", "-m", "256M"],
        &["1 of 1 CPUs ready"],
    ));
    list.push(scenario(
        "boot-secure-firmware-view",
        &[
            "-M",
            "virt,virtualization=on,secure=on,gic-version=3",
            "-cpu",
            "cortex-a72",
            "-smp",
            "2",
            "-m",
            "1G",
        ],
        &["2 of 2 CPUs ready"],
    ));
    for offset in [0x4000, 0x30_4000, 0x1f_f000] {
        list.push(Scenario {
            variant: Variant::At(offset),
            ..scenario(&format!("boot-at-{offset:#x}"), &two, &booted)
        });
    }
    list.push(scenario(
        "entered-at-el1",
        &["-M", "virt,gic-version=3", "-cpu", "cortex-a57", "-m", "1G"],
        &["error: entered at EL1, but a hypervisor needs EL2: on QEMU virt add virtualization=on"],
    ));
    list.push(scenario(
        "gicv2-is-refused",
        &["-M", "virt,virtualization=on,gic-version=2", "-cpu", "cortex-a57", "-m", "1G"],
        &["error: this machine has a GICv2", "stops here"],
    ));
    for (name, x0, wanted) in [
        ("x0-is-zero", 0, "x0 = 0x0 is no address of a device tree"),
        ("x0-is-odd", 0x4800_0001, "x0 = 0x48000001 is no address"),
        ("x0-is-no-tree", 0x5000_0000, "not a device tree: it begins with 0x00000000"),
        ("x0-is-no-memory", 0x70_0000_0000, "points at no memory"),
        ("x0-is-the-image", 0x4020_2000, "overlaps the hypervisor"),
    ] {
        list.push(Scenario { variant: Variant::WithX0(x0), ..scenario(name, &two, &[wanted, "stops here"]) });
    }
    for (fragment, wanted) in [
        (
            "absent-cpu",
            vec![
                "CPU 2 (0x7) stays off: the interrupt controller has no redistributor for it",
                "2 of 3 CPUs ready",
            ],
        ),
        ("cpu-without-method", vec!["CPU 2 (0x7) stays off", "2 of 3 CPUs ready"]),
        ("no-uart", vec!["the tree names no UART that can be driven: set /chosen/stdout-path", "stops here"]),
        ("all-reserved", vec!["no RAM is left for the stacks of the CPUs: every byte is reserved"]),
        ("power-off", vec!["2 of 2 CPUs ready", "powering off"]),
        ("holes", vec!["4 reserved ranges", "2 of 2 CPUs ready", "0x60000800-0x60000810 (16 bytes)"]),
        (
            "seed",
            vec![
                "2 of 2 CPUs ready",
                "domU1 (d1, /chosen/domU1)",
                "channel    port 0xa <-> domU2 port 0xb",
                "channel    port 0xc <-> domU2 port 0xd",
                "domU2 (d2, /chosen/domU2)",
                "2 domains, 2 channels",
                "powering off",
            ],
        ),
        (
            "broken-domain",
            vec![
                "domU2 (d2, /chosen/domU2)",
                "1 domain, 0 channels",
                "error[P0401]: domain without a kernel",
                "--> /chosen/domU1",
                "warning[P0217]: channel left unbound",
            ],
        ),
    ] {
        list.push(Scenario {
            fragment: Some(fragment),
            ..scenario(&format!("tree-{fragment}"), &two, &wanted)
        });
    }
    list
}

/// Runs the scenarios whose name contains `filter`; the last line printed is the summary.
pub fn test(filter: &str) -> Result<(), String> {
    let mut tally = Tally::default();
    for scenario in all().iter().filter(|scenario| scenario.name.contains(filter)) {
        let run = arguments(scenario).map(|arguments| {
            let expectation = Expectation { wanted: &scenario.wanted, forbidden: &FORBIDDEN, limit: 30 };
            qemu::watch(&arguments, &expectation)
        });
        tally.add(&scenario.name, run);
    }
    if filter.starts_with("linux") {
        tally.add_linux(filter, Hypervisor::Portunus);
    }
    tally.finish(filter)
}

/// Runs the scenarios with Linux domains under Debian's Xen: what fails there too is not our fault.
pub fn test_xen(filter: &str) -> Result<(), String> {
    let mut tally = Tally::default();
    tally.add_linux(filter, Hypervisor::Xen);
    tally.finish(filter)
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn add_linux(&mut self, filter: &str, hypervisor: Hypervisor) {
        for scenario in linux::all().iter().filter(|scenario| scenario.name.contains(filter)) {
            self.add(&scenario.name, linux::run(scenario, hypervisor));
        }
    }

    fn add(&mut self, name: &str, run: Result<Run, String>) {
        match run.unwrap_or_else(|failure| Run { log: String::new(), failure: Some(failure) }) {
            Run { failure: None, .. } => {
                self.passed += 1;
                println!("ok      {name}");
            }
            Run { log, failure: Some(why) } => {
                self.failed += 1;
                println!("FAILED  {name}: {why}\n        log kept in {}", keep(name, &log));
            }
        }
    }

    fn finish(&self, filter: &str) -> Result<(), String> {
        println!("{} passed, {} failed", self.passed, self.failed);
        match (self.passed, self.failed) {
            (0, 0) => Err(format!("no scenario's name contains `{filter}`")),
            (_, 0) => Ok(()),
            _ => Err(String::from("QEMU scenarios failed")),
        }
    }
}

fn keep(name: &str, log: &str) -> String {
    let path = format!("target/portunus/logs/{name}.log");
    let written = fs::create_dir_all("target/portunus/logs").and_then(|()| fs::write(&path, log));
    if written.is_ok() { path } else { format!("nowhere; it was:\n{log}") }
}

fn arguments(scenario: &Scenario) -> Result<Vec<String>, String> {
    let image = prepare(&scenario.variant, &scenario.name)?;
    let mut arguments: Vec<String> = scenario.machine.iter().chain(&BASE).map(ToString::to_string).collect();
    arguments.extend(["-kernel".into(), image]);
    if let Some(fragment) = scenario.fragment {
        arguments.extend(["-dtb".into(), trees::compose(&scenario.machine, fragment, &scenario.name)?]);
    }
    Ok(arguments)
}

/// Writes the image that the variant asks for; answers its path.
fn prepare(variant: &Variant, name: &str) -> Result<String, String> {
    let mut image = fs::read(IMAGE).map_err(|e| format!("{IMAGE}: {e}; `cargo xtask build` makes it"))?;
    match variant {
        Variant::Shipped => return Ok(IMAGE.into()),
        // The header's text_offset is at byte 8 (Linux, Documentation/arch/arm64/booting.rst).
        Variant::At(offset) => image.splice(8..16, offset.to_le_bytes()).for_each(drop),
        Variant::WithX0(x0) => image = with_x0(&image, *x0),
    }
    let path = format!("target/portunus/{name}.Image");
    fs::write(&path, image).map_err(|e| format!("{path}: {e}"))?;
    Ok(path)
}

/// The image behind a page that loads x0 and jumps into it: a loader that gets x0 wrong.
fn with_x0(image: &[u8], x0: u64) -> Vec<u8> {
    const PAGE: usize = 4096;
    let mut code: Vec<u32> = vec![0x1400_0010]; // b to byte 64, behind the header
    code.resize(16, 0);
    // movz x0, then movk for the other three quarters
    code.extend((0..4).map(|n: u32| {
        let part = ((x0 >> (16 * n)) & 0xffff) as u32;
        (if n == 0 { 0xd280_0000 } else { 0xf280_0000 }) | n << 21 | part << 5
    }));
    let here = code.len() * 4;
    code.push(0x1400_0000 | ((PAGE - here) / 4) as u32); // b to the next page
    let mut wrapped: Vec<u8> = code.iter().flat_map(|instruction| instruction.to_le_bytes()).collect();
    wrapped.resize(PAGE, 0);
    let size = image.get(16..24).and_then(|size| size.try_into().ok()).map_or(0, u64::from_le_bytes);
    wrapped.splice(16..24, (size + PAGE as u64).to_le_bytes());
    wrapped.splice(24..32, 0xa_u64.to_le_bytes());
    wrapped.splice(56..60, *b"ARM\x64");
    wrapped.extend(image);
    wrapped
}
