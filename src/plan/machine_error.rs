//! Why a machine cannot be used at all: the boot ends with this, so it says what to do.

use alloc::string::{String, ToString};
use core::fmt;

/// A property of the tree that makes this machine unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineError {
    path: String,
    what: &'static str,
    help: &'static str,
}

impl MachineError {
    pub(super) fn new(path: &str, what: &'static str, help: &'static str) -> Self {
        Self { path: path.to_string(), what, help }
    }
}

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        writeln!(f, "  --> {}", self.path)?;
        write!(f, "   = help: {}", self.help)
    }
}
