//! From the bytes that a boot loader handed over to nodes with paths.
//!
//! Decides whether the bytes are a flattened device tree (Devicetree Specification 0.4, chapter 5), and reads
//! values out of it. Trusts nothing: a blob is validated whole before anything is read, because the `fdt` crate
//! underneath panics on damaged ones and loses nodes behind NOP tokens. Refuses what it cannot read, with the
//! offset at which reading failed. The depth of a tree and the size of a blob are bounded, so every loop here is.
#![forbid(unsafe_code)]

mod tree;
mod validate;
pub mod write;

pub use tree::{Cells, Node, Tree};
pub use validate::{FdtError, HEADER_SIZE, MAX_SIZE, total_size};
