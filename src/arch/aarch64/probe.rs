//! Reads from addresses that may lead nowhere.
//!
//! Only for boot, before any guest runs: whether x0 points at memory, whether a UART answers where one usually
//! is. A bus that reports a missing device by SError instead of a synchronous abort leaves that SError pending
//! and masked; it is reported as soon as a guest runs, never mistaken for an answer.

unsafe extern "C" {
    /// In boot/vectors.S: the load, and its landing place should it fault.
    fn probe_read(address: u64) -> u64;
}

/// The 32 bits at `address`, or `None` if nothing answers there.
///
/// # Safety
///
/// `address` must be 4-byte aligned and mapped at EL2, as Device memory unless it is known to be RAM: reading
/// must have no side effect that matters.
#[must_use]
pub unsafe fn read32(address: u64) -> Option<u32> {
    // SAFETY: the caller's promise; a fault lands in `probe_failed`, which answers more than 32 bits.
    u32::try_from(unsafe { probe_read(address) }).ok()
}
