//! Which contexts share a code. A context is a row and a register; what is read in it depends on nothing else.
//!
//! A code of its own fits a context best, but has to be written down, and made into a table at boot. So contexts that resemble each
//! other share one: each, those that are read most first, joins the one that it costs least to join, or founds its own. (To let
//! them move afterwards gains nothing.) A row whose registers differ too little to tell them apart is one context.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::format::{REGISTERS, ROWS, SYMBOLS, first};
use crate::histogram::Histogram;
use crate::logarithm;
use crate::writer::Writer;

/// What the choice of a code costs, in bits.
const CHOICE: f64 = 3.0;
/// If the registers of a row have codes of their own, that is written for all of them: for as many as this, at least.
const CHOICES: f64 = 12.0;

/// A row and a register.
pub type Context = (u16, u16);

/// The codes of a field, and which context has which.
pub struct Field {
    codes: Vec<Code>,
    choices: BTreeMap<Context, usize>,
    /// Rows that have one code for all registers.
    single: Vec<bool>,
    /// What is written in each code, and how much that is, as a logarithm.
    shares: Vec<(Histogram, f64)>,
}

/// What is written in one context, or in one row.
struct Part {
    histogram: Histogram,
    context: Context,
}

/// Contexts that share a code.
struct Cluster {
    histogram: Histogram,
    bits: f64,
}

impl Field {
    /// Finds codes for `symbols`, each in its context, at `each` bits for a symbol of a code.
    pub fn new(symbols: impl Iterator<Item = (Context, u16)>, each: f64) -> Self {
        let mut rows: BTreeMap<u16, BTreeMap<u16, Vec<u16>>> = BTreeMap::new();
        for ((row, register), symbol) in symbols {
            rows.entry(row).or_default().entry(register).or_default().push(symbol);
        }
        let mut parts = Vec::new();
        let mut single = vec![true; ROWS];
        for (row, registers) in rows {
            let all = Histogram::of(registers.values().flatten().copied());
            let apart: Vec<Part> = registers
                .into_iter()
                .map(|(register, symbols)| Part {
                    histogram: Histogram::of(symbols),
                    context: (row, register),
                })
                .collect();
            let bits: f64 = share(&apart, each, 0.0).0.iter().map(|cluster| cluster.bits).sum();
            let choices = CHOICE * (apart.len() as f64).max(CHOICES);
            if bits + choices < all.bits(each) {
                single[usize::from(row)] = false;
                parts.extend(apart);
            } else {
                parts.push(Part { histogram: all, context: (row, 0) });
            }
        }
        let (clusters, homes) = share(&parts, each, CHOICE);
        let choices = parts.iter().map(|part| part.context).zip(homes).collect();
        let codes = clusters.iter().map(|cluster| Code::new(&cluster.histogram)).collect();
        let shares = clusters
            .into_iter()
            .map(|cluster| {
                let total = logarithm::of(cluster.histogram.total());
                (cluster.histogram, total)
            })
            .collect();
        Self { codes, choices, single, shares }
    }

    fn choice(&self, (row, register): Context) -> Option<usize> {
        let register = if self.single[usize::from(row)] { 0 } else { register };
        self.choices.get(&(row, register)).copied()
    }

    /// The code for a context.
    pub fn code(&self, context: Context) -> &Code {
        let choice = self.choice(context).unwrap_or_else(|| unreachable!("a context that was not counted"));
        &self.codes[choice]
    }

    /// About how many bits a symbol takes.
    pub fn bits(&self, context: Context, symbol: u16) -> f64 {
        const UNKNOWN: f64 = 14.0;
        let Some(choice) = self.choice(context) else { return UNKNOWN };
        let (histogram, total) = &self.shares[choice];
        match histogram.counts().binary_search_by_key(&symbol, |entry| entry.0) {
            Ok(at) => total - logarithm::of(histogram.counts()[at].1),
            Err(_) => UNKNOWN,
        }
    }

    /// Writes the codes, and which of them is read where in these rows.
    pub fn write(&self, rows: &[u16], out: &mut Writer) -> Result<(), String> {
        if self.codes.len() >= SYMBOLS {
            return Err(format!("{} codes of a field are too many", self.codes.len()));
        }
        let choices = self.choices(rows);
        let code = Code::new(&Histogram::of(choices.iter().flatten().copied()));
        let all = || self.codes.iter().chain([&code]);
        let steps = Code::new(&Histogram::of(all().flat_map(Code::steps).map(first)));
        steps.write(None, out);
        out.raw(self.codes.len() as u32, 10);
        all().for_each(|code| code.write(Some(&steps), out));
        for row in choices {
            out.raw(u32::from(row.len() > 1), 1);
            row.into_iter().for_each(|choice| out.symbol(&code, choice));
        }
        Ok(())
    }

    /// For each row, the codes of its registers, or the one of all: 0 is the code of the register before, and others count
    /// from 1. A context that does not occur is like the one before.
    fn choices(&self, rows: &[u16]) -> Vec<Vec<u16>> {
        let row = |row: &u16| {
            let registers = if self.single[usize::from(*row)] { 1 } else { REGISTERS as u16 };
            let mut last = 0;
            let choice = |register| {
                let choice = self.choice((*row, register)).map_or(last, |at| at as u16 + 1);
                let said = if choice == last { 0 } else { choice };
                last = choice;
                said
            };
            (0..registers).map(choice).collect()
        };
        rows.iter().map(row).collect()
    }
}

/// Clusters for `parts`, and which of them each part is in. A part joins another as long as that costs less than a code of its own
/// and `choice` bits.
fn share(parts: &[Part], each: f64, choice: f64) -> (Vec<Cluster>, Vec<usize>) {
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut homes = vec![0; parts.len()];
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(parts[*at].histogram.total()));
    for at in order {
        let part = &parts[at].histogram;
        let own = part.bits(each);
        let prices = clusters.iter().map(|cluster| cluster.histogram.bits_with(part, each) - cluster.bits);
        let nearest = prices.enumerate().min_by(|one, other| one.1.total_cmp(&other.1));
        homes[at] =
            nearest.filter(|(_, price)| *price < own + choice).map_or(clusters.len(), |nearest| nearest.0);
        match clusters.get_mut(homes[at]) {
            Some(home) => {
                home.histogram = home.histogram.with(part);
                home.bits = home.histogram.bits(each);
            }
            None => clusters.push(Cluster { histogram: part.clone(), bits: own }),
        }
    }
    (clusters, homes)
}
