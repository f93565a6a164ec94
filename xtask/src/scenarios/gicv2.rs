//! Domains on a GICv2: the same guests, the same answers.

use super::guests::{ABI, FLOOD, SEED, SMP, with_tree};
use super::{GICV2, Scenario, scenario};

/// The same machine where EL2 is the non-secure side of the GIC.
const SECURE: &str = "virt,virtualization=on,secure=on,gic-version=2,dtb-randomness=off";

/// The scenarios with running guests on a GICv2.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (view, model) in [("", GICV2), ("-secure", SECURE)] {
        for cpu in ["cortex-a53", "cortex-a57", "cortex-a72"] {
            for count in ["1", "2", "4"] {
                let machine = ["-M", model, "-cpu", cpu, "-smp", count, "-m", "1G"];
                let name = format!("guest-gicv2-seed{view}-{cpu}-{count}");
                list.push(with_tree("seed", scenario(&name, &machine, &SEED)));
            }
        }
    }
    for (tree, wanted, limit) in [("smp", &SMP[..], 120), ("flood", &FLOOD[..], 240), ("abi", &ABI[..], 90)] {
        for count in ["1", "4"] {
            let machine = ["-M", GICV2, "-cpu", "cortex-a72", "-smp", count, "-m", "1G"];
            let name = format!("guest-gicv2-{tree}-{count}");
            list.push(with_tree(tree, Scenario { limit, ..scenario(&name, &machine, wanted) }));
        }
    }
    list
}
