//! At boot: domains and their static channels. At a restart: back to how boot left them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::bind::Refusal;
use super::domain::{Bell, Counters, Domain, Events, Vcpu};
use super::page::SharedInfo;
use super::port::Entry;
use super::view::AtomicRef;
use super::word::{Half, Word};
use super::{DOMAINS, PORT_COUNT};
use crate::addr::{DomainId, Port, VcpuId};
use crate::hypercall::Errno;
use crate::plan::Endpoint;
use crate::sync::TryLock;

/// How much of a static channel could be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Both ends.
    Both,
    /// One end only: the domain at the other was not built. Sends from here are dropped.
    OneEnd,
    /// Neither domain was built.
    Neither,
}

/// Lays out domains and channels; [`freeze`](Self::freeze) makes them immutable.
#[derive(Debug)]
pub struct Builder {
    events: Events,
    /// One past the highest static port of each domain.
    ends: [u16; DOMAINS],
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// No domains.
    #[must_use]
    pub fn new() -> Self {
        Self { events: Events { domains: [const { None }; DOMAINS] }, ends: [0; DOMAINS] }
    }

    /// Adds domain `id` with `vcpus` vCPUs and its (zeroed) shared information page.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the domain is there already, `EINVAL` if its number is 0 or above 255.
    pub fn add_domain(&mut self, id: DomainId, vcpus: u16, shared: &'static SharedInfo) -> Result<(), Errno> {
        let slot = self.events.domains.get_mut(id.index()).ok_or(Errno::EINVAL)?;
        if id == DomainId::new(0) {
            return Err(Errno::EINVAL);
        }
        if slot.is_some() {
            return Err(Errno::EEXIST);
        }
        // On the heap from the beginning: they would not fit a boot stack.
        let mut ports = Vec::new();
        ports.resize_with(PORT_COUNT, || Half::new(Entry::FREE.raw()));
        if let Some(first) = ports.first_mut() {
            *first = Half::new(Entry::RESERVED.raw());
        }
        *slot = Some(Box::new(Domain {
            id,
            shared,
            pending: &shared.pending,
            mask: &shared.mask,
            ports: ports.into_boxed_slice().try_into().map_err(|_| Errno::EINVAL)?,
            traffic: Box::default(),
            vcpus: (0..vcpus).map(|vcpu| Vcpu::new(vcpu, shared)).collect(),
            pollers: Word::new(0),
            config: TryLock::default(),
        }));
        Ok(())
    }

    /// What [`Attention::upcall`](super::Attention::upcall) is told of vCPU `vcpu` of domain `id`, if that is there.
    pub fn hang_bell(&mut self, id: DomainId, vcpu: VcpuId, bell: Bell) {
        let domain = self.events.domains.get_mut(id.index()).and_then(Option::as_deref_mut);
        if let Some(side) = domain.and_then(|domain| domain.vcpus.get_mut(vcpu.index())) {
            side.bell = bell;
        }
    }

    /// Binds a static channel, once all domains have been added. An end whose domain was not built leaves the
    /// other offered to it for ever.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a port outside 1-4095, `EBUSY` for one that another channel has, or for twice the same.
    pub fn bind_static(&mut self, ends: [Endpoint; 2]) -> Result<Bound, Errno> {
        let [first, second] = ends;
        self.check_free(first)?;
        self.check_free(second)?;
        if first == second {
            return Err(Errno::EBUSY);
        }
        match (self.events.exists(first.domain), self.events.exists(second.domain)) {
            (true, true) => {
                self.claim(first, Entry::interdomain(second.domain, second.port));
                self.claim(second, Entry::interdomain(first.domain, first.port));
                Ok(Bound::Both)
            }
            (true, false) => {
                self.claim(first, Entry::unbound(second.domain));
                Ok(Bound::OneEnd)
            }
            (false, true) => {
                self.claim(second, Entry::unbound(first.domain));
                Ok(Bound::OneEnd)
            }
            (false, false) => Ok(Bound::Neither),
        }
    }

    fn check_free(&self, end: Endpoint) -> Result<(), Errno> {
        if end.port == Port::new(0) || end.port.index() >= PORT_COUNT || end.domain.index() >= DOMAINS {
            return Err(Errno::EINVAL);
        }
        match self.events.domain(end.domain).and_then(|domain| domain.entry(end.port.index())) {
            Some(entry) if !entry.is_free() => Err(Errno::EBUSY),
            _ => Ok(()),
        }
    }

    fn claim(&mut self, end: Endpoint, entry: Entry) {
        if let Some(domain) = self.events.domain(end.domain)
            && let Some(held) = domain.config.try_take()
        {
            domain.store(&held, end.port.index(), entry.into_static());
            if let Some(last) = self.ends.get_mut(end.domain.index()) {
                *last = (*last).max(end.port.index() as u16 + 1);
            }
        }
    }

    /// The finished channels, ready to be shared by all CPUs.
    #[must_use]
    pub fn freeze(mut self) -> Events {
        for (domain, end) in self.events.domains.iter_mut().zip(self.ends) {
            let Some(domain) = domain else { continue };
            domain.traffic = (0..end).map(|_| Counters::default()).collect();
        }
        self.events
    }
}

impl Vcpu {
    fn new(number: u16, shared: &'static SharedInfo) -> Self {
        let first_info = (number == 0).then_some(&shared.vcpu_info);
        let info = AtomicRef::new(first_info);
        Self { info, bell: Bell::default(), first_info, polling: Word::new(0) }
    }
}

impl Events {
    /// Brings the ports and the shared information page of domain `id` back to how boot left them: static
    /// channels bound and not pending, all other ports free, nothing masked, vCPU information where it was before
    /// any registration. Peers and their ports do not notice; an event one of them sends from now on is kept for
    /// the domain's next life. Traffic counters go on counting.
    ///
    /// No vCPU of the domain may be running. A CPU that is inside a send may still hold the address of a
    /// `vcpu_info` in the domain's RAM: let every other CPU leave EL2 (or pass through its idle loop) once *after*
    /// this returns and *before* that RAM is written.
    ///
    /// # Errors
    ///
    /// [`Refusal::Busy`] if a vCPU of the domain is inside a configuration hypercall, so was not stopped.
    pub fn rearm(&self, id: DomainId) -> Result<(), Refusal> {
        let domain = self.domain(id).ok_or(Errno::ESRCH)?;
        let held = domain.config.try_take().ok_or(Refusal::Busy)?;
        for port in 1..PORT_COUNT {
            match domain.entry(port) {
                Some(entry) if entry.is_static() => {
                    domain.store(&held, port, entry.notifying(VcpuId::new(0)));
                }
                _ => domain.store(&held, port, Entry::FREE),
            }
        }
        for vcpu in &domain.vcpus {
            vcpu.info.put(vcpu.first_info);
            vcpu.polling.swap(0);
        }
        domain.pollers.swap(0);
        domain.shared.make_pristine();
        Ok(())
    }
}
