//! Whose byte goes to the UART next, and what is written around it.
//!
//! Sources take turns by lines (or by 256 bytes of a longer one), so that a domain that prints without end shares
//! the UART with the others. Every line begins with the name of its source. A line on the terminal may still be
//! open when another source's turn comes: then a line break goes first, and the open line, when it goes on,
//! begins again with its name.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arrayvec::ArrayVec;

use super::filter::{Filter, Glyph};
use super::stream::LONGEST_LINE;
use super::{Source, Uart};

/// Bytes of sources handled in one go, so that nobody is kept at it while the UART is infinitely fast (as
/// emulated ones are).
const BUDGET: u32 = 1024;
/// Longest name in front of a line, in bytes, with its parentheses and space.
pub(super) const LONGEST_PREFIX: usize = 40;
/// Most that one byte of a source turns into: a line break, a name, a two-byte character, and some air.
const CHUNK: usize = LONGEST_PREFIX + 8;

/// Where the next byte of a source would appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    /// On a line of its own, which does not exist yet.
    Fresh,
    /// At the beginning of the line that it has begun already.
    Returned,
    /// Behind what it wrote.
    Inside,
}

#[derive(Debug)]
struct Face {
    column: Column,
    filter: Filter,
}

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Every source is empty.
    Nothing,
    /// The UART is full, or the budget spent.
    Something,
    /// Others have lines, and wait until this time for the unfinished one to end.
    Held(u64),
}

/// The state of whoever feeds the UART.
#[derive(Debug)]
pub(super) struct Drain {
    /// Bytes chosen but not yet taken by the UART, oldest first, from `sent` on.
    chunk: ArrayVec<u8, CHUNK>,
    sent: usize,
    /// Whose turn it is, and how many bytes of it are left.
    turn: usize,
    quantum: u32,
    /// Whose unfinished line is the last on the terminal.
    open: Option<usize>,
    /// When something was last added to it, and for how long from then it keeps others waiting.
    heard: u64,
    patience: u64,
    faces: Box<[Face]>,
}

impl Drain {
    /// For `sources` sources, or `None` if there is no memory.
    pub(super) fn new(sources: usize, patience: u64) -> Option<Self> {
        let mut faces = Vec::new();
        faces.try_reserve_exact(sources).ok()?;
        faces.resize_with(sources, || Face { column: Column::Fresh, filter: Filter::default() });
        Some(Self {
            chunk: ArrayVec::new(),
            sent: 0,
            turn: 0,
            quantum: LONGEST_LINE,
            open: None,
            heard: 0,
            patience,
            faces: faces.into_boxed_slice(),
        })
    }

    /// Feeds the UART until it is full, there is nothing left, or the budget is spent. `focus` names the source
    /// that owns the terminal.
    pub(super) fn run(&mut self, sources: &[Source], focus: Option<usize>, uart: &impl Uart) -> Rest {
        for _ in 0..=BUDGET {
            if !self.send(uart) {
                return Rest::Something;
            }
            let held = self.held(focus, uart);
            let Some((source, byte)) = self.next(sources, focus, held.is_some()) else {
                return held.filter(|_| any_line(sources)).map_or(Rest::Nothing, Rest::Held);
            };
            self.heard = uart.now();
            self.render(sources, source, byte, focus == Some(source));
        }
        Rest::Something
    }

    fn send(&mut self, uart: &impl Uart) -> bool {
        while let Some(byte) = self.chunk.get(self.sent) {
            if !uart.try_write(*byte) {
                return false;
            }
            self.sent += 1;
        }
        self.chunk.clear();
        self.sent = 0;
        true
    }

    /// Until when others wait, if they do: the source with the focus is in the middle of a line, and of its turn.
    fn held(&self, focus: Option<usize>, uart: &impl Uart) -> Option<u64> {
        let talking =
            self.open.is_some() && self.open == focus && focus == Some(self.turn) && self.quantum != 0;
        let until = self.heard.saturating_add(self.patience);
        (talking && uart.now() < until).then_some(until)
    }

    fn next(&mut self, sources: &[Source], focus: Option<usize>, held: bool) -> Option<(usize, u8)> {
        for _ in 0..=sources.len() {
            if self.quantum != 0
                && let Some(byte) = sources.get(self.turn)?.stream.take(focus == Some(self.turn))
            {
                self.quantum = if byte == b'\n' { 0 } else { self.quantum.saturating_sub(1) };
                return Some((self.turn, byte));
            }
            if held {
                return None;
            }
            self.turn = if self.turn + 1 < sources.len() { self.turn + 1 } else { 0 };
            self.quantum = LONGEST_LINE;
        }
        None
    }

    fn render(&mut self, sources: &[Source], source: usize, byte: u8, owns_terminal: bool) {
        let Some(face) = self.faces.get_mut(source) else { return };
        let glyph = if owns_terminal { face.filter.pass(byte) } else { face.filter.text(byte) };
        match glyph {
            Glyph::Nothing => {}
            Glyph::Byte(one) => self.show(sources, source, &[one]),
            Glyph::Pair(one, two) => self.show(sources, source, &[one, two]),
            Glyph::Return if self.open == Some(source) => {
                self.push(b"\r");
                self.stand(source, Column::Returned);
            }
            Glyph::Return => {}
            Glyph::Newline => {
                if self.open != Some(source) {
                    self.show(sources, source, b"");
                }
                self.push(b"\r\n");
                self.stand(source, Column::Fresh);
                self.open = None;
            }
        }
    }

    /// Shows `bytes` of `source`, on a line that bears its name.
    fn show(&mut self, sources: &[Source], source: usize, bytes: &[u8]) {
        if self.open != Some(source) {
            if let Some(other) = self.open.replace(source) {
                self.push(b"\r\n");
                self.stand(other, Column::Fresh);
            }
            self.stand(source, Column::Fresh);
        }
        if self.faces.get(source).is_some_and(|face| face.column != Column::Inside)
            && let Some(named) = sources.get(source)
        {
            self.push(named.prefix.as_bytes());
        }
        self.push(bytes);
        self.stand(source, Column::Inside);
    }

    fn stand(&mut self, source: usize, column: Column) {
        if let Some(face) = self.faces.get_mut(source) {
            face.column = column;
        }
    }

    /// Always fits: see [`CHUNK`].
    fn push(&mut self, bytes: &[u8]) {
        let _ = self.chunk.try_extend_from_slice(bytes);
    }
}

/// Whether a source has a line to show.
fn any_line(sources: &[Source]) -> bool {
    sources.iter().any(|source| source.stream.has_line())
}
