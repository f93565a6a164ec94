//! Static event channels, in either of the two ways of writing them down.
//!
//! * The draft's: a node under `/chosen` with tuples of port, domain, port, domain (`tuples`).
//! * Xen's: a node in each of the two domains with its own port and the peer's node (`halves`).
//!
//! Both make the same channels and may be mixed in one tree. A channel that contradicts itself or one that
//! stands before it is left out; a channel to a domain that is left out is left unbound, and its port stays
//! taken. Ends have names, given or made up (`names`), which the guests see.

mod halves;
mod names;
mod ports;
mod tuples;

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use self::halves::Halves;
use self::names::Names;
use self::ports::Ports;
use super::code::Code;
use super::diagnostic::{At, Diagnostics};
use super::domain::Draft;
use super::{ChannelPlan, Direction, Endpoint};
use crate::addr::{PORTS, Port};
use crate::fdt::{Node, Tree};
use crate::mm::spans;

/// The property that both forms use.
const PROPERTY: &str = "xen,evtchn";
/// The last port of a domU in Xen, whatever the ABI allows.
const XEN_PORTS: u32 = 1023;
/// How many channels one machine can have: as many as give every port of two domains a peer.
const MAX_CHANNELS: usize = 4096;

/// Reads the channels, in tree order: those with both ends, and those that lost one because its domain is broken.
pub(super) fn read<'d, 't>(
    tree: &Tree<'_>,
    chosen: &'d Node<'d, 't>,
    drafts: &'d [Draft<'d, 't>],
    diags: &mut Diagnostics,
) -> (Vec<ChannelPlan>, Vec<ChannelPlan>) {
    let mut book = Book {
        drafts,
        ports: Ports::default(),
        names: alloc::vec![Names::default(); drafts.len()],
        channels: Vec::new(),
        severed: Vec::new(),
        beyond_xen: false,
    };
    let domains = by_phandle(drafts, diags);
    let mut halves = Halves::collect(drafts, diags);
    let mut index = 0;
    for node in chosen.children() {
        if node.is_compatible("xen,domain") {
            halves.bind_domain(index, tree, &mut book, diags);
            index = index.saturating_add(1);
        } else if node.is_compatible("xen,evtchn-v1") && tuples::fit(&node) {
            diags.report(
                Code::TupleNamedHalf,
                At::prop(&node, "compatible"),
                format_args!("two ports and two domains are a whole channel, not an end of one"),
                format_args!("write compatible = \"xen,evtchn\""),
            );
        } else if node.is_compatible("xen,evtchn-v1") {
            diags.report(
                Code::HalfInChosen,
                At::node(&node),
                format_args!("an end directly under /chosen is dom0's, and there is no dom0"),
                format_args!("move the node into the domain that it belongs to"),
            );
        } else if node.is_compatible("xen,evtchn") {
            tuples::read(tree, chosen, &node, &domains, &mut book, diags);
        }
    }
    book.unseen(diags);
    (book.channels, book.severed)
}

/// The domains by phandle, sorted.
fn by_phandle(drafts: &[Draft<'_, '_>], diags: &mut Diagnostics) -> Vec<(u32, usize)> {
    let phandles =
        drafts.iter().enumerate().filter_map(|(index, draft)| Some((draft.node.phandle()?, index)));
    sorted(phandles.collect(), diags, |index| drafts.get(index).map(|draft| draft.node.to_string()))
}

/// Sorts pairs of phandle and index, and reports phandles that occur twice; the first one stays.
fn sorted<P: fmt::Display>(
    pairs: Vec<(u32, usize)>,
    diags: &mut Diagnostics,
    path: impl Fn(usize) -> Option<P>,
) -> Vec<(u32, usize)> {
    let mut pairs = spans::sorted(pairs);
    for twins in pairs.windows(2) {
        if let [(phandle, first), (other, second)] = *twins
            && phandle == other
            && let (Some(first), Some(second)) = (path(first), path(second))
        {
            diags.report(
                Code::PhandleTwice,
                At::prop(&second, "phandle"),
                format_args!("{first} has phandle {phandle:#x} too; references to it mean that one"),
                format_args!("give each node a phandle of its own, or let dtc do so"),
            );
        }
    }
    pairs.dedup_by_key(|(phandle, _)| *phandle);
    pairs
}

fn look_up(pairs: &[(u32, usize)], phandle: u32) -> Option<usize> {
    let at = pairs.binary_search_by_key(&phandle, |(key, _)| *key).ok()?;
    pairs.get(at).map(|(_, index)| *index)
}

/// Where an end of a channel is written down.
#[derive(Clone, Copy)]
struct Place<'d, 't> {
    parent: &'d Node<'d, 't>,
    name: &'t str,
    /// The cell with the port.
    cell: usize,
}

impl fmt::Display for Place<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.parent, self.name)
    }
}

impl Place<'_, '_> {
    fn at(&self) -> At<'_> {
        At::prop(self, PROPERTY).cell(self.cell)
    }
}

/// One end, as it is written down.
#[derive(Clone, Copy)]
struct End<'d, 't> {
    /// Index of its domain among the drafts.
    domain: usize,
    port: u32,
    /// The name that it is given.
    name: Option<&'t str>,
    place: Place<'d, 't>,
}

/// What a domain is called.
fn name_of<'t>(drafts: &[Draft<'_, 't>], domain: usize) -> &'t str {
    drafts.get(domain).map_or("?", |draft| draft.node.base_name())
}

/// All ports and channels so far.
struct Book<'d, 't> {
    drafts: &'d [Draft<'d, 't>],
    ports: Ports<'d, 't>,
    /// For each draft.
    names: Vec<Names<'t>>,
    channels: Vec<ChannelPlan>,
    severed: Vec<ChannelPlan>,
    /// Whether a port has been seen that Xen would not give.
    beyond_xen: bool,
}

impl<'d, 't> Book<'d, 't> {
    /// Makes a channel of two ends, or says why not. The direction is as the first end sees it.
    fn bind(&mut self, ends: [End<'d, 't>; 2], direction: Option<Direction>, diags: &mut Diagnostics) {
        let [one, two] = ends;
        // Both are looked at: each may have a mistake of its own.
        if !(self.ports.is_free(&one, self.drafts, diags) & self.ports.is_free(&two, self.drafts, diags)) {
            return;
        }
        if one.domain == two.domain && one.port == two.port {
            return diags.report(
                Code::SamePort,
                two.place.at(),
                format_args!("both ends are port {} of {}", two.port, self.name(two.domain)),
                format_args!("a domain may send events to itself, but from one port to another"),
            );
        }
        if self.ports.count() >= MAX_CHANNELS.saturating_mul(2) {
            return too_many(one.place.at(), diags);
        }
        for end in ends {
            self.ports.take(&end);
            // Once is enough: a tree for this hypervisor alone may use all of them.
            if end.port > XEN_PORTS && !core::mem::replace(&mut self.beyond_xen, true) {
                diags.report(
                    Code::PortBeyondXen,
                    end.place.at(),
                    format_args!(
                        "Xen's domains have ports up to {XEN_PORTS}; here they end at {}",
                        PORTS - 1
                    ),
                    format_args!("take a lower port if the tree is to boot with Xen too"),
                );
            }
        }
        let names = self.names(&ends, diags);
        let channel = self.channel(&ends, names, direction.unwrap_or_default());
        match (self.is_broken(one.domain), self.is_broken(two.domain)) {
            (false, false) => self.channels.extend(channel),
            (true, false) => {
                self.severed.extend(channel);
                self.unbound(&two, &one, diags);
            }
            (false, true) => {
                self.severed.extend(channel);
                self.unbound(&one, &two, diags);
            }
            (true, true) => {}
        }
    }

    /// Notes domains that have channels and whose tree does not lead to them.
    fn unseen(&self, diags: &mut Diagnostics) {
        for (domain, draft) in self.drafts.iter().enumerate() {
            if !draft.broken && !draft.enhanced && self.ports.any(domain) {
                diags.report(
                    Code::ChannelUnseen,
                    At::node(&draft.node),
                    format_args!(
                        "the guest's tree has no /hypervisor node, without which Linux looks for no events"
                    ),
                    format_args!("write xen,enhanced = \"no-xenstore\", unless the guest does without"),
                );
            }
        }
    }

    fn channel(
        &self,
        ends: &[End<'d, 't>; 2],
        names: [Box<str>; 2],
        direction: Direction,
    ) -> Option<ChannelPlan> {
        let [one, two] = ends.map(|end| {
            let domain = self.drafts.get(end.domain)?.id;
            Some(Endpoint { domain, port: Port::new(end.port) })
        });
        let [first, _] = ends;
        Some(ChannelPlan { ends: [one?, two?], names, direction, path: first.place.to_string() })
    }

    fn unbound(&self, kept: &End<'_, '_>, lost: &End<'_, '_>, diags: &mut Diagnostics) {
        diags.report(
            Code::PeerBroken,
            kept.place.at(),
            format_args!(
                "{} is left out, so port {} of {} has no peer",
                self.name(lost.domain),
                kept.port,
                self.name(kept.domain)
            ),
            format_args!("mend {}; what is sent to the port is dropped until then", self.name(lost.domain)),
        );
    }

    fn name(&self, domain: usize) -> &'t str {
        name_of(self.drafts, domain)
    }

    fn is_broken(&self, domain: usize) -> bool {
        self.drafts.get(domain).is_none_or(|draft| draft.broken)
    }
}

/// Reports that the table of channels is full.
fn too_many(at: At<'_>, diags: &mut Diagnostics) {
    diags.report(
        Code::TooManyChannels,
        at,
        format_args!("the channel is left out"),
        format_args!("at most {MAX_CHANNELS} channels are possible"),
    );
}

/// Reports a channel node that says nothing.
fn missing(node: &Node<'_, '_>, example: &str, diags: &mut Diagnostics) {
    diags.report(
        Code::ChannelMissing,
        At::node(node),
        format_args!("the property {PROPERTY} is missing or empty"),
        format_args!("write {PROPERTY} = {example}"),
    );
}
