//! `print!` and `println!`: the PL011 of the device tree, or the hypervisor's console if there is none.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use spin::Mutex;

use crate::{Machine, cpu, hypercall, mmio};

/// PL011 registers (Arm DDI 0183, chapter 3).
const DR: usize = 0x00;
const FR: usize = 0x18;
const FR_TXFF: u32 = 1 << 5;

static UART: AtomicUsize = AtomicUsize::new(0);
static TURN: Mutex<()> = Mutex::new(());
static NO_TURNS: AtomicBool = AtomicBool::new(false);

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let uart = UART.load(Ordering::Relaxed);
        if uart == 0 {
            hypercall::console_write(text.as_bytes());
            return Ok(());
        }
        for byte in text.bytes() {
            while mmio::read32(uart + FR) & FR_TXFF != 0 {}
            mmio::write32(uart + DR, byte.into());
        }
        Ok(())
    }
}

pub(crate) fn init(machine: &Machine) {
    UART.store(machine.uart.unwrap_or(0), Ordering::Relaxed);
}

/// For a last message: whoever holds the console now may never give it back.
pub(crate) fn no_more_turns() {
    NO_TURNS.store(true, Ordering::Relaxed);
}

/// What `print!` calls. Lines of different vCPUs do not mix.
pub fn print(arguments: fmt::Arguments<'_>) {
    if NO_TURNS.load(Ordering::Relaxed) {
        let _ = Console.write_fmt(arguments);
        return;
    }
    cpu::without_irqs(|| {
        let _turn = TURN.lock();
        let _ = Console.write_fmt(arguments);
    });
}

/// Prints to the domain's console.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::print(format_args!($($argument)*)) };
}

/// Prints a line to the domain's console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($argument)*))) };
}
