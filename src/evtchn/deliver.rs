//! Sending: from a hypercall to bits in the receiver's pages.
//!
//! The steps and their order are those of Xen's two-level ABI (xen/common/event_2l.c); why they lose nothing is
//! argued in the [room's introduction](super#ordering). No lock is taken, nothing loops but the exclusive
//! accesses of the CPU itself.

use alloc::boxed::Box;

use super::domain::{Bell, Domain, Events};
use super::port::Entry;
use super::{DOMAINS, PORT_COUNT};
use crate::addr::{DomainId, Port, VcpuId};
use crate::hypercall::Errno;

/// Who is told that a vCPU needs service.
///
/// Called in the middle of a hypercall of any vCPU, on any CPU; must not wait.
pub trait Attention {
    /// The upcall flag of `vcpu` went from 0 to 1: its upcall interrupt (PPI 31) is asserted. The level is
    /// [`Events::upcall_line`]. `bell` is what [`Builder::hang_bell`](super::Builder::hang_bell) was given.
    fn upcall(&self, domain: DomainId, vcpu: VcpuId, bell: Bell);
    /// `vcpu` was waiting in a poll and no longer does; [`Events::is_polling`] answers `false` for it. Nothing
    /// is asserted.
    fn wake(&self, domain: DomainId, vcpu: VcpuId);
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The port was pending already: nobody was told anything.
    Merged,
    /// The port is pending now, and [`Attention`] was asked for if somebody has to be told.
    Fresh,
    /// There is nobody at the other end.
    Dropped,
}

/// A domain that sends: found once, when one of its vCPUs is loaded, and not again for each event.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    domains: &'a [Option<Box<Domain>>; DOMAINS],
    domain: &'a Domain,
}

impl Sender<'_> {
    /// See [`Events::send`].
    ///
    /// # Errors
    ///
    /// `EINVAL`, as there; then nothing was done.
    #[inline(always)]
    pub fn send(self, port: Port, attention: &impl Attention) -> Result<Sent, Errno> {
        let port = Bounded::of(port);
        // In no order with other accesses: whoever binds a port while it is being sent on hits or misses this event.
        let word = self.domain.ports.get(port.index).ok_or(Errno::EINVAL)?;
        let entry = Entry::from_raw(word.peek());
        port.check()?;
        let Some((to, remote)) = entry.route() else {
            return if entry.drops_sends() { Ok(Sent::Dropped) } else { Err(Errno::EINVAL) };
        };
        let Some(receiver) = self.domains.get(to).and_then(Option::as_deref) else {
            return Ok(Sent::Dropped);
        };
        let counters = self.domain.traffic.get(port.index);
        if receiver.set_pending(remote) {
            counters.inspect(|counters| counters.count_merged());
            return Ok(Sent::Merged);
        }
        counters.inspect(|counters| counters.count_fresh());
        receiver.tell(remote, attention);
        Ok(Sent::Fresh)
    }
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
    pub fn send(&self, from: DomainId, port: Port, attention: &impl Attention) -> Result<(), Errno> {
        match self.sender(from).ok_or(Errno::ESRCH)?.send(port, attention)? {
            Sent::Merged | Sent::Fresh | Sent::Dropped => Ok(()),
        }
    }

    /// Domain `id`, as one that sends, if it was built.
    #[must_use]
    pub fn sender(&self, id: DomainId) -> Option<Sender<'_>> {
        Some(Sender { domains: &self.domains, domain: self.domain(id)? })
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
        let port = Bounded::of(port);
        let entry = domain.entry(port.index).ok_or(Errno::EINVAL)?;
        port.check()?;
        if entry.is_used() {
            domain.lift_mask(port.index, attention);
        }
        Ok(())
    }
}

/// A guest's number of a port, reduced to what is in the table. The table is read by the reduced number, and only then is
/// the number found to be one or not: a CPU that guesses that wrong ("Spectre-v1") has loaded from the table all the same.
/// (The load is an atomic one, which the compiler leaves where it is.)
#[derive(Clone, Copy)]
struct Bounded {
    index: usize,
    exists: bool,
}

impl Bounded {
    #[inline(always)]
    fn of(port: Port) -> Self {
        const _: () = assert!(PORT_COUNT.is_power_of_two());
        Self { index: port.index() & (PORT_COUNT - 1), exists: port.index() < PORT_COUNT }
    }

    #[inline(always)]
    fn check(self) -> Result<(), Errno> {
        if self.exists { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// The word of a bitmap that holds `port`, and its bit.
#[inline(always)]
const fn place(port: usize) -> (usize, u64) {
    (port / 64, 1u64.wrapping_shl(port as u32))
}

impl Domain {
    /// Sets the pending bit of `port`. Whether it was set already; if not, [`tell`](Self::tell) follows.
    #[inline(always)]
    fn set_pending(&self, port: usize) -> bool {
        let (word, bit) = place(port);
        self.pending.get(word).is_some_and(|pending| pending.set(bit) & bit != 0)
    }

    /// The pending bit of `port` has just been set: lets the guest know, unless it does not want to.
    #[inline(always)]
    fn tell(&self, port: usize, attention: &impl Attention) {
        let (word, bit) = place(port);
        if self.mask.get(word).is_some_and(|mask| mask.get() & bit == 0)
            // The notified vCPU is read here and not earlier: see the room's introduction.
            && let Some(entry) = self.entry(port)
        {
            self.announce(word, entry.vcpu(), attention);
        }
        if self.pollers.get() != 0 {
            self.wake_pollers(attention);
        }
    }

    /// An event that no guest sent.
    pub(super) fn raise(&self, port: usize, attention: &impl Attention) {
        if !self.set_pending(port) {
            self.tell(port, attention);
        }
    }

    /// Tells `vcpu` that some port of `word` is pending: selector first, then the upcall.
    #[inline(always)]
    fn announce(&self, word: usize, vcpu: VcpuId, attention: &impl Attention) {
        let Some(side) = self.vcpu(vcpu) else { return };
        let Some(info) = side.info.get() else { return };
        let (_, bit) = place(word);
        if info.selector.set(bit) & bit == 0 && info.upcall.set(1) & 1 == 0 {
            attention.upcall(self.id, vcpu, side.bell);
        }
    }

    fn lift_mask(&self, port: usize, attention: &impl Attention) {
        let (word, bit) = place(port);
        let (Some(pending), Some(mask)) = (self.pending.get(word), self.mask.get(word)) else {
            return;
        };
        if mask.clear(bit) & bit != 0
            && pending.get() & bit != 0
            // Read here, as in `tell`: another vCPU may be moving the port.
            && let Some(entry) = self.entry(port)
        {
            self.announce(word, entry.vcpu(), attention);
        }
    }

    /// Discards an event that is pending on `port`. Selector and upcall stay: guests expect to find nothing.
    pub(super) fn clear_pending(&self, port: usize) {
        let (word, bit) = place(port);
        if let Some(pending) = self.pending.get(word) {
            pending.clear(bit);
        }
    }

    /// Whether an event is pending on `port`, masked or not.
    pub(super) fn is_pending(&self, port: usize) -> bool {
        let (word, bit) = place(port);
        self.pending.get(word).is_some_and(|pending| pending.get() & bit != 0)
    }
}
