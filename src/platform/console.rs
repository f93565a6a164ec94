//! The console while one CPU runs: every byte is waited for, nothing is buffered.
//!
//! What is said before a UART is known is lost; that is why finding one is the first thing the boot does.

use core::cell::UnsafeCell;
use core::fmt;

use log::{Level, LevelFilter, Log, Metadata, Record};
use portunus::addr::PaSpan;

use super::last_resort;
use super::pl011::Pl011;

struct Console(UnsafeCell<Option<Pl011>>);

// SAFETY: written by the boot CPU before any other CPU runs; afterwards only read (the driver is a copyable
// address).
unsafe impl Sync for Console {}

static CONSOLE: Console = Console(UnsafeCell::new(None));
static LOGGER: Logger = Logger;

/// Uses the PL011 at `regs` from here on.
///
/// # Safety
///
/// `regs` holds a PL011, mapped as Device memory (or the MMU is off); the boot CPU runs alone.
pub unsafe fn use_pl011(regs: PaSpan) {
    // SAFETY: the caller's promise covers both the device and the cell.
    unsafe { *CONSOLE.0.get() = Some(Pl011::new(regs)) };
}

/// Looks for a UART without a tree. For the boot CPU at EL2, alone.
pub fn use_last_resort() {
    // SAFETY: the boot CPU runs alone.
    unsafe { *CONSOLE.0.get() = last_resort::find() };
}

/// Whether there is a UART.
#[must_use]
pub fn is_open() -> bool {
    // SAFETY: see `Console`.
    unsafe { (*CONSOLE.0.get()).is_some() }
}

/// Sends `log`'s macros to the console.
pub fn start_log() {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// A writer that takes no lock and cannot fail: for the boot, and for the last words of a CPU.
#[must_use]
pub fn emergency() -> Writer {
    // SAFETY: see `Console`.
    Writer(unsafe { *CONSOLE.0.get() })
}

/// Writes to the UART, if there is one, with carriage returns before line feeds.
pub struct Writer(Option<Pl011>);

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(uart) = self.0 else { return Ok(()) };
        for byte in text.bytes() {
            if byte == b'\n' {
                uart.put(b'\r');
            }
            uart.put(byte);
        }
        Ok(())
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        use fmt::Write;
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        let _ = writeln!(emergency(), "portunus: {level}{}", record.args());
    }

    fn flush(&self) {}
}
