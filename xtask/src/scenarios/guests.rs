//! Domains that run: what the bare-metal guests of `qemu/guests` must say.

use super::{Scenario, TWO, scenario};

/// The scenarios with running guests.
pub(super) fn guest_scenarios() -> Vec<Scenario> {
    vec![Scenario {
        fragment: Some("seed"),
        ..scenario(
            "guest-seed",
            &TWO,
            &["(domU1) pingpong: port 10: 1000 rounds, 1000 sent, 1000 received", "powering off"],
        )
    }]
}
