//! Debian's Linux as a domain that starts again and again: `reboot`, and a panic with `panic=5`.
//!
//! In each life it plays with a neighbour over its own channel, so each life finds the channel, while two other domains
//! signal each other and must lose nothing.

use super::linux::{Linux, domain, pair};

/// What no domain may say here. (One of them panics, as it is told.)
const NONE: [&str; 8] = [
    "fault in the hypervisor",
    "broken invariant",
    "cannot start again",
    "Oops",
    "BUG:",
    "evtchn=missing",
    // A program that did not get its answer.
    " exit=1",
    " exit=2",
];
/// Round trips of the pair that is not restarted, for a few restarts.
const FEW: u32 = 10_000;

/// The scenarios.
pub(super) fn scenarios() -> Vec<Linux> {
    let packed = restarting("restart-packed", "linux-6.12.gz@2", [3, FEW], "portunus.then=reboot");
    let many = restarting("restart-fifty-times", "linux-6.12", [50, 10 * FEW], "portunus.then=reboot");
    let panics = restarting("restart-after-panic", "linux-6.12", [3, FEW], "panic=5 portunus.then=panic");
    let mut one = restarting("restart-on-one-cpu", "linux-6.12", [3, FEW], "portunus.then=reboot");
    one.pcpus = "1";
    vec![
        Linux { quick: true, ..packed },
        Linux { limit: 1800, ..many },
        Linux { limit: 400, ..panics },
        Linux { limit: 400, ..one },
        dated(),
    ]
}

/// A domain that is restarted after a minute knows the time in either life, by the machine's clock: that is 03:04:05 when the
/// counter is 0, second 1,767,323,045. Linux takes the time that is told it for that of its own start, and is a little late.
fn dated() -> Linux {
    const CLOCK: [&str; 6] = [
        "-rtc",
        "base=2026-01-02T03:04:05,clock=vm",
        "-accel",
        "tcg,thread=single",
        "-icount",
        "shift=1,sleep=off",
    ];
    // One that takes the time of its start for that of the life before would be a minute late.
    const NONE: [&str; 3] = ["broken invariant", "Kernel panic", "power-on=17673229"];
    let mut linux = pair("wall-clock", "linux-6.12", 1, &[10], 1);
    linux.domains.truncate(1);
    linux.channels.clear();
    for domain in &mut linux.domains {
        domain.roles = "portunus.delay=60 portunus.then=reboot".into();
        domain.properties = "portunus,max-restarts = <1>;".into();
    }
    linux.wanted = [
        "linux: domU1: date=2026-01-02T03:04:0",
        "linux: domU1: date=2026-01-02T03:05:",
        " power-on=176732304",
        "domU1 asked to be restarted; restart 1",
        "domU1 asked to be restarted; restarts: 1, so it stays off",
    ]
    .map(String::from)
    .to_vec();
    Linux { pcpus: "1", more: &CLOCK, none: &NONE, ours: true, ..linux }
}

/// The pair of [`pair`], which makes so many `trips`, and a third domain that ends as `end` says until it was started again
/// so many `times`; the fourth answers it.
fn restarting(name: &str, kernel: &str, [times, trips]: [u32; 2], end: &str) -> Linux {
    let mut linux = pair(name, "linux-6.12", 1, &[10], trips);
    let mut phoenix = domain(2, "linux-6.12", 1, String::new());
    phoenix.kernel = kernel.into();
    phoenix.roles = format!("portunus.ping=20 portunus.count=20 {end}");
    phoenix.properties = format!("portunus,max-restarts = <{times}>;");
    linux.domains.push(phoenix);
    // It answers for as long as somebody asks, and is started anew after each silence.
    linux.domains.push(domain(3, "linux-6.12", 1, "portunus.pong=120 portunus.rounds=1000".into()));
    linux.domains.iter_mut().for_each(|domain| domain.memory = 128);
    linux.channels.push([(2, 20), (3, 120)]);
    linux.wanted.extend([
        "linux: domU3: round=1 exit=0 evtchn-ping: 20 round trips, 0 lost, 0 surplus".into(),
        "linux: domU3: random=ready".into(),
        format!("domU3 asked to be restarted; restart {times}"),
        format!("domU3 asked to be restarted; restarts: {times}, so it stays off"),
    ]);
    Linux { memory: "2G", none: &NONE, ours: true, limit: 500, ..linux }
}
