//! What runs before the first guest, or when a domain ends: reading the tree, planning, memory, images.
//!
//! These rooms *decide* as all others of the library do, and `portunus` re-exports them, so that nobody else need know
//! of the seam. They *trust* and *refuse* what each says for itself. They are a crate of their own because Cargo chooses
//! between speed and size for a package as a whole: here every function is made as small as it can be, while those that
//! a guest calls a million times are not (`Cargo.toml`, `profile.release`).
#![cfg_attr(not(test), no_std)]
#![warn(missing_docs)]

extern crate alloc;

pub mod addr;
pub mod domain;
pub mod fdt;
pub mod mm;
pub mod plan;
pub mod prediction;
