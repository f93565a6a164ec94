//! A lock that nobody waits for.

use core::sync::atomic::{AtomicBool, Ordering};

/// Serialises the configuration operations of one domain. Whoever finds it taken goes back to the guest and
/// tries the hypercall again from there, so that EL2 never waits for another CPU.
#[derive(Debug, Default)]
pub(super) struct TryLock(AtomicBool);

/// Proof that the lock is held; dropping it lets go.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a AtomicBool);

impl TryLock {
    /// Takes the lock, or answers `None` if another vCPU of the domain holds it.
    ///
    /// (`then`, not `then_some`: a [`Held`] made and thrown away would let go of the other's lock.)
    pub(super) fn try_take(&self) -> Option<Held<'_>> {
        self.0
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| Held(&self.0))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_fails_to_take_the_lock_does_not_let_go_of_it() {
        let lock = TryLock::default();
        let held = lock.try_take();
        assert!(held.is_some());
        assert!(lock.try_take().is_none());
        assert!(lock.try_take().is_none());
        drop(held);
        assert!(lock.try_take().is_some());
    }
}
