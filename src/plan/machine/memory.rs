//! Memory: what is RAM, and what of it must be left alone.
//!
//! RAM is what a child of the root with `device_type = "memory"` says, never what a name says: boards have
//! reserved nodes called `memory@...` too. Addresses under the root and under `/reserved-memory` are the CPU's.

use alloc::vec::Vec;

use crate::addr::{Pa, PaSpan};
use crate::fdt::{Node, RegError, Tree};
use crate::mm::spans::merged;
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics};

/// How many ranges of RAM, and how many reserved ones, are read.
const MAX_RANGES: usize = 256;
/// The end of what stage 2 can map with a 4 KiB granule (Arm ARM DDI 0487, VTCR_EL2.PS, without FEAT_LPA2).
const REACH: Pa = Pa::new(1 << 48);

/// The RAM of the machine: sorted, merged. `None` if there is none.
pub(super) fn ram(tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Vec<PaSpan>> {
    let mut banks = Vec::new();
    for node in tree.root()?.children() {
        if node.prop("device_type").is_some_and(|kind| kind.str() == Ok("memory")) {
            if node.is_okay() {
                banks_of(&node, &mut banks, diags);
            }
        } else if node.is_called("memory") && node.has("reg") {
            diags.report(
                Code::MemoryType,
                At::node(&node),
                format_args!("the node is called memory, but it is not taken for RAM"),
                format_args!("add device_type = \"memory\" if it is RAM"),
            );
        }
    }
    let ram = merged(banks);
    if ram.is_empty() {
        diags.report(
            Code::NoRam,
            At::node(&"/"),
            format_args!("no child of the root with device_type = \"memory\" has a range that can be used"),
            format_args!("boot loaders fill in /memory; pass on the tree that they give to the kernel"),
        );
        return None;
    }
    Some(ram)
}

fn banks_of(node: &Node<'_, '_>, banks: &mut Vec<PaSpan>, diags: &mut Diagnostics) {
    let at = At::prop(node, "reg");
    if !node.has("reg") {
        unreadable(at, RegError::Missing, diags);
    }
    for entry in node.regs() {
        let span = match entry.map(|entry| entry.span().ok_or(RegError::Empty)) {
            Ok(Ok(span)) => span,
            Ok(Err(problem)) | Err(problem) => return unreadable(at, problem, diags),
        };
        // Board files leave a size of 0 for the boot loader to fill in.
        if span.is_empty() {
            continue;
        }
        if span.end() > REACH {
            diags.report(
                Code::RamTooHigh,
                at,
                format_args!("{span} ends above 2^48; it is not used"),
                format_args!("check the order of cells: here an address takes {}", node.cells().address),
            );
            continue;
        }
        if let Some(other) = banks.iter().find(|other| other.overlaps(&span)) {
            diags.report(
                Code::RamOverlap,
                at,
                format_args!("{span} overlaps {other}; together they count once"),
                format_args!("describe each byte of RAM once"),
            );
        }
        if banks.len() == MAX_RANGES {
            return diags.report(
                Code::TooManyBanks,
                at,
                format_args!("{span} and the ranges after it are not used"),
                format_args!("at most {MAX_RANGES} ranges of RAM are used"),
            );
        }
        banks.push(span);
    }
}

fn unreadable(at: At<'_>, problem: RegError, diags: &mut Diagnostics) {
    diags.report(
        Code::RamReg,
        at,
        format_args!("{problem}; this range and those after it are not used"),
        format_args!(
            "reg holds pairs of address and size, in the #address-cells and #size-cells of the root"
        ),
    );
}

/// What must not be touched: the reservation block and `/reserved-memory`, sorted and merged. `None` if a
/// range cannot be read: then there is no telling what would be overwritten.
pub(super) fn reserved(tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Vec<PaSpan>> {
    let mut spans = Vec::new();
    let mut unreadable = None;
    for (address, size) in tree.reservations().take(MAX_RANGES.saturating_add(1)) {
        match PaSpan::new(Pa::new(address), size) {
            Some(span) => spans.push(span),
            None => unreadable = Some((address, size)),
        }
    }
    if let Some((address, size)) = unreadable {
        diags.report(
            Code::ReservedReg,
            At::node(&"/memreserve/"),
            format_args!("{size:#x} bytes from {address:#x} wrap around"),
            format_args!("mend the entry: what must not be touched has to be known before memory is used"),
        );
    }
    other_cells(tree, diags);
    let nodes = nodes(tree, &mut spans, |node, problem| {
        diags.report(
            Code::ReservedReg,
            At::prop(node, "reg"),
            format_args!("{problem}"),
            format_args!("mend reg: what must not be touched has to be known before memory is used"),
        );
    });
    if spans.len() > MAX_RANGES {
        diags.report(
            Code::TooManyReserved,
            At::node(&"/reserved-memory"),
            format_args!("there are more reserved ranges than can be kept"),
            format_args!("at most {MAX_RANGES} ranges, those of /memreserve/ included, can be reserved"),
        );
        return None;
    }
    (unreadable.is_none() && nodes).then(|| merged(spans))
}

/// `/reserved-memory` must have the cells of the root (its binding says so, and Linux reads it with those).
fn other_cells(tree: &Tree<'_>, diags: &mut Diagnostics) {
    let _ = tree.at("/reserved-memory", |node| {
        let cells = node.child_cells();
        if cells != node.cells() {
            diags.report(
                Code::ReservedCells,
                At::node(node),
                format_args!("its ranges are read with {} and {} cells", cells.address, cells.size),
                format_args!(
                    "give it the #address-cells and #size-cells of the root, as its binding demands"
                ),
            );
        }
    });
}

/// The ranges of `/reserved-memory` alone, as far as they can be read.
pub(in crate::plan) fn reserved_nodes(tree: &Tree<'_>) -> Vec<PaSpan> {
    let mut spans = Vec::new();
    nodes(tree, &mut spans, |_, _| {});
    merged(spans)
}

/// Collects `/reserved-memory`; says whether all of it could be read. Nodes that only ask for a size reserve
/// nothing yet: Linux would choose the place.
fn nodes(tree: &Tree<'_>, spans: &mut Vec<PaSpan>, mut problem: impl FnMut(&Node<'_, '_>, RegError)) -> bool {
    let mut complete = true;
    let _ = tree.at("/reserved-memory", |parent| {
        for node in parent.children().filter(|node| node.has("reg") && node.is_okay()) {
            for entry in node.regs() {
                if spans.len() > MAX_RANGES {
                    return;
                }
                match entry.and_then(|entry| entry.span().ok_or(RegError::Empty)) {
                    Ok(span) => spans.push(span),
                    Err(error) => {
                        complete = false;
                        problem(&node, error);
                        break;
                    }
                }
            }
        }
    });
    complete
}

/// Bytes of `ram` outside `busy`. Both are sorted and merged.
pub(in crate::plan) fn free_bytes(ram: &[PaSpan], busy: &[PaSpan]) -> u64 {
    let overlap = |bank: &PaSpan| {
        let within = |span: &PaSpan| {
            let (start, end) = (span.start().max(bank.start()), span.end().min(bank.end()));
            end.checked_sub(start).unwrap_or(0)
        };
        busy.iter().map(within).fold(0, u64::saturating_add)
    };
    ram.iter().map(|bank| bank.size().saturating_sub(overlap(bank))).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> PaSpan {
        PaSpan::from_bounds(Pa::new(start), Pa::new(end)).unwrap()
    }

    #[test]
    fn free_memory_does_not_count_what_lies_elsewhere() {
        let ram = [span(100, 200), span(300, 400)];
        assert_eq!(free_bytes(&ram, &[span(0, 110), span(190, 310), span(500, 600)]), 80 + 90);
    }
}
