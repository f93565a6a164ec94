//! Counting answers, and saying which of them are wrong.

use core::fmt::Arguments;

use portunus_rt::{Machine, println};

/// What an answer should be: under Portunus, which follows Xen's main branch where nothing else is written, and under
/// Xen 4.17.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    ours: i64,
    xen_4_17: i64,
}

/// The same answer under both.
#[must_use]
pub const fn both(answer: i64) -> Want {
    Want { ours: answer, xen_4_17: answer }
}

/// One answer under Portunus, another under Xen 4.17.
#[must_use]
pub const fn split(ours: i64, xen_4_17: i64) -> Want {
    Want { ours, xen_4_17 }
}

/// The answers so far.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    old: bool,
    checked: u32,
    wrong: u32,
}

impl Verdict {
    /// Nothing checked yet; `xen=4.17` on the command line says under what.
    #[must_use]
    pub fn new(machine: &Machine) -> Self {
        Self { old: machine.argument("xen") == Some("4.17"), checked: 0, wrong: 0 }
    }

    /// Whether this is Xen 4.17.
    #[must_use]
    pub const fn is_xen_4_17(&self) -> bool {
        self.old
    }

    /// Checks one answer.
    pub fn check(&mut self, what: Arguments<'_>, got: i64, want: Want) {
        let want = if self.old { want.xen_4_17 } else { want.ours };
        self.checked += 1;
        if got != want {
            self.wrong += 1;
            println!("abi: {what}: expected {want:#x} ({want}), got {got:#x} ({got})");
        }
    }

    /// Checks that something is so.
    pub fn holds(&mut self, what: Arguments<'_>, so: bool) {
        self.check(what, so.into(), both(1));
    }

    /// Answers checked, and how many of them were wrong.
    #[must_use]
    pub const fn counts(&self) -> (u32, u32) {
        (self.checked, self.wrong)
    }
}
