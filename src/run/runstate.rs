//! What a vCPU can read of its own time: the run-state record of the Xen ABI (`vcpu_runstate_info`).
//!
//! A guest registers a virtual address, as under Xen on Arm. It is translated each time there is something to write, while
//! the vCPU is loaded: through its own stage 1 and its stage 2, as its own store would be. Where that store would fault,
//! nothing is written. A vCPU that has its CPU to itself changes no state, so nothing is written for it either.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use portunus::addr::Gva;

use super::Here;

/// Set in the second word of a record while it is being changed (`XEN_RUNSTATE_UPDATE`, xen/include/public/vcpu.h).
const UPDATING: u64 = 1 << 63;

/// Where a vCPU's record is. Any vCPU of the domain may say so.
#[derive(Default)]
pub struct Record(AtomicU64);

/// What was last written of a vCPU: where, and which change of state it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    area: u64,
    since: u64,
}

impl Record {
    /// It is at `area` from now on; at 0 there is none.
    pub fn register(&self, area: Gva) {
        self.0.store(area.get(), Ordering::Relaxed);
    }

    /// There is none: the vCPU starts anew, and the address would mean nothing to it.
    pub fn forget(&self) {
        self.register(Gva::new(0));
    }

    /// Whether there is one.
    pub fn is_registered(&self) -> bool {
        self.area().is_some()
    }

    fn area(&self) -> Option<Gva> {
        Some(Gva::new(self.0.load(Ordering::Relaxed))).filter(|area| area.get() != 0)
    }
}

impl Here<'_> {
    /// Writes the record of the loaded vCPU if its state, or the record's place, has changed.
    #[inline]
    pub(super) fn account(&mut self) {
        if self.local.accounts {
            self.record();
        }
    }

    #[inline(never)]
    fn record(&mut self) {
        let Some(area) = self.pcpu.calling().and_then(|call| call.record.area()) else { return };
        let Some(slot) = self.local.loaded else { return };
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        let domain = vcpu.domain;
        let Some(times) = self.local.scheduler.account(slot).copied() else { return };
        let now = Recorded { area: area.get(), since: times.since };
        if vcpu.recorded == now {
            return;
        }
        vcpu.recorded = now;
        let mut words = times.record(self.world.started, self.world.frequency);
        let [_, entered, ..] = words;
        let write = |at: u64, words: &[u64]| {
            let mut bytes = [0; 48];
            for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                *to = word.to_le_bytes();
            }
            let bytes = bytes.get(..size_of_val(words)).unwrap_or_default();
            // A page that is not mapped is the guest's own affair.
            area.checked_add(at).is_some_and(|to| domain.memory.write(to, bytes).is_ok())
        };
        if !domain.calls.marks_updates() {
            write(0, &words);
            return;
        }
        if let Some(word) = words.get_mut(1) {
            *word |= UPDATING;
        }
        if !write(8, &[entered | UPDATING]) {
            return;
        }
        // Another vCPU that reads sees the mark before anything else changes, and loses sight of it last.
        fence(Ordering::Release);
        write(0, &words);
        fence(Ordering::Release);
        write(8, &[entered]);
    }
}
