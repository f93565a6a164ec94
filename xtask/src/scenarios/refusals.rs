//! What cannot be booted: one clear line each, on whatever UART can be found.

use super::guests::with_tree;
use super::{EL2, GICV2, Scenario, Variant, scenario};
use crate::boards::{RPI4, ZCU102};

const UNNAMED: &str = "the tree names no UART that can be driven: set /chosen/stdout-path";
const EL1: &str = "error: entered at EL1, but a hypervisor needs EL2";
const STOPS: &str = "this machine stops here";

/// The scenarios on QEMU's virt.
pub(super) fn scenarios() -> Vec<Scenario> {
    let v3 = ["-M", EL2, "-cpu", "cortex-a57", "-smp", "2", "-m", "256M"];
    let v2 = ["-M", GICV2, "-cpu", "cortex-a57", "-smp", "2", "-m", "256M"];
    let no_machine = "the device tree does not describe a machine that can be used";
    let lines: [(_, _, &[&str]); 5] = [
        (
            "gic-without-virtual-interface",
            v2,
            &[
                "error[P0122]: interrupt controller without virtualization support",
                "reg lacks the virtual interfaces (GICH and GICV)",
                no_machine,
                STOPS,
            ],
        ),
        ("gic-unknown", v2, &["error[P0120]: no interrupt controller", no_machine, STOPS]),
        ("gic-unknown", v3, &["error[P0120]: no interrupt controller", no_machine, STOPS]),
        ("uart-unknown", v3, &[UNNAMED, STOPS]),
        (
            "cpu-unknown-method",
            v3,
            &[
                "CPU 1 (0x1) stays off: its node has no `enable-method` that is known (psci, spin-table)",
                "1 of 2 CPUs ready",
                "warning[P0104]: no way to start a CPU",
                "\"acme,wake\" is not known",
            ],
        ),
    ];
    let list = lines.into_iter().map(|(tree, machine, wanted)| {
        let gic = if machine == v2 { "-gicv2" } else { "" };
        with_tree(tree, scenario(&format!("refused-{tree}{gic}"), &machine, wanted))
    });
    let el1 = Scenario { variant: Variant::AtEl1, ..scenario("refused-el1-by-the-loader", &v2, &[EL1]) };
    list.chain([el1]).collect()
}

/// The scenarios on boards: their consoles are of other kinds, and what is said before the MMU is on is said on them, too.
pub(super) fn on_boards() -> Vec<Scenario> {
    // The first serial line is not the console, but serial0.
    const OTHER: [&str; 2] = ["4 of 4 CPUs ready", "warning[P0141]: console UART of an unknown kind"];
    let rpi4_first = ["-M", "raspi4b"];
    let zcu102_el1 = ["-M", "xlnx-zcu102", "-audio", "none", "-smp", "4", "-m", "2G"];
    vec![
        with_tree("rpi4-uart-unknown", scenario("board-rpi4-uart-unknown", &rpi4_first, &OTHER)),
        with_tree("zcu102-no-uart", scenario("board-zcu102-no-uart", ZCU102.machine, &[UNNAMED, STOPS])),
        with_tree(
            "nothing",
            Scenario { variant: Variant::AtEl1, ..scenario("board-rpi4-el1", RPI4.machine, &[EL1]) },
        ),
        with_tree("nothing", scenario("board-zcu102-el1", &zcu102_el1, &[EL1])),
    ]
}
