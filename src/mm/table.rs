//! The four-level walk of the VMSAv8-64 format with a 4 KiB granule (Arm ARM DDI 0487, D8.2 and D8.3).
//!
//! Knows where an address is found and how large a block may be there; what the attribute bits mean is the
//! caller's business. [`map`] only ever adds entries: replacing one needs break-before-make, which is stage 2's.

use crate::addr::{GIB, MIB, PAGE_SIZE, Pa};

/// Entries of one 4 KiB table.
pub const ENTRIES: usize = 512;
/// Bits 1:0 of a table descriptor, and of a page descriptor at level 3.
const TABLE_OR_PAGE: u64 = 0b11;
/// Bits 1:0 of a block descriptor at levels 1 and 2.
const BLOCK: u64 = 0b01;
/// Output address field of a descriptor, bits 47:12.
const OUTPUT: u64 = 0x0000_ffff_ffff_f000;
/// Physical addresses at and above this do not fit a descriptor.
pub const LIMIT: u64 = 1 << 48;

/// Where a walk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The first table. Several may lie side by side (concatenated, stage 2 only: Arm ARM D8.2.2).
    pub table: Pa,
    /// Its level, 0 or 1.
    pub level: u32,
    /// How many bits of an input address are translated.
    pub bits: u32,
}

/// Why a range could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// An address or the size is not a multiple of 4 KiB.
    Unaligned,
    /// An address does not fit 48 bits.
    TooHigh,
    /// No memory is left for another table.
    OutOfTables,
    /// Something is mapped there already.
    Occupied,
}

/// Where tables live. The hypervisor reaches physical memory directly; tests keep tables in a vector.
pub trait TableMemory {
    /// A zeroed, 4 KiB-aligned page for a new table, or `None` if there is none left.
    fn allocate(&mut self) -> Option<Pa>;
    /// Entry `index` (below 512) of the table at `table`.
    fn read(&self, table: Pa, index: usize) -> u64;
    /// Replaces entry `index` (below 512) of the table at `table`.
    fn write(&mut self, table: Pa, index: usize, entry: u64);
}

/// Bytes that one entry of `level` (0-3) spans.
const fn span(level: u32) -> u64 {
    match level {
        0 => 512 * GIB,
        1 => GIB,
        2 => 2 * MIB,
        _ => PAGE_SIZE,
    }
}

/// Place of `address` in a table of `level`.
const fn index(address: u64, level: u32) -> usize {
    ((address / span(level)) % ENTRIES as u64) as usize
}

impl Root {
    /// The one of the concatenated root tables that `address` goes through.
    pub const fn table_of(&self, address: u64) -> Pa {
        let which = address / span(self.level) / ENTRIES as u64;
        Pa::new(self.table.get() + which * PAGE_SIZE)
    }

    /// Whether `size` bytes from `start` are input addresses of this walk.
    fn holds(&self, start: u64, size: u64) -> bool {
        start.checked_add(size).is_some_and(|end| end <= 1 << self.bits)
    }
}

/// Where the walk for an address ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The table that holds the entry.
    pub table: Pa,
    /// Its place in that table.
    pub index: usize,
    /// Its level.
    pub level: u32,
    /// The entry: a block, a page, or zero.
    pub entry: u64,
}

impl Leaf {
    /// Bytes that the entry spans.
    pub const fn span(&self) -> u64 {
        span(self.level)
    }

    /// Physical address that `address` translates to, if the entry maps something.
    pub const fn output(&self, address: u64) -> Option<Pa> {
        if self.entry & 1 == 0 {
            return None;
        }
        let below = span(self.level) - 1;
        Some(Pa::new((self.entry & OUTPUT & !below) | (address & below)))
    }

    /// Everything in the entry that is not an address or its kind.
    pub const fn attributes(&self) -> u64 {
        self.entry & !(OUTPUT | TABLE_OR_PAGE)
    }
}

/// Follows the tables for `address`; `None` if it is no input address of this walk.
pub fn find(memory: &impl TableMemory, root: &Root, address: u64) -> Option<Leaf> {
    if !root.holds(address, 1) {
        return None;
    }
    let mut table = root.table_of(address);
    let mut level = root.level;
    loop {
        let index = index(address, level);
        let entry = memory.read(table, index);
        if level == 3 || entry & TABLE_OR_PAGE != TABLE_OR_PAGE {
            return Some(Leaf { table, index, level, entry });
        }
        table = Pa::new(entry & OUTPUT);
        level += 1;
    }
}

/// Makes the block at `leaf` a table of smaller blocks with the same content, in memory that nobody walks yet.
/// Answers the table descriptor that the caller must put in its place by break-before-make.
///
/// # Errors
///
/// [`MapError::OutOfTables`].
pub fn split(memory: &mut impl TableMemory, leaf: &Leaf) -> Result<u64, MapError> {
    let table = memory.allocate().ok_or(MapError::OutOfTables)?;
    if leaf.entry != 0 {
        let (smaller, kind) = (span(leaf.level + 1), if leaf.level == 2 { TABLE_OR_PAGE } else { BLOCK });
        let start = leaf.entry & OUTPUT & !(leaf.span() - 1);
        for index in 0..ENTRIES {
            memory.write(table, index, (start + index as u64 * smaller) | leaf.attributes() | kind);
        }
    }
    Ok(table.get() | TABLE_OR_PAGE)
}

/// The descriptor of a 4 KiB page at level 3.
pub const fn page(to: Pa, attributes: u64) -> u64 {
    to.get() | attributes | TABLE_OR_PAGE
}

/// Maps `size` bytes from input address `from` to physical `to` with the given attribute bits, in the largest
/// blocks that the alignment of both sides and the remaining size allow.
///
/// # Errors
///
/// See [`MapError`]. What was mapped before the error stays mapped.
pub fn map(
    memory: &mut impl TableMemory,
    root: &Root,
    from: u64,
    to: u64,
    size: u64,
    attributes: u64,
) -> Result<(), MapError> {
    if !(from | to | size).is_multiple_of(PAGE_SIZE) {
        return Err(MapError::Unaligned);
    }
    if !root.holds(from, size) || to.checked_add(size).is_none_or(|end| end > LIMIT) {
        return Err(MapError::TooHigh);
    }
    let mut done = 0;
    while done < size {
        done += map_run(memory, root, from + done, to + done, size - done, attributes)?;
    }
    Ok(())
}

/// Writes the entries that map the most from `from` on and lie side by side in one table; answers how many bytes they map.
fn map_run(
    memory: &mut impl TableMemory,
    root: &Root,
    from: u64,
    to: u64,
    left: u64,
    attributes: u64,
) -> Result<u64, MapError> {
    let mut table = root.table_of(from);
    let mut level = root.level;
    loop {
        let slot = index(from, level);
        let entry = memory.read(table, slot);
        let span = span(level);
        let is_block = level > 0 && entry == 0 && (from | to).is_multiple_of(span) && left >= span;
        if level == 3 || is_block {
            let kind = if level == 3 { TABLE_OR_PAGE } else { BLOCK };
            let mut done = 0;
            for slot in slot..ENTRIES {
                if left - done < span || memory.read(table, slot) != 0 {
                    break;
                }
                memory.write(table, slot, (to + done) | attributes | kind);
                done += span;
            }
            return if done == 0 { Err(MapError::Occupied) } else { Ok(done) };
        }
        table = match entry & TABLE_OR_PAGE {
            TABLE_OR_PAGE => Pa::new(entry & OUTPUT),
            0 => {
                let next = memory.allocate().ok_or(MapError::OutOfTables)?;
                memory.write(table, slot, next.get() | TABLE_OR_PAGE);
                next
            }
            _ => return Err(MapError::Occupied),
        };
        level += 1;
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Tables in a vector; table `n` has physical address `(n + 1) * 4096`.
    pub struct Tables {
        pub pages: Vec<[u64; ENTRIES]>,
        pub limit: usize,
    }

    impl Tables {
        pub fn new(limit: usize) -> (Self, Root) {
            let mut tables = Self { pages: Vec::new(), limit };
            let root = tables.allocate().unwrap();
            (tables, Root { table: root, level: 0, bits: 48 })
        }
    }

    impl TableMemory for Tables {
        fn allocate(&mut self) -> Option<Pa> {
            if self.pages.len() == self.limit {
                return None;
            }
            self.pages.push([0; ENTRIES]);
            Some(Pa::new(self.pages.len() as u64 * PAGE_SIZE))
        }
        fn read(&self, table: Pa, index: usize) -> u64 {
            self.pages[table.frame() as usize - 1][index]
        }
        fn write(&mut self, table: Pa, index: usize, entry: u64) {
            self.pages[table.frame() as usize - 1][index] = entry;
        }
    }

    /// An independent walk: recursion over levels by bit positions of the architecture's figure D8-4.
    pub fn walk(tables: &Tables, root: Root, address: u64) -> Option<(u64, u64)> {
        let mut table = root.table;
        if root.level == 1 {
            table = Pa::new(table.get() + (address >> 39) * 4096);
        }
        for shift in [39, 30, 21, 12].into_iter().skip(root.level as usize) {
            let entry = tables.read(table, ((address >> shift) & 511) as usize);
            match (entry & 3, shift) {
                (3, 12) | (1, 21 | 30) => {
                    let below = (1u64 << shift) - 1;
                    let frame = entry & 0x0000_ffff_ffff_f000 & !below;
                    return Some((frame | (address & below), entry & !0x0000_ffff_ffff_f003));
                }
                (3, _) => table = Pa::new(entry & 0x0000_ffff_ffff_f000),
                _ => return None,
            }
        }
        None
    }

    #[test]
    fn aligned_memory_takes_one_entry_a_gibibyte() {
        let (mut tables, root) = Tables::new(8);
        map(&mut tables, &root, GIB, 3 * GIB, 2 * GIB, 0x400).unwrap();
        assert_eq!(tables.pages.len(), 2, "root and one level 1 table");
        assert_eq!(walk(&tables, root, GIB + 0x1234_5678), Some((3 * GIB + 0x1234_5678, 0x400)));
        assert_eq!(walk(&tables, root, 3 * GIB), None);
    }

    #[test]
    fn odd_ends_use_pages_and_the_middle_uses_blocks() {
        let (mut tables, root) = Tables::new(8);
        let start = 2 * MIB - PAGE_SIZE;
        map(&mut tables, &root, start, start, 4 * MIB + 2 * PAGE_SIZE, 0).unwrap();
        let entries: usize = tables.pages.iter().flatten().filter(|entry| **entry != 0).count();
        // One page before, two 2 MiB blocks, one page after; and four table entries that lead there.
        assert_eq!(entries, 4 + 4);
        assert_eq!(walk(&tables, root, start), Some((start, 0)));
        assert_eq!(walk(&tables, root, start - 1), None);
    }

    #[test]
    fn mapping_over_something_is_refused() {
        let (mut tables, root) = Tables::new(8);
        map(&mut tables, &root, 2 * MIB, 2 * MIB, 2 * MIB, 0).unwrap();
        assert_eq!(map(&mut tables, &root, 2 * MIB, 0, PAGE_SIZE, 0), Err(MapError::Occupied));
        assert_eq!(map(&mut tables, &root, 2 * MIB, 0, 2 * MIB, 0), Err(MapError::Occupied));
    }

    #[test]
    fn impossible_ranges_are_refused() {
        let (mut tables, root) = Tables::new(8);
        assert_eq!(map(&mut tables, &root, 1, 0, PAGE_SIZE, 0), Err(MapError::Unaligned));
        assert_eq!(map(&mut tables, &root, LIMIT - PAGE_SIZE, 0, 2 * PAGE_SIZE, 0), Err(MapError::TooHigh));
        assert_eq!(
            map(&mut tables, &root, 0, u64::MAX - PAGE_SIZE + 1, PAGE_SIZE, 0),
            Err(MapError::TooHigh)
        );
        let (mut two, root) = Tables::new(2);
        assert_eq!(map(&mut two, &root, 0, 0, PAGE_SIZE, 0), Err(MapError::OutOfTables));
    }

    proptest::proptest! {
        #[test]
        fn every_mapped_page_is_found_where_it_was_put(
            ranges in proptest::collection::vec((0u64..64, 0u64..0x4000, 1u64..0x900), 1..12)
        ) {
            let (mut tables, root) = Tables::new(4096);
            let mut model = std::collections::BTreeMap::new();
            for (gib, page, count) in ranges {
                let from = gib * GIB + page * PAGE_SIZE;
                let to = from.wrapping_add(5 * GIB);
                if (0..count).any(|n| model.contains_key(&(from + n * PAGE_SIZE))) {
                    continue;
                }
                map(&mut tables, &root, from, to, count * PAGE_SIZE, 0x700).unwrap();
                model.extend((0..count).map(|n| (from + n * PAGE_SIZE, to + n * PAGE_SIZE)));
            }
            for (from, to) in &model {
                proptest::prop_assert_eq!(walk(&tables, root, *from), Some((*to, 0x700)));
                let leaf = find(&tables, &root, *from).unwrap();
                proptest::prop_assert_eq!((leaf.output(*from), leaf.attributes()), (Some(Pa::new(*to)), 0x700));
                let behind = from + PAGE_SIZE;
                if !model.contains_key(&behind) {
                    proptest::prop_assert_eq!(walk(&tables, root, behind), None);
                }
            }
        }
    }
}
