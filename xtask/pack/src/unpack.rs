//! The other reader: unpacks a stream as boot/unpack does, and refuses what that one would trip over.

use crate::format::{
    ADDRESS, AFTER_REPEAT, BYTES, CALL, DIRECT, DISTANCE_14, DISTANCE_19, DISTANCE_26, ENTRIES, FIELDS, KIND,
    LONGEST, PLACES, PLAIN, RAW, REGISTERS, REPEAT_MOST, ROWS, START, SYMBOLS, signed,
};

/// Items, at most: where a repeat is from has 20 bits.
const MOST: usize = 1 << 20;

/// The instructions and the constants of `stream`, or what is wrong with it.
pub fn unpack(stream: &[u32]) -> Result<(Vec<u32>, Vec<u8>), &'static str> {
    let mut bits = Bits { stream, at: 0 };
    let words = words(&mut bits)?;
    let bytes = bytes(&mut bits)?;
    Ok((words, bytes))
}

struct Bits<'stream> {
    stream: &'stream [u32],
    at: usize,
}

impl Bits<'_> {
    /// The next bits, at most 32, without going on; zeros follow the end.
    fn peek(&self, count: u32) -> u32 {
        let word = |at: usize| u64::from(self.stream.get(at).copied().unwrap_or(0));
        let both = word(self.at / 32) << 32 | word(self.at / 32 + 1);
        if count == 0 { 0 } else { (both << (self.at % 32) >> (64 - count)) as u32 }
    }

    fn take(&mut self, count: u32) -> u32 {
        let value = self.peek(count);
        self.at += count as usize;
        value
    }
}

/// A canonical Huffman code, as a table that is indexed by the next bits.
#[derive(Clone, Default)]
struct Code {
    width: u32,
    /// Symbols, and the lengths of their codes.
    table: Vec<(u32, u32)>,
}

impl Code {
    /// Numbers whose symbols are seven bits.
    fn identity() -> Self {
        Self { width: 7, table: (0..128).map(|symbol| (symbol, 7)).collect() }
    }

    fn symbol(&self, bits: &mut Bits) -> Result<u32, &'static str> {
        let (symbol, length) =
            self.table.get(bits.peek(self.width) as usize).ok_or("a code that was not made")?;
        bits.at += *length as usize;
        Ok(*symbol)
    }

    fn number(&self, bits: &mut Bits) -> Result<u32, &'static str> {
        finish(self.symbol(bits)?, bits)
    }

    /// The length of the longest, then for each length how many symbols have it (of the longest, the rest), and how far each
    /// is from the one before. A symbol alone takes no bits.
    fn read(steps: &Self, bits: &mut Bits) -> Result<Self, &'static str> {
        let longest = bits.take(4);
        if longest as usize > LONGEST {
            return Err("a code that is too long");
        }
        let width = longest.max(1);
        let entries = 1 << width;
        let mut table = Vec::new();
        for length in longest.min(1)..=longest {
            let reach = if longest == 0 { entries } else { 1 << (longest - length) };
            let count =
                if length < longest { steps.number(bits)? as usize } else { (entries - table.len()) / reach };
            let mut symbol = 0;
            for _ in 0..count {
                if table.len() + reach > entries {
                    return Err("a table that is too full");
                }
                symbol = steps.number(bits)?.saturating_add(symbol);
                table.extend(std::iter::repeat_n((symbol, length), reach));
                symbol = symbol.saturating_add(1);
            }
        }
        if table.len() == entries { Ok(Self { width, table }) } else { Err("a table that is not full") }
    }
}

/// The number that begins with a symbol.
fn finish(symbol: u32, bits: &mut Bits) -> Result<u32, &'static str> {
    if symbol < DIRECT {
        return Ok(symbol);
    }
    let more = (symbol - DIRECT) / 4 + DIRECT.ilog2() - 2;
    let start = (4 | symbol & 3).checked_shl(more).filter(|start| start >> more > 3);
    Ok(start.ok_or("a number of more than 32 bits")? | bits.take(more))
}

/// The codes of a field.
struct Field {
    codes: Vec<Code>,
    /// Which of them is read, by row and register.
    choices: Vec<usize>,
}

impl Field {
    /// Reads the codes, and which of them is read in which of `rows`. `entries` counts those of all tables.
    fn read(
        rows: impl Iterator<Item = usize>,
        entries: &mut usize,
        bits: &mut Bits,
    ) -> Result<Self, &'static str> {
        let steps = Code::read(&Code::identity(), bits)?;
        let count = bits.take(10);
        let codes = (0..count).map(|_| Code::read(&steps, bits)).collect::<Result<Vec<_>, _>>()?;
        let choice = Code::read(&steps, bits)?;
        *entries += codes.iter().chain([&steps, &choice]).map(|code| code.table.len().max(4)).sum::<usize>();
        if *entries > ENTRIES {
            return Err("more entries of tables than there is room for");
        }
        let mut choices = vec![usize::MAX; ROWS * REGISTERS];
        for row in rows {
            let each = bits.take(1) != 0;
            let mut code = usize::MAX;
            for register in 0..REGISTERS {
                if each || register == 0 {
                    // 0 is the code of the register before.
                    code = (choice.symbol(bits)? as usize).checked_sub(1).unwrap_or(code);
                }
                choices[row * REGISTERS + register] = code;
            }
        }
        Ok(Self { codes, choices })
    }

    fn symbol(&self, row: usize, register: usize, bits: &mut Bits) -> Result<u32, &'static str> {
        self.codes
            .get(self.choices[row * REGISTERS + register])
            .ok_or("a code that is not there")?
            .symbol(bits)
    }
}

/// A list of rising numbers.
fn list(code: &Code, bits: &mut Bits) -> Result<Vec<u32>, &'static str> {
    let mut sum = 0;
    (0..bits.take(10))
        .map(|_| {
            sum = code.number(bits)?.wrapping_add(sum);
            Ok(sum)
        })
        .collect()
}

/// Where repeats are from, and how long they are.
fn repeats(code: &Code, bits: &mut Bits) -> Result<Vec<(usize, usize)>, &'static str> {
    let mut from = 0;
    (0..bits.take(10))
        .map(|_| {
            from += code.number(bits)? as usize;
            let count = code.number(bits)? as usize;
            if count > REPEAT_MOST { Err("a repeat that is too long") } else { Ok((from, count)) }
        })
        .collect()
}

fn words(bits: &mut Bits) -> Result<Vec<u32>, &'static str> {
    let numbers = Code::read(&Code::identity(), bits)?;
    let mut sum = 0;
    let operations = (0..bits.take(10))
        .map(|_| {
            sum = numbers.number(bits)?.wrapping_add(sum);
            Ok(sum << 21 | bits.take(3))
        })
        .collect::<Result<Vec<u32>, &'static str>>()?;
    let lists = [list(&numbers, bits)?, list(&numbers, bits)?, list(&numbers, bits)?];
    let repeats = repeats(&numbers, bits)?;
    if operations.len() > PLACES || operations.len() + repeats.len() > SYMBOLS {
        return Err("more operations than rows, or than symbols with repeats");
    }
    let mut entries = 128 + numbers.table.len().max(4);
    let rows = || (0..operations.len()).chain(PLACES..ROWS);
    let fields: Vec<Field> =
        (0..FIELDS).map(|_| Field::read(rows(), &mut entries, bits)).collect::<Result<_, _>>()?;
    let mut reader = Reader { bits, fields, lists, last: [0; 2], target: 0, words: Vec::new() };
    let mut before = (START, 0);
    loop {
        let symbol = reader.symbol(0, before.0, before.1)? as usize;
        let Some(operation) = operations.get(symbol) else {
            let (from, count) = repeats.get(symbol - operations.len()).ok_or("a repeat that is not there")?;
            if *count == 0 {
                return Ok(reader.words);
            }
            before = (AFTER_REPEAT, reader.again(*from, *count)?);
            continue;
        };
        if reader.words.len() > MOST {
            return Err("more than there is room for");
        }
        before = (symbol, reader.one(symbol, *operation, before.1)?);
    }
}

struct Reader<'bits, 'stream> {
    bits: &'bits mut Bits<'stream>,
    fields: Vec<Field>,
    /// Last fields, calls, addresses; symbol 0 is what is not in the list.
    lists: [Vec<u32>; 3],
    /// The last call and the last address that were not.
    last: [u32; 2],
    /// The word that the last distance led to: a distance of zero does so again.
    target: u32,
    words: Vec<u32>,
}

impl Reader<'_, '_> {
    fn symbol(&mut self, field: usize, row: usize, register: usize) -> Result<u32, &'static str> {
        self.fields[field].symbol(row, register, self.bits)
    }

    /// An instruction that is said anew; answers its first register.
    fn one(&mut self, row: usize, operation: u32, before: usize) -> Result<usize, &'static str> {
        let kind = operation & KIND;
        let registers = if kind < DISTANCE_26 { self.symbol(1, row, before)? } else { 0 };
        let register = registers as usize % REGISTERS;
        let last = self.symbol(2, row, register)?;
        let at = self.words.len() as u32;
        let fields = match kind {
            PLAIN => registers | self.value(last)? << 10,
            DISTANCE_19 => registers | (self.distance(last, at)? & 0x7ffff) << 5,
            DISTANCE_14 => registers & 31 | registers >> 5 << 19 | (self.distance(last, at)? & 0x3fff) << 5,
            DISTANCE_26 => self.distance(last, at)? & 0x3ff_ffff,
            CALL => self.place(last, 0)?.wrapping_sub(at) & 0x3ff_ffff,
            ADDRESS => registers | address(self.place(last, 1)?.wrapping_sub(4 * at)),
            RAW => self.bits.take(32),
            _ => return Err("an operation of no kind"),
        };
        self.words.push(operation & !KIND | fields);
        Ok(register)
    }

    fn value(&mut self, last: u32) -> Result<u32, &'static str> {
        match (last as usize).checked_sub(1) {
            None => Ok(self.bits.take(11)),
            Some(at) => self.lists[0].get(at).copied().ok_or("a last field that is not in the list"),
        }
    }

    fn distance(&mut self, last: u32, at: u32) -> Result<u32, &'static str> {
        if last != 0 {
            self.target = at.wrapping_add(signed(finish(last, self.bits)?) as u32);
        }
        Ok(self.target.wrapping_sub(at))
    }

    fn place(&mut self, last: u32, which: usize) -> Result<u32, &'static str> {
        if let Some(at) = (last as usize).checked_sub(1) {
            return self.lists[1 + which].get(at).copied().ok_or("a place that is not in the list");
        }
        let symbol = self.symbol(which, PLACES, 0)?;
        let step = signed(finish(symbol, self.bits)?) as u32;
        self.last[which] = self.last[which].wrapping_add(step);
        Ok(self.last[which])
    }

    /// Says again what was said at word `from`: calls and addresses keep their place. Answers the last one's first register.
    fn again(&mut self, from: usize, count: usize) -> Result<usize, &'static str> {
        let back =
            self.words.len().checked_sub(from).filter(|back| count <= *back && self.words.len() <= MOST);
        let back = back.ok_or("a repeat of what was not there")? as u32;
        for at in from..from + count {
            let mut word = self.words[at];
            if word >> 26 == 0x25 {
                word = word & 0xfc00_0000 | word.wrapping_sub(back) & 0x3ff_ffff;
            } else if word & 0x1f00_0000 == 0x1000_0000 {
                let far = word >> 5 << 2 | word >> 29 & 3;
                word = word & 0x9f00_001f | address(far.wrapping_sub(4 * back));
            }
            self.words.push(word);
        }
        Ok(self.words.last().map_or(0, |word| *word as usize % REGISTERS))
    }
}

/// The fields of an ADR to a byte so far away.
fn address(far: u32) -> u32 {
    (far >> 2 & 0x7ffff) << 5 | (far & 3) << 29
}

fn bytes(bits: &mut Bits) -> Result<Vec<u8>, &'static str> {
    let numbers = Code::read(&Code::identity(), bits)?;
    let repeats = repeats(&numbers, bits)?;
    if BYTES + repeats.len() > SYMBOLS {
        return Err("more symbols than there are");
    }
    let field = Field::read(0..BYTES / REGISTERS, &mut (128 + numbers.table.len().max(4)), bits)?;
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let before = bytes.last().map_or(0, |byte| usize::from(*byte));
        let symbol = field.symbol(before / REGISTERS, before % REGISTERS, bits)? as usize;
        if symbol < BYTES && bytes.len() < MOST {
            bytes.push(symbol as u8);
            continue;
        }
        let (from, count) =
            *symbol.checked_sub(BYTES).and_then(|at| repeats.get(at)).ok_or("a repeat that is not there")?;
        if count == 0 {
            return Ok(bytes);
        }
        if bytes.len() > MOST {
            return Err("more than there is room for");
        }
        let again = bytes.get(from..from + count).ok_or("a repeat of what was not there")?.to_vec();
        bytes.extend(again);
    }
}
