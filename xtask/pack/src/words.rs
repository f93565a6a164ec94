//! Instructions: what stands for them, and how that is written.

use std::collections::{BTreeMap, HashMap};

use crate::codes::Code;
use crate::format::{
    ADDRESS, AFTER_REPEAT, CALL, DISTANCE_14, DISTANCE_19, DISTANCE_26, FIELDS, PLACES, PLAIN, RAW,
    REGISTERS, ROWS, START, SYMBOLS, first, more, signed, unsigned,
};
use crate::histogram::Histogram;
use crate::model::{Context, Field};
use crate::repeats::{END, Limits, Repeat, Step, listed, numbers, steps, write};
use crate::split::{Parts, split};
use crate::writer::Writer;

/// What a symbol of a code costs in each field, in bits: how far it is from the one before, its length, and its place in a
/// table.
const EACH: [f64; FIELDS] = [7.0, 6.5, 8.5];
/// Symbols of an alphabet in use: its list's length has ten bits, and one symbol says that something is not in it.
const MOST: usize = SYMBOLS - 24;
/// How often a last field is there to be in its list; a place.
const OFTEN: (usize, usize) = (3, 2);
/// Each round knows better what an instruction costs.
const ROUNDS: usize = 3;

/// What symbols stand for.
struct Lists {
    operations: Vec<u32>,
    values: Vec<u32>,
    calls: Vec<u32>,
    addresses: Vec<u32>,
    repeats: Vec<Repeat>,
}

/// One symbol of a field, or bits as they are.
enum Piece {
    Symbol(usize, Context, u16),
    Raw(u32, u32),
}

/// Writes `words`.
pub fn pack(words: &[u32], out: &mut Writer) -> Result<(), String> {
    let parts = split(words);
    let operations = operations(&parts);
    let limits = Limits { longest: 32, most: MOST - 1 - operations.len(), item: 2.0, repeat: 2.0 };
    let items = items(&parts);
    let mut way: Vec<Step> = (0..words.len()).map(Step::One).collect();
    for _ in 0..ROUNDS {
        let (lists, pieces) = pieces(words, &parts, &operations, &way);
        let anew = bits(&parts, &lists, &fields(&pieces));
        way = steps(&items, &anew, &limits);
    }
    let (lists, pieces) = pieces(words, &parts, &operations, &way);
    let rows: Vec<u16> = (0..operations.len()).chain(PLACES..ROWS).map(|row| row as u16).collect();
    lists.write(out);
    let fields = fields(&pieces);
    for field in &fields {
        field.write(&rows, out)?;
    }
    for piece in pieces {
        match piece {
            Piece::Symbol(field, context, symbol) => out.symbol(fields[field].code(context), symbol),
            Piece::Raw(value, count) => out.raw(value, count),
        }
    }
    Ok(())
}

fn operations(parts: &[Parts]) -> Vec<u32> {
    let mut all: Vec<u32> = parts.iter().map(|part| part.operation).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Numbers for what may be repeated: the same for the same instruction, its own for what may not.
fn items(parts: &[Parts]) -> Vec<u32> {
    let mut known = HashMap::new();
    let mut next = 0;
    parts
        .iter()
        .map(|part| {
            // A reader knows calls by BL and addresses by ADR, and would take raw words, and ADRP, for what they look like.
            let adrp = part.kind() == PLAIN && part.operation & 0x9f00_0000 == 0x9000_0000;
            let once = part.kind() == RAW || part.operation == 0x1400_0000 | CALL || adrp;
            let mut new = || {
                next += 1;
                next
            };
            if once { new() } else { *known.entry(*part).or_insert_with(new) }
        })
        .collect()
}

/// The values that occur at least so often, the more frequent ones if there are too many, in rising order.
fn frequent(values: impl Iterator<Item = u32>, least: usize) -> Vec<u32> {
    let mut uses: BTreeMap<u32, usize> = BTreeMap::new();
    values.for_each(|value| *uses.entry(value).or_default() += 1);
    let mut often: Vec<(u32, usize)> = uses.into_iter().filter(|(_, uses)| *uses >= least).collect();
    often.sort_by_key(|(_, uses)| std::cmp::Reverse(*uses));
    often.truncate(MOST);
    let mut values: Vec<u32> = often.into_iter().map(|(value, _)| value).collect();
    values.sort_unstable();
    values
}

/// What the way through the words is written with.
fn pieces(words: &[u32], parts: &[Parts], operations: &[u32], way: &[Step]) -> (Lists, Vec<Piece>) {
    let said = |kind| {
        let parts =
            way.iter().filter_map(|step| if let Step::One(at) = step { Some(parts[*at]) } else { None });
        parts.filter(move |part| part.kind() == kind).map(|part| part.high)
    };
    let lists = Lists {
        operations: operations.to_vec(),
        values: frequent(said(PLAIN), OFTEN.0),
        calls: frequent(said(CALL), OFTEN.1),
        addresses: frequent(said(ADDRESS), OFTEN.1),
        repeats: listed(way),
    };
    let again = |repeat: &Repeat| (operations.len() + position(&lists.repeats, repeat)) as u16;
    let mut pieces = Vec::new();
    let mut state = State::new();
    for step in way {
        match step {
            Step::One(at) => state.one(*at, &parts[*at], &lists, &mut pieces),
            Step::Again(at, repeat) => {
                pieces.push(Piece::Symbol(0, state.before, again(repeat)));
                let last = words[at + repeat.1 - 1] as usize % REGISTERS;
                state.before = (AFTER_REPEAT as u16, last as u16);
            }
        }
    }
    pieces.push(Piece::Symbol(0, state.before, again(&END)));
    (lists, pieces)
}

struct State {
    /// The row and the register of what was before.
    before: Context,
    /// The last call and the last address that were in no list.
    last: [u32; 2],
    /// The word that the last distance led to.
    target: u32,
}

impl State {
    fn new() -> Self {
        Self { before: (START as u16, 0), last: [0; 2], target: 0 }
    }

    fn one(&mut self, at: usize, part: &Parts, lists: &Lists, out: &mut Vec<Piece>) {
        let operation = position(&lists.operations, &part.operation) as u16;
        out.push(Piece::Symbol(0, self.before, operation));
        if part.kind() < DISTANCE_26 {
            out.push(Piece::Symbol(1, (operation, self.before.1), part.low | part.middle << 5));
        }
        let here = (operation, part.low);
        self.before = here;
        let last = |symbol| Piece::Symbol(2, here, symbol);
        match part.kind() {
            PLAIN => match lists.values.binary_search(&part.high) {
                Ok(at) => out.push(last(at as u16 + 1)),
                Err(_) => out.extend([last(0), Piece::Raw(part.high, 11)]),
            },
            DISTANCE_14 | DISTANCE_19 | DISTANCE_26 => {
                let target = (at as u32).wrapping_add(signed(part.high) as u32);
                let number = if target == self.target { 0 } else { part.high };
                self.target = target;
                out.extend([last(first(number)), rest(number)]);
            }
            RAW => out.extend([last(0), Piece::Raw(part.high, 32)]),
            kind => {
                let list = if kind == CALL { &lists.calls } else { &lists.addresses };
                match list.binary_search(&part.high) {
                    Ok(at) => out.push(last(at as u16 + 1)),
                    Err(_) => {
                        out.push(last(0));
                        self.elsewhere(usize::from(kind == ADDRESS), part.high, out);
                    }
                }
            }
        }
    }

    /// A place that is in no list: how far it is from the last such.
    fn elsewhere(&mut self, which: usize, place: u32, out: &mut Vec<Piece>) {
        let step = unsigned(place.wrapping_sub(self.last[which]) as i32);
        self.last[which] = place;
        out.extend([Piece::Symbol(which, (PLACES as u16, 0), first(step)), rest(step)]);
    }
}

fn rest(number: u32) -> Piece {
    let count = more(number);
    Piece::Raw(number & ((1 << count) - 1), count)
}

fn position<T: Ord>(list: &[T], item: &T) -> usize {
    list.binary_search(item).unwrap_or_else(|_| unreachable!("the list was made of all that there are"))
}

fn fields(pieces: &[Piece]) -> Vec<Field> {
    let of = |which| {
        pieces.iter().filter_map(move |piece| match piece {
            Piece::Symbol(field, context, symbol) if *field == which => Some((*context, *symbol)),
            _ => None,
        })
    };
    EACH.iter().enumerate().map(|(field, each)| Field::new(of(field), *each)).collect()
}

/// About how many bits each word takes if it is said anew.
fn bits(parts: &[Parts], lists: &Lists, fields: &[Field]) -> Vec<f64> {
    let mut state = State::new();
    let mut pieces = Vec::new();
    let bits = |piece: &Piece| match piece {
        Piece::Symbol(field, context, symbol) => fields[*field].bits(*context, *symbol),
        Piece::Raw(_, count) => f64::from(*count),
    };
    let word = |(at, part)| {
        pieces.clear();
        state.one(at, part, lists, &mut pieces);
        pieces.iter().map(bits).sum()
    };
    parts.iter().enumerate().map(word).collect()
}

/// How far each of rising numbers is from the one before.
fn rising(list: &[u32]) -> Vec<u32> {
    let before = [0].iter().chain(list);
    list.iter().zip(before).map(|(number, before)| number - before).collect()
}

impl Lists {
    fn write(&self, out: &mut Writer) {
        let operations: Vec<u32> = self.operations.iter().map(|operation| operation >> 21).collect();
        let others = [&self.values, &self.calls, &self.addresses];
        let all = [&operations].into_iter().chain(others).flat_map(|list| rising(list));
        let code = Code::new(&Histogram::of(all.chain(numbers(&self.repeats)).map(first)));
        code.write(None, out);
        out.raw(operations.len() as u32, 10);
        for (step, operation) in rising(&operations).into_iter().zip(&self.operations) {
            out.number(&code, step);
            out.raw(operation & 7, 3);
        }
        for list in others {
            out.raw(list.len() as u32, 10);
            rising(list).into_iter().for_each(|step| out.number(&code, step));
        }
        write(&self.repeats, &code, out);
    }
}
