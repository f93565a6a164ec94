//! Packs code and constants for the image that unpacks itself (boot/unpack).
//!
//! Decides what is written in which code: which words are repeats, which contexts share a code. Takes any words and bytes;
//! those that are not A64 instructions only take more room. Says so when the stream would not fit the memory that unpacking has.
//! The same input makes the same stream.

mod bytes;
mod codes;
mod format;
mod histogram;
mod layout;
mod logarithm;
mod model;
mod repeats;
mod split;
mod unpack;
mod words;
mod writer;

pub use unpack::unpack;

/// The Image that `image` becomes: `front` (boot/unpack), then the stream of its first `code` bytes, which are instructions, and
/// of the rest.
pub fn image(front: &[u8], image: &[u8], code: usize) -> Result<Vec<u8>, String> {
    let (code, constants) = image.split_at_checked(code).ok_or("more code than image")?;
    let (words, []) = code.as_chunks() else { return Err("code is not whole instructions".into()) };
    if words.is_empty() {
        return Err("no code".into());
    }
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    layout::image(front, &pack(&words, constants)?, image)
}

/// The stream of `words` and `bytes`, unpacked once and compared.
pub fn pack(words: &[u32], bytes: &[u8]) -> Result<Vec<u32>, String> {
    let mut out = writer::Writer::default();
    words::pack(words, &mut out)?;
    bytes::pack(bytes, &mut out)?;
    let stream = out.finish();
    let (words_again, bytes_again) = unpack::unpack(&stream)?;
    if words_again != words || bytes_again != bytes {
        return Err("packed wrongly: what is unpacked is not what was packed".into());
    }
    Ok(stream)
}
