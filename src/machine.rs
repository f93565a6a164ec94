//! The machine: what touches it, and what joins it with what the library decides.
//!
//! The executable (`main.rs`) uses it to boot, the entry points (`trap/`) while guests run. It is a package of its own to
//! be made as small as it can be (`Cargo.toml`, `profile.release`); functions marked `#[inline]` are made by whoever calls
//! them. On a development host there is nothing in it.
#![cfg_attr(target_os = "none", no_std)]
#![warn(missing_docs)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
pub mod arch;
#[cfg(target_os = "none")]
pub mod platform;
#[cfg(target_os = "none")]
pub mod run;
