//! Memory: translation tables of EL2.
//!
//! Decides what a table entry says. Trusts the caller about which physical memory is what; refuses addresses
//! beyond 48 bits and entries that would silently replace others. Touches memory only through [`TableMemory`].
#![forbid(unsafe_code)]

pub mod stage1;
mod table;

pub use table::{MapError, TableMemory};
