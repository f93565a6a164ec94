//! The generic timer (Arm ARM DDI 0487, D11): the guests' two timers, and EL2's own for time slices and alarms.
//!
//! A guest owns CNTV and CNTP while it is loaded: no access traps, and the physical interrupt of each is linked to
//! a list register. EL2's timer, CNTHP, is off unless vCPUs share a pCPU or one sleeps with a deadline.

use core::arch::asm;

use super::sysreg::{
    CNTFRQ_EL0, CNTHP_CTL_EL2, CNTHP_CVAL_EL2, CNTKCTL_EL1, CNTP_CTL_EL0, CNTP_CVAL_EL0, CNTPCT_EL0,
    CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, CNTVOFF_EL2,
};

const ENABLE: u64 = 1;
const IMASK: u64 = 1 << 1;

/// Ticks since the counter started. The ISB keeps the read from being satisfied early (D11.2.1).
#[must_use]
pub fn now() -> u64 {
    // SAFETY: a context synchronisation; changes nothing.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    CNTPCT_EL0::read()
}

/// Ticks a second, as firmware says.
#[must_use]
pub fn frequency() -> u32 {
    CNTFRQ_EL0::read() as u32
}

/// EL2's timer interrupts at counter value `deadline`; `None` switches it off.
pub fn set_alarm(deadline: Option<u64>) {
    match deadline {
        Some(deadline) => {
            CNTHP_CVAL_EL2::write(deadline);
            CNTHP_CTL_EL2::write(ENABLE);
        }
        None => CNTHP_CTL_EL2::write(0),
    }
}

/// The timers of a vCPU that is not loaded.
#[derive(Clone, Copy, Default)]
pub struct Timers {
    virtual_control: u64,
    physical_control: u64,
    virtual_deadline: u64,
    physical_deadline: u64,
    /// What the guest's EL0 may do with counters and timers, and the event stream.
    kernel_control: u64,
    /// Physical minus virtual counter, the domain's.
    offset: u64,
}

impl Timers {
    /// Both off, for a domain whose virtual counter is `offset` behind the physical one.
    #[must_use]
    pub fn new(offset: u64) -> Self {
        Self { offset, ..Self::default() }
    }

    /// Takes the timers of this pCPU and stops them: from here on their interrupts are no longer asserted.
    #[inline]
    pub fn stop(&mut self) {
        let control = (CNTV_CTL_EL0::read(), CNTP_CTL_EL0::read());
        CNTV_CTL_EL0::write(0);
        CNTP_CTL_EL0::write(0);
        let deadline = (CNTV_CVAL_EL0::read(), CNTP_CVAL_EL0::read());
        self.kernel_control = CNTKCTL_EL1::read();
        // SAFETY: a context synchronisation: the timers are off when this returns.
        unsafe { asm!("isb", options(nostack, preserves_flags)) };
        (self.virtual_control, self.physical_control) = control;
        (self.virtual_deadline, self.physical_deadline) = deadline;
    }

    /// Starts them on this pCPU.
    #[inline]
    pub fn start(&self) {
        CNTVOFF_EL2::write(self.offset);
        CNTV_CVAL_EL0::write(self.virtual_deadline);
        CNTP_CVAL_EL0::write(self.physical_deadline);
        CNTKCTL_EL1::write(self.kernel_control);
        // SAFETY: a context synchronisation: no timer is compared with a deadline of someone else's.
        unsafe { asm!("isb", options(nostack, preserves_flags)) };
        CNTV_CTL_EL0::write(self.virtual_control);
        CNTP_CTL_EL0::write(self.physical_control);
    }

    /// Physical counter value at which the first of the loaded vCPU's timers interrupts, if one will. `offset` is the
    /// domain's; `counts` says whether the virtual and the physical timer are of interest. A deadline beyond the end of
    /// the physical counter never comes: comparators do not wrap (D11.2.4).
    #[inline]
    #[must_use]
    pub fn next_of_loaded(offset: u64, counts: [bool; 2]) -> Option<u64> {
        let armed = |control: u64| control & (ENABLE | IMASK) == ENABLE;
        let [virtual_counts, physical_counts] = counts;
        let virtual_one = (virtual_counts && armed(CNTV_CTL_EL0::read()))
            .then(|| CNTV_CVAL_EL0::read().saturating_add(offset));
        let physical_one = (physical_counts && armed(CNTP_CTL_EL0::read())).then(CNTP_CVAL_EL0::read);
        virtual_one.into_iter().chain(physical_one).min()
    }
}

/// Whether the loaded vCPU's virtual (or, if not `virtual_timer`, physical) timer asserts its interrupt. Not asked of
/// ISTATUS, which an emulator may set only when it gets to raising the interrupt: the condition is the comparison itself
/// (D11.2.4).
#[inline]
#[must_use]
pub fn is_asserted(virtual_timer: bool) -> bool {
    // SAFETY: a context synchronisation: the counter is not read early.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    let (control, count, deadline) = if virtual_timer {
        (CNTV_CTL_EL0::read(), CNTVCT_EL0::read(), CNTV_CVAL_EL0::read())
    } else {
        (CNTP_CTL_EL0::read(), CNTPCT_EL0::read(), CNTP_CVAL_EL0::read())
    };
    control & (ENABLE | IMASK) == ENABLE && count >= deadline
}
