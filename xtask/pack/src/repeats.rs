//! What is said again, instead of being said anew.

use std::collections::HashMap;

use crate::codes::Code;
use crate::format::REPEAT_MOST;
use crate::logarithm::log2;
use crate::writer::Writer;

/// First item and number of items, of what is repeated.
pub type Repeat = (usize, usize);

/// A repeat of nothing ends all.
pub const END: Repeat = (0, 0);

/// A step through the items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The item at this place.
    One(usize),
    /// Again, at this place, what is in the list of repeats.
    Again(usize, Repeat),
}

/// What repeats may be, and what is weighed beside the bits that all takes: time at boot, in bits.
pub struct Limits {
    /// The longest repeat, in items.
    pub longest: usize,
    /// The most repeats in the list.
    pub most: usize,
    /// For each item that is said anew.
    pub item: f64,
    /// For each repeat.
    pub repeat: f64,
}

/// About what a place in the list costs, in bits.
const PLACE: f64 = 20.0;
/// About what part of a repeat's bits is left in a code for what it follows.
const LEFT: f64 = 0.9;
/// What the first round takes a repeat to cost, in bits.
const UNKNOWN: f64 = 12.0;
const ROUNDS: usize = 6;

/// The way through `items`, each of which costs so many bits if it is said anew, that costs least.
pub fn steps(items: &[u32], bits: &[f64], limits: &Limits) -> Vec<Step> {
    let starts = starts(items, limits.longest);
    let mut known: Option<Uses> = None;
    let mut way = Vec::new();
    for round in 0..ROUNDS {
        way = cheapest(bits, &starts, limits, |repeat| match &known {
            None => Some(UNKNOWN),
            Some(uses) => uses.price(repeat),
        });
        // Fewer in each round, so that what loses its place can be made of what keeps it.
        let last = round + 2 >= ROUNDS;
        known = Some(Uses::of(&way, bits, limits, last));
    }
    let known = known.unwrap_or_default();
    way.into_iter()
        .flat_map(|step| match step {
            Step::Again(at, repeat) if !known.uses.contains_key(&repeat) => {
                (at..at + repeat.1).map(Step::One).collect()
            }
            step => vec![step],
        })
        .collect()
}

/// How often what is in the list of repeats is used.
#[derive(Default)]
struct Uses {
    uses: HashMap<Repeat, f64>,
    steps: f64,
}

impl Uses {
    /// Those of a way that are worth their place, and if it is the last that are not too many.
    fn of(way: &[Step], bits: &[f64], limits: &Limits, last: bool) -> Self {
        let steps = way.len() as f64;
        let mut uses: HashMap<Repeat, f64> = HashMap::new();
        for step in way {
            if let Step::Again(_, repeat) = step {
                *uses.entry(*repeat).or_default() += 1.0;
            }
        }
        let gain = |(from, count): Repeat, uses: f64| {
            let anew: f64 = bits[from..from + count].iter().map(|bits| bits + limits.item).sum();
            uses * (anew - limits.repeat - log2(steps / uses) * LEFT) - PLACE
        };
        let gains = uses.iter().map(|(repeat, uses)| (gain(*repeat, *uses), *repeat));
        let mut gains: Vec<(f64, Repeat)> = gains.filter(|(gain, _)| *gain > 0.0).collect();
        gains.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        gains.truncate(if last { limits.most } else { limits.most.max(gains.len() * 6 / 10) });
        let uses = gains.into_iter().map(|(_, repeat)| (repeat, uses[&repeat])).collect();
        Self { uses, steps }
    }

    /// About what a repeat costs, if it is in the list.
    fn price(&self, repeat: Repeat) -> Option<f64> {
        self.uses.get(&repeat).map(|uses| log2(self.steps / uses) * LEFT + PLACE / uses)
    }
}

/// The repeats of a way, and the end, in rising order.
pub fn listed(way: &[Step]) -> Vec<Repeat> {
    let again = |step: &Step| if let Step::Again(_, repeat) = step { Some(*repeat) } else { None };
    let mut repeats: Vec<Repeat> = way.iter().filter_map(again).chain([END]).collect();
    repeats.sort_unstable();
    repeats.dedup();
    repeats
}

/// The numbers that a list is written with: how far each repeat is from the one before, and its length.
pub fn numbers(repeats: &[Repeat]) -> Vec<u32> {
    let before = [END].iter().chain(repeats);
    repeats
        .iter()
        .zip(before)
        .flat_map(|(repeat, before)| [(repeat.0 - before.0) as u32, repeat.1 as u32])
        .collect()
}

/// Writes a list in a code for its numbers.
pub fn write(repeats: &[Repeat], code: &Code, out: &mut Writer) {
    out.raw(repeats.len() as u32, 10);
    numbers(repeats).into_iter().for_each(|number| out.number(code, number));
}

/// For each place, what was said before and is said there again.
fn starts(items: &[u32], longest: usize) -> Vec<Vec<Repeat>> {
    let mut starts = vec![Vec::new(); items.len()];
    // Places where as many items as in the last round are said more than once.
    let mut places: Vec<usize> = (0..items.len()).collect();
    for count in 1..=longest.min(REPEAT_MOST) {
        let mut firsts: HashMap<&[u32], (usize, usize)> = HashMap::new();
        places.retain(|at| at + count <= items.len());
        for at in &places {
            firsts.entry(&items[*at..at + count]).or_insert((*at, 0)).1 += 1;
        }
        places.retain(|at| firsts[&items[*at..at + count]].1 > 1);
        for at in &places {
            let (from, _) = firsts[&items[*at..at + count]];
            if from + count <= *at {
                starts[*at].push((from, count));
            }
        }
    }
    starts
}

fn cheapest(
    bits: &[f64],
    starts: &[Vec<Repeat>],
    limits: &Limits,
    price: impl Fn(Repeat) -> Option<f64>,
) -> Vec<Step> {
    let mut best = vec![(f64::INFINITY, Step::One(0)); bits.len() + 1];
    best[0].0 = 0.0;
    for at in 0..bits.len() {
        let here = best[at].0;
        let anew = here + bits[at] + limits.item;
        if anew < best[at + 1].0 {
            best[at + 1] = (anew, Step::One(at));
        }
        for repeat in &starts[at] {
            let Some(price) = price(*repeat) else { continue };
            let end = &mut best[at + repeat.1];
            let price = price + limits.repeat;
            if here + price < end.0 {
                *end = (here + price, Step::Again(at, *repeat));
            }
        }
    }
    let mut way = Vec::new();
    let mut end = bits.len();
    while end > 0 {
        let step = best[end].1;
        way.push(step);
        end = match step {
            Step::One(at) | Step::Again(at, _) => at,
        };
    }
    way.reverse();
    way
}
