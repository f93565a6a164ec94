//! Xen's form: in each of two domains a node `xen,evtchn-v1` with `xen,evtchn = <port &peer-node>`.

use alloc::vec::Vec;

use super::names::{self, Labels};
use super::tuples::explain;
use super::{Book, End, MAX_CHANNELS, PROPERTY, Place, look_up, sorted, too_many};
use crate::fdt::{Node, Tree};
use crate::plan::Direction;
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics};
use crate::plan::domain::Draft;

/// One half: an end, and the node that it says is the other one.
struct Half<'d, 't> {
    end: End<'d, 't>,
    /// Its own phandle.
    phandle: Option<u32>,
    /// The phandle of its peer; `None` if the half cannot be read, which has been reported.
    peer: Option<u32>,
    /// The direction that it names.
    direction: Option<Direction>,
    /// Nothing more is to be said about it.
    done: bool,
}

/// The halves of all domains, in tree order.
pub(super) struct Halves<'d, 't> {
    halves: Vec<Half<'d, 't>>,
    by_phandle: Vec<(u32, usize)>,
}

impl<'d, 't> Halves<'d, 't> {
    /// Collects the halves of all domains, broken ones included.
    pub(super) fn collect(drafts: &'d [Draft<'d, 't>], diags: &mut Diagnostics) -> Self {
        let mut halves = Vec::new();
        for (domain, draft) in drafts.iter().enumerate() {
            for node in draft.node.children() {
                if !node.is_one_of(&["xen,evtchn-v1", "xen,evtchn"]) {
                    continue;
                }
                let place = Place { parent: &draft.node, name: node.name(), cell: 0 };
                if halves.len() >= MAX_CHANNELS.saturating_mul(2) {
                    too_many(place.at(), diags);
                } else {
                    halves.push(half(&node, domain, place, diags));
                }
            }
        }
        let phandles = halves.iter().enumerate().filter_map(|(index, half)| Some((half.phandle?, index)));
        let by_phandle =
            sorted(phandles.collect(), diags, |index| halves.get(index).map(|half| half.end.place));
        Self { halves, by_phandle }
    }

    /// Binds the halves of one domain to their peers.
    pub(super) fn bind_domain(
        &mut self,
        domain: usize,
        tree: &Tree<'_>,
        book: &mut Book<'d, 't>,
        diags: &mut Diagnostics,
    ) {
        // They stand in the order of their domains.
        let first = self.halves.partition_point(|half| half.end.domain < domain);
        let last = self.halves.partition_point(|half| half.end.domain <= domain);
        for index in first..last {
            if let Some((ends, direction)) = self.pair(index, tree, diags) {
                book.bind(ends, direction, diags);
            }
        }
    }

    /// The two ends of a channel, if the half and its peer agree.
    fn pair(
        &mut self,
        index: usize,
        tree: &Tree<'_>,
        diags: &mut Diagnostics,
    ) -> Option<([End<'d, 't>; 2], Option<Direction>)> {
        let half = self.halves.get_mut(index).filter(|half| !half.done)?;
        half.done = true;
        let (end, own, direction, phandle) = (half.end, half.phandle, half.direction, half.peer?);
        let at = At::prop(&end.place, PROPERTY).cell(1);
        let Some(peer_index) = look_up(&self.by_phandle, phandle) else {
            let help = "name the node of the other end, inside its domain, not the domain";
            explain(tree, phandle, &end.place, (Code::NotAnEnd, "an end of a channel", help), diags);
            return None;
        };
        if peer_index == index {
            diags.report(
                Code::OwnPeer,
                at,
                format_args!("the node names itself"),
                format_args!(
                    "name the node of the other end; for a channel within the domain, write a second node"
                ),
            );
            return None;
        }
        let peer = self.halves.get_mut(peer_index)?;
        // A peer that cannot be read has been reported already.
        let names = peer.peer?;
        let place = peer.end.place;
        if own == Some(names) && !peer.done {
            peer.done = true;
            let ends = [end, peer.end];
            return Some((ends, names::agree(&ends, direction, peer.direction, diags)));
        }
        match own {
            None => diags.report(
                Code::OneSided,
                at,
                format_args!("this node has no phandle, so {place} cannot name it"),
                format_args!("let {place} name this node: write xen,evtchn = <port &this-node> there"),
            ),
            Some(_) => diags.report(
                Code::OneSided,
                at,
                format_args!("{place} names another node than this one"),
                format_args!(
                    "a channel has two ends that name each other; a third needs a channel of its own"
                ),
            ),
        }
        None
    }
}

fn half<'d, 't>(
    node: &Node<'_, 't>,
    domain: usize,
    place: Place<'d, 't>,
    diags: &mut Diagnostics,
) -> Half<'d, 't> {
    let (port, peer) = value(node, diags).map_or((0, None), |(port, peer)| (port, Some(peer)));
    let label = Labels::of(node, 1, 1, diags).next(node, diags);
    let [name, _] = label.names;
    let end = End { domain, port, name, place };
    Half { end, phandle: node.phandle(), peer, direction: label.direction, done: false }
}

/// Port and peer.
fn value(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<(u32, u32)> {
    let Some(prop) = node.prop(PROPERTY).filter(|prop| !prop.value.is_empty()) else {
        super::missing(node, "<0xa &peer>", diags);
        return None;
    };
    let at = At::prop(node, PROPERTY);
    let cells = prop.cell_count();
    if !node.is_compatible("xen,evtchn-v1") {
        if cells >= 4 {
            diags.report(
                Code::TupleInDomain,
                at,
                format_args!("a whole channel cannot stand inside one of its domains"),
                format_args!("move the node to /chosen, beside the domains"),
            );
            return None;
        }
        diags.report(
            Code::OldHalf,
            At::prop(node, "compatible"),
            format_args!("Xen's documentation says xen,evtchn, but Xen itself reads xen,evtchn-v1 only"),
            format_args!("write compatible = \"xen,evtchn-v1\" so that Xen sees the node too"),
        );
    }
    let (Some(port), Some(peer)) = (prop.cell(0), prop.cell(1)) else {
        diags.report(
            Code::HalfLength,
            at,
            format_args!("the value has {} bytes; a port and a peer are 8", prop.value.len()),
            format_args!("write xen,evtchn = <0xa &peer>, where peer is the node of the other end"),
        );
        return None;
    };
    if prop.value.len() > 8 {
        diags.report(
            Code::HalfExtra,
            at.cell(2),
            format_args!("only the first two cells are read"),
            format_args!("write one node for each end"),
        );
    }
    Some((port, peer))
}
