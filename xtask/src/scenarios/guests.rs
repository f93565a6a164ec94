//! Domains that run: what the bare-metal guests of `qemu/guests` must say.

use super::{EL2, Scenario, TWO, scenario};

/// A machine with four CPUs.
const FOUR: [&str; 8] = ["-M", EL2, "-cpu", "cortex-a57", "-smp", "4", "-m", "1G"];
/// A machine with one.
const ONE: [&str; 8] = ["-M", EL2, "-cpu", "cortex-a57", "-smp", "1", "-m", "1G"];

/// Time that is counted in instructions: a busy host does not take some of it from one CPU.
pub(super) const COUNTED: [&str; 4] = ["-accel", "tcg,thread=single", "-icount", "shift=4,sleep=off"];

/// Trees in which a domain rings without end for a vCPU of its own on the CPU of another: what that vCPU does meanwhile.
const BULLIES: [&str; 3] = ["bully-off", "bully-busy", "bully-asleep"];
/// What the other domain must say.
pub(super) const BULLIED: [&str; 3] = ["% are left: ok", "(domU1) bully: rung", "powering off"];
/// The same for the last and the first, where a vCPU of the other domain interrupts the one beside the bully's.
pub(super) const HEARING: [&str; 2] = ["bully-heard", "bully-heard-off"];
/// What the other domain must say there. (Whether the bully says first that it is done is chance.)
pub(super) const HEARD: [&str; 2] = ["% of that: ok", "powering off"];

/// What the tree of the design document must lead to, in the order in which a user reads it.
pub(super) const SEED: [&str; 13] = [
    "Portunus 0.",
    "2 domains, 2 channels",
    "2 domains unpaused",
    "Serial input to domU1 (type 'CTRL-a' three times to switch input)",
    "port 10: 1000 rounds, 1000 sent, 1000 received",
    "port 12: 1000 rounds, 1000 sent, 1000 received",
    "all domains have shut down",
    "channel domU1 port 0xa -> domU2 port 0xb: 1000 sent, 0 coalesced, 1000 delivered",
    "channel domU2 port 0xb -> domU1 port 0xa: 1000 sent, 0 coalesced, 1000 delivered",
    "channel domU1 port 0xc -> domU2 port 0xd: 1000 sent, 0 coalesced, 1000 delivered",
    "channel domU2 port 0xd -> domU1 port 0xc: 1000 sent, 0 coalesced, 1000 delivered",
    "allocations after freeze: 0",
    "powering off",
];

pub(super) fn with_tree(fragment: &'static str, scenario: Scenario) -> Scenario {
    Scenario { fragment: Some(fragment), ..scenario }
}

/// The scenarios with running guests.
pub(super) fn guest_scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for cpu in ["cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "max"] {
        let machine = ["-M", EL2, "-cpu", cpu, "-smp", "2", "-m", "1G"];
        list.push(with_tree("seed", scenario(&format!("guest-seed-{cpu}"), &machine, &SEED)));
    }
    list.push(with_tree("seed", scenario("guest-seed-one-cpu", &ONE, &SEED)));
    list.push(with_tree("seed", scenario("guest-seed-four-cpus", &FOUR, &SEED)));
    list.push(with_tree("pingpong-halves", scenario("guest-half-nodes", &TWO, &SEED)));
    let wanted = ["(domU1) smp: 1 vCPUs: ok", "powering off"];
    list.push(with_tree("uart-without-interrupt", scenario("guest-uart-without-interrupt", &TWO, &wanted)));
    list.push(with_tree("reserved-module", scenario("guest-reserved-module", &TWO, &SEED)));
    for (name, machine) in [("guest-smp", &FOUR), ("guest-smp-on-two", &TWO), ("guest-smp-on-one", &ONE)] {
        list.push(with_tree("smp", Scenario { limit: 90, ..scenario(name, machine, &SMP) }));
    }
    let wanted =
        ["remap: 11 blocks of RAM replaced under 3 vCPUs: ok", "allocations after freeze: 0", "powering off"];
    list.push(with_tree("remap", scenario("guest-remap", &FOUR, &wanted)));
    for (name, machine) in [("guest-timers", &TWO), ("guest-timers-on-one", &ONE)] {
        let wanted = ["timers: 2 vCPUs: ok", "powering off"];
        list.push(with_tree("timers", scenario(name, machine, &wanted)));
    }
    list.push(with_tree("flood", Scenario { limit: 240, ..scenario("guest-million-events", &TWO, &FLOOD) }));
    let hello = [
        "(bell) hello: finger rang at the door, port 20",
        "channel finger port 0xa -> bell port 0x14: 1 sent",
        "powering off",
    ];
    list.push(with_tree("hello", scenario("guest-hello", &TWO, &hello)));
    let clock = [&TWO[..], &["-rtc", "base=2026-01-02T03:04:05,clock=vm"]].concat();
    // The first 100 seconds from 03:03:20 on.
    let told = [&["(domU1) abi: wall clock 17673230"], &ABI[..]].concat();
    list.push(with_tree("abi", Scenario { limit: 90, ..scenario("guest-abi", &clock, &told) }));
    list.push(with_tree("mixed-bindings", scenario("guest-mixed-bindings", &TWO, &MIXED)));
    let smaller = ["-M", EL2, "-cpu", "cortex-a53", "-smp", "2", "-m", "1G"];
    for (name, machine) in [("guest-intruder", &FOUR), ("guest-intruder-on-two", &smaller)] {
        list.push(with_tree("intruder", Scenario { limit: 180, ..scenario(name, machine, &INTRUDER) }));
    }
    for (name, machine) in [("guest-mob", &FOUR), ("guest-mob-on-two", &TWO), ("guest-mob-on-one", &ONE)] {
        list.push(with_tree("mob", Scenario { limit: 180, ..scenario(name, machine, &MOB) }));
    }
    let switch = scenario("guest-console-switch", &TWO, &SWITCH);
    list.push(with_tree("typists", Scenario { typed: &TYPED, ..switch }));
    let shares = ["(domU3) share: 100 % of a CPU: ok", "allocations after freeze: 0", "powering off"];
    list.push(with_tree("shared-cpu", scenario("guest-shared-cpu", &[&TWO[..], &COUNTED].concat(), &shares)));
    for tree in BULLIES {
        let name = format!("guest-{tree}");
        list.push(with_tree(tree, scenario(&name, &[&TWO[..], &COUNTED].concat(), &BULLIED)));
    }
    let three = ["-M", EL2, "-cpu", "cortex-a57", "-smp", "3", "-m", "1G"];
    for tree in HEARING {
        let name = format!("guest-{tree}");
        list.push(with_tree(tree, scenario(&name, &[&three[..], &COUNTED].concat(), &HEARD)));
    }
    let kept = ["registers: 200 sleeps", "registers: 200 sleeps", "powering off"];
    for cpu in ["cortex-a53", "cortex-a57", "max"] {
        let machine = ["-M", EL2, "-cpu", cpu, "-smp", "1", "-m", "1G"];
        list.push(with_tree("registers", scenario(&format!("guest-registers-{cpu}"), &machine, &kept)));
    }
    list.push(with_tree("bad-images", scenario("guest-bad-images", &TWO, &BAD_IMAGES)));
    list.push(with_tree("missing-kernel", scenario("guest-missing-kernel", &TWO, &MISSING_KERNEL)));
    list.push(with_tree("broken-neighbours", scenario("guest-broken-neighbours", &TWO, &NEIGHBOURS)));
    for (name, machine) in [("guest-four-pairs", &TWO), ("guest-four-pairs-on-one", &ONE)] {
        list.push(with_tree("four-pairs", Scenario { limit: 60, ..scenario(name, machine, &FOUR_PAIRS) }));
    }
    for scenario in &mut list {
        scenario.forbidden.extend(GUEST_FAILURES);
    }
    list
}

/// What a guest of ours says when it does not go as it should.
const GUEST_FAILURES: [&str; 4] = ["panic on vCPU", "exception on vCPU", "not contained", "send failed"];

/// Eight domains with a vCPU each, on one or two CPUs.
const FOUR_PAIRS: [&str; 7] = [
    "8 domains unpaused",
    "channel domU1 port 0xa -> domU2 port 0xb: 500 sent, 0 coalesced, 500 delivered",
    "channel domU3 port 0xa -> domU4 port 0xb: 500 sent, 0 coalesced, 500 delivered",
    "channel domU5 port 0xa -> domU6 port 0xb: 500 sent, 0 coalesced, 500 delivered",
    "channel domU7 port 0xa -> domU8 port 0xb: 500 sent, 0 coalesced, 500 delivered",
    "allocations after freeze: 0",
    "powering off",
];

/// Two domains that cannot be built around two that can.
const NEIGHBOURS: [&str; 6] = [
    "error[P0401]: domain without a kernel",
    "0x40201000-0x40202000 and the reserved range 0x40200000-",
    "2 domains unpaused",
    "(domU2) pingpong: port 10: 1000 rounds, 1000 sent, 1000 received",
    "channel domU2 port 0xa -> domU3 port 0xb: 1000 sent, 0 coalesced, 1000 delivered",
    "powering off",
];

/// A domain that does what it must not, while two neighbours go on signalling.
pub(super) const INTRUDER: [&str; 4] = [
    "attempts, all contained",
    "channel domU2 port 0xa -> domU3 port 0xb: 20000 sent, 0 coalesced, 20000 delivered",
    "allocations after freeze: 0",
    "powering off",
];

/// A domain whose vCPUs do to each other whatever comes to their minds, while two neighbours go on signalling.
const MOB: [&str; 4] = [
    "deeds, enough",
    "channel domU2 port 0xa -> domU3 port 0xb: 20000 sent, 0 coalesced, 20000 delivered",
    "allocations after freeze: 0",
    "powering off",
];

/// Keys reach the domain with the focus only; Ctrl-A three times moves it on, once and then another key does not.
pub(super) const TYPED: [(&str, &str); 5] = [
    ("(domU1) typist: ready", "one\r"),
    ("(domU1) typist: read \"one\"", "\x01x\r"),
    ("(domU1) typist: read \"\\u{1}x\"", "\x01\x01\x01"),
    ("*** Serial input to domU2", "two\roff\r"),
    ("domU2 has powered off", "\x01\x01\x01h\x01\x01\x01off\r"),
];
pub(super) const SWITCH: [&str; 5] = [
    "typist: read \"two\"",
    "*** Serial input to Portunus",
    "h  this list",
    "domU1 has powered off",
    "powering off",
];

/// vCPUs that interrupt, signal and switch off each other.
pub(super) const SMP: [&str; 3] = ["(domU1) smp: 4 vCPUs: ok", "allocations after freeze: 0", "powering off"];

/// Every answer of the interface.
pub(super) const ABI: [&str; 3] =
    ["(domU1) abi: 711 answers checked, 0 wrong", "allocations after freeze: 0", "powering off"];

/// One channel in each binding, found by name, and one inside a domain.
const MIXED: [&str; 8] = [
    "channel    request: port 0xa <-> domU2 port 0xb",
    "3 channels",
    "pingpong: request is port 10, to domU2, direction both",
    "pingpong: to-pong is port 12, to domU2, direction both",
    "channel domU1 port 0xc -> domU2 port 0xd: 500 sent, 0 coalesced, 500 delivered",
    "channel domU1 port 0xa -> domU2 port 0xb: 500 sent, 0 coalesced, 500 delivered",
    "channel domU2 port 0x20 -> domU2 port 0x21: 0 sent",
    "powering off",
];

/// A million events, half of them each way.
pub(super) const FLOOD: [&str; 5] = [
    "(domU1) flood: 500000 events sent, 500000 answered",
    "channel domU1 port 0xa -> domU2 port 0xb: 500000 sent, 0 coalesced, 500000 delivered",
    "channel domU2 port 0xb -> domU1 port 0xa: 500000 sent, 0 coalesced, 500000 delivered",
    "allocations after freeze: 0",
    "powering off",
];

/// One domain whose kernel is not where its module says: the other one runs, its channel's end unbound.
const MISSING_KERNEL: [&str; 6] = [
    "error[P0423]: kernel is no arm64 Image",
    "--> /chosen/domU2/module@60000000",
    "warning[P0217]: channel left unbound",
    "1 domain unpaused",
    "(domU1) smp: 1 vCPUs: ok",
    "powering off",
];

/// Images of every badness: those that the plan sees, then the one that is seen when it is unpacked.
const BAD_IMAGES: [&str; 10] = [
    "error[P0423]: kernel is no arm64 Image",
    "--> /chosen/script/kernel",
    "error[P0427]: kernel claims more than the domain",
    "--> /chosen/huge, property memory",
    "error[P0428]: no room for ramdisk and device tree",
    "--> /chosen/tight, property memory",
    "error[P0426]: compressed kernel cannot be unpacked",
    "--> /chosen/damaged/kernel",
    "2 domains unpaused",
    "powering off",
];
