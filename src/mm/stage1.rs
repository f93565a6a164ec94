//! What EL2 itself sees: an identity map (VA = PA) with the least permission each kind of memory needs.
//!
//! EL2 without VHE has one translation regime with one root, TTBR0_EL2 (Arm ARM DDI 0487, D8.1). No range is
//! both writable and executable; SCTLR_EL2.WXN makes the hardware insist.

use super::table::{self, MapError, Root, TableMemory};
use crate::addr::{Pa, PaSpan};

/// What a range of memory is, as far as EL2 is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The hypervisor's code: read, execute.
    Code,
    /// The hypervisor's constants: read.
    Constants,
    /// RAM: read, write.
    Ram,
    /// Device registers: read, write; Device-nGnRE.
    Device,
}

// Descriptor fields of stage 1, one VA range (Arm ARM D8.3.1, D8.4.1).
/// AttrIndx: which byte of MAIR_EL2.
const ATTR_NORMAL: u64 = 0 << 2;
const ATTR_DEVICE: u64 = 1 << 2;
/// AP\[1\] is RES1 in a regime with one privilege level.
const AP1_RES1: u64 = 1 << 6;
/// AP\[2\]: read-only.
const READ_ONLY: u64 = 1 << 7;
/// SH: Inner Shareable, all CPUs of the machine. Ignored for Device memory.
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// AF: no access-flag faults.
const ACCESSED: u64 = 1 << 10;
/// XN: never executed at EL2.
const EXECUTE_NEVER: u64 = 1 << 54;

/// MAIR_EL2: byte 0 Normal Write-Back Read- and Write-Allocate, byte 1 Device-nGnRE.
pub const MAIR: u64 = 0x04_ff;

impl Kind {
    const fn attributes(self) -> u64 {
        let normal = ATTR_NORMAL | AP1_RES1 | INNER_SHAREABLE | ACCESSED;
        match self {
            Self::Code => normal | READ_ONLY,
            Self::Constants => normal | READ_ONLY | EXECUTE_NEVER,
            Self::Ram => normal | EXECUTE_NEVER,
            Self::Device => ATTR_DEVICE | AP1_RES1 | ACCESSED | EXECUTE_NEVER,
        }
    }
}

/// Maps `span` at its own address.
///
/// # Errors
///
/// See [`MapError`].
pub fn map(memory: &mut impl TableMemory, root: Pa, span: PaSpan, kind: Kind) -> Result<(), MapError> {
    let start = span.start().get();
    let root = Root { table: root, level: 0, bits: 48 };
    table::map(memory, &root, start, start, span.size(), kind.attributes())
}

/// Maps what is not mapped yet of `span` at its own address; what is keeps the permissions it has.
///
/// # Errors
///
/// See [`MapError`].
pub fn map_rest(memory: &mut impl TableMemory, root: Pa, span: PaSpan, kind: Kind) -> Result<(), MapError> {
    let walk = Root { table: root, level: 0, bits: 48 };
    let mut at = span.start();
    while at < span.end() {
        let leaf = table::find(memory, &walk, at.get()).ok_or(MapError::TooHigh)?;
        let behind = at.align_down(leaf.span()).checked_add(leaf.span()).ok_or(MapError::TooHigh)?;
        let end = behind.min(span.end());
        if leaf.entry == 0 {
            map(memory, root, PaSpan::from_bounds(at, end).ok_or(MapError::TooHigh)?, kind)?;
        }
        at = end;
    }
    Ok(())
}

/// TCR_EL2 for 48-bit addresses, 4 KiB granule, cacheable table walks, physical addresses of `pa_range` (the
/// field ID_AA64MMFR0_EL1.PARange). Sizes above 48 bits are cut: the tables hold no more.
#[must_use]
pub const fn tcr(pa_range: u64) -> u64 {
    const T0SZ: u64 = 64 - 48;
    const IRGN0_WRITE_BACK: u64 = 0b01 << 8;
    const ORGN0_WRITE_BACK: u64 = 0b01 << 10;
    const SH0_INNER: u64 = 0b11 << 12;
    const TG0_4K: u64 = 0b00 << 14;
    const RES1: u64 = 1 << 31 | 1 << 23;
    const PS_48_BITS: u64 = 0b101;
    let ps = if pa_range > PS_48_BITS { PS_48_BITS } else { pa_range };
    T0SZ | IRGN0_WRITE_BACK | ORGN0_WRITE_BACK | SH0_INNER | TG0_4K | ps << 16 | RES1
}

/// Number of physical address bits that ID_AA64MMFR0_EL1.PARange stands for, at most 48.
#[must_use]
pub const fn pa_bits(pa_range: u64) -> u32 {
    match pa_range & 0xf {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

/// SCTLR_EL2 bits that are RES1 without VHE: 29, 28, 23, 22, 18, 16, 11, 5, 4.
const SCTLR_RES1: u64 = 0x30c5_0830;
/// SCTLR_EL2 with the MMU and the caches off, little endian. SA (bit 3) checks the stack's alignment.
pub const SCTLR_MMU_OFF: u64 = SCTLR_RES1 | 1 << 3;
/// SCTLR_EL2 with MMU (M), data (C) and instruction cache (I) on and WXN.
pub const SCTLR_MMU_ON: u64 = SCTLR_MMU_OFF | 1 | 1 << 2 | 1 << 12 | 1 << 19;

#[cfg(test)]
mod tests {
    use super::super::table::tests::{Tables, walk};
    use super::*;

    fn attributes_of(kind: Kind) -> u64 {
        let (mut tables, root) = Tables::new(8);
        map(&mut tables, root.table, PaSpan::new(Pa::new(0x4000_0000), 4096).unwrap(), kind).unwrap();
        walk(&tables, root, 0x4000_0000).unwrap().1
    }

    #[test]
    fn nothing_is_both_writable_and_executable() {
        for kind in [Kind::Code, Kind::Constants, Kind::Ram, Kind::Device] {
            let attributes = attributes_of(kind);
            assert!(attributes & (READ_ONLY | EXECUTE_NEVER) != 0, "{kind:?}");
            assert_eq!(attributes & EXECUTE_NEVER == 0, kind == Kind::Code, "{kind:?}");
        }
        assert_ne!(SCTLR_MMU_ON & 1 << 19, 0, "WXN");
    }

    #[test]
    fn what_is_mapped_already_is_left_alone() {
        let (mut tables, root) = Tables::new(8);
        let span = |start, size| PaSpan::new(Pa::new(start), size).unwrap();
        map(&mut tables, root.table, span(0x4000_2000, 0x1000), Kind::Code).unwrap();
        map(&mut tables, root.table, span(0x4020_0000, 0x20_0000), Kind::Ram).unwrap();
        map_rest(&mut tables, root.table, span(0x4000_0000, 0x80_0000), Kind::Constants).unwrap();
        let kind_at = |address| walk(&tables, root, address).unwrap().1 & (READ_ONLY | EXECUTE_NEVER);
        assert_eq!(kind_at(0x4000_2000), READ_ONLY, "code");
        assert_eq!(kind_at(0x4030_0000), EXECUTE_NEVER, "RAM");
        for address in [0x4000_0000, 0x4000_1fff, 0x4000_3000, 0x401f_f000, 0x4040_0000, 0x407f_f000] {
            assert_eq!(kind_at(address), READ_ONLY | EXECUTE_NEVER, "{address:#x}");
        }
        assert!(walk(&tables, root, 0x4080_0000).is_none());
        let high = span((1 << 48) - 0x1000, 0x2000);
        assert_eq!(map_rest(&mut tables, root.table, high, Kind::Ram), Err(MapError::TooHigh));
    }

    #[test]
    fn devices_are_mapped_as_device_memory() {
        let attributes = attributes_of(Kind::Device);
        let index = (attributes >> 2) & 7;
        assert_eq!((MAIR >> (8 * index)) & 0xff, 0x04, "Device-nGnRE");
        assert_eq!((MAIR >> (8 * ((attributes_of(Kind::Ram) >> 2) & 7))) & 0xff, 0xff);
    }

    #[test]
    fn physical_sizes_above_the_tables_are_cut() {
        assert_eq!(tcr(6) >> 16 & 7, 5);
        assert_eq!(tcr(2) >> 16 & 7, 2);
        assert_eq!(pa_bits(2), 40);
        assert_eq!(pa_bits(6), 48);
    }
}
