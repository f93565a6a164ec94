//! The hypervisor by itself: where it can be loaded, what it finds, what it says when it cannot go on.

use super::{EL2, GICV2, Scenario, TWO, Variant, scenario};

/// The scenarios of the hypervisor alone.
pub(super) fn scenarios() -> Vec<Scenario> {
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
            ..scenario(&format!("boot-at-{offset:#x}"), &TWO, &booted)
        });
    }
    list.push(scenario(
        "entered-at-el1",
        &["-M", "virt,gic-version=3", "-cpu", "cortex-a57", "-m", "1G"],
        &["error: entered at EL1, but a hypervisor needs EL2: on QEMU virt add virtualization=on"],
    ));
    list.push(scenario(
        "boot-gicv2",
        &["-M", GICV2, "-cpu", "cortex-a57", "-smp", "8", "-m", "1G"],
        &["GICv2 with 288 interrupt lines, 4 list registers", "8 of 8 CPUs ready"],
    ));
    list.push(scenario(
        "gicv2-without-virtualization",
        &["-M", "virt,gic-version=2", "-cpu", "cortex-a57", "-m", "1G"],
        &["error: entered at EL1, but a hypervisor needs EL2: on QEMU virt add virtualization=on"],
    ));
    for (name, x0, wanted) in [
        ("x0-is-zero", 0, "x0 = 0x0 is no address of a device tree"),
        ("x0-is-odd", 0x4800_0001, "x0 = 0x48000001 is no address"),
        ("x0-is-no-tree", 0x5000_0000, "not a device tree: it begins with 0x00000000"),
        ("x0-is-no-memory", 0x70_0000_0000, "points at no memory"),
        ("x0-is-the-image", 0x4020_2000, "overlaps the hypervisor"),
    ] {
        list.push(Scenario { variant: Variant::WithX0(x0), ..scenario(name, &TWO, &[wanted, "stops here"]) });
    }
    list.push(Scenario {
        fragment: Some("spin-table"),
        ..scenario(
            "tree-spin-table",
            &["-M", EL2, "-cpu", "cortex-a72", "-smp", "4", "-m", "1G"],
            &[
                "CPU 1 (0x1) stays off: it was started and did not arrive within a second",
                "CPU 2 (0x2) stays off: its `cpu-release-addr`, 0x61000000, is not in reserved memory",
                "2 of 4 CPUs ready",
            ],
        )
    });
    for (fragment, wanted) in [
        (
            "absent-cpu",
            vec![
                "CPU 2 (0x7) stays off: the interrupt controller has no redistributor for it",
                "2 of 3 CPUs ready",
            ],
        ),
        (
            "deep",
            vec![
                "error[P0206]: phandle does not name a domain",
                "/b25/b26/b27/mistaken, which is not a domain",
                "(domU1) smp: 1 vCPUs: ok",
                "powering off",
            ],
        ),
        ("cpu-without-method", vec!["CPU 2 (0x7) stays off", "2 of 3 CPUs ready"]),
        ("no-uart", vec!["the tree names no UART that can be driven: set /chosen/stdout-path", "stops here"]),
        ("uart-elsewhere", vec!["/pl011@9000000: nothing answers at 0xb000000-0xb001000", "stops here"]),
        ("gic-elsewhere", vec!["no interrupt controller answers at 0xb000000-0xb010000", "stops here"]),
        ("all-reserved", vec!["no RAM is left for the stacks of the CPUs: every byte is reserved"]),
        ("power-off", vec!["2 of 2 CPUs ready", "powering off"]),
        ("holes", vec!["4 reserved ranges", "2 of 2 CPUs ready", "0x60000800-0x60000810 (16 bytes)"]),
        (
            "seed",
            vec![
                "2 of 2 CPUs ready",
                "domU1 (d1, /chosen/domU1)",
                "channel    domU2.0: port 0xa <-> domU2 port 0xb",
                "channel    domU2.1: port 0xc <-> domU2 port 0xd",
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
                "1 domain unpaused",
                "(domU2) smp: 1 vCPUs: ok",
                "powering off",
            ],
        ),
    ] {
        list.push(Scenario {
            fragment: Some(fragment),
            ..scenario(&format!("tree-{fragment}"), &TWO, &wanted)
        });
    }
    list
}
