//! From device-tree nodes to a typed plan, or to errors that say what to mend.
//!
//! Decides what this machine is. Nothing here touches hardware, so the same code runs on a developer's laptop.
#![forbid(unsafe_code)]

pub mod gic;
mod machine;
mod machine_error;
pub mod spans;
mod types;
pub mod uart;

pub use machine::machine;
pub use machine_error::MachineError;
pub use types::*;
