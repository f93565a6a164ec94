//! Is this a device tree? One pass over the blob, no recursion, no memory of its own.

use core::fmt;

/// Bytes of the header (Devicetree Specification 0.4, 5.2).
pub const HEADER_SIZE: usize = 40;
/// Largest blob accepted, as in the arm64 boot protocol.
pub const MAX_SIZE: usize = 2 * 1024 * 1024;
/// Deepest nesting accepted. Real trees stay below 10; Xen stops at 16.
const MAX_DEPTH: usize = 32;

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Why bytes are not a device tree that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdtError {
    /// The magic number is missing: this is something else.
    NoMagic(u32),
    /// `totalsize` is smaller than a header, larger than 2 MiB or larger than the memory given.
    BadSize(u32),
    /// A version that is not compatible with 17.
    BadVersion(u32),
    /// A block of the header lies outside the blob.
    BadBlock(&'static str),
    /// The structure block is damaged at this byte offset.
    BadStructure(usize, &'static str),
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMagic(found) => {
                write!(f, "no device tree: found {found:#010x} where 0xd00dfeed should be")
            }
            Self::BadSize(size) => write!(f, "a device tree of {size} bytes: 40 to 2097152 are possible"),
            Self::BadVersion(version) => write!(f, "device tree version {version}: only 17 can be read"),
            Self::BadBlock(block) => write!(f, "the {block} of the device tree lies outside it"),
            Self::BadStructure(at, what) => write!(f, "the device tree is damaged at byte {at:#x}: {what}"),
        }
    }
}

/// Big-endian word at byte `at`.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_be_bytes(bytes.get(at..end)?.try_into().ok()?))
}

/// `totalsize` of the blob whose first [`HEADER_SIZE`] bytes are given.
///
/// # Errors
///
/// If the magic number is missing or the size is out of bounds.
pub fn total_size(header: &[u8]) -> Result<usize, FdtError> {
    let magic = word(header, 0).ok_or(FdtError::BadSize(0))?;
    if magic != MAGIC {
        return Err(FdtError::NoMagic(magic));
    }
    let size = word(header, 4).unwrap_or(0);
    match usize::try_from(size) {
        Ok(bytes) if (HEADER_SIZE..=MAX_SIZE).contains(&bytes) => Ok(bytes),
        _ => Err(FdtError::BadSize(size)),
    }
}

/// The blocks of a validated blob, as byte ranges.
pub struct Blocks {
    /// Structure block, offset and length.
    structure: (usize, usize),
    /// Strings block, offset and length.
    strings: (usize, usize),
    /// Offset of the memory reservation block.
    pub reservations: usize,
}

impl Blocks {
    /// Reads and checks the header.
    pub fn of(blob: &[u8]) -> Result<Self, FdtError> {
        let field = |at| word(blob, at).map_or(usize::MAX, |value| value as usize);
        let size = total_size(blob)?;
        if size > blob.len() {
            return Err(FdtError::BadSize(size as u32));
        }
        let (version, compatible) = (field(20), field(24));
        if version < 17 || compatible > 17 {
            return Err(FdtError::BadVersion(version as u32));
        }
        let blocks = Self {
            structure: (field(8), field(36)),
            strings: (field(12), field(32)),
            reservations: field(16),
        };
        let inside =
            |(start, length): (usize, usize)| start.checked_add(length).is_some_and(|end| end <= size);
        if !inside(blocks.structure)
            || !blocks.structure.0.is_multiple_of(4)
            || blocks.structure.0 < HEADER_SIZE
        {
            return Err(FdtError::BadBlock("structure block"));
        }
        if !inside(blocks.strings) {
            return Err(FdtError::BadBlock("strings block"));
        }
        blocks.check_reservations(blob, size)?;
        Ok(blocks)
    }

    /// The reservation block is a list of pairs that ends with a pair of zeros (5.3).
    fn check_reservations(&self, blob: &[u8], size: usize) -> Result<(), FdtError> {
        let broken = FdtError::BadBlock("memory reservation block");
        let mut at = self.reservations;
        if !at.is_multiple_of(8) || at < HEADER_SIZE {
            return Err(broken);
        }
        loop {
            let end = at.checked_add(16).filter(|end| *end <= size).ok_or(broken)?;
            let entry = blob.get(at..end).ok_or(broken)?;
            if entry.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            at = end;
        }
    }
}

/// A position in the structure block.
struct Cursor<'a> {
    structure: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn word(&mut self) -> Option<u32> {
        let value = word(self.structure, self.at)?;
        self.at = self.at.checked_add(4)?;
        Some(value)
    }

    /// Skips `length` bytes and the padding to the next word.
    fn skip(&mut self, length: usize) -> Option<()> {
        let end = self.at.checked_add(length)?.checked_next_multiple_of(4)?;
        (end <= self.structure.len()).then(|| self.at = end)
    }
}

/// The NUL-terminated UTF-8 string at `at`, without its terminator.
fn string(block: &[u8], at: usize) -> Option<&str> {
    let rest = block.get(at..)?;
    let length = rest.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(rest.get(..length)?).ok()
}

/// Checks the whole structure block: well nested, one root with an empty name, properties before children, names
/// and values inside their blocks. Answers the number of NOP tokens in it.
fn check_structure(structure: &[u8], strings: &[u8]) -> Result<usize, (usize, &'static str)> {
    let mut cursor = Cursor { structure, at: 0 };
    let mut depth = 0usize;
    let mut nops = 0usize;
    let mut properties_allowed = false;
    let mut root_seen = false;
    loop {
        let at = cursor.at;
        let bad = |what| (at, what);
        match cursor.word().ok_or(bad("it ends without an end token"))? {
            BEGIN_NODE => {
                let name =
                    string(structure, cursor.at).ok_or(bad("a node's name has no end or is not text"))?;
                if depth == 0 && (root_seen || !name.is_empty()) {
                    return Err(bad("there must be one root, without a name"));
                }
                if depth > 0 && (name.is_empty() || name.contains('/')) {
                    return Err(bad("a node's name is empty or contains a slash"));
                }
                if depth == MAX_DEPTH {
                    return Err(bad("more than 32 nodes nested"));
                }
                cursor.skip(name.len() + 1).ok_or(bad("a node's name is cut off"))?;
                (depth, root_seen, properties_allowed) = (depth + 1, true, true);
            }
            END_NODE => {
                depth = depth.checked_sub(1).ok_or(bad("a node ends that never began"))?;
                properties_allowed = false;
            }
            PROP => {
                if !properties_allowed {
                    return Err(bad("a property outside of a node, or behind a child node"));
                }
                let (length, name) = (cursor.word(), cursor.word());
                let (Some(length), Some(name)) = (length, name) else {
                    return Err(bad("a property is cut off"));
                };
                string(strings, name as usize)
                    .filter(|name| !name.is_empty())
                    .ok_or(bad("a property's name is not in the strings block"))?;
                cursor.skip(length as usize).ok_or(bad("a property's value is cut off"))?;
            }
            NOP => nops += 1,
            END if depth == 0 && root_seen => return Ok(nops),
            END => return Err(bad("it ends inside a node")),
            _ => return Err(bad("an unknown token")),
        }
    }
}

/// The token at byte `at` of a checked structure block, and how many bytes it takes with its padding.
pub fn token(structure: &[u8], at: usize) -> Option<(u32, usize)> {
    let token = word(structure, at)?;
    let payload = match token {
        BEGIN_NODE => string(structure, at + 4)?.len() + 1,
        PROP => 8 + word(structure, at + 4)? as usize,
        _ => 0,
    };
    Some((token, 4 + payload.checked_next_multiple_of(4)?))
}

/// Removes the NOP tokens of a checked structure block in place; the freed tail is filled with END tokens. The
/// `fdt` crate loses the nodes behind a NOP.
fn squeeze(structure: &mut [u8]) {
    let (mut from, mut to) = (0, 0);
    while let Some((kind, length)) = token(structure, from) {
        if kind != NOP {
            structure.copy_within(from..from + length, to);
            to += length;
        }
        from += length;
        if kind == END {
            break;
        }
    }
    for word in structure.get_mut(to..from).unwrap_or_default().chunks_exact_mut(4) {
        word.copy_from_slice(&END.to_be_bytes());
    }
}

/// Validates `blob` and removes its NOP tokens.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn validate(blob: &mut [u8]) -> Result<Blocks, FdtError> {
    let blocks = Blocks::of(blob)?;
    let (start, length) = blocks.structure;
    let (strings_start, strings_length) = blocks.strings;
    let structure = blob.get(start..start + length).ok_or(FdtError::BadBlock("structure block"))?;
    let strings =
        blob.get(strings_start..strings_start + strings_length).ok_or(FdtError::BadBlock("strings block"))?;
    let nops = check_structure(structure, strings)
        .map_err(|(at, what)| FdtError::BadStructure(start.saturating_add(at), what))?;
    if nops != 0 {
        squeeze(blob.get_mut(start..start + length).unwrap_or_default());
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A blob with the given structure tokens, and the strings block "a\0".
    pub fn blob(tokens: &[u32]) -> Vec<u8> {
        let structure: Vec<u8> = tokens.iter().flat_map(|token| token.to_be_bytes()).collect();
        let strings_at = 56 + structure.len() as u32;
        let total = strings_at + 2;
        let header = [MAGIC, total, 56, strings_at, 40, 17, 16, 0, 2, structure.len() as u32, 0, 0, 0, 0];
        let mut blob: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        blob.extend(structure);
        blob.extend(b"a\0");
        blob
    }

    fn complaint(tokens: &[u32]) -> &'static str {
        match validate(&mut blob(tokens)) {
            Err(FdtError::BadStructure(_, what)) => what,
            other => panic!("{:?}", other.err()),
        }
    }

    #[test]
    fn the_smallest_tree_is_a_root() {
        assert!(validate(&mut blob(&[BEGIN_NODE, 0, END_NODE, END])).is_ok());
    }

    #[test]
    fn damage_is_described() {
        assert_eq!(complaint(&[BEGIN_NODE, 0, END_NODE]), "it ends without an end token");
        assert_eq!(complaint(&[END_NODE, END]), "a node ends that never began");
        assert_eq!(complaint(&[BEGIN_NODE, 0, END]), "it ends inside a node");
        assert_eq!(complaint(&[BEGIN_NODE, 0, 7, END]), "an unknown token");
        assert_eq!(
            complaint(&[BEGIN_NODE, 0, PROP, 4, 9, 0, END_NODE, END]),
            "a property's name is not in the strings block"
        );
        assert_eq!(
            complaint(&[BEGIN_NODE, 0, PROP, 400, 0, 0, END_NODE, END]),
            "a property's value is cut off"
        );
        assert_eq!(
            complaint(&[BEGIN_NODE, 0, END_NODE, PROP, 0, 0, END]),
            "a property outside of a node, or behind a child node"
        );
        let deep =
            [BEGIN_NODE, 0].into_iter().chain([BEGIN_NODE, 0x6100_0000].repeat(40)).collect::<Vec<_>>();
        assert_eq!(complaint(&deep), "more than 32 nodes nested");
    }

    #[test]
    fn something_else_is_not_a_tree() {
        assert_eq!(validate(&mut [0; 64]).err(), Some(FdtError::NoMagic(0)));
        let mut cut = blob(&[BEGIN_NODE, 0, END_NODE, END]);
        cut.truncate(60);
        assert!(matches!(validate(&mut cut).err(), Some(FdtError::BadSize(_))));
        assert!(matches!(
            total_size(&[0xd0, 0x0d, 0xfe, 0xed, 0, 0x40, 0, 0]),
            Err(FdtError::BadSize(0x40_0000))
        ));
    }

    #[test]
    fn nops_are_gone_and_everything_else_is_kept() {
        let mut with = blob(&[
            NOP,
            BEGIN_NODE,
            0,
            NOP,
            PROP,
            1,
            0,
            0x0500_0000,
            NOP,
            BEGIN_NODE,
            0x6100_0000,
            END_NODE,
            END_NODE,
            END,
        ]);
        validate(&mut with).unwrap();
        let kept = [
            BEGIN_NODE,
            0,
            PROP,
            1,
            0,
            0x0500_0000,
            BEGIN_NODE,
            0x6100_0000,
            END_NODE,
            END_NODE,
            END,
            END,
            END,
            END,
        ];
        let words: Vec<u32> = (0..kept.len()).map(|n| word(&with, 56 + 4 * n).unwrap()).collect();
        assert_eq!(words, kept);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = validate(&mut bytes);
        }

        #[test]
        fn any_tokens_are_read_or_refused(tokens in proptest::collection::vec(0u32..12, 0..60)) {
            if validate(&mut blob(&tokens)).is_ok() {
                let mut again = blob(&tokens);
                validate(&mut again).unwrap();
                proptest::prop_assert!(validate(&mut again).is_ok(), "squeezing keeps a tree a tree");
            }
        }
    }
}
