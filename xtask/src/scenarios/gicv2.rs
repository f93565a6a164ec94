//! Domains on a GICv2: the same guests, the same answers.

use super::guests::{ABI, BULLIED, COUNTED, FLOOD, HEARD, HEARING, INTRUDER, SEED, SMP, with_tree};
use super::{GICV2, Scenario, scenario};

/// The same machine where EL2 is the non-secure side of the GIC.
const SECURE: &str = "virt,virtualization=on,secure=on,gic-version=2,dtb-randomness=off";

/// The scenarios with running guests on a GICv2.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (view, model) in [("", GICV2), ("-secure", SECURE)] {
        let cpus = ["cortex-a53", "cortex-a57", "cortex-a72"];
        // The view does not depend on the CPU: there one model will do.
        for cpu in cpus.into_iter().skip(if view.is_empty() { 0 } else { 2 }) {
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
    // There the doorbell is looked at before an interrupt is acknowledged: one that is left rung must not hide others.
    let two = ["-M", GICV2, "-cpu", "cortex-a72", "-smp", "2", "-m", "1G"];
    for tree in ["bully-off", "bully-asleep"] {
        let name = format!("guest-gicv2-{tree}");
        list.push(with_tree(tree, scenario(&name, &[&two[..], &COUNTED].concat(), &BULLIED)));
    }
    let three = ["-M", GICV2, "-cpu", "cortex-a72", "-smp", "3", "-m", "1G"];
    for tree in HEARING {
        let name = format!("guest-gicv2-{tree}");
        list.push(with_tree(tree, scenario(&name, &[&three[..], &COUNTED].concat(), &HEARD)));
    }
    for (name, model) in [("guest-gicv2-intruder", GICV2), ("guest-gicv2-intruder-secure", SECURE)] {
        let machine = ["-M", model, "-cpu", "cortex-a72", "-smp", "4", "-m", "1G"];
        list.push(with_tree("intruder", Scenario { limit: 180, ..scenario(name, &machine, &INTRUDER) }));
    }
    list
}
