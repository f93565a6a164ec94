//! Kernels compressed by gzip (RFC 1952), unpacked piece by piece into a guest's memory.
//!
//! Decides how large the kernel is before anything is unpacked: the trailer says so, and the caller sets a limit. Trusts
//! nothing: the output is counted against that size and checked against the CRC-32, so a damaged or hostile file ends
//! as a [`GzipError`] after at most that many bytes. Refuses a file with anything behind its one member, since the
//! trailer is found from the end: the module's `reg` must have the exact size, as Xen's binding demands too.
//!
//! Nothing grows with the kernel: the window of 32 KiB that the format needs and the decoder's 11 KiB of tables are the
//! [`Workspace`]. It is made once; a domain whose kernel is compressed keeps it for its restarts, which may not allocate.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Length of the fixed part of a member's header (RFC 1952, 2.3).
const HEADER: usize = 10;
/// Length of a member's trailer: CRC-32 and size.
const TRAILER: usize = 8;
/// How far back a deflate stream may refer (RFC 1951, 2).
const WINDOW: usize = 32 * 1024;
/// Most of the input that is read in one turn: it may unpack to nothing at all.
const INPUT: usize = 32 * 1024;

/// Why a compressed file cannot be unpacked. Each displays as what is wrong; [`GzipError::help`] is the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GzipError {
    /// The file is smaller than a header and a trailer, or its header does not end.
    TooShort,
    /// The header has flags or a method that RFC 1952 does not know.
    BadHeader,
    /// It says that it unpacks to more bytes than allowed.
    TooLarge {
        /// What it says.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The compressed data ends before their last block.
    Truncated,
    /// The compressed data make no sense.
    Damaged,
    /// They unpack to another size than the trailer says.
    WrongSize,
    /// They unpack to something with another checksum than the trailer says.
    WrongChecksum,
    /// There are bytes behind the compressed data that are no trailer.
    Excess(u64),
    /// There is no memory to unpack to. Not the file's fault.
    NoRoom,
}

impl GzipError {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::TooShort | Self::Truncated | Self::WrongSize | Self::Excess(_) => {
                "load the whole file, and give its exact size in reg"
            }
            Self::TooLarge { .. } => {
                "give the domain more memory; if the size is absurd, reg has not the exact size of the file"
            }
            Self::BadHeader | Self::Damaged | Self::WrongChecksum => {
                "load the file again, or decompress it first (gunzip)"
            }
            Self::NoRoom => "give the domain more memory",
        }
    }
}

impl fmt::Display for GzipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("the gzip file ends before its compressed data begin"),
            Self::BadHeader => f.write_str("the gzip file has a header that no version of gzip writes"),
            Self::TooLarge { size, limit } => {
                write!(f, "the gzip file says that it unpacks to {size} bytes, and the domain has {limit}")
            }
            Self::Truncated => f.write_str("the gzip file ends too early"),
            Self::Damaged => f.write_str("the gzip file is damaged"),
            Self::WrongSize => {
                f.write_str("the gzip file does not unpack to the size that its last four bytes say")
            }
            Self::WrongChecksum => f.write_str("the gzip file's checksum is wrong"),
            Self::Excess(bytes) => write!(f, "the gzip file has {bytes} bytes too many at its end"),
            Self::NoRoom => f.write_str("the unpacked kernel does not fit where it is to go"),
        }
    }
}

/// Takes unpacked bytes, in order.
pub trait Sink {
    /// Puts `bytes` behind those of the last call; `false` if there is no room for them.
    fn write(&mut self, bytes: &[u8]) -> bool;
}

/// What unpacking needs, whatever is unpacked.
pub struct Workspace {
    decoder: Box<DecompressorOxide>,
    window: Box<[u8]>,
}

impl Workspace {
    /// Takes 43 KiB from the heap.
    #[must_use]
    pub fn new() -> Self {
        Self { decoder: Box::default(), window: vec![0; WINDOW].into_boxed_slice() }
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

/// A gzip file whose header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gzip<'a> {
    deflated: &'a [u8],
    checksum: u32,
    size: u32,
}

/// Whether `file` begins as a gzip file does.
#[must_use]
pub fn is_gzip(file: &[u8]) -> bool {
    file.starts_with(b"\x1f\x8b")
}

impl<'a> Gzip<'a> {
    /// Reads header and trailer of `file`, which must be the whole file. `limit` is how many bytes it may unpack to.
    ///
    /// # Errors
    ///
    /// See [`GzipError`].
    pub fn open(file: &'a [u8], limit: u64) -> Result<Self, GzipError> {
        let body = body(file)?;
        let (deflated, trailer) = body.split_last_chunk::<TRAILER>().ok_or(GzipError::TooShort)?;
        let [c0, c1, c2, c3, s0, s1, s2, s3] = *trailer;
        let gzip = Self {
            deflated,
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
            size: u32::from_le_bytes([s0, s1, s2, s3]),
        };
        if gzip.size() > limit {
            return Err(GzipError::TooLarge { size: gzip.size(), limit });
        }
        Ok(gzip)
    }

    /// How many bytes it unpacks to, if it is what it says.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.size)
    }

    /// Unpacks everything into `sink`. After an error the sink has been given some bytes that mean nothing.
    ///
    /// # Errors
    ///
    /// See [`GzipError`].
    pub fn unpack(&self, workspace: &mut Workspace, sink: &mut impl Sink) -> Result<(), GzipError> {
        let mut unpacking = Unpacking::begin(self, workspace);
        while !unpacking.step(self, workspace, sink)? {}
        Ok(())
    }

    /// The first `N` unpacked bytes: enough of a kernel to read its header.
    ///
    /// # Errors
    ///
    /// See [`GzipError`]; [`GzipError::WrongSize`] if there are fewer.
    pub fn head<const N: usize>(&self, workspace: &mut Workspace) -> Result<[u8; N], GzipError> {
        let mut head = Head { bytes: [0; N], filled: 0 };
        let mut inflating = Inflating::begin(workspace);
        // Ends: the input does.
        let ended = loop {
            match inflating.turn(self.deflated, workspace, &mut head) {
                Ok(None) => {}
                Ok(Some(_)) => break GzipError::WrongSize,
                Err(error) => break error,
            }
        };
        if head.filled == N { Ok(head.bytes) } else { Err(ended) }
    }
}

/// A file on its way into memory, a piece at a time.
///
/// What is unpacked so far is in the [`Workspace`] too: it serves one file until that is done.
pub struct Unpacking {
    inflating: Inflating,
    left: u64,
    checksum: Crc32,
}

impl Unpacking {
    /// Starts at the beginning of `gzip`.
    #[must_use]
    pub fn begin(gzip: &Gzip<'_>, workspace: &mut Workspace) -> Self {
        Self { inflating: Inflating::begin(workspace), left: gzip.size(), checksum: Crc32::new() }
    }

    /// Gives the next piece, at most 32 KiB, to `sink`. Whether it was the last.
    ///
    /// # Errors
    ///
    /// See [`GzipError`]; then the sink has been given some bytes that mean nothing.
    pub fn step(
        &mut self,
        gzip: &Gzip<'_>,
        workspace: &mut Workspace,
        sink: &mut impl Sink,
    ) -> Result<bool, GzipError> {
        let mut counted =
            Counted { sink, left: &mut self.left, checksum: &mut self.checksum, too_many: false };
        let ended = self.inflating.turn(gzip.deflated, workspace, &mut counted);
        if counted.too_many {
            return Err(GzipError::WrongSize);
        }
        match ended? {
            None => Ok(false),
            Some(unread @ 1..) => Err(GzipError::Excess(unread)),
            Some(0) if self.left != 0 => Err(GzipError::WrongSize),
            Some(0) if self.checksum.value() != gzip.checksum => Err(GzipError::WrongChecksum),
            Some(0) => Ok(true),
        }
    }
}

/// Where the decoder is in its input and in its window.
struct Inflating {
    read: usize,
    at: usize,
}

impl Inflating {
    fn begin(workspace: &mut Workspace) -> Self {
        workspace.decoder.init();
        Self { read: 0, at: 0 }
    }

    /// Runs the decoder until the window is full, a piece of the input is used up, or the stream ends: then answers
    /// how many bytes were not read.
    fn turn(
        &mut self,
        deflated: &[u8],
        workspace: &mut Workspace,
        sink: &mut impl Sink,
    ) -> Result<Option<u64>, GzipError> {
        let Workspace { decoder, window } = workspace;
        let rest = deflated.get(self.read..).unwrap_or_default();
        let (input, flags) = match rest.get(..INPUT) {
            Some(piece) if piece.len() < rest.len() => (piece, TINFL_FLAG_HAS_MORE_INPUT),
            _ => (rest, 0),
        };
        let (status, read, written) = decompress(decoder, input, window, self.at, flags);
        self.read = self.read.saturating_add(read);
        let end = self.at.saturating_add(written);
        if !sink.write(window.get(self.at..end).unwrap_or_default()) {
            return Err(GzipError::NoRoom);
        }
        self.at = if end >= WINDOW { 0 } else { end };
        match status {
            TINFLStatus::Done => Ok(Some(deflated.len().saturating_sub(self.read) as u64)),
            TINFLStatus::HasMoreOutput if written > 0 => Ok(None),
            TINFLStatus::NeedsMoreInput if flags != 0 && read > 0 => Ok(None),
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => Err(GzipError::Truncated),
            _ => Err(GzipError::Damaged),
        }
    }
}

/// Skips the header (RFC 1952, 2.3.1): the fixed part, then what its flags announce.
fn body(file: &[u8]) -> Result<&[u8], GzipError> {
    const DEFLATE: u8 = 8;
    const HEADER_CRC: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    const RESERVED: u8 = 0b1110_0000;
    let (header, mut rest) = file.split_first_chunk::<HEADER>().ok_or(GzipError::TooShort)?;
    let [0x1f, 0x8b, DEFLATE, flags, ..] = *header else { return Err(GzipError::BadHeader) };
    if flags & RESERVED != 0 {
        return Err(GzipError::BadHeader);
    }
    if flags & EXTRA != 0 {
        let (length, behind) = rest.split_first_chunk::<2>().ok_or(GzipError::TooShort)?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..).ok_or(GzipError::TooShort)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or(GzipError::TooShort)?;
            rest = rest.get(end + 1..).unwrap_or_default();
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or(GzipError::TooShort)?;
    }
    Ok(rest)
}

/// Takes the first bytes, then no more.
struct Head<const N: usize> {
    bytes: [u8; N],
    filled: usize,
}

impl<const N: usize> Sink for Head<N> {
    fn write(&mut self, bytes: &[u8]) -> bool {
        let free = self.bytes.get_mut(self.filled..).unwrap_or_default();
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
            self.filled += 1;
        }
        self.filled < N
    }
}

/// Hands on no more bytes than were announced, and sums them up.
struct Counted<'a, S> {
    sink: &'a mut S,
    left: &'a mut u64,
    checksum: &'a mut Crc32,
    too_many: bool,
}

impl<S: Sink> Sink for Counted<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> bool {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.too_many = true;
            return false;
        };
        *self.left = left;
        self.checksum.add(bytes);
        self.sink.write(bytes)
    }
}

/// The checksum of RFC 1952, 8: the polynomial of ISO 3309, bits reflected.
struct Crc32(u32);

impl Crc32 {
    /// What a byte contributes.
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut value = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 0 { value >> 1 } else { value >> 1 ^ 0xedb8_8320 };
                bit += 1;
            }
            #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
            {
                table[byte] = value;
            }
            byte += 1;
        }
        table
    };

    const fn new() -> Self {
        Self(u32::MAX)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let index = usize::from(self.0 as u8 ^ byte);
            self.0 = self.0 >> 8 ^ Self::TABLE.get(index).copied().unwrap_or_default();
        }
    }

    const fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
#[path = "gzip_tests.rs"]
pub(super) mod tests;
