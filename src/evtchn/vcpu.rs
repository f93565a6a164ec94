//! What concerns one vCPU rather than one port: where it is told about events, and waiting for one.

use super::bind::Refusal;
use super::deliver::Attention;
use super::domain::{Domain, Events, Vcpu};
use super::page::VcpuInfo;
use crate::addr::{DomainId, VcpuId};
use crate::hypercall::Errno;

/// What became of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// A port is pending: the vCPU goes on.
    Ready,
    /// The vCPU is marked as polling and has to be stopped until [`Events::is_polling`] answers `false`, an
    /// interrupt is deliverable, or its time is up.
    Wait,
}

impl Events {
    /// Whether `vcpu` has registered a place for its information.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the domain has no such vCPU.
    pub fn has_registered(&self, id: DomainId, vcpu: VcpuId) -> Result<bool, Errno> {
        let vcpu = self.domain(id).ok_or(Errno::ESRCH)?.vcpu(vcpu).ok_or(Errno::ENOENT)?;
        Ok(vcpu.has_registered())
    }

    /// `VCPUOP_register_vcpu_info`: from now on, `vcpu` is told about events at `place`.
    ///
    /// Senders do not stop meanwhile, and nothing is lost: a sender sets P and then reads which place it is; here,
    /// the place is published, and then all of S is set, then U, then the upcall is raised.
    ///
    /// * A sender that reads the new place announces there, and merges with the announcement made here. If it
    ///   finds S or U set (even by what the guest left there), the upcall raised here comes after that. S and U
    ///   are swapped and not stored, so that the vCPU that takes them over from here also follows every sender
    ///   that was there before: read-modify-writes continue each other's release sequences.
    /// * A sender that reads the old place, or none, did so before the new one was published in the one order of
    ///   all these accesses ([`word`](super::word)), and set P before that. The vCPU that follows the upcall raised
    ///   here reads P after it, and finds the bit. What the sender writes at the old place is not read again.
    ///
    /// Registrations of different vCPUs at once share nothing but the configuration lock: the second is sent back
    /// to its guest, which is [`Refusal::Busy`] and no error.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such vCPU, `EBUSY` if it has registered before, `EINVAL` if `place` shares a byte
    /// with that of another vCPU: the words of the two would be of different sizes at the same address, which is
    /// more than the atomics of the language promise to handle.
    pub fn register_vcpu_info(
        &self,
        id: DomainId,
        vcpu: VcpuId,
        place: &'static VcpuInfo,
        attention: &impl Attention,
    ) -> Result<(), Refusal> {
        let domain = self.domain(id).ok_or(Errno::ESRCH)?;
        let side = domain.vcpu(vcpu).ok_or(Errno::ENOENT)?;
        let _held = domain.config.try_take().ok_or(Refusal::Busy)?;
        if side.has_registered() {
            return Err(Errno::EBUSY.into());
        }
        if domain.vcpus.iter().filter_map(|vcpu| vcpu.info.get()).any(|used| used.overlaps(place)) {
            return Err(Errno::EINVAL.into());
        }
        place.take_over(side.first_info);
        side.info.put(Some(place));
        place.selector.swap(u64::MAX);
        place.upcall.swap(1);
        attention.upcall(id, vcpu, side.bell);
        Ok(())
    }

    /// `SCHEDOP_poll`: looks at `ports`, in the order given, and if none is pending marks `vcpu` as polling.
    ///
    /// Any event of the domain ends the wait, on whichever port: the ABI allows a poll to return for nothing.
    ///
    /// # Errors
    ///
    /// `EINVAL` if a port looked at does not exist or is free.
    pub fn poll(&self, id: DomainId, vcpu: VcpuId, ports: impl Iterator<Item = u32>) -> Result<Poll, Errno> {
        let domain = self.domain(id).ok_or(Errno::ESRCH)?;
        let side = domain.vcpu(vcpu).ok_or(Errno::EINVAL)?;
        // First say that this vCPU waits, then look: a sender sets its pending bit first and then looks who waits.
        side.polling.swap(1);
        domain.pollers.swap(1);
        let found = domain.find_pending(ports);
        if found != Ok(false) {
            side.polling.swap(0);
        }
        Ok(if found? { Poll::Ready } else { Poll::Wait })
    }

    /// Whether `vcpu` is marked as polling.
    #[must_use]
    pub fn is_polling(&self, id: DomainId, vcpu: VcpuId) -> bool {
        self.domain(id).and_then(|domain| domain.vcpu(vcpu)).is_some_and(|vcpu| vcpu.polling.get() != 0)
    }

    /// Takes the mark off `vcpu`, whose wait ended for another reason. (Left on, it costs one needless wake-up.)
    pub fn stop_polling(&self, id: DomainId, vcpu: VcpuId) {
        if let Some(vcpu) = self.domain(id).and_then(|domain| domain.vcpu(vcpu)) {
            vcpu.polling.swap(0);
        }
    }
}

impl Vcpu {
    fn has_registered(&self) -> bool {
        match (self.info.get(), self.first_info) {
            (Some(now), Some(first)) => !core::ptr::eq(now, first),
            (now, _) => now.is_some(),
        }
    }
}

impl Domain {
    fn find_pending(&self, ports: impl Iterator<Item = u32>) -> Result<bool, Errno> {
        for port in ports {
            let port = port as usize;
            if !self.entry(port).is_some_and(|entry| entry.is_used()) {
                return Err(Errno::EINVAL);
            }
            if self.is_pending(port) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the wait of every vCPU that polls.
    #[cold]
    pub(super) fn wake_pollers(&self, attention: &impl Attention) {
        self.pollers.swap(0);
        for (number, vcpu) in self.vcpus.iter().enumerate() {
            if vcpu.polling.swap(0) != 0 {
                attention.wake(self.id, VcpuId::new(number as u16));
            }
        }
    }
}
