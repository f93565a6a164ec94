//! Modules for golden trees, as a comment in the tree says: `/* module at 0x48000000: image 0x2000000 */`.
//!
//! `image SIZE [OFFSET [FLAGS]]` begins with the header of an arm64 Image, `gzip-image` with a gzip file that ends before
//! that Image does, `bytes TEXT` with this text (`\\xNN` for a byte). The rest is zeros, as much as `reg` says.

use std::collections::BTreeMap;

use portunus::addr::PaSpan;
use portunus::plan::Files;

/// The modules that a tree's comments describe, by address.
#[derive(Default)]
pub struct Described(BTreeMap<u64, Vec<u8>>);

/// More than any module of the trees has.
const ROOM: usize = 16 << 20;

impl Described {
    pub fn read(source: &str) -> Self {
        let lines = source.lines().filter_map(|line| line.strip_prefix("/* module at ")?.strip_suffix(" */"));
        Self(lines.map(module).collect())
    }
}

impl Files for Described {
    fn bytes(&self, span: PaSpan) -> Option<&[u8]> {
        let bytes = self.0.get(&span.start().get())?;
        Some(&bytes[..usize::try_from(span.size()).unwrap()])
    }
    fn are_unpacked(&self) -> bool {
        true
    }
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn module(line: &str) -> (u64, Vec<u8>) {
    let (address, what) = line.split_once(": ").unwrap();
    let (kind, rest) = what.split_once(' ').unwrap();
    let mut bytes = match kind {
        "image" => header(rest),
        "gzip-image" => stored(&header(rest)),
        "bytes" => escaped(rest),
        other => panic!("no module is made of `{other}`"),
    };
    bytes.resize(ROOM, 0);
    (number(address), bytes)
}

fn header(fields: &str) -> Vec<u8> {
    let mut fields = fields.split(' ').map(number);
    let (size, offset, flags) =
        (fields.next().unwrap(), fields.next().unwrap_or(0), fields.next().unwrap_or(0xa));
    let mut header = vec![0; 64];
    for (at, value) in [(8, offset), (16, size), (24, flags)] {
        header[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    header[56..60].copy_from_slice(b"ARM\x64");
    header
}

/// A gzip file (RFC 1952) with one stored block that announces 65,535 bytes. Whatever it is cut at, the last four bytes,
/// which say how large it was, read 65,536.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut file = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x00\xff\xff\0\0".to_vec();
    file.extend(bytes);
    file.resize(file.len().next_multiple_of(4), 0);
    file.extend([0, 0, 1, 0].repeat(8 * 1024));
    file
}

fn escaped(text: &str) -> Vec<u8> {
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (hex, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
        bytes.extend(rest.as_bytes());
    }
    bytes
}
