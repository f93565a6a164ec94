//! Domains that end and start again.

use super::guests::{COUNTED, with_tree};
use super::{EL2, GICV2, Scenario, TWO, scenario};

/// A machine with one CPU, which all share.
const ONE: [&str; 8] = ["-M", EL2, "-cpu", "cortex-a57", "-smp", "1", "-m", "1G"];
const FOUR: [&str; 8] = ["-M", EL2, "-cpu", "cortex-a53", "-smp", "4", "-m", "1G"];
const OLD: [&str; 8] = ["-M", GICV2, "-cpu", "cortex-a72", "-smp", "2", "-m", "1G"];

/// What must not be said, in any of them.
const TROUBLE: [&str; 4] = ["panic on vCPU", "exception on vCPU", "cannot start again", "out of memory"];

/// Fifty lives, a neighbourhood that loses nothing.
const PHOENIX: [&str; 7] = [
    "phoenix asked to be restarted; restart 1",
    "phoenix asked to be restarted; restart 49",
    "all domains have shut down",
    "phoenix: restarts: 49",
    "channel domU3 port 0xa -> domU4 port 0xb: 20000 sent, 0 coalesced, 20000 delivered",
    "allocations after freeze: 0",
    "powering off",
];

/// Each domain by its own policy, at the same time.
const ENDS: [&str; 10] = [
    "loops has crashed; restart 4",
    "loops has crashed; restarts in 3600 s: 4, so it stays off",
    "hangs was stopped by its watchdog; restart 1",
    "hangs was stopped by its watchdog; restarts: 1, so it stays off",
    "crashes has crashed; it stays off",
    "phoenix: outlived the watchdogs of former lives",
    "again has powered off; restart 3",
    "again has powered off; restarts: 3, so it stays off",
    "allocations after freeze: 0",
    "powering off",
];

/// A watchdog of a former life, whose time comes when nobody rings for its domain.
const DOG: [&str; 3] =
    ["phoenix: outlived the watchdogs of former lives", "allocations after freeze: 0", "powering off"];

/// The crash of one domain is the reset of the machine, which boots again.
const RESET: [&str; 2] = ["vital has crashed; so the machine is reset", "Portunus 0."];

/// The scenarios.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, machine) in [
        ("restart-phoenix", &TWO),
        ("restart-phoenix-on-one", &ONE),
        ("restart-phoenix-on-four", &FOUR),
        ("restart-phoenix-gicv2", &OLD),
    ] {
        list.push(with_tree("phoenix", Scenario { limit: 180, ..scenario(name, machine, &PHOENIX) }));
    }
    let ends = scenario("restart-policies", &FOUR, &ENDS);
    list.push(with_tree("ends", Scenario { limit: 120, any_order: true, ..ends }));
    let dog = scenario("restart-old-watchdog", &[&ONE[..], &COUNTED].concat(), &DOG);
    list.push(with_tree("old-watchdog", Scenario { limit: 90, ..dog }));
    list.push(with_tree("vital", scenario("restart-machine", &TWO, &RESET)));
    for scenario in &mut list {
        scenario.forbidden.extend(TROUBLE);
    }
    list
}
