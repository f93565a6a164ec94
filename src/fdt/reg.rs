//! `reg`, and the way through `ranges` to addresses that the CPU can use.

use core::fmt;

use super::{Cells, Node, Prop};
use crate::addr::{Pa, PaSpan};

/// One entry of a `reg` property, in the addresses of the bus that the node sits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegEntry {
    /// Address on the bus.
    pub address: u64,
    /// Size in bytes; 0 where the bus has no sizes.
    pub size: u64,
}

impl RegEntry {
    /// The entry as physical addresses, for nodes whose bus is the memory bus.
    #[must_use]
    pub fn span(self) -> Option<PaSpan> {
        PaSpan::new(Pa::new(self.address), self.size)
    }
}

/// Why a `reg` entry cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegError {
    /// There is no `reg`.
    Missing,
    /// `reg` ends before the entry does.
    Short {
        /// Which entry, counted from 0.
        index: usize,
        /// Cells that the entries up to this one need.
        wanted: usize,
        /// Cells there.
        got: usize,
    },
    /// Addresses or sizes of this many cells are not supported (1-2 and 0-2).
    Cells(Cells),
    /// A bus on the way has no `ranges`, so the CPU cannot reach the registers.
    NoRanges,
    /// A bus on the way does not pass these addresses on.
    NotMapped(u64),
    /// The range is empty or wraps.
    Empty,
}

impl fmt::Display for RegError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "there is no reg property"),
            Self::Short { index, wanted, got } => {
                write!(f, "reg has {got} cells, entry {index} ends after {wanted}")
            }
            Self::Cells(cells) => {
                write!(f, "addresses of {} cells and sizes of {} cannot be read", cells.address, cells.size)
            }
            Self::NoRanges => write!(f, "a bus above the node has no ranges property"),
            Self::NotMapped(address) => write!(f, "no ranges entry of the bus covers {address:#x}"),
            Self::Empty => write!(f, "the range is empty or wraps around"),
        }
    }
}

impl Node<'_, '_> {
    /// Entry `index` of `reg`, in bus addresses.
    ///
    /// # Errors
    /// If it is missing, cut off, or written in more cells than fit 64 bits.
    pub fn reg(&self, index: usize) -> Result<RegEntry, RegError> {
        entry(self.prop("reg").ok_or(RegError::Missing)?, self.cells(), index)
    }

    /// The entries of `reg`, in bus addresses. The first error ends them, and so do bytes left over.
    pub fn regs(&self) -> impl Iterator<Item = Result<RegEntry, RegError>> + use<'_> {
        let (prop, cells) = (self.prop("reg"), self.cells());
        let width = cells.address.saturating_add(cells.size).max(1) as usize;
        let count = prop.map_or(0, |prop| prop.value.len().div_ceil(width.saturating_mul(4)));
        (0..count).filter_map(move |index| Some(entry(prop?, cells, index)))
    }

    /// Entry `index` of `reg` as the CPU addresses it: translated through the `ranges` of every bus above.
    ///
    /// # Errors
    /// Those of [`Node::reg`], and whatever keeps the CPU from reaching the registers.
    pub fn mmio(&self, index: usize) -> Result<PaSpan, RegError> {
        let RegEntry { mut address, size } = self.reg(index)?;
        let mut bus = self.parent();
        // The root has no ranges: its children's addresses are the CPU's.
        while let Some((node, _)) = bus.and_then(|node| Some((node, node.parent()?))) {
            address = node.pass_on(address, size)?;
            bus = node.parent();
        }
        let span = PaSpan::new(Pa::new(address), size).ok_or(RegError::Empty)?;
        if span.is_empty() { Err(RegError::Empty) } else { Ok(span) }
    }

    /// What a child's address becomes on the bus above this node.
    fn pass_on(&self, address: u64, size: u64) -> Result<u64, RegError> {
        let ranges = self.prop("ranges").ok_or(RegError::NoRanges)?;
        if ranges.value.is_empty() {
            return Ok(address);
        }
        let (child, parent) = (self.child_cells(), self.cells());
        if child.address > 2 || child.size > 2 || parent.address > 2 {
            return Err(RegError::Cells(child));
        }
        let width = child.address.saturating_add(parent.address).saturating_add(child.size) as usize;
        let mut at = 0;
        while at < ranges.cell_count() && width > 0 {
            let parent_at = at.saturating_add(child.address as usize);
            let size_at = parent_at.saturating_add(parent.address as usize);
            let (Some(from), Some(to), Some(length)) = (
                ranges.number_at(at, child.address),
                ranges.number_at(parent_at, parent.address),
                ranges.number_at(size_at, child.size),
            ) else {
                break;
            };
            if let Some(offset) = address.checked_sub(from)
                && offset < length
                && size <= length.saturating_sub(offset)
            {
                return to.checked_add(offset).ok_or(RegError::Empty);
            }
            at = at.saturating_add(width);
        }
        Err(RegError::NotMapped(address))
    }
}

fn entry(prop: Prop<'_>, cells: Cells, index: usize) -> Result<RegEntry, RegError> {
    if !(1..=2).contains(&cells.address) || cells.size > 2 {
        return Err(RegError::Cells(cells));
    }
    let width = cells.address.saturating_add(cells.size) as usize;
    let at = index.saturating_mul(width);
    let wanted = at.saturating_add(width);
    let short = RegError::Short { index, wanted, got: prop.cell_count() };
    let size_at = at.saturating_add(cells.address as usize);
    Ok(RegEntry {
        address: prop.number_at(at, cells.address).ok_or(short)?,
        size: prop.number_at(size_at, cells.size).ok_or(short)?,
    })
}
