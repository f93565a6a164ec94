//! The architected timer: which interrupts its three comparators raise.

use crate::addr::IntId;
use crate::fdt::{IrqError, Node, Tree};
use crate::plan::Timer;
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics};

/// The binding knows five.
const MAX_INTERRUPTS: usize = 8;

/// Reads the timer node. `None` if there is none, or it lacks an interrupt.
pub(super) fn read(tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Timer> {
    let found = tree.find_map(|node| {
        (node.is_compatible("arm,armv8-timer") && node.is_okay()).then(|| from_node(node, diags))
    });
    if found.is_none() {
        diags.report(
            Code::NoTimer,
            At::node(&"/"),
            format_args!("no enabled node is compatible with arm,armv8-timer"),
            format_args!("take the timer node from the board's own device tree"),
        );
    }
    found?
}

fn from_node(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<Timer> {
    // Without names the order is fixed: secure, physical, virtual, hypervisor.
    let phys = interrupt(node, "phys", 1, diags);
    let virt = interrupt(node, "virt", 2, diags);
    let hyp = interrupt(node, "hyp-phys", 3, diags);
    let frequency = frequency(node, diags);
    Some(Timer { phys: phys?, virt: virt?, hyp: hyp?, frequency })
}

fn interrupt(node: &Node<'_, '_>, name: &str, usual: usize, diags: &mut Diagnostics) -> Option<IntId> {
    let index = match node.prop("interrupt-names") {
        Some(names) => names.strings().take(MAX_INTERRUPTS).position(|entry| entry == name),
        None => Some(usual),
    };
    let help =
        format_args!("interrupts lists secure, phys, virt and hyp: <1 13 4>, <1 14 4>, <1 11 4>, <1 10 4>");
    match index.ok_or(IrqError::Missing).and_then(|index| node.interrupt(index)) {
        Ok(id) if id.is_private() => Some(id),
        Ok(id) => {
            diags.report(
                Code::TimerNotPrivate,
                At::prop(node, "interrupts"),
                format_args!("the {name} timer raises INTID {id}, which is not private to a CPU"),
                help,
            );
            None
        }
        Err(problem) => {
            diags.report(
                Code::TimerInterrupt,
                At::prop(node, "interrupts"),
                format_args!("the {name} timer: {problem}"),
                help,
            );
            None
        }
    }
}

fn frequency(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<u32> {
    match node.prop("clock-frequency")?.u32() {
        Ok(hertz) if hertz > 0 => Some(hertz),
        _ => {
            diags.report(
                Code::TimerFrequency,
                At::prop(node, "clock-frequency"),
                format_args!("the value is not a number of hertz; CNTFRQ_EL0 is used"),
                format_args!("remove the property: firmware sets CNTFRQ_EL0"),
            );
            None
        }
    }
}
