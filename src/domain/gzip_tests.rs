//! Files that gzip could have written, files that it could not, and what becomes of them.

use std::vec::Vec;

use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;

use super::*;

/// Room for so many bytes.
pub struct Room {
    pub bytes: Vec<u8>,
    pub size: usize,
}

impl Sink for Room {
    fn write(&mut self, bytes: &[u8]) -> bool {
        self.bytes.extend(bytes);
        self.bytes.len() <= self.size
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.add(bytes);
    crc.value()
}

fn with_header(flags: u8, optional: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    file.extend(optional);
    file.extend(compress_to_vec(plain, 6));
    file.extend(crc(plain).to_le_bytes());
    file.extend((plain.len() as u32).to_le_bytes());
    file
}

/// A file as gzip writes it.
pub fn gzip(plain: &[u8]) -> Vec<u8> {
    with_header(0, &[], plain)
}

const LIMIT: u64 = 1 << 30;

fn unpack(file: &[u8], limit: u64, size: usize) -> Result<Vec<u8>, GzipError> {
    let mut room = Room { bytes: Vec::new(), size };
    Gzip::open(file, limit)?.unpack(&mut Workspace::new(), &mut room)?;
    Ok(room.bytes)
}

/// Something that compresses, but not to nothing, and is longer than the window.
fn kernel(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * at / 7) >> 3) as u8).collect()
}

#[test]
fn a_file_unpacks_to_what_went_in() {
    for length in [0, 1, 63, 64, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW + 77] {
        let plain = kernel(length);
        assert_eq!(unpack(&gzip(&plain), LIMIT, length), Ok(plain), "{length}");
    }
}

#[test]
fn every_part_of_a_header_is_skipped() {
    let plain = kernel(100);
    for (flags, optional) in [
        (0b0000_0001, b"".as_slice()),
        (0b0000_1000, b"vmlinuz\0"),
        (0b0001_0000, b"a comment\0"),
        (0b0000_0010, b"\x12\x34"),
        (0b0000_0100, b"\x03\x00abc"),
        (0b0001_1110, b"\x01\x00xname\0comment\0\x12\x34"),
    ] {
        assert_eq!(
            unpack(&with_header(flags, optional, &plain), LIMIT, 100),
            Ok(plain.clone()),
            "{flags:#b}"
        );
    }
    assert_eq!(unpack(&with_header(0x20, &[], &plain), LIMIT, 100), Err(GzipError::BadHeader));
    assert_eq!(unpack(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name", LIMIT, 100), Err(GzipError::TooShort));
    assert_eq!(unpack(b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\xff\xff", LIMIT, 100), Err(GzipError::TooShort));
    assert_eq!(unpack(b"\x1f\x8b", LIMIT, 100), Err(GzipError::TooShort));
}

#[test]
fn the_checksum_is_the_one_of_the_standard() {
    assert_eq!(crc(b"123456789"), 0xcbf4_3926);
}

#[test]
fn the_head_is_read_without_the_rest() {
    let plain = kernel(3 * WINDOW);
    let mut file = gzip(&plain);
    let middle = file.len() / 2;
    file[middle..].fill(0xff);
    let gzip = Gzip::open(&file, u64::from(u32::MAX)).unwrap();
    assert_eq!(gzip.head::<64>(&mut Workspace::new()).unwrap().as_slice(), &plain[..64]);
    let short = self::gzip(&plain[..63]);
    let head = Gzip::open(&short, LIMIT).unwrap().head::<64>(&mut Workspace::new());
    assert_eq!(head, Err(GzipError::WrongSize));
}

#[test]
fn one_workspace_serves_file_after_file_whatever_the_last_one_was() {
    let mut workspace = Workspace::new();
    let plain = kernel(2 * WINDOW);
    let file = gzip(&plain);
    let broken = [&file[..file.len() / 2], &file[file.len() - 8..]].concat();
    for _ in 0..3 {
        let mut room = Room { bytes: Vec::new(), size: usize::MAX };
        assert_eq!(
            Gzip::open(&broken, LIMIT).unwrap().unpack(&mut workspace, &mut room),
            Err(GzipError::Truncated)
        );
        room.bytes.clear();
        assert_eq!(Gzip::open(&file, LIMIT).unwrap().unpack(&mut workspace, &mut room), Ok(()));
        assert_eq!(room.bytes, plain);
    }
}

#[test]
fn each_lie_has_its_name() {
    let plain = kernel(WINDOW + 5);
    let file = gzip(&plain);
    let end = file.len();
    let change = |at: usize, by: u8| {
        let mut file = file.clone();
        file[at] = file[at].wrapping_add(by);
        unpack(&file, LIMIT, usize::MAX)
    };
    assert_eq!(change(end - 8, 1), Err(GzipError::WrongChecksum));
    assert_eq!(change(end - 4, 1), Err(GzipError::WrongSize));
    assert_eq!(change(end - 4, 255), Err(GzipError::WrongSize));
    assert_eq!(change(2, 1), Err(GzipError::BadHeader));
    // The first block's type becomes the reserved one.
    let mut reserved = file.clone();
    reserved[HEADER] |= 0b110;
    assert_eq!(unpack(&reserved, LIMIT, usize::MAX), Err(GzipError::Damaged));
    let limit = plain.len() as u64 - 1;
    assert_eq!(
        unpack(&file, limit, usize::MAX),
        Err(GzipError::TooLarge { size: plain.len() as u64, limit })
    );
    assert_eq!(unpack(&file, LIMIT, plain.len() - 1), Err(GzipError::NoRoom));
    // A module whose `reg` has been rounded up, and one with a second member.
    let padded = [&file[..end - 8], &[0; 3], &file[end - 8..]].concat();
    assert_eq!(unpack(&padded, LIMIT, usize::MAX), Err(GzipError::Excess(3)));
    assert_eq!(unpack(&[file.clone(), vec![0; 64]].concat(), LIMIT, usize::MAX), Err(GzipError::WrongSize));
}

#[test]
fn a_bomb_is_stopped_at_the_size_it_admits() {
    let bomb = gzip(&vec![0; 1 << 24]);
    let mut file = bomb.clone();
    let end = file.len();
    file[end - 4..].copy_from_slice(&1000_u32.to_le_bytes());
    let mut room = Room { bytes: Vec::new(), size: usize::MAX };
    let opened = Gzip::open(&file, LIMIT).unwrap();
    assert_eq!(opened.unpack(&mut Workspace::new(), &mut room), Err(GzipError::WrongSize));
    assert!(room.bytes.len() <= 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 64 }))]

    #[test]
    fn any_bytes_survive_the_way(plain in proptest::collection::vec(any::<u8>(), 0..70_000)) {
        let length = plain.len();
        prop_assert_eq!(unpack(&gzip(&plain), LIMIT, length), Ok(plain));
    }

    #[test]
    fn damage_is_noticed_and_never_overruns(
        length in 0_usize..100_000,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let plain = kernel(length);
        let mut file = gzip(&plain);
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if cuts {
            file.truncate(cut.index(file.len()));
        }
        let mut room = Room { bytes: Vec::new(), size: usize::MAX };
        if let Ok(gzip) = Gzip::open(&file, 1 << 20) {
            let unpacked = gzip.unpack(&mut Workspace::new(), &mut room);
            prop_assert!(room.bytes.len() as u64 <= gzip.size());
            prop_assert!(unpacked.is_err() || room.bytes == plain);
        }
    }

    #[test]
    fn hostile_bytes_end(body in proptest::collection::vec(any::<u8>(), 0..4096), size in 0_u32..1 << 16) {
        let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        file.extend(&body);
        file.extend([0; 4]);
        file.extend(size.to_le_bytes());
        let mut room = Room { bytes: Vec::new(), size: usize::MAX };
        let gzip = Gzip::open(&file, LIMIT).unwrap();
        let _ = gzip.unpack(&mut Workspace::new(), &mut room);
        prop_assert!(room.bytes.len() as u64 <= u64::from(size));
    }
}
