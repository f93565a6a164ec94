//! Memory: what is free, the heap of the boot, and the translation tables of EL2 and of the domains.
//!
//! Decides who gets which frame and what a table entry says. Trusts the caller about which physical memory is
//! what; refuses addresses beyond 48 bits and entries that would silently replace others. Touches tables only
//! through [`TableMemory`].

pub mod frames;
pub mod heap;
pub mod spans;
pub mod stage1;
pub mod stage2;
mod table;

pub use table::{MapError, TableMemory};
