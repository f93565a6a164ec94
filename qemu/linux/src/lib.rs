//! Event channels from a Linux domain's user space, by `/dev/xen/evtchn`.
//!
//! Two programs share this: `evtchn-ping` sends and waits for the answer, `evtchn-pong` answers. What they decide is
//! here and runs against a made-up device in the tests; what touches the kernel is in [`device`]. Any Linux 6.5 or
//! newer with `CONFIG_XEN_DEV_EVTCHN` will do, on Portunus or on Xen. docs/linux.md tells how to use them.

pub mod arguments;
pub mod channels;
pub mod device;
pub mod ping;
pub mod pong;

mod marked;
#[path = "../../rt/src/marks.rs"]
pub mod marks;

pub use marked::{Marked, mark};

#[cfg(test)]
mod fake;

use std::fmt;
use std::io;
use std::time::Duration;

/// The ends of channels that a program holds, and what arrives on them.
pub trait Events {
    /// Makes this domain's `port` ours: events on it arrive at [`Events::wait`].
    ///
    /// # Errors
    ///
    /// A sentence that says what to do.
    fn bind(&mut self, port: u32) -> Result<(), Failure>;

    /// Signals whoever holds the other end of `port`.
    ///
    /// # Errors
    ///
    /// The kernel refused: the port was not bound here.
    fn notify(&mut self, port: u32) -> Result<(), Failure>;

    /// The next port that was signalled, or `None` after `limit` without one. The port stays masked until
    /// [`Events::rearm`].
    ///
    /// # Errors
    ///
    /// The device failed.
    fn wait(&mut self, limit: Duration) -> Result<Option<u32>, Failure>;

    /// Unmasks `port` again. An event that came meanwhile arrives now.
    ///
    /// # Errors
    ///
    /// The device failed.
    fn rearm(&mut self, port: u32) -> Result<(), Failure>;
}

/// Why a program ends without having done its work. Its text is for the person at the terminal.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What was tried, and the kernel's answer.
    #[must_use]
    pub fn io(what: &str, error: &io::Error) -> Self {
        Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Throws away what is pending until nothing arrives for `quiet`: an event that was sent to a program that held the
/// port earlier, or the one that Xen leaves on the second end of a channel when it connects the two.
///
/// # Errors
///
/// The device failed, or it never falls silent.
pub fn drain(events: &mut impl Events, quiet: Duration) -> Result<usize, Failure> {
    const TOO_MANY: usize = 100_000;
    for dropped in 0..TOO_MANY {
        match events.wait(quiet)? {
            Some(port) => events.rearm(port)?,
            None => return Ok(dropped),
        }
    }
    Err(Failure::new("events keep coming though nobody asked: is another program sending on these ports?"))
}
