//! What a kernel file is: an arm64 Image, plain or compressed by gzip, or raw bytes that the tree vouches for.
//!
//! Format of the header: Linux, Documentation/arch/arm64/booting.rst. Only the header is read here; the rest of the
//! file is the guest's business. Kernels that are compressed otherwise are recognised so that the message can say so.

use core::fmt;

use super::gzip::{Gzip, GzipError, Workspace, is_gzip};
use crate::addr::MIB;

/// Bytes of an Image header.
pub const HEADER_SIZE: usize = 64;
const MAGIC: &[u8; 4] = b"ARM\x64";
const MAGIC_AT: usize = 56;

/// How a kernel wants to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Bytes from a 2 MiB-aligned address to the first byte of the image.
    pub text_offset: u64,
    /// Bytes that must be free from the first byte of the image on: the file and what the kernel clears behind it.
    pub size: u64,
}

/// Why a file is not a kernel that can be started. Each displays as what is wrong; [`ImageError::help`] is the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// The file is smaller than a header.
    TooShort(u64),
    /// The magic number is missing.
    NotAnImage,
    /// It is compressed by gzip and cannot be unpacked.
    Gzip(GzipError),
    /// There is no memory where it is to go. Not the file's fault.
    NoRoom,
    /// It is compressed by something else, by name.
    Compressed(&'static str),
    /// It is a big-endian kernel.
    BigEndian,
    /// Its `text_offset` is not below 2 MiB or not a multiple of 4 KiB.
    BadOffset(u64),
    /// Its sizes are beyond anything that could be loaded.
    TooLarge(u64),
}

impl ImageError {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::TooShort(_) => "reg must have the address and the exact size of the file",
            Self::NotAnImage => {
                "load the file `Image`, or add portunus,raw to the module to have it loaded as it is"
            }
            Self::Gzip(error) => error.help(),
            Self::NoRoom | Self::TooLarge(_) => "give the domain more memory",
            Self::Compressed(_) => "decompress it first: a plain Image, or one compressed by gzip, is loaded",
            Self::BigEndian => "build it little-endian",
            Self::BadOffset(_) => "its linker script must put it at a multiple of 4096 below 0x200000",
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(size) => write!(f, "it has {size} bytes, and an arm64 Image at least 64"),
            Self::NotAnImage => f.write_str("it has no magic number of an arm64 Image"),
            Self::Gzip(error) => error.fmt(f),
            Self::NoRoom => f.write_str("it does not fit where it is to go"),
            Self::Compressed(by) => write!(f, "it is compressed by {by}"),
            Self::BigEndian => f.write_str("it is big-endian"),
            Self::BadOffset(offset) => write!(f, "its text_offset is {offset:#x}"),
            Self::TooLarge(size) => write!(f, "it says that it needs {size} bytes"),
        }
    }
}

/// Magic numbers of what people pass instead of an Image.
const COMPRESSED: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"BZh", "bzip2"),
];
/// Where and what an EFI program that unpacks a kernel has (Linux, drivers/firmware/efi/libstub/zboot-header.S).
const ZBOOT: (usize, &[u8]) = (4, b"zimg");

/// A kernel file as the boot loader left it in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File<'a> {
    /// To be copied as it is.
    Plain(&'a [u8]),
    /// To be unpacked.
    Gzip(Gzip<'a>),
}

impl<'a> File<'a> {
    /// Reads the header of the kernel in `bytes`, the whole file, unpacking its first bytes if need be. `limit` is how
    /// many bytes a compressed kernel may unpack to: the domain's memory. A `workspace` is made if one is needed.
    ///
    /// # Errors
    ///
    /// Why it cannot be started.
    pub fn open(
        bytes: &'a [u8],
        limit: u64,
        workspace: &mut Option<Workspace>,
    ) -> Result<(Self, Kernel), ImageError> {
        if !is_gzip(bytes) {
            return Ok((Self::Plain(bytes), image(bytes, bytes.len() as u64)?));
        }
        let gzip = Gzip::open(bytes, limit).map_err(ImageError::Gzip)?;
        match gzip.size() {
            // What a loader put behind the file is not its trailer.
            0 => return Err(ImageError::Gzip(GzipError::WrongSize)),
            size if size < HEADER_SIZE as u64 => return Err(ImageError::TooShort(size)),
            _ => {}
        }
        let workspace = workspace.get_or_insert_with(Workspace::new);
        let head: [u8; HEADER_SIZE] = gzip.head(workspace).map_err(ImageError::Gzip)?;
        Ok((Self::Gzip(gzip), image(&head, gzip.size())?))
    }
}

/// Reads the header of a kernel that is not compressed. `file` holds at least its first 64 bytes, `size` is the length of the whole file.
///
/// # Errors
///
/// Why it cannot be started.
pub fn image(file: &[u8], size: u64) -> Result<Kernel, ImageError> {
    if let Some((_, by)) = COMPRESSED.iter().find(|(magic, _)| file.starts_with(magic)) {
        return Err(ImageError::Compressed(by));
    }
    if file.get(ZBOOT.0..).is_some_and(|rest| rest.starts_with(ZBOOT.1)) {
        return Err(ImageError::Compressed("EFI zboot"));
    }
    let header = file.first_chunk::<HEADER_SIZE>().ok_or(ImageError::TooShort(size))?;
    if header.get(MAGIC_AT..MAGIC_AT + 4) != Some(MAGIC.as_slice()) {
        return Err(ImageError::NotAnImage);
    }
    let field = |at: usize| {
        let bytes = header.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    };
    let (text_offset, image_size, flags) = (field(8), field(16), field(24));
    if flags & 1 != 0 {
        return Err(ImageError::BigEndian);
    }
    // Kernels before 3.17 leave image_size zero and mean a text_offset of 0x80000, whatever the field says.
    let text_offset = if image_size == 0 { 0x8_0000 } else { text_offset };
    if text_offset >= 2 * MIB || !text_offset.is_multiple_of(4096) {
        return Err(ImageError::BadOffset(text_offset));
    }
    let size = image_size.max(size);
    if size >> 40 != 0 {
        return Err(ImageError::TooLarge(size));
    }
    Ok(Kernel { text_offset, size })
}

/// A raw kernel of `size` bytes: loaded at the start of RAM and entered at its first byte.
#[must_use]
pub const fn raw(size: u64) -> Kernel {
    Kernel { text_offset: 0, size }
}

#[cfg(test)]
mod tests {
    use super::super::gzip::tests::gzip as gzip_file;
    use super::*;

    fn header(text_offset: u64, image_size: u64, flags: u64) -> Vec<u8> {
        let mut header = vec![0; HEADER_SIZE];
        header[8..16].copy_from_slice(&text_offset.to_le_bytes());
        header[16..24].copy_from_slice(&image_size.to_le_bytes());
        header[24..32].copy_from_slice(&flags.to_le_bytes());
        header[56..60].copy_from_slice(MAGIC);
        header
    }

    #[test]
    fn the_memory_a_kernel_clears_counts_as_its_own() {
        assert_eq!(image(&header(0, 0x20_0000, 0xa), 0x1000), Ok(Kernel { text_offset: 0, size: 0x20_0000 }));
        assert_eq!(image(&header(0, 0x1000, 0xa), 0x3000), Ok(Kernel { text_offset: 0, size: 0x3000 }));
    }

    #[test]
    fn an_old_kernel_without_a_size_is_loaded_where_it_expects_to_be() {
        assert_eq!(image(&header(0x1234, 0, 0), 0x1000), Ok(Kernel { text_offset: 0x8_0000, size: 0x1000 }));
    }

    #[test]
    fn what_is_no_kernel_is_named() {
        assert_eq!(image(b"#!/bin/sh", 9), Err(ImageError::TooShort(9)));
        assert_eq!(image(&[0; 64], 64), Err(ImageError::NotAnImage));
        assert_eq!(image(b"MZ\0\0zimg", 9000), Err(ImageError::Compressed("EFI zboot")));
        assert_eq!(image(b"\x28\xb5\x2f\xfd", 9000), Err(ImageError::Compressed("zstd")));
        assert_eq!(image(&header(0, 1, 1), 64), Err(ImageError::BigEndian));
        assert_eq!(image(&header(0x20_0000, 1, 0), 64), Err(ImageError::BadOffset(0x20_0000)));
        assert_eq!(image(&header(0, u64::MAX, 0), 64), Err(ImageError::TooLarge(u64::MAX)));
    }

    #[test]
    fn a_kernel_has_the_same_header_plain_and_compressed() {
        let mut plain = header(0, 0x20_0000, 0xa);
        plain.resize(100_000, 7);
        let compressed = gzip_file(&plain);
        for (file, is_packed) in [(&plain, false), (&compressed, true)] {
            let mut workspace = None;
            let (_, kernel) = File::open(file, 1 << 20, &mut workspace).unwrap();
            assert_eq!(kernel, Kernel { text_offset: 0, size: 0x20_0000 });
            assert_eq!(workspace.is_some(), is_packed, "43 KiB, for those who need them");
        }
    }

    #[test]
    fn what_is_packed_twice_or_no_kernel_inside_is_refused() {
        let mut workspace = None;
        let mut open = |plain: &[u8]| File::open(&gzip_file(plain), 1 << 20, &mut workspace).map(|_| ());
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(open(&gzip_file(&bytes)), Err(ImageError::Compressed("gzip")));
        assert_eq!(open(b"#!/bin/sh"), Err(ImageError::TooShort(9)));
        assert_eq!(open(&[0; 64]), Err(ImageError::NotAnImage));
        let large = Err(ImageError::Gzip(GzipError::TooLarge { size: 1 << 21, limit: 1 << 20 }));
        assert_eq!(open(&vec![0; 1 << 21]), large);
    }
}
