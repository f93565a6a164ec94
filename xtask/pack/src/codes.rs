//! Canonical Huffman codes of limited length.

use crate::format::{LONGEST, first};
use crate::histogram::Histogram;
use crate::writer::Writer;

/// A shorter table is worth this part of what is written in the code.
const LOSS: u64 = 100;

/// Symbols in rising order with the lengths of their codes, and their codes.
#[derive(Clone, Default)]
pub struct Code {
    symbols: Vec<(u16, u32, u32)>,
}

impl Code {
    /// The code for what occurs as often as `histogram` says; one symbol alone takes no bits. It is as short as it gets
    /// without much loss, because the table it becomes has two to the power of the longest code entries.
    pub fn new(histogram: &Histogram) -> Self {
        let counts = histogram.counts();
        if counts.len() < 2 {
            // A code that nothing is written in has a symbol as well: the table has to be full.
            return Self { symbols: vec![(counts.first().map_or(0, |entry| entry.0), 0, 0)] };
        }
        let cost = |lengths: &[u32]| -> u64 {
            counts.iter().zip(lengths).map(|((_, count), length)| u64::from(count * length)).sum()
        };
        let best = limited(counts, LONGEST);
        let good = cost(&best) + cost(&best) / LOSS;
        let least = (counts.len() - 1).ilog2() as usize + 1;
        let lengths = (least..LONGEST)
            .map(|longest| limited(counts, longest))
            .find(|lengths| cost(lengths) <= good)
            .unwrap_or(best);
        Self::canonical(counts.iter().map(|(symbol, _)| *symbol).zip(lengths))
    }

    fn canonical(symbols: impl Iterator<Item = (u16, u32)>) -> Self {
        let mut symbols: Vec<_> = symbols.map(|(symbol, length)| (symbol, length, 0)).collect();
        let mut code = 0;
        for length in 1..=LONGEST as u32 {
            code <<= 1;
            for (_, _, at) in symbols.iter_mut().filter(|(_, its, _)| *its == length) {
                *at = code;
                code += 1;
            }
        }
        Self { symbols }
    }

    /// The bits of a symbol, and how many they are.
    pub fn bits(&self, symbol: u16) -> (u32, u32) {
        let at = self.symbols.binary_search_by_key(&symbol, |entry| entry.0).unwrap_or_else(|_| {
            unreachable!("the code was made for what is written in it");
        });
        let (_, length, code) = self.symbols[at];
        (code, length)
    }

    /// The numbers that it is written with, behind the length of the longest.
    pub fn steps(&self) -> Vec<u32> {
        let longest = self.longest();
        let mut steps = Vec::new();
        for length in longest.min(1)..=longest {
            let symbols = || self.symbols.iter().filter(|entry| entry.1 == length);
            if length < longest {
                steps.push(symbols().count() as u32);
            }
            let mut next = 0;
            for (symbol, ..) in symbols() {
                steps.push(u32::from(*symbol) - next);
                next = u32::from(*symbol) + 1;
            }
        }
        steps
    }

    /// Writes it, in the code of `steps`, or each number's symbol in seven bits.
    pub fn write(&self, steps: Option<&Code>, out: &mut Writer) {
        out.raw(self.longest(), 4);
        for step in self.steps() {
            match steps {
                Some(code) => out.number(code, step),
                None => {
                    out.raw(first(step).into(), 7);
                    out.rest(step);
                }
            }
        }
    }

    fn longest(&self) -> u32 {
        self.symbols.iter().map(|(_, length, _)| *length).max().unwrap_or(0)
    }
}

/// Lengths of at most `longest` bits, by package-merge (Larmore and Hirschberg, 1990).
fn limited(counts: &[(u16, u32)], longest: usize) -> Vec<u32> {
    type Package = (u64, Vec<usize>);
    let mut leaves: Vec<Package> =
        counts.iter().enumerate().map(|(at, (_, count))| (u64::from(*count), vec![at])).collect();
    leaves.sort_by_key(|leaf| leaf.0);
    let mut packages: Vec<Package> = Vec::new();
    for _ in 0..longest {
        let pairs = packages
            .chunks_exact(2)
            .map(|pair| (pair[0].0 + pair[1].0, [&pair[0].1[..], &pair[1].1].concat()));
        let mut merged: Vec<Package> = pairs.chain(leaves.iter().cloned()).collect();
        merged.sort_by_key(|package| package.0);
        packages = merged;
    }
    let mut lengths = vec![0; counts.len()];
    for (_, leaves) in packages.iter().take(2 * counts.len() - 2) {
        leaves.iter().for_each(|at| lengths[*at] += 1);
    }
    lengths
}
