//! The value in `fdt set NODE PROPERTY VALUE...`, as U-Boot reads it (cmd/fdt.c).
//!
//! `<` begins cells, written as in C: decimal, unless they begin with 0x or 0. `[` begins bytes in hexadecimal. Anything
//! else is strings, one a word.

use std::ops::Range;

use super::words::Word;

/// The longest value that U-Boot can set, in bytes.
const LONGEST: usize = 1024;

/// A value, and where each part of it stands.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// As in [`Mark::elements`](crate::check::sources::Mark).
    pub elements: Vec<(usize, Range<usize>)>,
    /// Numbers that do not fit a cell: U-Boot drops their upper bits without a word.
    pub cut: Vec<Range<usize>>,
}

/// Why U-Boot does not take a value.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// In words.
    pub why: String,
    /// Where.
    pub range: Range<usize>,
}

/// Reads a value. `old` is the one that the property has: `?` keeps a part of it.
pub fn read(words: &[Word], old: &[u8]) -> Result<Value, Refused> {
    let Some(first) = words.first() else { return Ok(Value::default()) };
    let value = match first.text.as_bytes().first() {
        Some(b'<') => cells(words, old)?,
        Some(b'[') => bytes(words)?,
        _ => strings(words),
    };
    if value.bytes.len() > LONGEST {
        let why = format!("{} bytes are more than the {LONGEST} that U-Boot can set", value.bytes.len());
        return Err(Refused { why, range: first.range.clone() });
    }
    Ok(value)
}

fn strings(words: &[Word]) -> Value {
    let mut value = Value::default();
    for word in words {
        value.elements.push((value.bytes.len(), word.range.clone()));
        value.bytes.extend(word.text.bytes().chain([0]));
    }
    value
}

fn cells(words: &[Word], old: &[u8]) -> Result<Value, Refused> {
    let mut value = Value::default();
    let mut at = 1;
    for word in words {
        while let Some(rest) = word.text.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with('>') {
                return Ok(value);
            }
            if rest.starts_with(' ') {
                at += 1;
                continue;
            }
            let (number, length) = if rest.starts_with('?') {
                let kept = old.get(value.bytes.len()..).and_then(|rest| rest.first_chunk().copied());
                (u64::from(kept.map_or(0, u32::from_be_bytes)), 1)
            } else {
                number(rest)
            };
            let range = word.part(at..at + length.max(rest.chars().next().map_or(1, char::len_utf8)));
            if length == 0 {
                return Err(Refused {
                    why: format!("\"{rest}\" is not a number to U-Boot"),
                    range: word.range.clone(),
                });
            }
            if number > u64::from(u32::MAX) {
                value.cut.push(range.clone());
            }
            value.elements.push((value.bytes.len(), range));
            value.bytes.extend((number as u32).to_be_bytes());
            at += length;
        }
        at = 0;
    }
    Err(unclosed(words, '>'))
}

fn bytes(words: &[Word]) -> Result<Value, Refused> {
    let mut value = Value::default();
    let mut at = 1;
    for word in words {
        while let Some(rest) = word.text.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(']') {
                return Ok(value);
            }
            let digits = rest.find(|next: char| !next.is_ascii_hexdigit()).unwrap_or(rest.len());
            match rest.get(..digits).and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
                Some(number) => {
                    value.elements.push((value.bytes.len(), word.part(at..at + digits)));
                    value.bytes.push(number as u8);
                    at += digits;
                }
                None if rest.starts_with(' ') => at += 1,
                None => {
                    let why = format!("\"{rest}\" is not a byte in hexadecimal");
                    return Err(Refused { why, range: word.range.clone() });
                }
            }
        }
        at = 0;
    }
    Err(unclosed(words, ']'))
}

fn unclosed(words: &[Word], close: char) -> Refused {
    let start = words.first().map_or(0, |word| word.range.start);
    let end = words.last().map_or(start, |word| word.range.end);
    Refused { why: format!("the value has no '{close}' at its end"), range: start..end }
}

/// A number as C writes it, and how many characters of the text it takes; none if there is none.
fn number(text: &str) -> (u64, usize) {
    let hexadecimal = text.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"))
        && text.as_bytes().get(2).is_some_and(u8::is_ascii_hexdigit);
    let (radix, start) = match hexadecimal {
        true => (16, 2),
        false if text.starts_with('0') => (8, 0),
        false => (10, 0),
    };
    let digits = text.get(start..).unwrap_or_default();
    let length = digits.find(|next: char| !next.is_digit(radix)).unwrap_or(digits.len());
    let number = digits.chars().take(length).filter_map(|digit| digit.to_digit(radix));
    let number = number.fold(0_u64, |sum, digit| sum.wrapping_mul(radix.into()).wrapping_add(digit.into()));
    (number, if length == 0 { 0 } else { start + length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Vec<u8>, String> {
        let mut at = 0;
        let command = super::super::words::next(text, &mut at, &|_| None).unwrap();
        read(&command.words, &[0, 0, 0, 9]).map(|value| value.bytes).map_err(|refused| refused.why)
    }

    #[test]
    fn numbers_are_those_of_c() {
        assert_eq!(value("<0 262144>").unwrap(), [0, 0, 0, 0, 0, 4, 0, 0]);
        assert_eq!(value("<0x10 010 10 >").unwrap(), [0, 0, 0, 16, 0, 0, 0, 8, 0, 0, 0, 10]);
        assert_eq!(value("<? 0x100000002>").unwrap(), [0, 0, 0, 9, 0, 0, 0, 2]);
        // 8 is no octal digit: what looks like one number becomes two cells.
        assert_eq!(value("<08>").unwrap(), [0, 0, 0, 0, 0, 0, 0, 8]);
    }

    #[test]
    fn bytes_and_strings() {
        assert_eq!(value("[de ad 1]").unwrap(), [0xde, 0xad, 1]);
        assert_eq!(value("\"xen,domain\" two").unwrap(), b"xen,domain\0two\0");
        assert_eq!(read(&[], &[]).unwrap().bytes, b"");
    }

    #[test]
    fn what_u_boot_refuses() {
        assert_eq!(value("<&label>").unwrap_err(), "\"&label>\" is not a number to U-Boot");
        assert_eq!(value("<1 2").unwrap_err(), "the value has no '>' at its end");
        assert!(value(&"x".repeat(1024)).is_err());
    }
}
