//! Random numbers for guests, made of those that the boot loader left for the machine.
//!
//! A kernel without a seed gathers noise for minutes, and until it has enough of it works a long time for each random
//! number. So each domain finds an `rng-seed` in its device tree, as Linux knows it, if the machine's tree has one. They differ
//! for each domain and each of its lives, and tell nothing about each other: they are the key stream of ChaCha20 (RFC 8439,
//! section 2.3) with the machine's seed as the key, and domain and life as the nonce.
//!
//! There is no `kaslr-seed`: a Linux that has one takes its own pages away from user space on every core (KPTI), which makes
//! system calls dearer, and then has no place for run-state records: it does not know stolen time.
//!
//! *Trusts* that the machine's seed is as random as it is long: nobody gets more bytes of `rng-seed` than it has.

use crate::addr::{DomainId, Ipa};

/// Bytes of an `rng-seed` at most: what makes a Linux ready.
const MOST: usize = 32;

/// The machine's seed.
#[derive(Clone, Copy)]
pub struct Seed {
    key: [u32; 8],
    size: usize,
}

/// A domain's seed, before each of its lives.
#[derive(Clone, Copy)]
pub struct Seeding {
    /// What it is made of.
    pub seed: Seed,
    /// Whose it is.
    pub domain: DomainId,
    /// Where its value lies in the domain's memory.
    pub at: Ipa,
}

impl Seed {
    /// What the machine's tree has, of more than 32 bytes the first 32; `None` if that is nothing.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut key = [[0; 4]; 8];
        for (to, from) in key.as_flattened_mut().iter_mut().zip(bytes) {
            *to = *from;
        }
        let size = bytes.len().min(MOST);
        (size != 0).then_some(Self { key: key.map(u32::from_le_bytes), size })
    }

    /// How many bytes an `rng-seed` of a domain has.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }
}

impl Seeding {
    /// The value for a life, in the first [`size`](Seed::size) bytes; the first life is number 0.
    #[must_use]
    pub fn draw(&self, life: u32) -> [[u8; 4]; 16] {
        block(&self.seed.key, [0, life, 0, self.domain.get().into()]).map(u32::to_le_bytes)
    }
}

/// A block of ChaCha20's key stream; `last` is the block's counter and the nonce.
fn block(key: &[u32; 8], last: [u32; 4]) -> [u32; 16] {
    let [a, b, c, d, e, f, g, h] = *key;
    let start = [[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574], [a, b, c, d], [e, f, g, h], last];
    let mut state = start;
    for _ in 0..10 {
        // The four columns, then the four diagonals.
        rounds(&mut state, 0);
        rounds(&mut state, 1);
    }
    for (word, start) in state.as_flattened_mut().iter_mut().zip(start.as_flattened()) {
        *word = word.wrapping_add(*start);
    }
    let [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]] = state;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// Four quarter rounds, each on one word of every row: each row is turned by `turn` words more than the one above.
#[inline(never)]
fn rounds(state: &mut [[u32; 4]; 4], turn: usize) {
    let [first, second, third, fourth] = state;
    for (column, a) in first.iter_mut().enumerate() {
        let at = |row| (column + turn * row) % 4;
        let (Some(b), Some(c), Some(d)) =
            (second.get_mut(at(1)), third.get_mut(at(2)), fourth.get_mut(at(3)))
        else {
            return;
        };
        for (one, other) in [(16, 12), (8, 7)] {
            *a = a.wrapping_add(*b);
            *d = (*d ^ *a).rotate_left(one);
            *c = c.wrapping_add(*d);
            *b = (*b ^ *c).rotate_left(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `rng-seed` of a domain in one of its lives.
    fn drawn(machine: &[u8], domain: u16, life: u32) -> Vec<u8> {
        let seed = Seed::new(machine).unwrap();
        let seeding = Seeding { seed, domain: DomainId::new(domain), at: Ipa::new(0) };
        seeding.draw(life).as_flattened()[..seed.size()].to_vec()
    }

    #[test]
    fn the_block_is_that_of_rfc_8439_section_2_3_2() {
        let key =
            [0, 4, 8, 12, 16, 20, 24, 28].map(|first| u32::from_le_bytes([0, 1, 2, 3].map(|i| first + i)));
        let found = block(&key, [1, 0x0900_0000, 0x4a00_0000, 0]);
        assert_eq!(found[..4], [0xe4e7_f110, 0x1559_3bd1, 0x1fdd_0f50, 0xc471_20a3]);
        assert_eq!(found[12..], [0xd19c_12b5, 0xb94e_16de, 0xe883_d0cb, 0x4e3c_50a2]);
    }

    #[test]
    fn every_domain_and_every_life_has_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for domain in 1..4 {
            for life in 0..4 {
                let value = drawn(b"as long as the machine's seed is", domain, life);
                assert_eq!(value.len(), 32);
                assert!(seen.insert(value));
            }
        }
    }

    #[test]
    fn every_byte_counts_and_a_short_seed_is_not_stretched() {
        let whole = [7; MOST];
        let drawn = |bytes: &[u8]| drawn(bytes, 1, 0);
        for changed in 0..MOST {
            let mut other = whole;
            other[changed] ^= 1;
            assert_ne!(drawn(&whole), drawn(&other), "byte {changed}");
        }
        assert_eq!(drawn(b"short").len(), 5);
        assert!(Seed::new(&[]).is_none());
    }
}
