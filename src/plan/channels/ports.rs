//! Who has which port of which domain.
//!
//! A port is given once, and to who stands first in the tree. What is said about one that cannot be had names those
//! that can.

use alloc::vec::Vec;
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
pub(super) struct Ports<'d, 't> {
    /// In tree order: only who explains a conflict looks through it.
    owners: Vec<(Key, Place<'d, 't>)>,
    /// Which ports those are: a bit for each port of a domain that has any, for each domain up to the last of those.
    taken: Vec<Vec<u64>>,
}

/// `None` for a port that does not exist.
fn key(domain: usize, port: u32) -> Option<Key> {
    Some((u16::try_from(domain).ok()?, u16::try_from(port).ok()?))
}

impl<'d, 't> Ports<'d, 't> {
    /// How many ports have an owner.
    pub(super) fn count(&self) -> usize {
        self.owners.len()
    }

    /// The ports of a domain that have one.
    fn of(&self, domain: usize) -> &[u64] {
        self.taken.get(domain).map_or(&[], Vec::as_slice)
    }

    /// Whether a domain has any.
    pub(super) fn any(&self, domain: usize) -> bool {
        !self.of(domain).is_empty()
    }

    fn is_taken(&self, domain: usize, port: u32) -> bool {
        self.of(domain).get(port as usize / 64).is_some_and(|word| word >> (port % 64) & 1 != 0)
    }

    /// Gives a port to the end that wants it, after [`Ports::is_free`].
    pub(super) fn take(&mut self, end: &End<'d, 't>) {
        let Some(key) = key(end.domain, end.port) else { return };
        if self.taken.len() <= end.domain {
            self.taken.resize(end.domain.saturating_add(1), Vec::new());
        }
        let Some(ports) = self.taken.get_mut(end.domain) else { return };
        if ports.is_empty() {
            ports.resize(PORTS as usize / 64, 0);
        }
        if let Some(word) = ports.get_mut(end.port as usize / 64) {
            *word |= 1 << (end.port % 64);
            self.owners.push((key, end.place));
        }
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
        } else if self.is_taken(end.domain, end.port) {
            diags.report(
                Code::PortTaken,
                at,
                format_args!("port {} of {name} is bound by {}", end.port, Owner { ports: self, end }),
                format_args!("{free}"),
            );
        } else {
            return true;
        }
        false
    }
}

/// Displays who has the port that an end wants.
struct Owner<'b, 'd, 't> {
    ports: &'b Ports<'d, 't>,
    end: &'b End<'b, 'b>,
}

impl fmt::Display for Owner<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = key(self.end.domain, self.end.port);
        let mut owners = self.ports.owners.iter();
        let Some((_, owner)) = owners.find(|(key, _)| Some(*key) == wanted) else { return Ok(()) };
        write!(f, "{owner} (cell {})", owner.cell)
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
        let mut used = (1..PORTS).filter(|port| self.ports.is_taken(domain, *port));
        write!(f, "ports 1-{} of {} are free", PORTS - 1, self.name)?;
        for (index, used) in used.by_ref().take(SHOWN).enumerate() {
            write!(f, "{}{used:#x}", if index == 0 { " except " } else { ", " })?;
        }
        if used.next().is_some() {
            f.write_str(" and more")?;
        }
        let is_free = |port: &u32| !self.ports.is_taken(domain, *port);
        let above = port.saturating_add(1)..PORTS;
        match above.chain(1..PORTS).find(is_free) {
            Some(free) => write!(f, "; take {free:#x}, for example"),
            None => f.write_str(": none is left"),
        }
    }
}
