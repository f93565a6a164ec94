//! U-Boot's script format: the legacy image that `mkimage -T script` writes.
//!
//! 64 bytes of header in big-endian words, then the payload. The payload of a script is a list of lengths (one length
//! and a zero) and the text (U-Boot, include/image.h; `source` checks both checksums).

const MAGIC: u32 = 0x2705_1956;
const OS_LINUX: u8 = 5;
const ARCH_ARM64: u8 = 22;
const TYPE_SCRIPT: u8 = 6;
const COMPRESSION_NONE: u8 = 0;
const NAME_LENGTH: usize = 32;

/// `text` as a file for U-Boot's `source`, and for its search for `boot.scr`. The time in its header is 0, so that the
/// same text gives the same file.
#[must_use]
pub fn image(text: &str, name: &str) -> Vec<u8> {
    let length = text.len() as u32;
    let mut payload = [length.to_be_bytes(), [0; 4]].concat();
    payload.extend(text.as_bytes());
    let mut header = header(&payload, name, 0);
    // The header's checksum is made over the header with zeros in its place.
    let checksum = crc32fast::hash(&header);
    header = self::header(&payload, name, checksum);
    header.extend(payload);
    header
}

fn header(payload: &[u8], name: &str, checksum: u32) -> Vec<u8> {
    let (time, load, entry) = (0_u32, 0_u32, 0_u32);
    let words = [MAGIC, checksum, time, payload.len() as u32, load, entry, crc32fast::hash(payload)];
    let mut header: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    header.extend([OS_LINUX, ARCH_ARM64, TYPE_SCRIPT, COMPRESSION_NONE]);
    let mut field: Vec<u8> = name.bytes().take(NAME_LENGTH - 1).collect();
    field.resize(NAME_LENGTH, 0);
    header.extend(field);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_what_mkimage_writes() {
        // SOURCE_DATE_EPOCH=0 mkimage -A arm64 -O linux -T script -C none -n boot -d (a file with `echo hello`)
        let expected: &[u8] = include_bytes!("echo.scr");
        assert_eq!(image("echo hello\n", "boot"), expected);
    }
}
