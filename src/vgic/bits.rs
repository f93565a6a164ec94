//! The registers that hold something for each of many interrupts: the same in the distributors of GICv2 and GICv3
//! and in the SGI_base frame of a redistributor.
//!
//! IHI 0069, "The GIC Distributor register descriptions": from IGROUPR to NSACR; the GICR
//! registers of the same names lie at the same offsets of SGI_base. IHI 0048, 4.1.2 has the same map.

use super::bank::Bank;
use super::state::Private;
use super::sync::SeqCst;
use super::{Refused, SgiSource, VcpuSet, Vgic, Width};

/// What a word holds one bit of for each of 32 interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// IGROUPR.
    Group,
    /// ISENABLER, ICENABLER.
    Enable(Change),
    /// ISPENDR, ICPENDR.
    Pending(Change),
    /// ISACTIVER, ICACTIVER.
    Active(Change),
}

/// What writing a one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the bit.
    Set,
    /// Clears it.
    Clear,
}

/// A register by what it holds and for which interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Array {
    /// One bit for each interrupt of this bank (INTID / 32).
    Flags(Flag, usize),
    /// Priority bytes, from this INTID on.
    Priorities(usize),
    /// Two configuration bits for each of 16 interrupts, from this INTID on.
    Configs(usize),
}

impl Array {
    /// The array register at `offset` of GICD or SGI_base.
    pub fn at(offset: u64) -> Option<Self> {
        let bank = (offset as usize & 0x7f) / 4;
        let flag = match offset & !0x7f {
            0x080 => Flag::Group,
            0x100 => Flag::Enable(Change::Set),
            0x180 => Flag::Enable(Change::Clear),
            0x200 => Flag::Pending(Change::Set),
            0x280 => Flag::Pending(Change::Clear),
            0x300 => Flag::Active(Change::Set),
            0x380 => Flag::Active(Change::Clear),
            0x400..0x800 => return Some(Self::Priorities(offset as usize - 0x400)),
            0xc00 | 0xc80 => return Some(Self::Configs((offset as usize - 0xc00) / 4 * 16)),
            _ => return None,
        };
        Some(Self::Flags(flag, bank))
    }

    /// The first interrupt it is about.
    pub const fn first(self) -> usize {
        match self {
            Self::Flags(_, bank) => bank * 32,
            Self::Priorities(first) | Self::Configs(first) => first,
        }
    }

    /// Whether it can be accessed so: as a word, and priorities as bytes.
    pub const fn check(self, width: Width) -> Result<(), Refused> {
        match (self, width) {
            (_, Width::Word) | (Self::Priorities(_), Width::Byte) => Ok(()),
            _ => Err(Refused),
        }
    }

    /// Its value for the interrupts of `bank`, which holds [`first`](Self::first).
    pub fn read(self, bank: &Bank, width: Width) -> u64 {
        let value = match self {
            Self::Flags(Flag::Group, _) => bank.group1.load(SeqCst),
            Self::Flags(Flag::Enable(_), _) => bank.enabled.load(SeqCst),
            Self::Flags(Flag::Pending(_), _) => bank.pending(),
            Self::Flags(Flag::Active(_), _) => bank.active.load(SeqCst),
            Self::Priorities(first) => {
                let byte = |i: u32| u32::from(bank.priority(first as u32 % 32 + i)) << (8 * i);
                (0..width.bytes() as u32).map(byte).fold(0, |word, byte| word | byte)
            }
            Self::Configs(first) => spread(bank.edge.load(SeqCst) >> (first % 32)),
        };
        u64::from(value)
    }

    /// Writes it for the interrupts of `bank`, except pending bits and configurations, which the kinds of
    /// interrupt treat differently. Which interrupts may have to be looked at.
    pub fn write(self, bank: &Bank, width: Width, value: u64) -> u32 {
        let word = value as u32;
        match self {
            Self::Flags(Flag::Group, _) => bank.group1.swap(word, SeqCst) ^ word,
            Self::Flags(Flag::Enable(Change::Set), _) => word & !bank.enabled.fetch_or(word, SeqCst),
            Self::Flags(Flag::Enable(Change::Clear), _) => word & bank.enabled.fetch_and(!word, SeqCst),
            Self::Flags(Flag::Active(Change::Set), _) => word & !bank.active.fetch_or(word, SeqCst),
            Self::Flags(Flag::Active(Change::Clear), _) => word & bank.active.fetch_and(!word, SeqCst),
            Self::Priorities(first) => (0..width.bytes() as u32)
                .map(|i| (first as u32 % 32 + i, (value >> (8 * i)) as u8))
                .filter(|&(n, priority)| bank.set_priority(n, priority))
                .fold(0, |changed, (n, _)| changed | 1 << n),
            Self::Flags(Flag::Pending(_), _) | Self::Configs(_) => 0,
        }
    }
}

/// Sixteen configuration bits as ICFGR shows them: bit 1 of each pair.
fn spread(edges: u32) -> u32 {
    (0..16).fold(0, |word, n| word | (edges >> n & 1) << (2 * n + 1))
}

/// The inverse of [`spread`]; the low bit of each pair is ignored.
fn gather(word: u32) -> u32 {
    (0..16).fold(0, |edges, n| edges | (word >> (2 * n + 1) & 1) << n)
}

impl Vgic {
    /// Reads an array register about SPIs; zero where there are none.
    pub(super) fn read_spis(&self, array: Array, width: Width) -> u64 {
        let spi = (array.first() / 32).checked_sub(1).and_then(|index| self.spis.get(index));
        spi.map_or(0, |spi| array.read(&spi.bank, width))
    }

    /// Writes an array register about SPIs; nothing happens where there are none.
    pub(super) fn write_spis(&self, array: Array, width: Width, value: u64) -> VcpuSet {
        let Some(index) = (array.first() / 32).checked_sub(1) else { return VcpuSet::EMPTY };
        let Some(spi) = self.spis.get(index) else { return VcpuSet::EMPTY };
        let changed = match array {
            Array::Flags(Flag::Pending(change), _) => {
                match change {
                    Change::Set => spi.bank.latch(value as u32),
                    Change::Clear => spi.bank.withdraw(value as u32),
                }
                value as u32
            }
            Array::Configs(first) => {
                let shift = first as u32 % 32;
                let (kept, edges) = (!(0xffff << shift), gather(value as u32) << shift);
                let old = spi.bank.edge.fetch_and(edges | kept, SeqCst);
                spi.bank.edge.fetch_or(edges, SeqCst);
                (old ^ edges) & !kept
            }
            _ => array.write(&spi.bank, width, value),
        };
        self.notify(index, spi, changed)
    }
}

impl Private {
    /// Reads an array register about SGIs and PPIs.
    pub(super) fn read_array(&self, array: Array, width: Width) -> u64 {
        match array {
            _ if array.first() >= 32 => 0,
            Array::Flags(Flag::Pending(_), _) => u64::from(self.pending()),
            _ => array.read(&self.bank, width),
        }
    }

    /// Writes an array register about SGIs and PPIs. Whether the vCPU needs attention. The configuration is
    /// fixed: SGIs are edge-triggered, PPIs level-sensitive.
    pub(super) fn write_array(&self, array: Array, width: Width, value: u64) -> bool {
        match array {
            _ if array.first() >= 32 => false,
            Array::Flags(Flag::Pending(change), _) => {
                match change {
                    Change::Set => self.latch(value as u32, SgiSource::ANONYMOUS),
                    Change::Clear => self.withdraw(value as u32),
                }
                value as u32 != 0
            }
            _ => array.write(&self.bank, width, value) != 0,
        }
    }
}
