//! Where a round trip begins and ends, for who counts its instructions: NOPs to a CPU, marks to `qemu/tracer`.

use std::time::Duration;

use crate::{Events, Failure, marks};

/// Executes the HINT with this number: a NOP.
#[inline(always)]
pub fn mark<const NUMBER: u16>() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: these HINTs have no meaning in the architecture, so they do nothing.
    unsafe {
        core::arch::asm!("hint #{}", const NUMBER, options(nostack, preserves_flags));
    }
}

/// Events, with a mark before each signal that is sent and one behind each that arrives.
pub struct Marked<E>(pub E);

impl<E: Events> Events for Marked<E> {
    fn bind(&mut self, port: u32) -> Result<(), Failure> {
        self.0.bind(port)
    }

    fn notify(&mut self, port: u32) -> Result<(), Failure> {
        mark::<{ marks::ROUND_TRIP }>();
        self.0.notify(port)
    }

    fn wait(&mut self, limit: Duration) -> Result<Option<u32>, Failure> {
        let port = self.0.wait(limit)?;
        if port.is_some() {
            mark::<{ marks::END }>();
        }
        Ok(port)
    }

    fn rearm(&mut self, port: u32) -> Result<(), Failure> {
        self.0.rearm(port)
    }
}
