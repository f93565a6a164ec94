//! The virtual counter and its timer, PPI 27.

use core::hint::spin_loop;

use crate::{read_sysreg, write_sysreg};

/// Interrupt of the virtual timer.
pub const INTID: u32 = 27;

/// Ticks since the domain started.
#[must_use]
pub fn now() -> u64 {
    // SAFETY: ISB only orders: the counter is not read ahead of what came before.
    unsafe { core::arch::asm!("isb", options(nostack)) };
    read_sysreg!("cntvct_el0")
}

/// Ticks in a second.
#[must_use]
pub fn frequency() -> u64 {
    read_sysreg!("cntfrq_el0")
}

/// Ticks in this many microseconds.
#[must_use]
pub fn microseconds(count: u64) -> u64 {
    frequency() * count / 1_000_000
}

/// Raises [`INTID`] on this vCPU `ticks` from now. The interrupt is a level: it stays until [`stop`] or another start.
pub fn start(ticks: u64) {
    start_at(now() + ticks);
}

/// Raises [`INTID`] on this vCPU when the counter reaches `time`.
pub fn start_at(time: u64) {
    write_sysreg!("cntv_cval_el0", time);
    write_sysreg!("cntv_ctl_el0", 1);
}

/// Switches this vCPU's timer off.
pub fn stop() {
    write_sysreg!("cntv_ctl_el0", 0);
}

/// Spins for `ticks`.
pub fn delay(ticks: u64) {
    let end = now() + ticks;
    while now() < end {
        spin_loop();
    }
}

/// Spins until `done` answers true, for at most this many seconds; answers whether it did.
pub fn spin_until(seconds: u64, mut done: impl FnMut() -> bool) -> bool {
    let end = now() + seconds * frequency();
    while !done() {
        if now() >= end {
            return false;
        }
        spin_loop();
    }
    true
}
