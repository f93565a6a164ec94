//! The strict check of a blob, before anything else looks at it.
//!
//! Decides whether a blob is a device tree that can be walked without ever checking again. It trusts nothing:
//! every offset is checked against its block, every loop consumes input, nothing is allocated and nothing
//! recurses. What a walk would trip over is refused here: bad offsets, names that are not text, deep nesting.
//!
//! The layout is that of the Devicetree Specification v0.4, chapter 5.

use core::fmt;
use core::ops::Range;

/// The largest tree accepted, in bytes: the limit that Linux and Xen set for AArch64.
pub const MAX_SIZE: usize = 2 * 1024 * 1024;
/// The deepest nesting accepted; the root is at depth 1.
pub const MAX_DEPTH: usize = 32;
/// The longest node or property name accepted. The specification says 31, real boards use more than 60.
/// A limit is needed: without one, properties that share one long name cost quadratic time.
pub const MAX_NAME: usize = 255;

const MAGIC: u32 = 0xd00d_feed;
/// Bytes of the header.
pub const HEADER: usize = 40;
const SIZE_STRUCTS_AT: usize = 36;

pub(super) const BEGIN_NODE: u32 = 1;
pub(super) const END_NODE: u32 = 2;
pub(super) const PROP: u32 = 3;
pub(super) const NOP: u32 = 4;
const END: u32 = 9;

/// Why a blob is not a usable device tree. Offsets are in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdtError {
    /// It does not begin with the magic number 0xd00dfeed.
    Magic(u32),
    /// It is shorter than its header, or than the header says.
    Truncated {
        /// Bytes that should be there.
        wanted: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// It says it is larger than [`MAX_SIZE`].
    TooLarge(usize),
    /// Its format version cannot be read as version 17.
    Version {
        /// The version it is written in.
        version: u32,
        /// The oldest version it claims to be compatible with.
        compatible: u32,
    },
    /// A block lies outside the blob, is not aligned, there or in memory, or overlaps another one.
    Block(&'static str),
    /// The memory reservation block has no terminating entry.
    Reservations,
    /// There is no known token at this offset.
    Token(usize),
    /// The structure block ends in the middle of something.
    Unterminated(usize),
    /// Nodes nest deeper than [`MAX_DEPTH`].
    TooDeep(usize),
    /// A name is empty, too long, not printable ASCII, or holds a slash.
    Name(usize),
    /// There is not exactly one root, with an empty name.
    Root(usize),
    /// A property stands outside every node, or after a child node.
    StrayProperty(usize),
    /// The value of a property reaches past the structure block.
    Value(usize),
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magic(found) => {
                write!(f, "not a device tree: it begins with {found:#010x} instead of {MAGIC:#010x}")
            }
            Self::Truncated { wanted, got } => write!(f, "device tree cut off: {got} of {wanted} bytes"),
            Self::TooLarge(size) => write!(f, "device tree of {size} bytes; at most {MAX_SIZE} are read"),
            Self::Version { version, compatible } => {
                write!(f, "device tree of version {version} (compatible to {compatible}); 17 is read")
            }
            Self::Block(name) => {
                write!(f, "the {name} block lies outside the device tree, is misaligned or overlaps another")
            }
            Self::Reservations => write!(f, "the memory reservation block does not end"),
            Self::Token(at) => write!(f, "no valid token at offset {at:#x}"),
            Self::Unterminated(at) => write!(f, "the structure block ends in the middle, at offset {at:#x}"),
            Self::TooDeep(at) => write!(f, "nodes nest deeper than {MAX_DEPTH} at offset {at:#x}"),
            Self::Name(at) => write!(f, "a name at offset {at:#x} is not 1-{MAX_NAME} printable characters"),
            Self::Root(at) => write!(f, "no single root with an empty name at offset {at:#x}"),
            Self::StrayProperty(at) => {
                write!(f, "a property outside a node, or behind its children, at offset {at:#x}")
            }
            Self::Value(at) => {
                write!(f, "the property at offset {at:#x} reaches past the end of the structure block")
            }
        }
    }
}

/// The length that a blob claims, from its first [`HEADER`] bytes: what must be readable before it is checked.
///
/// # Errors
/// If these bytes are not the beginning of a device tree that could be read.
pub fn claimed_size(header: &[u8]) -> Result<usize, FdtError> {
    let truncated = FdtError::Truncated { wanted: HEADER, got: header.len() };
    let word =
        |range| header.get(range).and_then(|bytes: &[u8]| bytes.try_into().ok()).map(u32::from_be_bytes);
    let magic = word(0..4).ok_or(truncated)?;
    let size = word(4..8).ok_or(truncated)? as usize;
    match (magic, size) {
        (MAGIC, HEADER..=MAX_SIZE) => Ok(size),
        (MAGIC, ..HEADER) => Err(FdtError::Truncated { wanted: HEADER, got: size }),
        (MAGIC, _) => Err(FdtError::TooLarge(size)),
        _ => Err(FdtError::Magic(magic)),
    }
}

/// Where the blocks of a checked blob are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Length of the whole tree.
    pub total: usize,
    /// The structure block, from the root's token up to and including the end token.
    pub structs: Range<usize>,
    /// The strings block.
    pub strings: Range<usize>,
    /// The memory reservation entries, without the terminating one.
    pub reservations: Range<usize>,
    /// The children of the root.
    pub top: Top,
}

/// Children of the root, as many as are noted: most boards have fewer, and it is there that most is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Top {
    /// Where their names are, in cells from the start of the structure block.
    pub names: [u32; 96],
    /// How many are noted.
    pub count: usize,
}

/// The big-endian cell at byte `at`.
pub(super) fn cell_at(bytes: &[u8], at: usize) -> Option<u32> {
    let raw = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(raw.try_into().ok()?))
}

/// The cells that `bytes` are, big-endian as they stand there; nothing if they do not lie in memory as cells do. Bytes left
/// over are no cell.
pub(super) fn cells(bytes: &[u8]) -> Option<&[u32]> {
    bytemuck::try_cast_slice(bytes.get(..bytes.len() & !3)?).ok()
}

/// Checks a whole blob.
pub(super) fn check(blob: &[u8]) -> Result<Layout, FdtError> {
    let magic = cell_at(blob, 0).ok_or(FdtError::Truncated { wanted: HEADER, got: blob.len() })?;
    if magic != MAGIC {
        return Err(FdtError::Magic(magic));
    }
    let field = |at| {
        cell_at(blob, at)
            .map(|value| value as usize)
            .ok_or(FdtError::Truncated { wanted: HEADER, got: blob.len() })
    };
    // The last field first: when it can be read, the whole header can.
    let size_structs = field(SIZE_STRUCTS_AT)?;
    let total = field(4)?;
    if total > MAX_SIZE {
        return Err(FdtError::TooLarge(total));
    }
    let blob = blob.get(..total.max(HEADER)).ok_or(FdtError::Truncated { wanted: total, got: blob.len() })?;
    let (version, compatible) = (field(20)? as u32, field(24)? as u32);
    if version < 17 || compatible > 17 {
        return Err(FdtError::Version { version, compatible });
    }
    let structs = block(field(8)?, size_structs, total, "structure")?;
    let strings = block(field(12)?, field(32)?, total, "strings")?;
    let reservations = reservations(blob, field(16)?)?;
    // The terminating entry is part of what must not be overwritten.
    let reserve_block = reservations.start..reservations.end.saturating_add(16);
    let disjoint = |a: &Range<usize>, b: &Range<usize>| a.end <= b.start || b.end <= a.start;
    if structs.start % 4 != 0 || structs.start < HEADER || !disjoint(&structs, &strings) {
        return Err(FdtError::Block("structure"));
    }
    if reservations.start < HEADER || !disjoint(&structs, &reserve_block) {
        return Err(FdtError::Block("memory reservation"));
    }
    let names = blob.get(strings.clone()).ok_or(FdtError::Block("strings"))?;
    let tokens = blob.get(structs.clone()).ok_or(FdtError::Block("structure"))?;
    let cells = cells(tokens).ok_or(FdtError::Block("structure"))?;
    let mut walk = Walk::new(cells, names, structs.start);
    let end = structs.start.saturating_add(walk.run()?);
    Ok(Layout { total, structs: structs.start..end, strings, reservations, top: walk.top })
}

fn block(start: usize, size: usize, total: usize, name: &'static str) -> Result<Range<usize>, FdtError> {
    match start.checked_add(size) {
        Some(end) if end <= total => Ok(start..end),
        _ => Err(FdtError::Block(name)),
    }
}

fn reservations(blob: &[u8], start: usize) -> Result<Range<usize>, FdtError> {
    let entries = blob.get(start..).ok_or(FdtError::Block("memory reservation"))?;
    let count = entries
        .chunks_exact(16)
        .position(|entry| entry.iter().all(|byte| *byte == 0))
        .ok_or(FdtError::Reservations)?;
    Ok(start..start.saturating_add(count.saturating_mul(16)))
}

/// One pass over the structure block.
struct Walk<'b> {
    cells: &'b [u32],
    names: &'b [u8],
    /// Offset of `cells` in the blob, for messages.
    base: usize,
    depth: usize,
    /// Bit n: a node open at depth n has had a child.
    had_child: u64,
    in_aliases: bool,
    top: Top,
    /// Names of properties that were found good, by their offsets modulo 64: most stand in many nodes.
    good: [u32; 64],
}

impl<'b> Walk<'b> {
    fn new(cells: &'b [u32], names: &'b [u8], base: usize) -> Self {
        let top = Top { names: [0; 96], count: 0 };
        // No slot holds an offset that is its own.
        let mut good = [0; 64];
        good[0] = 1;
        Self { cells, names, base, depth: 0, had_child: 0, in_aliases: false, top, good }
    }

    /// The cell at `pos`, in bytes, a multiple of 4.
    fn cell(&self, pos: usize) -> Option<u32> {
        self.cells.get(pos / 4).map(|cell| u32::from_be(*cell))
    }

    /// Bytes up to and including the end token.
    fn run(&mut self) -> Result<usize, FdtError> {
        let mut pos = 0;
        let mut roots = 0;
        loop {
            let at = self.base.saturating_add(pos);
            let token = self.cell(pos).ok_or(FdtError::Unterminated(at))?;
            if self.depth == 0 && roots == 1 && token == BEGIN_NODE {
                return Err(FdtError::Root(at));
            }
            pos = match token {
                BEGIN_NODE => {
                    roots = 1;
                    self.open(pos)?
                }
                END_NODE => {
                    self.depth = self.depth.checked_sub(1).ok_or(FdtError::Token(at))?;
                    self.in_aliases = false;
                    pos.saturating_add(4)
                }
                PROP => self.property(pos)?,
                NOP => pos.saturating_add(4),
                END if self.depth == 0 && roots == 1 => return Ok(pos.saturating_add(4)),
                END if self.depth == 0 => return Err(FdtError::Root(at)),
                _ => return Err(FdtError::Token(at)),
            };
        }
    }

    fn open(&mut self, pos: usize) -> Result<usize, FdtError> {
        let at = self.base.saturating_add(pos);
        if self.depth == MAX_DEPTH {
            return Err(FdtError::TooDeep(at));
        }
        let name_at = pos.saturating_add(4);
        let name = c_string(bytemuck::cast_slice(self.cells), name_at).ok_or(FdtError::Name(at))?;
        match (self.depth, name.is_empty()) {
            (0, false) => return Err(FdtError::Root(at)),
            (0, true) => {}
            (_, true) => return Err(FdtError::Name(at)),
            (_, false) if name.contains(&b'/') => return Err(FdtError::Name(at)),
            (_, false) => {}
        }
        self.in_aliases = self.depth == 1 && name == b"aliases";
        if self.depth == 1
            && let Some(noted) = self.top.names.get_mut(self.top.count)
        {
            *noted = (name_at / 4) as u32;
            self.top.count += 1;
        }
        self.had_child |= 1 << self.depth;
        self.depth = self.depth.saturating_add(1);
        self.had_child &= !(1 << self.depth);
        Ok(align4(name_at.saturating_add(name.len()).saturating_add(1)))
    }

    fn property(&mut self, pos: usize) -> Result<usize, FdtError> {
        let at = self.base.saturating_add(pos);
        if self.depth == 0 || self.had_child & (1 << self.depth) != 0 {
            return Err(FdtError::StrayProperty(at));
        }
        let (Some(length), Some(name_at)) =
            (self.cell(pos.saturating_add(4)), self.cell(pos.saturating_add(8)))
        else {
            return Err(FdtError::Unterminated(at));
        };
        let good = self.good.get_mut(name_at as usize % 64);
        if self.in_aliases || good.as_deref() != Some(&name_at) {
            let name = c_string(self.names, name_at as usize).ok_or(FdtError::Name(at))?;
            // An alias with a slash in its name could be mistaken for a path.
            if name.is_empty() || (self.in_aliases && name.contains(&b'/')) {
                return Err(FdtError::Name(at));
            }
            if let Some(good) = good {
                *good = name_at;
            }
        }
        let end = pos.saturating_add(12).checked_add(length as usize).ok_or(FdtError::Value(at))?;
        if end > size_of_val(self.cells) {
            return Err(FdtError::Value(at));
        }
        Ok(align4(end))
    }
}

/// The printable ASCII string at `at`, without its NUL, if it is no longer than [`MAX_NAME`].
fn c_string(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    // What ends it is a NUL, or it is no name.
    let window = rest.get(..MAX_NAME.saturating_add(1)).unwrap_or(rest);
    let end = window.iter().position(|byte| !byte.is_ascii_graphic())?;
    if *window.get(end)? == 0 { window.get(..end) } else { None }
}

/// The next multiple of 4.
pub(super) const fn align4(at: usize) -> usize {
    (at + 3) & !3
}
