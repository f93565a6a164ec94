//! From device-tree nodes to a typed plan, or to diagnostics that say what to mend.

mod types;

pub use types::*;
