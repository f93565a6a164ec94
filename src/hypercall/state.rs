//! What hypercalls remember about a domain, besides its event channels.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::{Errno, ShutdownReason};

/// No shutdown reason has been recorded.
const NO_REASON: u32 = u32::MAX;
/// A watchdog slot that is not in use.
const UNUSED: u64 = u64::MAX;

/// Per-domain state of the hypercalls.
#[derive(Debug)]
pub struct CallState {
    /// Deadlines of the two watchdogs in ns of system time, or [`UNUSED`].
    watchdogs: [AtomicU64; 2],
    shutdown_code: AtomicU32,
    /// How many grant frames the guest has asked for so far.
    granted: AtomicU32,
    grant_limit: u32,
    /// Whether a run-state record says that it is being changed.
    marks_updates: AtomicBool,
}

impl CallState {
    /// State of a domain that may have `grant_frames` grant-table frames (at least 1 is reported).
    #[must_use]
    pub fn new(grant_frames: u32) -> Self {
        Self {
            watchdogs: [AtomicU64::new(UNUSED), AtomicU64::new(UNUSED)],
            shutdown_code: AtomicU32::new(NO_REASON),
            granted: AtomicU32::new(1),
            grant_limit: grant_frames,
            marks_updates: AtomicBool::new(false),
        }
    }

    /// For a domain that starts again: no watchdog, no reason, one grant frame, unmarked records.
    pub fn reset(&self) {
        for slot in &self.watchdogs {
            slot.store(UNUSED, Relaxed);
        }
        self.shutdown_code.store(NO_REASON, Relaxed);
        self.granted.store(1, Relaxed);
        self.marks_updates.store(false, Relaxed);
    }

    /// The reason to report when the domain stops for `reason`: the one the guest recorded beforehand, if any.
    #[must_use]
    pub fn final_reason(&self, reason: ShutdownReason) -> ShutdownReason {
        match self.shutdown_code.load(Relaxed) {
            NO_REASON => reason,
            recorded => ShutdownReason::from_raw(recorded),
        }
    }

    pub(super) fn record_reason(&self, reason: ShutdownReason) {
        self.shutdown_code.store(reason.raw().into(), Relaxed);
    }

    /// The earliest watchdog deadline, in ns of system time: when [`watchdog_expired`](Self::watchdog_expired)
    /// should be asked next.
    #[must_use]
    pub fn watchdog_deadline(&self) -> Option<u64> {
        self.watchdogs.iter().map(|slot| slot.load(Relaxed)).filter(|&at| at != UNUSED).min()
    }

    /// Whether a watchdog has run out by `now`: the domain is to be stopped with [`ShutdownReason::Watchdog`].
    #[must_use]
    pub fn watchdog_expired(&self, now: u64) -> bool {
        self.watchdog_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Starts an unused watchdog and returns its number, 1 or 2.
    pub(super) fn start_watchdog(&self, deadline: u64) -> Result<u32, Errno> {
        let deadline = deadline.min(UNUSED - 1);
        for (number, slot) in (1..).zip(&self.watchdogs) {
            if slot.compare_exchange(UNUSED, deadline, Relaxed, Relaxed).is_ok() {
                return Ok(number);
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Moves the deadline of watchdog `number`, or stops it.
    pub(super) fn feed_watchdog(&self, number: u32, deadline: Option<u64>) -> Result<(), Errno> {
        let slot = number.checked_sub(1).and_then(|index| self.watchdogs.get(index as usize));
        let slot = slot.ok_or(Errno::EINVAL)?;
        let before = slot.load(Relaxed);
        let after = deadline.map_or(UNUSED, |at| at.min(UNUSED - 1));
        // A race with another vCPU of the domain that stops the same watchdog: it was not in use.
        if before == UNUSED || slot.compare_exchange(before, after, Relaxed, Relaxed).is_err() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// Whether a run-state record is marked while it is changed (`XEN_RUNSTATE_UPDATE`), as the domain has asked.
    #[must_use]
    pub fn marks_updates(&self) -> bool {
        self.marks_updates.load(Relaxed)
    }

    pub(super) fn mark_updates(&self, marked: bool) {
        self.marks_updates.store(marked, Relaxed);
    }

    /// How many grant-table frames the domain may have.
    #[must_use]
    pub fn grant_frames(&self) -> u32 {
        self.grant_limit
    }

    pub(super) fn granted(&self) -> u32 {
        self.granted.load(Relaxed)
    }

    pub(super) fn grow_grants(&self, frames: u32) {
        self.granted.fetch_max(frames, Relaxed);
    }
}
