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
    ]
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
        "linux: domU3: random=ready kaslr=on".into(),
        format!("domU3 asked to be restarted; restart {times}"),
        format!("domU3 asked to be restarted; restarts: {times}, so it stays off"),
    ]);
    Linux { memory: "2G", none: &NONE, ours: true, limit: 500, ..linux }
}
