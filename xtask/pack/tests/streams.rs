//! What is packed is unpacked again, whatever it is; and the two readers of a stream have the same numbers.

use portunus_pack::{pack, unpack};
use proptest::collection::vec;
use proptest::prelude::*;

/// Words that look like instructions with few registers, of every kind that is packed differently, and some that do not.
fn instruction() -> impl Strategy<Value = u32> {
    let near = -40i32..40;
    let far = -0x8000i32..0x8000;
    let distance = prop_oneof![near, far];
    let fields = (0u32..4, 0u32..4, 0u32..64);
    prop_oneof![
        4 => fields.prop_map(|(low, middle, last)| 0xf940_0000 | last << 10 | middle << 5 | low),
        2 => (0u32..4, 0u32..4).prop_map(|(low, last)| 0xaa00_03e0 | last << 16 | low),
        2 => distance.clone().prop_map(|far| 0x9400_0000 | far as u32 & 0x3ff_ffff),
        2 => distance.clone().prop_map(|far| 0x1400_0000 | far as u32 & 0x3ff_ffff),
        2 => distance.clone().prop_map(|far| 0x5400_0000 | (far as u32 & 0x7_ffff) << 5),
        1 => distance.clone().prop_map(|far| 0x3600_0000 | (far as u32 & 0x3fff) << 5 | 0x18_0003),
        1 => (distance.clone(), 0u32..4).prop_map(|(far, low)| 0x1000_0000 | low << 29 | (far as u32 & 0x7_ffff) << 5),
        1 => distance.prop_map(|far| 0x9000_0000 | (far as u32 & 0x7_ffff) << 5),
        1 => any::<u32>(),
    ]
}

/// Some of them, and some of those again.
fn code() -> impl Strategy<Value = Vec<u32>> {
    (vec(instruction(), 0..400), vec((0usize..400, 0usize..60), 0..12)).prop_map(|(mut words, again)| {
        for (from, count) in again {
            let part: Vec<u32> = words.iter().skip(from).take(count).copied().collect();
            words.extend(part);
        }
        words
    })
}

fn constants() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..600),
        vec(97u8..101, 0..600),
        vec(Just(b"a diagnostic".to_vec()), 0..40).prop_map(|parts| parts.concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn what_is_packed_comes_back(words in code(), bytes in constants()) {
        let stream = pack(&words, &bytes).map_err(TestCaseError::fail)?;
        prop_assert_eq!(unpack(&stream), Ok((words, bytes)));
    }

    #[test]
    fn a_stream_that_nobody_packed_is_refused_or_comes_to_an_end(stream in vec(any::<u32>(), 0..200)) {
        let _ = unpack(&stream);
    }
}

#[test]
fn nothing_is_packed_as_well() {
    let stream = pack(&[], &[]).expect("nothing is not too much");
    assert_eq!(unpack(&stream), Ok((Vec::new(), Vec::new())));
}

#[test]
fn instructions_of_one_kind_take_no_room() {
    let nops = [0xd503_201f; 4096];
    let stream = pack(&nops, &[0; 4096]).expect("it is not too much");
    assert!(stream.len() < 64, "{} words", stream.len());
}

#[test]
fn more_operations_than_there_are_rows_for_are_written_as_they_are() {
    // Each upper half occurs often enough to be an operation of its own.
    let words: Vec<u32> = (0..2048 * 4).map(|number| (number % 2048) << 21 | number).collect();
    let stream = pack(&words, &[]).expect("it fits the rows");
    assert_eq!(unpack(&stream), Ok((words, Vec::new())));
}

#[test]
fn an_instruction_that_branches_to_itself_is_not_the_last_target_again() {
    let words = [0x1400_0010, 0x1400_0000, 0x5400_0000, 0x3600_0000, 0x9400_0000, 0x1000_0000].repeat(8);
    let stream = pack(&words, &[]).expect("it is not too much");
    assert_eq!(unpack(&stream), Ok((words, Vec::new())));
}

#[test]
fn the_same_is_packed_the_same() {
    let words: Vec<u32> =
        (0..3000u32).map(|number| 0xf940_0000 | number.wrapping_mul(0x9e37_79b9) >> 12).collect();
    let bytes: Vec<u8> = words.iter().map(|word| *word as u8).collect();
    assert_eq!(pack(&words, &bytes), pack(&words, &bytes));
}

#[test]
fn the_front_has_the_numbers_of_the_writer() {
    let front = include_str!("../../../boot/unpack/src/unpack.S");
    let writer = include_str!("../src/format.rs");
    let said = |text: &str, name: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(name).map(str::to_owned))
    };
    for (theirs, ours) in [
        (".equ    ROWS, 256 << ROW_BITS", "pub const ROWS: usize = 256;"),
        (".equ    PLACES, 253 << ROW_BITS", "pub const PLACES: usize = ROWS - 3;"),
        (".equ    ENTRIES, 2 * (80 << 10)", "pub const ENTRIES: usize = 80 << 10;"),
        (".equ    DIRECT, 64", "pub const DIRECT: u32 = 64;"),
    ] {
        assert!(said(front, theirs).is_some(), "no `{theirs}` in unpack.S");
        assert!(said(writer, ours).is_some(), "no `{ours}` in format.rs");
    }
}
