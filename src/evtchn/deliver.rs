//! Sending: from a hypercall to bits in the receiver's pages.
//!
//! The steps and their order are those of Xen's two-level ABI (xen/common/event_2l.c); why they lose nothing is
//! argued in the [room's introduction](super#ordering). No lock is taken, nothing loops but the exclusive
//! accesses of the CPU itself.

use core::sync::atomic::Ordering;

use super::domain::{Domain, Events};
use crate::addr::{DomainId, Port, VcpuId};
use crate::hypercall::Errno;

/// Who is told that a vCPU needs service.
///
/// Called in the middle of a hypercall of any vCPU, on any CPU; must not wait.
pub trait Attention {
    /// The upcall flag of `vcpu` went from 0 to 1: its upcall interrupt (PPI 31) is asserted. The level is
    /// [`Events::upcall_line`].
    fn upcall(&self, domain: DomainId, vcpu: VcpuId);
    /// `vcpu` was waiting in a poll and no longer does; [`Events::is_polling`] answers `false` for it. Nothing
    /// is asserted.
    fn wake(&self, domain: DomainId, vcpu: VcpuId);
}

/// Whether an event found its port pending already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Raised {
    Fresh,
    Merged,
}

impl Events {
    /// `EVTCHNOP_send`: signals the other end of `port` of domain `from`.
    ///
    /// A port that is offered and not bound accepts the event and drops it.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no event can be sent on the port: it does not exist, is free or reserved, or is raised by
    /// the hypervisor only.
    #[inline(always)]
    pub fn send(&self, from: DomainId, port: Port, attention: &impl Attention) -> Result<(), Errno> {
        let sender = self.domain(from).ok_or(Errno::ESRCH)?;
        let entry = sender.entry(port.index()).ok_or(Errno::EINVAL)?;
        let Some((to, remote)) = entry.route() else {
            return if entry.drops_sends() { Ok(()) } else { Err(Errno::EINVAL) };
        };
        let Some(receiver) = self.domains.get(to).and_then(Option::as_deref) else { return Ok(()) };
        let raised = receiver.set_pending(remote, attention);
        if let Some(counters) = sender.traffic.get(port.index()) {
            counters.sent.fetch_add(1, Ordering::Relaxed);
            if raised == Some(Raised::Merged) {
                counters.coalesced.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// `EVTCHNOP_unmask`: lifts the mask of a port of domain `id`, and announces an event that waited behind it.
    ///
    /// Does nothing on a free or reserved port, nor on one that is not masked.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such port.
    #[inline]
    pub fn unmask(&self, id: DomainId, port: Port, attention: &impl Attention) -> Result<(), Errno> {
        let domain = self.domain(id).ok_or(Errno::ESRCH)?;
        let entry = domain.entry(port.index()).ok_or(Errno::EINVAL)?;
        if entry.is_used() {
            domain.lift_mask(port.index(), attention);
        }
        Ok(())
    }
}

/// The word of a bitmap that holds `port`, and its bit.
#[inline(always)]
const fn place(port: usize) -> (usize, u64) {
    (port / 64, 1 << (port % 64))
}

impl Domain {
    /// Sets the pending bit of `port` and lets the guest know, unless it is known already. `None` if there is no
    /// such port.
    #[inline(always)]
    fn set_pending(&self, port: usize, attention: &impl Attention) -> Option<Raised> {
        let (word, bit) = place(port);
        let (pending, mask) = (self.shared.pending.get(word)?, self.shared.mask.get(word)?);
        if pending.set(bit) & bit != 0 {
            return Some(Raised::Merged);
        }
        if mask.get() & bit == 0 {
            // The notified vCPU is read here and not earlier: see the room's introduction.
            self.announce(word, self.entry(port)?.vcpu(), attention);
        }
        if self.pollers.get() != 0 {
            self.wake_pollers(attention);
        }
        Some(Raised::Fresh)
    }

    /// [`set_pending`](Self::set_pending) for events that no guest sent.
    pub(super) fn raise(&self, port: usize, attention: &impl Attention) {
        let _ = self.set_pending(port, attention);
    }

    /// Tells `vcpu` that some port of `word` is pending: selector first, then the upcall.
    #[inline(always)]
    fn announce(&self, word: usize, vcpu: VcpuId, attention: &impl Attention) {
        let Some(info) = self.vcpu(vcpu).and_then(|vcpu| vcpu.info.get()) else { return };
        let (_, bit) = place(word);
        if info.selector.set(bit) & bit == 0 && info.upcall.set(1) & 1 == 0 {
            attention.upcall(self.id, vcpu);
        }
    }

    fn lift_mask(&self, port: usize, attention: &impl Attention) {
        let (word, bit) = place(port);
        let (Some(pending), Some(mask)) = (self.shared.pending.get(word), self.shared.mask.get(word)) else {
            return;
        };
        if mask.clear(bit) & bit != 0
            && pending.get() & bit != 0
            // Read here, as in `set_pending`: another vCPU may be moving the port.
            && let Some(entry) = self.entry(port)
        {
            self.announce(word, entry.vcpu(), attention);
        }
    }

    /// Discards an event that is pending on `port`. Selector and upcall stay: guests expect to find nothing.
    pub(super) fn clear_pending(&self, port: usize) {
        let (word, bit) = place(port);
        if let Some(pending) = self.shared.pending.get(word) {
            pending.clear(bit);
        }
    }

    /// Whether an event is pending on `port`, masked or not.
    pub(super) fn is_pending(&self, port: usize) -> bool {
        let (word, bit) = place(port);
        self.shared.pending.get(word).is_some_and(|pending| pending.get() & bit != 0)
    }
}
