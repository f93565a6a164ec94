//! The console's UART, whichever kind the tree says it is.

use portunus::addr::PaSpan;
use portunus::console;
use portunus::plan::UartKind;

use super::cadence::{self, Cadence};
use super::ns16550::{self, Ns16550};
use super::pl011::{self, Pl011};
use crate::arch::aarch64::timer;

/// How often a full UART is looked at before a character is given up. At 115200 baud a FIFO of 64 drains in 6 ms; a
/// UART whose clock stands still must not stop the machine.
const PATIENCE: u32 = 1_000_000;

/// A UART that only the console drives. Line settings stay as firmware left them: the divisors depend on clocks that
/// only firmware knows.
#[derive(Clone, Copy)]
pub enum Uart {
    /// Arm PL011.
    Pl011(Pl011),
    /// Cadence, of Zynq and ZynqMP.
    Cadence(Cadence),
    /// 16550 family, BCM2835's mini UART among it.
    Ns16550(Ns16550),
}

/// Byte offset, a multiple of 4, of a status register: by reading 32 bits there one sees whether anything answers.
#[must_use]
pub const fn status_register(kind: UartKind) -> u64 {
    match kind {
        UartKind::Pl011 => pl011::STATUS,
        UartKind::Cadence => cadence::STATUS,
        UartKind::Bcm2835Aux => ns16550::line_status(2),
        UartKind::Ns16550 { shift, .. } => ns16550::line_status(shift),
    }
}

/// Passes a method on to whichever kind it is.
macro_rules! each {
    ($uart:expr, $name:ident($($argument:expr),*)) => {
        match $uart {
            Uart::Pl011(uart) => uart.$name($($argument),*),
            Uart::Cadence(uart) => uart.$name($($argument),*),
            Uart::Ns16550(uart) => uart.$name($($argument),*),
        }
    };
}

impl Uart {
    /// # Safety
    ///
    /// `regs` holds a UART of this kind, mapped as Device memory (or the MMU is off), driven by nobody else.
    #[must_use]
    pub unsafe fn new(kind: UartKind, regs: PaSpan) -> Self {
        // SAFETY: the caller's promise, for each.
        unsafe {
            match kind {
                UartKind::Pl011 => Self::Pl011(Pl011::new(regs)),
                UartKind::Cadence => Self::Cadence(Cadence::new(regs)),
                UartKind::Bcm2835Aux => Self::Ns16550(Ns16550::mini(regs)),
                UartKind::Ns16550 { shift, width } => Self::Ns16550(Ns16550::new(regs, shift, width)),
            }
        }
    }

    /// Sends text with a carriage return before each line feed and `indent` behind it, waiting for room. (A loop for each
    /// kind: a boot says thousands of bytes.)
    pub fn send(&self, text: &str, indent: &str) {
        match *self {
            Self::Pl011(uart) => send(text, indent, move |byte| uart.try_write(byte)),
            Self::Cadence(uart) => send(text, indent, move |byte| uart.try_write(byte)),
            Self::Ns16550(uart) => send(text, indent, move |byte| uart.try_write(byte)),
        }
    }

    /// Interrupts when something is received, from here on.
    pub fn listen(&self) {
        each!(self, listen());
    }

    /// Interrupts no more.
    pub fn hush(&self) {
        each!(self, hush());
    }
}

fn send(text: &str, indent: &str, try_write: impl Fn(u8) -> bool + Copy) {
    for byte in text.bytes() {
        if byte == b'\n' {
            send("\r", "", try_write);
        }
        for _ in 0..PATIENCE {
            if try_write(byte) {
                break;
            }
        }
        if byte == b'\n' {
            send(indent, "", try_write);
        }
    }
}

impl console::Uart for Uart {
    fn try_write(&self, byte: u8) -> bool {
        each!(self, try_write(byte))
    }

    fn read(&self) -> Option<u8> {
        each!(self, read())
    }

    fn tx_interrupt(&self, on: bool) {
        each!(self, tx_interrupt(on));
    }

    fn now(&self) -> u64 {
        timer::now()
    }
}
