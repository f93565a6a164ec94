//! PSCI: whether firmware can be called, and how (Arm DEN 0022).

use crate::fdt::Tree;
use crate::plan::Conduit;
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics, Quoted};

/// Reads the PSCI node, if firmware offers one. Without one, calling firmware is never tried: an SMC that
/// nobody answers is undefined or hangs.
pub(super) fn read(tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Conduit> {
    tree.find_map(|node| {
        if !node.is_one_of(&["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]) || !node.is_okay() {
            return None;
        }
        if !node.is_one_of(&["arm,psci-1.0", "arm,psci-0.2"]) {
            diags.report(
                Code::PsciOld,
                At::prop(node, "compatible"),
                format_args!("PSCI 0.1 has no fixed function numbers; it is not used"),
                format_args!("PSCI 0.2 or later is needed to start CPUs and to power off"),
            );
            return Some(None);
        }
        let method = node.prop("method").and_then(|method| method.str().ok()).unwrap_or("");
        match method {
            "smc" => Some(Some(Conduit::Smc)),
            "hvc" => Some(Some(Conduit::Hvc)),
            _ => {
                diags.report(
                    Code::PsciMethod,
                    At::prop(node, "method"),
                    format_args!("the method is {}; PSCI is not used", Quoted(method)),
                    format_args!("write method = \"smc\" or \"hvc\""),
                );
                Some(None)
            }
        }
    })?
}
