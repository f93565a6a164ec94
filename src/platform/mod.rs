//! What a board needs beyond its device tree: UART drivers, and where to look for one when there is no tree.

pub mod console;
mod last_resort;
mod pl011;
