//! The console: many sources of output on one UART, and its keys for one of them at a time.
//!
//! It *decides* whose line goes out next, what stands in front of it, and who gets a key. It *trusts* the UART
//! driver. It *refuses* to wait: a guest that writes faster than the UART sends is told to try again, and a line
//! of the hypervisor that finds no room is counted instead.
//!
//! # Output
//!
//! Every domain, and the hypervisor on every pCPU, has a [`Stream`]. Whoever has added to one calls
//! [`Console::pump`]: one pCPU at a time feeds the UART, another one that comes meanwhile leaves, and the first
//! sees what it left ([`crate::sync::Baton`]). When the UART is full, its transmit interrupt calls again.
//!
//! Lines look like `(domU1) text`. The domain with the input focus is shown byte by byte, so that a prompt
//! appears before its line ends, and owns the terminal: its escape sequences pass. All others show text only
//! (see [`filter`]), whole lines at a time. While the domain with the focus is in the middle of a line, the others
//! wait for its end, or until it has been silent for a while: it may be a prompt.
//!
//! # Input
//!
//! [`Console::receive`] reads the UART on the pCPU that takes its interrupt. The switch key, typed three times,
//! moves the focus from the hypervisor to the first domain that has a UART, to the next, and back.
#![forbid(unsafe_code)]

mod drain;
pub mod filter;
pub mod keys;
pub mod ring;
mod stream;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write;

use arrayvec::ArrayString;
use spin::Mutex;

pub use self::keys::Command;
pub use self::stream::{LONGEST_LINE, Stream};

use self::drain::{Drain, LONGEST_PREFIX, Rest};
use self::keys::{Key, KeyName, Switch};
use crate::addr::{CpuId, DomainId};
use crate::sync::{AtomicU32, Baton, Ordering, Turn};

/// What stands in front of a line of the hypervisor.
pub const HYPERVISOR_PREFIX: &str = "(portunus) ";
/// Keys read from the UART in one go; the rest waits in the UART, whose interrupt stays asserted.
const KEYS_AT_ONCE: usize = 64;
/// How often the holder of the UART starts again because somebody else wrote meanwhile.
const ROUNDS: u32 = 4;
/// The focus of the hypervisor: no source.
const HYPERVISOR: u32 = u32::MAX;

/// The UART behind the console, as far as this room needs it.
pub trait Uart {
    /// Hands over one byte to send; `false` if there is no room for it now.
    fn try_write(&self, byte: u8) -> bool;
    /// The next byte received, if any.
    fn read(&self) -> Option<u8>;
    /// Whether to interrupt when there is room to send. Only the holder of the console calls this.
    fn tx_interrupt(&self, on: bool);
    /// The time, in ticks of any clock that does not go back.
    fn now(&self) -> u64;
}

/// Who gets the keys.
pub trait Keyboard {
    /// `byte` was typed for `domain`: hand it to its vPL011.
    fn deliver(&mut self, domain: DomainId, byte: u8);
    /// `byte` was typed for the hypervisor; [`Command::of`] says what it means.
    fn hypervisor(&mut self, byte: u8);
}

/// A domain, as the console knows it.
#[derive(Clone, Copy, Debug)]
pub struct Terminal<'a> {
    /// Its number.
    pub domain: DomainId,
    /// Its name, shown in front of its lines.
    pub name: &'a str,
    /// Whether it has a vPL011 and so takes part in the switching of input.
    pub input: bool,
}

/// What became of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "unfinished output needs another call"]
pub enum Pumped {
    /// All of it is out, or another pCPU sees to it.
    Done,
    /// The UART's transmit interrupt is enabled and will bring the next call. A UART without an interrupt needs
    /// a timer in its place.
    Waiting,
    /// A line of another source waits for the domain with the focus to end its own. Call again at this time, if
    /// nobody has called before.
    Later(u64),
    /// Others write as fast as this pCPU sends: it should return to its guest and call once more soon.
    Again,
}

/// One source of output.
#[derive(Debug)]
struct Source {
    prefix: ArrayString<LONGEST_PREFIX>,
    stream: Stream,
    /// Who gets the keys when this source has the focus.
    input: Option<DomainId>,
    domain: Option<DomainId>,
}

/// The console of the machine. Built once, then shared by all pCPUs.
#[derive(Debug)]
pub struct Console {
    /// The hypervisor on each pCPU, then the domains.
    sources: Box<[Source]>,
    cpus: usize,
    /// Index of the source with the input focus, or [`HYPERVISOR`].
    focus: AtomicU32,
    switch_key: u8,
    baton: Baton,
    drain: Mutex<Drain>,
    switch: Mutex<Switch>,
}

impl Console {
    /// A console for `cpus` pCPUs and the domains of `terminals` (in the order in which the focus moves), or
    /// `None` if there is no memory for it. The hypervisor has the focus. `patience` is for how many ticks without a
    /// byte an unfinished line of the domain with the focus keeps the others waiting.
    #[must_use]
    pub fn new(cpus: usize, terminals: &[Terminal<'_>], switch_key: u8, patience: u64) -> Option<Self> {
        let mut sources = Vec::new();
        sources.try_reserve_exact(cpus.checked_add(terminals.len())?).ok()?;
        for _ in 0..cpus {
            let prefix = ArrayString::from(HYPERVISOR_PREFIX).ok()?;
            sources.push(Source { prefix, stream: Stream::new()?, input: None, domain: None });
        }
        for terminal in terminals {
            sources.push(Source {
                prefix: prefix_of(terminal.name),
                stream: Stream::new()?,
                input: terminal.input.then_some(terminal.domain),
                domain: Some(terminal.domain),
            });
        }
        Some(Self {
            cpus,
            focus: AtomicU32::new(HYPERVISOR),
            switch_key,
            baton: Baton::new(),
            drain: Mutex::new(Drain::new(sources.len(), patience)?),
            switch: Mutex::new(Switch::new(switch_key)),
            sources: sources.into_boxed_slice(),
        })
    }

    /// The stream of `domain`, to be kept with the domain: this search is for boot time.
    #[must_use]
    pub fn stream(&self, domain: DomainId) -> Option<&Stream> {
        self.sources.iter().find(|source| source.domain == Some(domain)).map(|source| &source.stream)
    }

    /// A line of the hypervisor, written on pCPU `cpu`. Call [`Console::pump`] afterwards.
    pub fn line(&self, cpu: CpuId, text: fmt::Arguments<'_>) {
        if let Some(source) = self.sources.get(..self.cpus).and_then(|cpus| cpus.get(cpu.index())) {
            source.stream.line(text);
        }
    }

    /// The domain with the input focus; `None` is the hypervisor.
    #[must_use]
    pub fn focus(&self) -> Option<DomainId> {
        self.sources.get(self.focused()?).and_then(|source| source.domain)
    }

    /// Feeds the UART with what there is, or leaves that to the pCPU that is already at it.
    pub fn pump(&self, uart: &impl Uart) -> Pumped {
        let mut rest = Rest::Nothing;
        let turn = self.baton.ring(ROUNDS, || {
            let Some(mut drain) = self.drain.try_lock() else { return };
            rest = drain.run(&self.sources, self.focused(), uart);
            uart.tx_interrupt(rest == Rest::Something);
        });
        match (turn, rest) {
            (Turn::Unfinished, _) => Pumped::Again,
            (Turn::Done, Rest::Held(until)) => Pumped::Later(until),
            (Turn::Done, Rest::Something) => Pumped::Waiting,
            (Turn::Left, _) | (Turn::Done, Rest::Nothing) => Pumped::Done,
        }
    }

    /// Reads the keys typed and hands them out. For the pCPU that takes the UART's interrupt, or polls it: here
    /// called `cpu`. Call [`Console::pump`] afterwards: a switch says so on the console.
    pub fn receive(&self, cpu: CpuId, uart: &impl Uart, keyboard: &mut impl Keyboard) {
        let Some(mut switch) = self.switch.try_lock() else { return };
        for byte in core::iter::from_fn(|| uart.read()).take(KEYS_AT_ONCE) {
            for key in switch.typed(byte) {
                match (key, self.focus()) {
                    (Key::Switch, _) => self.switch_focus(cpu),
                    (Key::Byte(byte), Some(domain)) => keyboard.deliver(domain, byte),
                    (Key::Byte(byte), None) => keyboard.hypervisor(byte),
                }
            }
        }
    }

    /// Moves the focus on and says so; from the hypervisor it goes to the first domain, as it does when the
    /// domains are started.
    pub fn switch_focus(&self, cpu: CpuId) {
        let after = self.focused().map_or(0, |source| source.saturating_add(1));
        let next = self.sources.iter().enumerate().skip(after).find(|(_, source)| source.input.is_some());
        let focus = next.and_then(|(index, _)| u32::try_from(index).ok()).unwrap_or(HYPERVISOR);
        self.focus.store(focus, Ordering::Relaxed);
        let name = next.map_or("Portunus", |(_, source)| name_in(&source.prefix));
        let key = KeyName(self.switch_key);
        if self.switch_key == 0 {
            self.line(cpu, format_args!("*** Serial input to {name}"));
        } else {
            self.line(
                cpu,
                format_args!("*** Serial input to {name} (type '{key}' three times to switch input)"),
            );
        }
    }

    fn focused(&self) -> Option<usize> {
        let focus = self.focus.load(Ordering::Relaxed);
        (focus != HYPERVISOR).then_some(focus as usize)
    }
}

/// `(name) `, of printable characters, cut where it gets too long.
fn prefix_of(name: &str) -> ArrayString<LONGEST_PREFIX> {
    let mut prefix = ArrayString::new();
    let _ = prefix.try_push('(');
    for letter in name.chars().take(LONGEST_PREFIX - 3) {
        let _ = prefix.try_push(if letter.is_ascii_graphic() { letter } else { '?' });
    }
    let _ = prefix.write_str(") ");
    prefix
}

/// The name in a prefix.
fn name_in(prefix: &str) -> &str {
    prefix.strip_prefix('(').and_then(|rest| rest.strip_suffix(") ")).unwrap_or(prefix)
}
