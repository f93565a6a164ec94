//! How often each symbol occurs, and what it would cost to write that.

use std::collections::BTreeMap;

use crate::logarithm;

/// What a code costs beside its symbols, in bits: its lengths are written down, and its table is made at boot.
const CODE: f64 = 40.0;

/// Symbols in rising order, each with how often it occurs.
#[derive(Clone, Default)]
pub struct Histogram {
    counts: Vec<(u16, u32)>,
}

impl Histogram {
    /// That of `symbols`.
    pub fn of(symbols: impl IntoIterator<Item = u16>) -> Self {
        let mut counts: BTreeMap<u16, u32> = BTreeMap::new();
        symbols.into_iter().for_each(|symbol| *counts.entry(symbol).or_default() += 1);
        Self { counts: counts.into_iter().collect() }
    }

    /// Symbols and how often each occurs.
    pub fn counts(&self) -> &[(u16, u32)] {
        &self.counts
    }

    /// How many symbols there are, each as often as it occurs.
    pub fn total(&self) -> u32 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// The sum of both.
    pub fn with(&self, other: &Self) -> Self {
        let mut counts = Vec::with_capacity(self.counts.len() + other.counts.len());
        merge(&self.counts, &other.counts, |symbol, one, two| counts.push((symbol, one + two)));
        Self { counts }
    }

    /// Bits of all of `self` and `other` in one code, and of that code itself at `each` bits a symbol.
    pub fn bits_with(&self, other: &Self, each: f64) -> f64 {
        let mut bits = Bits::default();
        merge(&self.counts, &other.counts, |_, one, two| bits.add(one + two));
        bits.sum(each)
    }

    /// Bits of all of it in a code of its own, and of that code itself at `each` bits a symbol.
    pub fn bits(&self, each: f64) -> f64 {
        self.bits_with(&Self::default(), each)
    }
}

/// Calls `each` with all symbols of both and how often they occur.
fn merge(left: &[(u16, u32)], right: &[(u16, u32)], mut each: impl FnMut(u16, u32, u32)) {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let symbol = match (left.peek(), right.peek()) {
            (Some(one), Some(two)) => one.0.min(two.0),
            (Some(only), None) | (None, Some(only)) => only.0,
            (None, None) => return,
        };
        let count = |entry: Option<&(u16, u32)>| entry.map_or(0, |entry| entry.1);
        let (one, two) = (left.next_if(|entry| entry.0 == symbol), right.next_if(|entry| entry.0 == symbol));
        each(symbol, count(one), count(two));
    }
}

#[derive(Default)]
struct Bits {
    total: u32,
    logarithms: f64,
    symbols: u32,
}

impl Bits {
    fn add(&mut self, count: u32) {
        self.total += count;
        self.logarithms += weighted(count);
        self.symbols += 1;
    }

    fn sum(&self, each: f64) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        weighted(self.total) - self.logarithms + each * f64::from(self.symbols) + CODE
    }
}

/// A number times its logarithm.
fn weighted(count: u32) -> f64 {
    f64::from(count) * logarithm::of(count)
}
