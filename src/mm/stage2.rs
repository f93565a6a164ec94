//! What a domain sees: the translation from its intermediate physical addresses to physical ones.
//!
//! Built once at boot with the largest blocks that alignment allows; afterwards only single pages change, when a
//! guest maps `shared_info` or a grant frame. A change replaces a live entry, so it goes by break-before-make
//! (Arm ARM DDI 0487, D8.16.1): the old entry is made invalid, every CPU forgets it, then the new one is written.
//! The library says when ([`Invalidate`]); the binary knows how.

use super::table::{self, Leaf, MapError, Root, TableMemory};
use crate::addr::{Ipa, IpaSpan, PAGE_SIZE, Pa};

/// What a guest may do with a range of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The domain's RAM: read, write, execute.
    Ram,
    /// Pages shared with the hypervisor: read, write, never execute.
    Shared,
    /// Device registers: read, write, never execute; Device-nGnRE at most.
    Device,
}

// Descriptor fields of stage 2 (Arm ARM D8.3.1 and D8.5.5, without FWB).
/// MemAttr: Normal, Inner and Outer Write-Back.
const NORMAL: u64 = 0b1111 << 2;
/// MemAttr: Device-nGnRE.
const DEVICE: u64 = 0b0001 << 2;
/// S2AP: read and write.
const READ_WRITE: u64 = 0b11 << 6;
/// SH: Inner Shareable.
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// AF: no access-flag faults.
const ACCESSED: u64 = 1 << 10;
/// XN\[1:0\] = 0b10: executable at neither EL1 nor EL0. Bit 53 is RES0 without FEAT_XNX, which reads the same.
const EXECUTE_NEVER: u64 = 0b10 << 53;

impl Access {
    const fn attributes(self) -> u64 {
        match self {
            Self::Ram => NORMAL | READ_WRITE | INNER_SHAREABLE | ACCESSED,
            Self::Shared => NORMAL | READ_WRITE | INNER_SHAREABLE | ACCESSED | EXECUTE_NEVER,
            Self::Device => DEVICE | READ_WRITE | ACCESSED | EXECUTE_NEVER,
        }
    }
}

/// How every CPU is made to forget a translation that was just made invalid.
pub trait Invalidate {
    /// The entry for `ipa` in the current VMID was made invalid: when this returns, no CPU uses the old translation,
    /// combined stage 1 and 2 entries included.
    fn forget(&mut self, ipa: Ipa);
}

/// The shape of all stage 2 tables on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    ipa_bits: u32,
    pa_range: u64,
}

impl Geometry {
    /// For a machine with ID_AA64MMFR0_EL1.PARange `pa_range`, the smallest of all CPUs: as many IPA bits as there
    /// are physical ones, at most the 40 that Xen's guest map needs.
    #[must_use]
    pub const fn new(pa_range: u64) -> Self {
        let bits = super::stage1::pa_bits(pa_range);
        Self {
            ipa_bits: if bits < 40 { bits } else { 40 },
            pa_range: if pa_range > 5 { 5 } else { pa_range },
        }
    }

    /// Bits of an IPA.
    #[must_use]
    pub const fn ipa_bits(&self) -> u32 {
        self.ipa_bits
    }

    /// Pages of the root: a walk starts at level 1, whose table holds 39 bits; one more bit takes two tables side
    /// by side, aligned to their size (Arm ARM D8.2.2, concatenated translation tables).
    #[must_use]
    pub const fn root_pages(&self) -> usize {
        1 << self.ipa_bits.saturating_sub(39)
    }

    /// VTCR_EL2 (Arm ARM): T0SZ, start level 1 (SL0 = 1), Write-Back Inner Shareable walks, 4 KiB granule, and an
    /// 8-bit VMID, which every CPU has.
    #[must_use]
    pub const fn vtcr(&self) -> u64 {
        const SL0_LEVEL_1: u64 = 0b01 << 6;
        const IRGN0_WRITE_BACK: u64 = 0b01 << 8;
        const ORGN0_WRITE_BACK: u64 = 0b01 << 10;
        const SH0_INNER: u64 = 0b11 << 12;
        const RES1: u64 = 1 << 31;
        (64 - self.ipa_bits) as u64
            | SL0_LEVEL_1
            | IRGN0_WRITE_BACK
            | ORGN0_WRITE_BACK
            | SH0_INNER
            | self.pa_range << 16
            | RES1
    }
}

/// VTTBR_EL2 for the tables at `root` under `vmid`: composed once, written once.
#[must_use]
pub const fn vttbr(root: Pa, vmid: u8) -> u64 {
    (vmid as u64) << 48 | root.get()
}

/// The stage 2 tables of one domain.
pub struct Stage2 {
    root: Root,
}

impl Stage2 {
    /// Tables that map nothing yet, over `root`: [`Geometry::root_pages`] zeroed pages, aligned to their total size.
    #[must_use]
    pub const fn new(root: Pa, geometry: &Geometry) -> Self {
        Self { root: Root { table: root, level: 1, bits: geometry.ipa_bits } }
    }

    /// Physical address of the root, for [`vttbr`].
    #[must_use]
    pub const fn root(&self) -> Pa {
        self.root.table
    }

    /// Maps `span` to the physical memory from `to` on, in the largest possible blocks. Only before the domain runs.
    ///
    /// # Errors
    ///
    /// See [`MapError`].
    pub fn map(
        &self,
        memory: &mut impl TableMemory,
        span: IpaSpan,
        to: Pa,
        access: Access,
    ) -> Result<(), MapError> {
        table::map(memory, &self.root, span.start().get(), to.get(), span.size(), access.attributes())
    }

    /// Where `ipa` lies, if it is mapped.
    #[must_use]
    pub fn translate(&self, memory: &impl TableMemory, ipa: Ipa) -> Option<Pa> {
        table::find(memory, &self.root, ipa.get())?.output(ipa.get())
    }

    /// Makes the page at `ipa` mean the page at `to`, whatever was there, while the domain runs. Splits the blocks
    /// on the way; `memory` hands out pages from what the domain was given at boot.
    ///
    /// # Errors
    ///
    /// [`MapError`]; then nothing that the guest can see has changed.
    pub fn replace_page(
        &self,
        memory: &mut impl TableMemory,
        tlb: &mut impl Invalidate,
        ipa: Ipa,
        to: Pa,
        access: Access,
    ) -> Result<(), MapError> {
        if !to.is_aligned(PAGE_SIZE) {
            return Err(MapError::Unaligned);
        }
        if to.get() >= table::LIMIT {
            return Err(MapError::TooHigh);
        }
        let leaf = self.page_entry(memory, tlb, ipa)?;
        exchange(memory, tlb, &leaf, ipa, table::page(to, access.attributes()));
        Ok(())
    }

    /// Makes the page at `ipa` mean nothing. Answers whether it meant something.
    ///
    /// # Errors
    ///
    /// [`MapError`]; then nothing that the guest can see has changed.
    pub fn unmap_page(
        &self,
        memory: &mut impl TableMemory,
        tlb: &mut impl Invalidate,
        ipa: Ipa,
    ) -> Result<bool, MapError> {
        if self.translate(memory, ipa).is_none() {
            return Ok(false);
        }
        let leaf = self.page_entry(memory, tlb, ipa)?;
        exchange(memory, tlb, &leaf, ipa, 0);
        Ok(true)
    }

    /// The level 3 entry for `ipa`, made by splitting what is larger.
    fn page_entry(
        &self,
        memory: &mut impl TableMemory,
        tlb: &mut impl Invalidate,
        ipa: Ipa,
    ) -> Result<Leaf, MapError> {
        if !ipa.is_aligned(PAGE_SIZE) {
            return Err(MapError::Unaligned);
        }
        loop {
            let leaf = table::find(memory, &self.root, ipa.get()).ok_or(MapError::TooHigh)?;
            if leaf.level == 3 {
                return Ok(leaf);
            }
            // One level further down in each round: at most two rounds.
            let table = table::split(memory, &leaf)?;
            exchange(memory, tlb, &leaf, ipa, table);
        }
    }
}

/// Break-before-make. An entry that was invalid was never cached and needs no forgetting.
fn exchange(memory: &mut impl TableMemory, tlb: &mut impl Invalidate, leaf: &Leaf, ipa: Ipa, entry: u64) {
    if leaf.entry & 1 != 0 {
        memory.write(leaf.table, leaf.index, 0);
        tlb.forget(ipa);
    }
    if entry != 0 {
        memory.write(leaf.table, leaf.index, entry);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::table::tests::{Tables, walk};
    use super::*;
    use crate::addr::{GIB, MIB};

    /// Counts what was forgotten; the tables as they were then must not map it any more.
    #[derive(Default)]
    struct Recorder(Vec<Ipa>);

    impl Invalidate for Recorder {
        fn forget(&mut self, ipa: Ipa) {
            self.0.push(ipa);
        }
    }

    fn tables() -> (Tables, Stage2) {
        let geometry = Geometry::new(2);
        let (mut tables, root) = Tables::new(600);
        for _ in 1..geometry.root_pages() {
            tables.allocate().unwrap();
        }
        (tables, Stage2::new(root.table, &geometry))
    }

    fn span(start: u64, size: u64) -> IpaSpan {
        IpaSpan::new(Ipa::new(start), size).unwrap()
    }

    #[test]
    fn forty_bits_start_at_level_one_with_two_tables() {
        let geometry = Geometry::new(2);
        assert_eq!((geometry.ipa_bits(), geometry.root_pages()), (40, 2));
        assert_eq!(geometry.vtcr() & 0x3f, 24, "T0SZ");
        assert_eq!(geometry.vtcr() >> 6 & 3, 1, "SL0: start at level 1");
        assert_eq!(Geometry::new(1).root_pages(), 1);
        assert_eq!(Geometry::new(6).vtcr() >> 16 & 7, 5, "48 bits of output at most");
        let (mut tables, stage2) = tables();
        let high = span(0xff_0000_0000, GIB);
        stage2.map(&mut tables, high, Pa::new(2 * GIB), Access::Ram).unwrap();
        assert_eq!(stage2.translate(&tables, Ipa::new(0xff_0000_1234)), Some(Pa::new(2 * GIB + 0x1234)));
        assert_eq!(
            stage2.map(&mut tables, span(1 << 40, PAGE_SIZE), Pa::new(0), Access::Ram),
            Err(MapError::TooHigh)
        );
    }

    #[test]
    fn ram_of_128_mib_takes_64_blocks() {
        let (mut tables, stage2) = tables();
        stage2.map(&mut tables, span(GIB, 128 * MIB), Pa::new(0x5000_0000), Access::Ram).unwrap();
        assert_eq!(tables.pages.len(), 3, "two root tables and one of level 2");
        assert_eq!(tables.pages.iter().flatten().filter(|entry| **entry != 0).count(), 64 + 1);
    }

    #[test]
    fn a_shared_page_over_ram_splits_one_block_and_forgets_before_it_writes() {
        let (mut tables, stage2) = tables();
        stage2.map(&mut tables, span(GIB, 4 * MIB), Pa::new(0x5000_0000), Access::Ram).unwrap();
        let mut tlb = Recorder::default();
        let page = Ipa::new(GIB + 0x3000);
        stage2.replace_page(&mut tables, &mut tlb, page, Pa::new(0x7000), Access::Shared).unwrap();
        assert_eq!(stage2.translate(&tables, page), Some(Pa::new(0x7000)));
        assert_eq!(
            stage2.translate(&tables, Ipa::new(GIB + 0x4000)),
            Some(Pa::new(0x5000_4000)),
            "neighbours stay"
        );
        assert_eq!(tlb.0, [page, page], "once for the block, once for the page");
        assert_eq!(stage2.unmap_page(&mut tables, &mut tlb, page), Ok(true));
        assert_eq!(stage2.translate(&tables, page), None, "a hole remains, as in Xen");
        assert_eq!(stage2.unmap_page(&mut tables, &mut tlb, page), Ok(false));
    }

    #[test]
    fn mapping_into_nothing_forgets_nothing() {
        let (mut tables, stage2) = tables();
        let mut tlb = Recorder::default();
        stage2
            .replace_page(&mut tables, &mut tlb, Ipa::new(0x3800_0000), Pa::new(0x9000), Access::Shared)
            .unwrap();
        assert!(tlb.0.is_empty(), "an invalid entry is in no TLB");
    }

    #[test]
    fn when_the_pool_is_empty_nothing_changes() {
        let (mut tables, stage2) = tables();
        stage2.map(&mut tables, span(GIB, 2 * MIB), Pa::new(0x5000_0000), Access::Ram).unwrap();
        tables.limit = tables.pages.len();
        let mut tlb = Recorder::default();
        let result = stage2.replace_page(&mut tables, &mut tlb, Ipa::new(GIB), Pa::new(0), Access::Shared);
        assert_eq!(result, Err(MapError::OutOfTables));
        assert_eq!(stage2.translate(&tables, Ipa::new(GIB)), Some(Pa::new(0x5000_0000)));
        assert!(tlb.0.is_empty());
    }

    #[test]
    fn only_ram_is_executable() {
        for access in [Access::Ram, Access::Shared, Access::Device] {
            assert_eq!(access.attributes() & EXECUTE_NEVER == 0, access == Access::Ram);
        }
    }

    proptest::proptest! {
        #[test]
        fn pages_come_and_go_as_in_a_map_of_pages(
            ops in proptest::collection::vec((proptest::bool::ANY, 0u64..3, 0u64..600, 0u64..0x1000), 0..60)
        ) {
            let (mut tables, stage2) = tables();
            let root = Root { table: stage2.root(), level: 1, bits: 40 };
            stage2.map(&mut tables, span(GIB, 4 * MIB), Pa::new(8 * GIB), Access::Ram).unwrap();
            let mut model: BTreeMap<u64, u64> =
                (0..1024).map(|page| (GIB + page * PAGE_SIZE, 8 * GIB + page * PAGE_SIZE)).collect();
            for (map, gib, page, to) in ops {
                let (ipa, to) = (gib * GIB + page * PAGE_SIZE, to * PAGE_SIZE);
                let mut tlb = Recorder::default();
                if map {
                    stage2.replace_page(&mut tables, &mut tlb, Ipa::new(ipa), Pa::new(to), Access::Shared).unwrap();
                    model.insert(ipa, to);
                } else {
                    let was = stage2.unmap_page(&mut tables, &mut tlb, Ipa::new(ipa)).unwrap();
                    proptest::prop_assert_eq!(was, model.remove(&ipa).is_some());
                }
            }
            for gib in 0..3 {
                for page in 0..1100 {
                    let ipa = gib * GIB + page * PAGE_SIZE;
                    let found = walk(&tables, root, ipa).map(|(to, _)| to);
                    proptest::prop_assert_eq!(found, model.get(&ipa).copied());
                }
            }
        }
    }
}
