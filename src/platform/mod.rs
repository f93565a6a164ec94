//! What a board needs beyond its device tree: drivers for UARTs and clocks, and where to look for a UART when there is
//! no tree.

mod cadence;
pub mod console;
mod last_resort;
mod ns16550;
mod pl011;
pub mod rtc;
mod uart;
