//! What the writer and the two readers of a stream agree on. The reader that runs at boot has the same numbers
//! (boot/unpack/src/unpack.S).
//!
//! # How a stream is made
//!
//! An A64 instruction says little that its neighbours do not foretell. Each word of code is taken apart into an
//! *operation* (bits 31:21, and the [kind](KIND) of what else is in it), the registers in bits 9:0, and the *last* field, bits
//! 20:10. Each is a *symbol* in a Huffman code that was made for what it follows: the operation for the one before it and that
//! one's register, the rest for the operation and a register. Short distances are symbols, calls and addresses are the place
//! they name, so that the same function has the same name everywhere. What was said before, a *repeat*, is an operation of
//! its own. Constants are bytes, each in a code for the one before it, and repeats of them.
//!
//! # What is in it, in this order
//!
//! Of the instructions: a code for numbers ([`steps`](crate::codes)); lists of operations, last fields, calls, addresses and
//! repeats; for each field its codes, and which of them is read where ([`model`](crate::model)); the symbols. A repeat of
//! nothing is the end. Of the constants: a code for numbers, a list of repeats, codes, which of them is read where, symbols.

/// Registers, and so codes of a field in a row.
pub const REGISTERS: usize = 32;
/// Fields of an instruction: the operation that follows, the registers in bits 9:0, and the last.
pub const FIELDS: usize = 3;
/// Rows of codes: one for each operation, and the three below.
pub const ROWS: usize = 256;
/// The row of codes for places that are not in a list: of a call, of an address.
pub const PLACES: usize = ROWS - 3;
/// The row of what follows a repeat.
pub const AFTER_REPEAT: usize = ROWS - 2;
/// The row of what is first.
pub const START: usize = ROWS - 1;
/// Symbols: one has ten bits in an entry of a table.
pub const SYMBOLS: usize = 1024;
/// Entries of all tables, those of the numbers in seven bits among them.
pub const ENTRIES: usize = 80 << 10;
/// The longest code of a symbol, in bits: three are taken from 32.
pub const LONGEST: usize = 10;

/// The low bits of an operation: what becomes of the fields.
pub const KIND: u32 = 7;
/// They are in the instruction as they are.
pub const PLAIN: u32 = 0;
/// The last is a distance in words, in bits 23:5.
pub const DISTANCE_19: u32 = 1;
/// The last is a distance in words, in bits 18:5, and the second register is in bits 23:19.
pub const DISTANCE_14: u32 = 2;
/// The last is the byte that bits 23:5 and 30:29 are the distance of.
pub const ADDRESS: u32 = 3;
/// There is a distance in words, in bits 25:0, and nothing else.
pub const DISTANCE_26: u32 = 4;
/// There is the word that bits 25:0 are the distance of, and nothing else.
pub const CALL: u32 = 5;
/// Nothing is known of it: the next 32 bits.
pub const RAW: u32 = 6;

/// A number below is a symbol. From there on, every four symbols have one bit more behind them.
pub const DIRECT: u32 = 64;

/// Symbols of constants that are bytes; those above are repeats.
pub const BYTES: usize = 256;

/// The longest repeat, in items: nine bits. Where it is from has the 20 above them.
pub const REPEAT_MOST: usize = (1 << 9) - 1;

/// The symbol that a number begins with.
pub fn first(number: u32) -> u16 {
    if number < DIRECT {
        return number as u16;
    }
    let bits = number.ilog2();
    (DIRECT + ((bits - DIRECT.ilog2()) << 2) + (number >> (bits - 2) & 3)) as u16
}

/// How many bits of it follow its symbol.
pub fn more(number: u32) -> u32 {
    if number < DIRECT { 0 } else { number.ilog2() - 2 }
}

/// A number for one with a sign: the sign is bit 0.
pub fn unsigned(number: i32) -> u32 {
    (number << 1 ^ number >> 31) as u32
}

/// The number with a sign that it is for.
pub fn signed(number: u32) -> i32 {
    (number >> 1) as i32 ^ -((number & 1) as i32)
}
