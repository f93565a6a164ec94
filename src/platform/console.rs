//! The console's UART, and the two ways to it.
//!
//! While one CPU runs, every byte is waited for and nothing is buffered; so again when the last domain has ended. In
//! between the console is *live*: lines go to the multiplexer (`portunus::console`), which waits for nothing.
//! What is said before a UART is known is lost; that is why finding one is the first thing the boot does.

use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use portunus::addr::{CpuId, PaSpan};
use portunus::console::{self, Pumped};
use portunus::plan::UartKind;
use spin::Once;

use super::last_resort;
use super::uart::Uart;
pub use super::uart::status_register;
use crate::arch::aarch64::timer;

struct Console(UnsafeCell<Option<Uart>>);

// SAFETY: written by the boot CPU before any other CPU runs; afterwards only read (the driver is a copyable
// address).
unsafe impl Sync for Console {}

static CONSOLE: Console = Console(UnsafeCell::new(None));
static LOGGER: Logger = Logger;
/// The multiplexer, from when it is built.
static MULTIPLEXER: Once<Live> = Once::new();
/// Whether it is in use.
static LIVE: AtomicBool = AtomicBool::new(false);

struct Live {
    console: &'static console::Console,
    /// The executing pCPU, whose stream a line goes to.
    this_cpu: fn() -> CpuId,
    /// Makes the executing pCPU call [`pump`] once more, soon.
    remind: fn(),
    /// Whether the UART says by an interrupt that it has room.
    interrupts: bool,
}

/// Uses the UART of this kind at `regs` from here on.
///
/// # Safety
///
/// `regs` holds such a UART, mapped as Device memory (or the MMU is off); the boot CPU runs alone.
pub unsafe fn open(kind: UartKind, regs: PaSpan) {
    // SAFETY: the caller's promise covers both the device and the cell.
    unsafe { *CONSOLE.0.get() = Some(Uart::new(kind, regs)) };
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
    Writer { uart: unsafe { *CONSOLE.0.get() }, indent: "" }
}

/// Writes to the UART, if there is one, with carriage returns before line feeds.
pub struct Writer {
    uart: Option<Uart>,
    /// What comes behind a line feed.
    indent: &'static str,
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(uart) = &self.uart {
            uart.send(text, self.indent);
        }
        Ok(())
    }
}

/// Sends lines through `multiplexer` from here on, and lets the UART interrupt when something is typed.
/// `this_cpu` says which pCPU executes, and `remind` makes it call [`pump`] once more. Without `interrupts` the UART is
/// looked at from time to time while it is full.
pub fn go_live(console: &'static console::Console, this_cpu: fn() -> CpuId, remind: fn(), interrupts: bool) {
    MULTIPLEXER.call_once(|| Live { console, this_cpu, remind, interrupts });
    if let Some(uart) = uart().filter(|_| interrupts) {
        uart.listen();
    }
    LIVE.store(true, Ordering::Release);
}

/// The multiplexer while it is in use.
#[must_use]
pub fn live() -> Option<&'static console::Console> {
    in_use().map(|live| live.console)
}

fn in_use() -> Option<&'static Live> {
    if LIVE.load(Ordering::Acquire) { MULTIPLEXER.get() } else { None }
}

/// The UART.
#[must_use]
pub fn uart() -> Option<Uart> {
    // SAFETY: see `Console`.
    unsafe { *CONSOLE.0.get() }
}

/// Sends what the multiplexer has, as far as the UART takes it. `None` while it is not in use.
pub fn pump() -> Option<Pumped> {
    let live = in_use()?;
    Some(match live.console.pump(&uart()?) {
        // After 1 ms, in which a UART of 115200 baud sends a dozen bytes.
        Pumped::Waiting if !live.interrupts => {
            Pumped::Later(timer::now() + u64::from(timer::frequency()) / 1000)
        }
        done => done,
    })
}

/// Sends what is left, for at most half a second: before the machine is taken from domains that may still be talking.
pub fn flush() {
    let end = timer::now() + u64::from(timer::frequency()) / 2;
    while !matches!(pump(), None | Some(Pumped::Done)) && timer::now() < end {}
}

/// Sends everything that is left and goes back to waiting for each byte. When nobody else has anything to say.
pub fn stop_live() {
    /// The UART sends 4 KiB a stream; what is not out after so many looks never will be.
    const PATIENCE: u32 = 10_000_000;
    for _ in 0..PATIENCE {
        if matches!(pump(), None | Some(Pumped::Done)) {
            break;
        }
    }
    LIVE.store(false, Ordering::Release);
    // Nobody reads keys any more: the interrupt of the first one would never end.
    if let Some(uart) = uart() {
        uart.hush();
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
        match in_use() {
            Some(live) => {
                live.console.line((live.this_cpu)(), format_args!("{level}{}", record.args()));
                if matches!(pump(), Some(Pumped::Again | Pumped::Later(_))) {
                    (live.remind)();
                }
            }
            None => {
                // Whoever says several lines says them before the console is live.
                let mut lines = Writer { indent: console::HYPERVISOR_PREFIX, ..emergency() };
                let _ = write!(lines, "{}{level}{}", console::HYPERVISOR_PREFIX, record.args());
                let _ = Writer { indent: "", ..lines }.write_str("\n");
            }
        }
    }

    fn flush(&self) {}
}
