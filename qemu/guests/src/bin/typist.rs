//! Reads what is typed: each line is told back, and `off` switches the domain off.
//!
//! The UART is polled, so that nothing but the console's way in is tested.
#![no_std]
#![no_main]

use portunus_rt::{Machine, entry, mmio, println, timer};

entry!(main);

/// Data register, and the flag register with its bit for an empty receive FIFO (Arm DDI 0183).
const UARTDR: usize = 0x00;
const UARTFR: usize = 0x18;
const RXFE: u32 = 1 << 4;
/// Longest line that is told back.
const LONGEST: usize = 64;

fn main(machine: &'static Machine) {
    let Some(uart) = machine.uart else { return };
    println!("typist: ready");
    let (mut line, mut used) = ([0; LONGEST], 0);
    loop {
        let byte = next(uart);
        if byte != b'\r' {
            if let Some(slot) = line.get_mut(used) {
                *slot = byte;
                used += 1;
            }
            continue;
        }
        let text = core::str::from_utf8(line.get(..used).unwrap_or_default()).unwrap_or("(not text)");
        println!("typist: read \"{}\"", text.escape_debug());
        if text == "off" {
            return;
        }
        used = 0;
    }
}

fn next(uart: usize) -> u8 {
    while mmio::read32(uart + UARTFR) & RXFE != 0 {
        timer::delay(timer::microseconds(500));
    }
    mmio::read32(uart + UARTDR) as u8
}
