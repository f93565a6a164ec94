//! The boards, as far as QEMU models them: the same Image, the board's own tree, the domains of the design document.

use super::guests::{ABI, SEED, SWITCH, TYPED, with_tree};
use super::{Scenario, scenario};
use crate::boards::{RPI4, ZCU102};

/// ZCU102 where EL2 is the non-secure side of the GIC, as on the board.
const ZCU102_SECURE: [&str; 8] =
    ["-M", "xlnx-zcu102,virtualization=on,secure=on", "-audio", "none", "-smp", "4", "-m", "2G"];

/// The scenarios on boards.
pub(super) fn scenarios() -> Vec<Scenario> {
    let rpi4 = ["on Raspberry Pi 4 Model B", "GICv2 with 224 interrupt lines, 4 list registers"];
    let zcu102 = ["on ZynqMP ZCU102", "GICv2 with 192 interrupt lines, 4 list registers"];
    // The Raspberry Pi's own firmware has no PSCI, so it stays on.
    let seeds = [
        ("board-rpi4", RPI4.machine, rpi4, "nothing is left to run"),
        ("board-zcu102", ZCU102.machine, zcu102, "powering off"),
        ("board-zcu102-secure", &ZCU102_SECURE, zcu102, "powering off"),
    ];
    let seeds = seeds.into_iter().map(|(name, machine, board, end)| {
        let domains = SEED.iter().filter(|text| !["Portunus 0.", "powering off"].contains(text)).copied();
        let wanted: Vec<&str> =
            board.into_iter().chain(["4 of 4 CPUs ready"]).chain(domains).chain([end]).collect();
        with_tree("seed", Scenario { limit: 60, ..scenario(name, machine, &wanted) })
    });
    let keys = [("board-rpi4-keys", RPI4.machine), ("board-zcu102-keys", ZCU102.machine)].into_iter().map(
        |(name, machine)| {
            let wanted: Vec<&str> = SWITCH.iter().filter(|text| **text != "powering off").copied().collect();
            let typed = Scenario { typed: &TYPED, limit: 60, ..scenario(name, machine, &wanted) };
            with_tree("typists", typed)
        },
    );
    let answers = [
        ("board-rpi4-abi", RPI4.machine, "nothing is left to run"),
        ("board-zcu102-abi", ZCU102.machine, "powering off"),
    ];
    let answers = answers.into_iter().map(|(name, machine, end)| {
        let wanted: Vec<&str> = ABI.into_iter().filter(|text| *text != "powering off").chain([end]).collect();
        with_tree("abi", Scenario { limit: 90, ..scenario(name, machine, &wanted) })
    });
    seeds.chain(keys).chain(answers).collect()
}
