//! What the ends of channels are called, and which way events go: `portunus,name` and `portunus,direction`.
//!
//! Both are lists with one string for each channel of the node, and may be missing; an empty string stands for a missing
//! one. In a node of tuples, `portunus,name` may have two strings for each, one for either end. A direction is as seen
//! from the end that is written down first. Neither changes what a channel does: a mistake here costs the name or the
//! direction, not the channel.
//!
//! A name is unique in its domain. An end without one is called after its peer, with a dot, which given names cannot
//! have, so that the two never clash.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Book, End};
use crate::fdt::Node;
use crate::plan::Direction;
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics, Quoted};
use crate::plan::plural::Count;

/// The property with the names.
pub(super) const NAME: &str = "portunus,name";
/// The property with the directions.
pub(super) const DIRECTION: &str = "portunus,direction";
/// The longest name: that of a node (Devicetree Specification v0.4, section 2.2.1), because guests see it as one.
const MAX_NAME: usize = 31;
/// How much of the peer's name is in a name that is made up: with the dot and four digits no more than a given name.
const MAX_DEFAULT: usize = 24;

/// What a node says about one of its channels: a name for each end, and the direction as the first end sees it.
#[derive(Clone, Copy, Default)]
pub(super) struct Label<'t> {
    /// One for each end; of a half-node, the first.
    pub names: [Option<&'t str>; 2],
    /// `None` if nothing is said.
    pub direction: Option<Direction>,
}

/// The labels of a node's channels, in their order.
pub(super) struct Labels<'t> {
    names: &'t [u8],
    directions: &'t [u8],
    /// Each end has a name of its own.
    by_end: bool,
}

impl<'t> Labels<'t> {
    /// Reads what `node` says about its `channels` channels, which are described by `ends` ends each.
    pub(super) fn of(node: &Node<'_, 't>, channels: usize, ends: usize, diags: &mut Diagnostics) -> Self {
        let names = list(node, NAME, channels, ends, diags);
        let directions = list(node, DIRECTION, channels, 1, diags);
        Self { names, directions, by_end: ends > 1 && strings(names) > channels }
    }

    /// The label of the next channel.
    pub(super) fn next(&mut self, node: &Node<'_, 't>, diags: &mut Diagnostics) -> Label<'t> {
        let first = name(node, take(&mut self.names), diags);
        let second = if self.by_end { name(node, take(&mut self.names), diags) } else { first };
        let direction = direction(node, take(&mut self.directions), diags);
        Label { names: [first, second], direction }
    }
}

/// How many strings a value holds, if it ends with a NUL.
fn strings(value: &[u8]) -> usize {
    value.iter().filter(|byte| **byte == 0).count()
}

/// Takes the next string off a list; an exhausted list has empty ones.
fn take<'t>(list: &mut &'t [u8]) -> &'t [u8] {
    let end = list.iter().position(|byte| *byte == 0).unwrap_or(list.len());
    let (string, rest) = list.split_at_checked(end).unwrap_or_default();
    *list = rest.get(1..).unwrap_or_default();
    string
}

/// The value of a list, if it has one string for each channel, or for each end.
fn list<'t>(
    node: &Node<'_, 't>,
    property: &str,
    channels: usize,
    ends: usize,
    diags: &mut Diagnostics,
) -> &'t [u8] {
    let Some(prop) = node.prop(property) else { return &[] };
    let count = strings(prop.value);
    if prop.value.last() == Some(&0) && (count == channels || count == channels.saturating_mul(ends)) {
        return prop.value;
    }
    diags.report(
        Code::LabelCount,
        At::prop(node, property),
        format_args!("{} for {}", Count(count, "string"), Count(channels, "channel")),
        format_args!("write one string for each channel, in the same order; an empty one is as none"),
    );
    &[]
}

/// A name that can be used.
fn name<'t>(node: &Node<'_, '_>, string: &'t [u8], diags: &mut Diagnostics) -> Option<&'t str> {
    let text = core::str::from_utf8(string).unwrap_or("?");
    let at = At::prop(node, NAME);
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if string.is_empty() {
        return None;
    }
    if string.len() > MAX_NAME {
        diags.report(
            Code::NameTooLong,
            at,
            format_args!("{} has {} characters", Quoted(text), string.len()),
            format_args!("a channel's name has at most {MAX_NAME} characters"),
        );
    } else if !string.iter().all(good) || !string.first().is_some_and(u8::is_ascii_alphabetic) {
        diags.report(
            Code::NameInvalid,
            at,
            format_args!("{} cannot be a node of the guest's tree", Quoted(text)),
            format_args!("a name is letters, digits, - and _, and begins with a letter"),
        );
    } else {
        return Some(text);
    }
    None
}

fn direction(node: &Node<'_, '_>, string: &[u8], diags: &mut Diagnostics) -> Option<Direction> {
    let text = core::str::from_utf8(string).unwrap_or("?");
    let known = Direction::ALL.into_iter().find(|direction| direction.word() == text);
    if known.is_none() && !text.is_empty() {
        let at = At::prop(node, DIRECTION);
        let what = format_args!("{} is no direction; events may go both ways", Quoted(text));
        match diags.did_you_mean(text, &Direction::ALL.map(Direction::word)) {
            Some(meant) => {
                diags.report(Code::DirectionUnknown, at, what, format_args!("did you mean \"{meant}\"?"));
            }
            None => diags.report(
                Code::DirectionUnknown,
                at,
                what,
                format_args!("write \"send\", \"receive\" or \"both\", as the end that stands first sees it"),
            ),
        }
    }
    known
}

/// The direction of a channel whose ends may each have said one, as the first sees it.
pub(super) fn agree(
    ends: &[End<'_, '_>; 2],
    first: Option<Direction>,
    second: Option<Direction>,
    diags: &mut Diagnostics,
) -> Option<Direction> {
    let second = second.map(Direction::mirrored);
    if let (Some(one), Some(two)) = (first, second)
        && one != two
    {
        let [here, there] = ends;
        diags.report(
            Code::DirectionConflict,
            At::prop(&there.place, DIRECTION),
            format_args!(
                "{} says \"{}\", which is \"{}\" here",
                here.place,
                one.word(),
                one.mirrored().word()
            ),
            format_args!("write it at one end only, or \"send\" at one and \"receive\" at the other"),
        );
        return None;
    }
    first.or(second)
}

/// The names in a domain so far.
#[derive(Clone, Default)]
pub(super) struct Names<'t> {
    /// Given ones, in order.
    given: Vec<&'t str>,
    /// How many ends it has towards peers whose names begin like that: as many entries as it has peers.
    towards: Vec<(&'t str, u32)>,
    /// Whether it was reported as seeing none of this.
    blind: bool,
}

impl<'t> Names<'t> {
    /// Adds a given name, unless it is there.
    fn give(&mut self, name: &'t str) -> bool {
        let place = self.given.binary_search(&name);
        if let Err(place) = place {
            self.given.insert(place, name);
        }
        place.is_err()
    }

    /// Counts an end towards peers whose names begin like that; answers how many there were.
    fn count(&mut self, towards: &'t str) -> u32 {
        if let Some((_, count)) = self.towards.iter_mut().find(|(name, _)| *name == towards) {
            let number = *count;
            *count = count.saturating_add(1);
            return number;
        }
        self.towards.push((towards, 1));
        0
    }
}

impl<'t> Book<'_, 't> {
    /// What the ends of a channel are called, in their domains.
    pub(super) fn names(&mut self, ends: &[End<'_, 't>; 2], diags: &mut Diagnostics) -> [Box<str>; 2] {
        let [one, two] = ends;
        let named = one.name.or(two.name).is_some();
        for end in ends.iter().filter(|_| named) {
            let Some(names) = self.names.get_mut(end.domain) else { continue };
            let is_blind = self.drafts.get(end.domain).is_some_and(|draft| !draft.broken && !draft.enhanced);
            if !is_blind || core::mem::replace(&mut names.blind, true) {
                continue;
            }
            diags.report(
                Code::NameUnseen,
                At::prop(&end.place, NAME),
                format_args!(
                    "the tree of {} has no /hypervisor node, so its guest sees no channels",
                    self.name(end.domain)
                ),
                format_args!(
                    "write xen,enhanced = \"no-xenstore\" in the domain, or tell the guest its port"
                ),
            );
        }
        [(one, two), (two, one)].map(|(end, peer)| self.name_of(end, peer, diags))
    }

    fn name_of(&mut self, end: &End<'_, 't>, peer: &End<'_, 't>, diags: &mut Diagnostics) -> Box<str> {
        let towards = self.name(peer.domain);
        let towards = towards.get(..MAX_DEFAULT).unwrap_or(towards);
        let Some(names) = self.names.get_mut(end.domain) else { return towards.into() };
        let number = names.count(towards);
        if let Some(name) = end.name.or(peer.name) {
            if names.give(name) {
                return name.into();
            }
            diags.report(
                Code::NameTaken,
                At::prop(&end.place, NAME),
                format_args!("another channel end of {} is called \"{name}\"", self.name(end.domain)),
                if end.domain == peer.domain {
                    format_args!("a channel within a domain needs two names, one for each end")
                } else {
                    format_args!("give each channel of a domain a name of its own")
                },
            );
        }
        alloc::format!("{towards}.{number}").into()
    }
}
