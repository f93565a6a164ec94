//! The draft's form: `xen,evtchn = <portA &domA portB &domB>` under `/chosen`, one tuple or several.

use alloc::string::ToString;

use super::names::Labels;
use super::{Book, End, PROPERTY, Place, look_up};
use crate::fdt::{Node, Tree};
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics};

/// Cells of one tuple.
const TUPLE: usize = 4;

/// Whether a node holds whole tuples.
pub(super) fn fit(node: &Node<'_, '_>) -> bool {
    node.prop(PROPERTY).is_some_and(|prop| !prop.value.is_empty() && prop.value.len() % (TUPLE * 4) == 0)
}

/// Reads one node. `domains` are the domains by phandle.
pub(super) fn read<'d, 't>(
    tree: &Tree<'_>,
    chosen: &'d Node<'d, 't>,
    node: &Node<'_, 't>,
    domains: &[(u32, usize)],
    book: &mut Book<'d, 't>,
    diags: &mut Diagnostics,
) {
    let Some(prop) = node.prop(PROPERTY).filter(|prop| !prop.value.is_empty()) else {
        return super::missing(node, "<0xa &domU1 0xb &domU2>", diags);
    };
    if prop.value.len() % (TUPLE * 4) != 0 {
        let at = At::prop(node, PROPERTY);
        let what =
            format_args!("the value has {} bytes; a channel is 4 cells, which are 16", prop.value.len());
        return if prop.value.len() == 8 {
            let help = format_args!(
                "a port and a peer are one end: name it xen,evtchn-v1 and move it into its domain's node"
            );
            diags.report(Code::ChannelLength, at, what, help);
        } else {
            let help = format_args!("a channel is port, domain, port, domain: <0xa &domU1 0xb &domU2>");
            diags.report(Code::ChannelLength, at, what, help);
        };
    }
    let mut labels = Labels::of(node, prop.cell_count() / TUPLE, 2, diags);
    for first in (0..prop.cell_count()).step_by(TUPLE) {
        let label = labels.next(node, diags);
        let [one, two] = label.names;
        let mut end = |cell: usize, name| {
            let place = Place { parent: chosen, name: node.name(), cell };
            let phandle = prop.cell(cell.saturating_add(1))?;
            let domain = domain(tree, phandle, domains, &place, diags)?;
            Some(End { domain, port: prop.cell(cell)?, name, place })
        };
        // Both are looked at: each may have a mistake of its own.
        if let (Some(one), Some(two)) = (end(first, one), end(first.saturating_add(2), two)) {
            book.bind([one, two], label.direction, diags);
        }
    }
}

fn domain(
    tree: &Tree<'_>,
    phandle: u32,
    domains: &[(u32, usize)],
    place: &Place<'_, '_>,
    diags: &mut Diagnostics,
) -> Option<usize> {
    let found = look_up(domains, phandle);
    if found.is_none() {
        let help = "name the domain's own node, as in <0xa &domU1 0xb &domU2>";
        explain(tree, phandle, place, (Code::NotADomain, "a domain", help), diags);
    }
    found
}

/// Says what a phandle names that does not name what it should.
pub(super) fn explain(
    tree: &Tree<'_>,
    phandle: u32,
    place: &Place<'_, '_>,
    (code, wanted, help): (Code, &str, &str),
    diags: &mut Diagnostics,
) {
    let at = At::prop(place, PROPERTY).cell(place.cell.saturating_add(1));
    if !diags.may_search() {
        let what = format_args!("phandle {phandle:#x} does not name {wanted}");
        return diags.report(code, at, what, format_args!("{help}"));
    }
    let path = tree.find_map(|node| (node.phandle() == Some(phandle)).then(|| node.to_string()));
    match path {
        Some(path) => {
            let what = format_args!("phandle {phandle:#x} is {path}, which is not {wanted}");
            diags.report(code, at, what, format_args!("{help}"));
        }
        None => diags.report(
            Code::PhandleUnknown,
            at,
            format_args!("no node has phandle {phandle:#x}"),
            format_args!("{help}"),
        ),
    }
}
