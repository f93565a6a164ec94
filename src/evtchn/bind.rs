//! Binding and closing ports: what changes the port table.
//!
//! The checks and their order are Xen's (xen/common/event_channel.c), with its default security module on Arm,
//! SILO (xen/xsm/silo.c): a domU connects to nobody but itself by hypercall. So the only channels *between*
//! domains are those of the device tree, and every operation here changes ports of the calling domain alone.
//!
//! All of them hold the domain's configuration lock. Another vCPU of the domain that comes meanwhile is told
//! [`Refusal::Busy`] and comes again.

use super::PORT_COUNT;
use super::deliver::Attention;
use super::domain::{Domain, Events};
use super::port::{Binding, Entry};
use crate::addr::{DomainId, Port, VcpuId};
use crate::hypercall::Errno;
use crate::sync::Held;

/// Why an operation was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is an error: the guest is told.
    Error(Errno),
    /// Another vCPU of the domain is at it: the guest executes the same hypercall again.
    Busy,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Error(errno)
    }
}

/// What `EVTCHNOP_status` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What the port is bound to.
    pub binding: Binding,
    /// The vCPU it notifies.
    pub vcpu: VcpuId,
}

/// How a virtual interrupt may be bound (xen/common/event_channel.c, `virq_is_global`; public/xen.h).
#[derive(Clone, Copy, PartialEq, Eq)]
enum VirqKind {
    /// To each vCPU once.
    PerVcpu,
    /// Once in the domain.
    PerDomain,
    /// By one privileged domain; there is none here.
    Global,
}

impl VirqKind {
    /// The kind of `virq`, or `None` if there is no such number.
    const fn of(virq: u32) -> Option<Self> {
        match virq {
            // Timer, debug, xenoprof, xenpmu.
            0 | 1 | 7 | 13 => Some(Self::PerVcpu),
            // Argo.
            11 => Some(Self::PerDomain),
            0..24 => Some(Self::Global),
            _ => None,
        }
    }
}

impl Events {
    /// `EVTCHNOP_alloc_unbound`: offers a new port of domain `owner` to domain `offered_to`.
    ///
    /// # Errors
    ///
    /// In this order: `ESRCH` for an unknown owner, `ENOSPC` if it has no port left, `ESRCH` for an unknown
    /// `offered_to`, `EPERM` unless all three domains are one.
    pub fn alloc_unbound(
        &self,
        caller: DomainId,
        owner: DomainId,
        offered_to: DomainId,
    ) -> Result<Port, Refusal> {
        let domain = self.domain(owner).ok_or(Errno::ESRCH)?;
        let held = if owner == caller { Some(domain.try_config()?) } else { None };
        let port = domain.lowest_free()?;
        self.domain(offered_to).ok_or(Errno::ESRCH)?;
        match held {
            Some(held) if offered_to == owner => Ok(domain.claim(&held, port, Entry::unbound(offered_to))),
            _ => Err(Errno::EPERM.into()),
        }
    }

    /// `EVTCHNOP_bind_interdomain`: binds a new port of `caller` to `remote_port` of `remote`. The new port
    /// starts out pending.
    ///
    /// # Errors
    ///
    /// In this order: `ESRCH` for an unknown domain, `ENOSPC` if the caller has no port left, `EINVAL` unless the
    /// remote port is offered to the caller, `EPERM` if it is another domain's.
    pub fn bind_interdomain(
        &self,
        caller: DomainId,
        remote: DomainId,
        remote_port: Port,
        attention: &impl Attention,
    ) -> Result<Port, Refusal> {
        let peer = self.domain(remote).ok_or(Errno::ESRCH)?;
        let domain = self.domain(caller).ok_or(Errno::ESRCH)?;
        let held = domain.try_config()?;
        let port = domain.lowest_free()?;
        let remote_entry = peer.entry(remote_port.index()).ok_or(Errno::EINVAL)?;
        if remote_entry.binding() != (Binding::Unbound { domain: caller }) {
            return Err(Errno::EINVAL.into());
        }
        if remote != caller {
            return Err(Errno::EPERM.into());
        }
        let local = domain.claim(&held, port, Entry::interdomain(remote, remote_port));
        let bound = Entry::interdomain(caller, local).notifying(remote_entry.vcpu());
        domain.store(&held, remote_port.index(), bound);
        domain.raise(port, attention);
        Ok(local)
    }

    /// `EVTCHNOP_bind_ipi`: makes a port that signals `vcpu` of the same domain.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such vCPU, `ENOSPC` if no port is left.
    pub fn bind_ipi(&self, caller: DomainId, vcpu: u32) -> Result<Port, Refusal> {
        let domain = self.domain(caller).ok_or(Errno::ESRCH)?;
        let vcpu = self.vcpu(caller, vcpu).ok_or(Errno::ENOENT)?;
        let held = domain.try_config()?;
        let port = domain.lowest_free()?;
        Ok(domain.claim(&held, port, Entry::ipi(caller, Port::new(port as u32), vcpu)))
    }

    /// `EVTCHNOP_bind_virq`: makes a port for a virtual interrupt. Portunus raises none of them; guests may bind.
    ///
    /// # Errors
    ///
    /// In this order: `EINVAL` for an unknown number, or one that is not per vCPU with a vCPU other than 0;
    /// `ENOENT` for an unknown vCPU; `EBUSY` for one that only a privileged domain handles; `EEXIST` if it is
    /// bound already; `ENOSPC`.
    pub fn bind_virq(&self, caller: DomainId, virq: u32, vcpu: u32) -> Result<Port, Refusal> {
        let domain = self.domain(caller).ok_or(Errno::ESRCH)?;
        let kind = VirqKind::of(virq).ok_or(Errno::EINVAL)?;
        if kind != VirqKind::PerVcpu && vcpu != 0 {
            return Err(Errno::EINVAL.into());
        }
        let vcpu = self.vcpu(caller, vcpu).ok_or(Errno::ENOENT)?;
        if kind == VirqKind::Global {
            return Err(Errno::EBUSY.into());
        }
        let held = domain.try_config()?;
        let wanted = Binding::Virq { virq: virq as u8 };
        let taken =
            |entry: Entry| entry.binding() == wanted && (kind == VirqKind::PerDomain || entry.vcpu() == vcpu);
        if domain.entries().any(taken) {
            return Err(Errno::EEXIST.into());
        }
        let port = domain.lowest_free()?;
        Ok(domain.claim(&held, port, Entry::virq(virq as u8, vcpu)))
    }

    /// `EVTCHNOP_bind_vcpu`: makes `port` notify `vcpu`. An event that is pending already is not announced again.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such vCPU; `EINVAL` if the port does not exist, is free, or is tied to its vCPU
    /// (IPIs and virtual interrupts per vCPU).
    pub fn bind_vcpu(&self, caller: DomainId, port: Port, vcpu: u32) -> Result<(), Refusal> {
        let domain = self.domain(caller).ok_or(Errno::ESRCH)?;
        let vcpu = self.vcpu(caller, vcpu).ok_or(Errno::ENOENT)?;
        let held = domain.try_config()?;
        let entry = domain.entry(port.index()).ok_or(Errno::EINVAL)?;
        let movable = match entry.binding() {
            Binding::Unbound { .. } | Binding::Interdomain { .. } => true,
            Binding::Virq { virq } => VirqKind::of(virq.into()) != Some(VirqKind::PerVcpu),
            Binding::Free | Binding::Reserved | Binding::Ipi => false,
        };
        if !movable {
            return Err(Errno::EINVAL.into());
        }
        domain.store(&held, port.index(), entry.notifying(vcpu));
        Ok(())
    }

    /// `EVTCHNOP_close`: frees `port`; its other end, in the same domain, becomes unbound. A static port stays as
    /// it is (see the [room's introduction](super#static-channels)).
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such port, or it is free or reserved.
    pub fn close(&self, caller: DomainId, port: Port) -> Result<(), Refusal> {
        let domain = self.domain(caller).ok_or(Errno::ESRCH)?;
        let held = domain.try_config()?;
        let entry = domain.entry(port.index()).filter(|entry| entry.is_used()).ok_or(Errno::EINVAL)?;
        domain.release(&held, port.index(), entry);
        Ok(())
    }

    /// `EVTCHNOP_reset`: closes every port of the domain.
    ///
    /// # Errors
    ///
    /// `ESRCH` for an unknown domain, `EPERM` for another than the caller's.
    pub fn reset(&self, caller: DomainId, target: DomainId) -> Result<(), Refusal> {
        let domain = self.own(caller, target)?;
        let held = domain.try_config()?;
        for port in 1..PORT_COUNT {
            if let Some(entry) = domain.entry(port).filter(|entry| entry.is_used()) {
                domain.release(&held, port, entry);
            }
        }
        Ok(())
    }

    /// Checks that `caller` may reset `target`.
    ///
    /// # Errors
    ///
    /// As for [`reset`](Self::reset).
    pub fn may_reset(&self, caller: DomainId, target: DomainId) -> Result<(), Errno> {
        self.own(caller, target).map(|_| ())
    }

    /// `EVTCHNOP_status`: what `port` of `target` is.
    ///
    /// # Errors
    ///
    /// In this order: `ESRCH` for an unknown domain, `EINVAL` if there is no such port, `EPERM` for another
    /// domain than the caller's.
    pub fn status(&self, caller: DomainId, target: DomainId, port: Port) -> Result<Status, Errno> {
        let entry = self.domain(target).ok_or(Errno::ESRCH)?.entry(port.index()).ok_or(Errno::EINVAL)?;
        self.own(caller, target)?;
        Ok(Status { binding: entry.binding(), vcpu: entry.vcpu() })
    }

    fn own(&self, caller: DomainId, target: DomainId) -> Result<&Domain, Errno> {
        let domain = self.domain(target).ok_or(Errno::ESRCH)?;
        if caller == target { Ok(domain) } else { Err(Errno::EPERM) }
    }
}

impl Domain {
    fn try_config(&self) -> Result<Held<'_>, Refusal> {
        self.config.try_take().ok_or(Refusal::Busy)
    }

    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + '_ {
        self.ports.iter().map(|word| Entry::from_raw(word.get()))
    }

    fn lowest_free(&self) -> Result<usize, Errno> {
        self.entries().position(Entry::is_free).ok_or(Errno::ENOSPC)
    }

    /// Takes a free port into use. A late sender of its previous life may have left its pending bit set; that is
    /// discarded *after* the port is published, so that a sender either is discarded too or announces its event.
    fn claim(&self, held: &Held<'_>, port: usize, entry: Entry) -> Port {
        self.store(held, port, entry);
        self.clear_pending(port);
        Port::new(port as u32)
    }

    /// What close does to one port in use.
    fn release(&self, held: &Held<'_>, port: usize, entry: Entry) {
        if entry.is_static() {
            self.store(held, port, entry.notifying(VcpuId::new(0)));
        } else {
            if let Binding::Interdomain { port: other, .. } = entry.binding()
                && let Some(remote) = self.entry(other.index())
            {
                self.store(held, other.index(), Entry::unbound(self.id).notifying(remote.vcpu()));
            }
            self.store(held, port, Entry::FREE);
        }
        self.clear_pending(port);
    }
}
