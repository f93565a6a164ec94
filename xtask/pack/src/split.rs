//! A64 instructions as operations and fields (Arm ARM DDI 0487, C4.1).

use std::collections::{BTreeMap, HashSet};

use crate::format::{
    ADDRESS, CALL, DISTANCE_14, DISTANCE_19, DISTANCE_26, KIND, PLACES, PLAIN, RAW, unsigned,
};

/// An instruction taken apart. What it names is said as the decoder has it: a place, or a distance with its sign in bit 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Parts {
    /// Bits 31:21 in place, the kind below.
    pub operation: u32,
    /// Bits 4:0.
    pub low: u16,
    /// Bits 9:5.
    pub middle: u16,
    /// Whatever is left.
    pub high: u32,
}

impl Parts {
    /// What becomes of the fields.
    pub fn kind(&self) -> u32 {
        self.operation & KIND
    }
}

/// An operation that is rarer than this is not worth a row.
const SELDOM: usize = 3;
/// Operations that are kept apart, at most: that of what is [`RAW`] comes to them.
const MOST: usize = PLACES - 1;
/// A branch that goes further, in words, leaves its function.
const NEAR: i32 = 512;

/// Takes all of them apart.
pub fn split(words: &[u32]) -> Vec<Parts> {
    let calls = (0..).zip(words).filter(|(_, word)| **word >> 26 == 0x25);
    let called: HashSet<u32> = calls.map(|(at, word)| place(at, *word)).collect();
    let mut parts: Vec<Parts> = (0..).zip(words).map(|(at, word)| part(at, *word, &called)).collect();
    let mut uses: BTreeMap<u32, usize> = BTreeMap::new();
    parts.iter().for_each(|part| *uses.entry(part.operation).or_default() += 1);
    let mut often: Vec<(u32, usize)> = uses.into_iter().filter(|(_, uses)| *uses >= SELDOM).collect();
    often.sort_by_key(|(_, uses)| std::cmp::Reverse(*uses));
    let kept: HashSet<u32> = often.into_iter().take(MOST).map(|(operation, _)| operation).collect();
    for (part, word) in parts.iter_mut().zip(words) {
        if !kept.contains(&part.operation) {
            *part = raw(*word);
        }
    }
    parts
}

fn raw(word: u32) -> Parts {
    Parts { operation: RAW, low: 0, middle: 0, high: word }
}

/// The word that bits 25:0 are the distance of.
fn place(at: u32, word: u32) -> u32 {
    at.wrapping_add(((word << 6) as i32 >> 6) as u32)
}

fn part(at: u32, word: u32, called: &HashSet<u32>) -> Parts {
    let low = (word & 31) as u16;
    let field = |from: u32, bits: u32| ((word << (32 - from - bits)) as i32) >> (32 - bits);
    let distance = |from, bits| unsigned(field(from, bits));
    let of = |operation, low, middle, high| Parts { operation, low, middle, high };
    match word >> 24 {
        0x94..=0x97 => of(0x9400_0000 | CALL, 0, 0, place(at, word)),
        0x14..=0x17 => {
            let target = place(at, word);
            if field(0, 26) == 0 || field(0, 26).abs() >= NEAR || called.contains(&target) {
                of(0x1400_0000 | CALL, 0, 0, target)
            } else {
                of(0x1400_0000 | DISTANCE_26, 0, 0, distance(0, 26))
            }
        }
        // A distance of none says something else than itself in the stream.
        0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 if field(5, 19) == 0 => raw(word),
        0x36 | 0x37 | 0xb6 | 0xb7 if field(5, 14) == 0 => raw(word),
        0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 => of(word & 0xff00_0000 | DISTANCE_19, low, 0, distance(5, 19)),
        0x36 | 0x37 | 0xb6 | 0xb7 => {
            of(word & 0xff00_0000 | DISTANCE_14, low, (word >> 19 & 31) as u16, distance(5, 14))
        }
        0x10 | 0x30 | 0x50 | 0x70 => {
            let far = field(5, 19) << 2 | (word >> 29 & 3) as i32;
            of(0x1000_0000 | ADDRESS, low, 0, (4 * at).wrapping_add(far as u32))
        }
        _ => of(word & 0xffe0_0000 | PLAIN, low, (word >> 5 & 31) as u16, word >> 10 & 0x7ff),
    }
}
