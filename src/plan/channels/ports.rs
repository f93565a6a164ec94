//! Who has which port of which domain.
//!
//! A port is given once, and to who stands first in the tree. What is said about one that cannot be had names those
//! that can.

use alloc::collections::BTreeMap;
use core::fmt;

use super::{End, Place, name_of};
use crate::addr::PORTS;
use crate::plan::code::Code;
use crate::plan::diagnostic::Diagnostics;
use crate::plan::domain::Draft;

/// Domain and port. They fit, because both are limited; with larger numbers a machine full of channels would need
/// twice the memory.
type Key = (u16, u16);

/// The ports that have an owner.
#[derive(Default)]
pub(super) struct Ports<'d, 't>(BTreeMap<Key, Place<'d, 't>>);

/// `None` for a port that does not exist.
fn key(domain: usize, port: u32) -> Option<Key> {
    Some((u16::try_from(domain).ok()?, u16::try_from(port).ok()?))
}

impl<'d, 't> Ports<'d, 't> {
    /// How many ports have an owner.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether a domain has any.
    pub(super) fn any(&self, domain: usize) -> bool {
        let number = u16::try_from(domain).unwrap_or(u16::MAX);
        self.0.range((number, 0)..=(number, u16::MAX)).next().is_some()
    }

    /// Gives a port to the end that wants it, after [`Ports::is_free`].
    pub(super) fn take(&mut self, end: &End<'d, 't>) {
        if let Some(key) = key(end.domain, end.port) {
            self.0.insert(key, end.place);
        }
    }

    fn owner(&self, domain: usize, port: u32) -> Option<&Place<'d, 't>> {
        self.0.get(&key(domain, port)?)
    }

    /// Whether the port of this end exists and nobody has it yet.
    pub(super) fn is_free(
        &self,
        end: &End<'_, '_>,
        drafts: &[Draft<'_, '_>],
        diags: &mut Diagnostics,
    ) -> bool {
        let at = end.place.at();
        let name = name_of(drafts, end.domain);
        let free = Free { ports: self, end, name };
        if end.port == 0 {
            diags.report(
                Code::PortZero,
                at,
                format_args!("port 0 means \"no port\" to guests, so no channel can have it"),
                format_args!("{free}"),
            );
        } else if end.port >= PORTS {
            diags.report(
                Code::PortTooHigh,
                at,
                format_args!(
                    "port {} does not exist: guests see {PORTS} bits, the last one is {:#x}",
                    end.port,
                    PORTS - 1
                ),
                format_args!("{free}"),
            );
        } else if let Some(owner) = self.owner(end.domain, end.port) {
            diags.report(
                Code::PortTaken,
                at,
                format_args!("port {} of {name} is bound by {owner} (cell {})", end.port, owner.cell),
                format_args!("{free}"),
            );
        } else {
            return true;
        }
        false
    }
}

/// Displays which ports of an end's domain are free.
struct Free<'b, 'd, 't> {
    ports: &'b Ports<'d, 't>,
    end: &'b End<'b, 'b>,
    name: &'b str,
}

impl fmt::Display for Free<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let (domain, port) = (self.end.domain, self.end.port);
        let number = u16::try_from(domain).unwrap_or(u16::MAX);
        let used = || self.ports.0.range((number, 0)..=(number, u16::MAX)).map(|((_, port), _)| *port);
        write!(f, "ports 1-{} of {} are free", PORTS - 1, self.name)?;
        for (index, used) in used().take(SHOWN).enumerate() {
            write!(f, "{}{used:#x}", if index == 0 { " except " } else { ", " })?;
        }
        if used().nth(SHOWN).is_some() {
            f.write_str(" and more")?;
        }
        let is_free = |port: &u32| self.ports.owner(domain, *port).is_none();
        let above = port.saturating_add(1)..PORTS;
        match above.chain(1..PORTS).find(is_free) {
            Some(free) => write!(f, "; take {free:#x}, for example"),
            None => f.write_str(": none is left"),
        }
    }
}
