//! Which physical CPU this is: TPIDR_EL2 holds the address of its block for good.

use core::arch::asm;

use super::sysreg::TPIDR_EL2;
use crate::run::Pcpu;

/// Says which block is this CPU's. Once on each CPU, before anything asks.
pub fn adopt(pcpu: &'static Pcpu) {
    TPIDR_EL2::write(&raw const *pcpu as u64);
    // SAFETY: a context synchronisation, so that the register is what later code reads.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Whether this CPU has adopted a block. Before that the register is UNKNOWN out of reset, so boot/head.S and
/// boot/secondary.S clear it.
#[must_use]
pub fn is_known() -> bool {
    TPIDR_EL2::read() != 0
}

/// The block of the executing CPU.
#[inline(always)]
#[must_use]
pub fn this() -> &'static Pcpu {
    // SAFETY: every CPU calls `adopt` before anything else of its own code, and blocks live for good.
    unsafe { &*(TPIDR_EL2::read() as *const Pcpu) }
}
