//! Guests' physical memory while it is filled: at boot, and at each restart.

use portunus::addr::{Pa, PaSpan};
use portunus::domain::load::Memory;

use crate::arch::aarch64::cache;

/// RAM of a domain that does not run.
pub struct Ram(());

impl Ram {
    /// The RAM of the domain whose [`Contents`](portunus::domain::load::Contents) are loaded next.
    ///
    /// # Safety
    ///
    /// All of it was allocated for this domain, EL2 maps it, and nobody else uses it: no vCPU of the domain runs, and no
    /// pCPU holds an address in it.
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl Memory for Ram {
    fn zero(&mut self, span: PaSpan) {
        // SAFETY: the promise of `new`.
        unsafe { cache::zero(span) };
    }

    fn copy(&mut self, to: Pa, bytes: &[u8]) {
        // SAFETY: the promise of `new`; what is copied is a boot module, the hypervisor's or a workspace's.
        unsafe { cache::copy(to, bytes) };
    }
}
