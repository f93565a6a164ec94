//! Constants: bytes, each in a code for the one before it, and repeats of them.

use crate::codes::Code;
use crate::format::{BYTES, REGISTERS, SYMBOLS, first};
use crate::histogram::Histogram;
use crate::model::{Context, Field};
use crate::repeats::{END, Limits, Repeat, Step, listed, numbers, steps, write};
use crate::writer::Writer;

/// What a symbol of a code costs, in bits: how far it is from the one before, its length, and its place in a table.
const EACH: f64 = 6.0;
const LIMITS: Limits = Limits { longest: 96, most: SYMBOLS - BYTES - 8, item: 4.0, repeat: 2.0 };
/// Each round knows better what a byte costs.
const ROUNDS: usize = 3;

/// Writes `bytes`.
pub fn pack(bytes: &[u8], out: &mut Writer) -> Result<(), String> {
    let items: Vec<u32> = bytes.iter().map(|byte| u32::from(*byte)).collect();
    let mut way: Vec<Step> = (0..bytes.len()).map(Step::One).collect();
    for _ in 0..ROUNDS {
        let field = Field::new(symbols(bytes, &way, &listed(&way)).into_iter(), EACH);
        let before = [0].iter().chain(bytes);
        let anew = before.zip(bytes).map(|(before, byte)| field.bits(context(*before), u16::from(*byte)));
        way = steps(&items, &anew.collect::<Vec<_>>(), &LIMITS);
    }
    let repeats = listed(&way);
    let symbols = symbols(bytes, &way, &repeats);
    let field = Field::new(symbols.iter().copied(), EACH);
    let code = Code::new(&Histogram::of(numbers(&repeats).into_iter().map(first)));
    code.write(None, out);
    write(&repeats, &code, out);
    field.write(&Vec::from_iter(0..(BYTES / REGISTERS) as u16), out)?;
    for (context, symbol) in symbols {
        out.symbol(field.code(context), symbol);
    }
    Ok(())
}

fn context(before: u8) -> Context {
    (u16::from(before) / REGISTERS as u16, u16::from(before) % REGISTERS as u16)
}

/// The symbols of the way through `bytes`, each in its context.
fn symbols(bytes: &[u8], way: &[Step], repeats: &[Repeat]) -> Vec<(Context, u16)> {
    let again = |repeat: &Repeat| (BYTES + repeats.partition_point(|other| other < repeat)) as u16;
    let mut before = 0;
    let mut symbols: Vec<(Context, u16)> = way
        .iter()
        .map(|step| {
            let (symbol, last) = match step {
                Step::One(at) => (u16::from(bytes[*at]), bytes[*at]),
                Step::Again(at, repeat) => (again(repeat), bytes[at + repeat.1 - 1]),
            };
            let here = context(std::mem::replace(&mut before, last));
            (here, symbol)
        })
        .collect();
    symbols.push((context(before), again(&END)));
    symbols
}
