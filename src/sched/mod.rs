//! Time sharing: which of its vCPUs a pCPU runs, for how long, and when it looks at the others.
//!
//! A vCPU has a home pCPU for life, so every pCPU decides alone, over state that it alone owns. This room *decides*
//! who runs next and when the timer must interrupt; it *trusts* the time it is told, and *refuses* more than 64
//! vCPUs to a pCPU.
//!
//! # Fairness
//!
//! Each vCPU has a *virtual run time*, the ticks it has run. Whoever has the least runs next, for a slice of
//! 10 ms if somebody else waits. A vCPU that wakes runs at once if it has had less than the one running, so an event
//! finds its receiver ready. It is given credit for at most half a slice of sleep: time not used is mostly lost, and
//! two vCPUs that keep waking each other have no more than their two shares. A waiting vCPU's virtual run time
//! stands still while all others' grow, so nobody starves.
//!
//! # Signals
//!
//! By its [`Doorbell`] other CPUs ask a pCPU to look at one of its vCPUs, which may be one that does not run, while another
//! one does. An [`Allowance`] sees to it that the latter keeps about three quarters of its time, however often somebody
//! rings. It is the pCPU's: all who do not run share it.
//!
//! # Alone
//!
//! A pCPU with one vCPU has nothing to decide: no slice, no trapped WFI ([`Scheduler::is_shared`]), no interrupt
//! but the guest's own.
#![forbid(unsafe_code)]

mod allowance;
mod doorbell;
mod queue;
#[cfg(test)]
mod reference;
mod runstate;
mod scheduler;
#[cfg(test)]
mod tests;

pub use self::allowance::Allowance;
pub use self::doorbell::{Doorbell, Rung};
pub use self::runstate::{RunState, RunTimes, nanoseconds};
pub use self::scheduler::{MAX_VCPUS, Scheduler, Slot, Slots};
