//! What a board needs beyond its device tree: UART drivers, and where to look for one when there is no tree.

mod cadence;
pub mod console;
mod last_resort;
mod ns16550;
mod pl011;
mod uart;
