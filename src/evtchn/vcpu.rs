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
    /// Senders do not stop meanwhile. One that still saw the old place has set its pending bit before; all words
    /// are selected and an upcall is raised *after* the new place is published, so whichever vCPU follows
    /// that upcall finds the bit. What such a sender writes at the old place is not read again.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such vCPU, `EBUSY` if it has registered before.
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
        place.take_over(side.first_info);
        side.info.put(Some(place));
        place.selector.put(u64::MAX);
        place.upcall.put(1);
        attention.upcall(id, vcpu);
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
