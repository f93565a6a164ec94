//! The stream as it is written.

use crate::codes::Code;
use crate::format::{first, more};

/// Bits so far; the first is the highest of the first word.
#[derive(Default)]
pub struct Writer {
    words: Vec<u32>,
    bits: usize,
}

impl Writer {
    /// Writes the `count` lower bits of `value`.
    pub fn raw(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.bits.is_multiple_of(32) {
                self.words.push(0);
            }
            let word = self.words.len() - 1;
            self.words[word] |= (value >> bit & 1) << (31 - self.bits % 32);
            self.bits += 1;
        }
    }

    /// Writes a symbol.
    pub fn symbol(&mut self, code: &Code, symbol: u16) {
        let (bits, length) = code.bits(symbol);
        self.raw(bits, length);
    }

    /// Writes a number whose first bits are a symbol of `code`.
    pub fn number(&mut self, code: &Code, number: u32) {
        self.symbol(code, first(number));
        self.rest(number);
    }

    /// Writes what of a number is behind its symbol.
    pub fn rest(&mut self, number: u32) {
        self.raw(number, more(number));
    }

    /// The words.
    pub fn finish(self) -> Vec<u32> {
        self.words
    }
}
