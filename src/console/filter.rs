//! What of a domain's output reaches the terminal.
//!
//! A domain without the input focus shows text: printable ASCII, tabs, and UTF-8 beyond the control characters.
//! Control characters and escape sequences are swallowed whole, so that one domain can neither move the cursor
//! over another's lines nor leave the remains of its colours there. A domain *with* the focus owns the terminal
//! and passes everything but NUL, or line editing would not work.

/// What one byte of output turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    /// Nothing to show, perhaps not yet.
    Nothing,
    /// One byte.
    Byte(u8),
    /// A two-byte character, held back until its second byte proved harmless.
    Pair(u8, u8),
    /// The end of a line.
    Newline,
    /// A carriage return: the line goes on at its beginning.
    Return,
}

/// The filter of one source: where in an escape sequence or a multi-byte character its output stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Between characters.
    #[default]
    Ground,
    /// After ESC and any intermediate bytes (ECMA-48, 5.4).
    Escape,
    /// In a control sequence, which ends with a byte of 0x40-0x7e.
    Sequence,
    /// In a control string (a window title, say), which ends with BEL or ESC.
    Text,
    /// After 0xc2, which begins the C1 control characters as well as harmless ones.
    Lead,
    /// In a UTF-8 character that lacks so many bytes.
    Rest(u8),
}

impl Filter {
    /// The next byte of a domain that owns the terminal.
    pub fn pass(&mut self, byte: u8) -> Glyph {
        *self = Self::Ground;
        match byte {
            0 => Glyph::Nothing,
            b'\n' => Glyph::Newline,
            b'\r' => Glyph::Return,
            _ => Glyph::Byte(byte),
        }
    }

    /// The next byte of any other source.
    pub fn text(&mut self, byte: u8) -> Glyph {
        let (next, glyph) = match (*self, byte) {
            (_, b'\n') => (Self::Ground, Glyph::Newline),
            (Self::Escape, b'[') => (Self::Sequence, Glyph::Nothing),
            (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') => (Self::Text, Glyph::Nothing),
            (Self::Escape, 0x20..=0x2f) => (Self::Escape, Glyph::Nothing),
            (Self::Escape, _) | (Self::Sequence, 0x40..=0x7e) | (Self::Text, 7) => {
                (Self::Ground, Glyph::Nothing)
            }
            (Self::Sequence | Self::Text, 0x1b) => (Self::Escape, Glyph::Nothing),
            (Self::Sequence | Self::Text, _) => (*self, Glyph::Nothing),
            (Self::Lead, 0xa0..=0xbf) => (Self::Ground, Glyph::Pair(0xc2, byte)),
            (Self::Rest(lacking), 0x80..=0xbf) if lacking > 1 => (Self::Rest(lacking - 1), Glyph::Byte(byte)),
            (Self::Rest(_), 0x80..=0xbf) => (Self::Ground, Glyph::Byte(byte)),
            (Self::Ground | Self::Lead | Self::Rest(_), _) => Self::first(byte),
        };
        *self = next;
        glyph
    }

    /// A byte that begins something.
    fn first(byte: u8) -> (Self, Glyph) {
        match byte {
            b'\t' | 0x20..=0x7e => (Self::Ground, Glyph::Byte(byte)),
            0x1b => (Self::Escape, Glyph::Nothing),
            0xc2 => (Self::Lead, Glyph::Nothing),
            0xc3..=0xdf => (Self::Rest(1), Glyph::Byte(byte)),
            0xe0..=0xef => (Self::Rest(2), Glyph::Byte(byte)),
            0xf0..=0xf4 => (Self::Rest(3), Glyph::Byte(byte)),
            _ => (Self::Ground, Glyph::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &[u8]) -> Vec<u8> {
        let mut filter = Filter::default();
        let mut out = Vec::new();
        for byte in text {
            match filter.text(*byte) {
                Glyph::Byte(one) => out.push(one),
                Glyph::Pair(one, two) => out.extend([one, two]),
                Glyph::Newline => out.push(b'\n'),
                Glyph::Nothing | Glyph::Return => {}
            }
        }
        out
    }

    #[test]
    fn colours_titles_and_cursor_movements_leave_nothing_behind() {
        assert_eq!(shown(b"\x1b[0;32m[ ok ]\x1b[0m done\r\n"), b"[ ok ] done\n");
        assert_eq!(shown(b"\x1b]0;title\x07a\x1b]0;t\x1b\\b\x1b(Bc\x1b[2Jd"), b"abcd");
        assert_eq!(shown(b"\x1b[31\nnext line"), b"\nnext line");
    }

    #[test]
    fn utf8_passes_and_its_control_characters_do_not() {
        assert_eq!(shown("é µ – 🦀\ttab".as_bytes()), "é µ – 🦀\ttab".as_bytes());
        assert_eq!(shown("a\u{9b}2Jb".as_bytes()), b"a2Jb");
        assert_eq!(shown(b"a\x9b\x80b\x07\x08\x7f"), b"ab");
    }

    #[test]
    fn the_owner_of_the_terminal_passes_all_but_nul() {
        let mut filter = Filter::Escape;
        assert_eq!(filter.pass(0x1b), Glyph::Byte(0x1b));
        assert_eq!(filter.pass(b'\r'), Glyph::Return);
        assert_eq!(filter.pass(0), Glyph::Nothing);
    }

    proptest! {
        #[test]
        fn whatever_comes_no_control_character_gets_through(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let shown = shown(&text);
            prop_assert!(shown.iter().all(|byte| !matches!(byte, 0..=8 | 0x0b..=0x1f | 0x7f)));
            let decoded = String::from_utf8_lossy(&shown);
            let control = decoded.chars().any(|letter| ('\u{80}'..='\u{9f}').contains(&letter));
            prop_assert!(!control);
        }
    }
}
