//! One port, packed into one word, so that a sender reads all it needs with one load.

use crate::addr::{DomainId, Port, VcpuId};

/// What a port is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Nothing; the next allocation may take it.
    Free,
    /// Port 0, which nobody can use.
    Reserved,
    /// Nobody yet (or no longer): `domain` may bind to it. Sends are dropped.
    Unbound {
        /// The domain that may bind to it.
        domain: DomainId,
    },
    /// A port of a domain.
    Interdomain {
        /// The domain at the other end.
        domain: DomainId,
        /// The port at the other end.
        port: Port,
    },
    /// A virtual interrupt of the hypervisor.
    Virq {
        /// Its number.
        virq: u8,
    },
    /// Itself: one vCPU signals another of the same domain.
    Ipi,
}

/// A port as the table stores it: in 32 bits, which are handled as 64, so that nothing need be extended.
///
/// | bits | content |
/// |---|---|
/// | 11-0 | where a send goes: port; or the virtual interrupt. Lowest: the number of a bit in a word is its lower six |
/// | 14-12 | state, Xen's numbering (`ECS_*`) |
/// | 15 | static: belongs to the device tree |
/// | 23-16 | where a send goes: domain; or the domain an unbound port is offered to |
/// | 24 | a send goes somewhere: so that the sender tests one bit |
/// | 31-25 | notified vCPU |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u64);

const STATE: u64 = 0b111 << 12;
const FREE: u64 = 0;
const RESERVED: u64 = 1 << 12;
const UNBOUND: u64 = 2 << 12;
const INTERDOMAIN: u64 = 3 << 12;
const VIRQ: u64 = 5 << 12;
const IPI: u64 = 6 << 12;
const STATIC: u64 = 1 << 15;
const PORT_MASK: u64 = 0xfff;
const DOMAIN_SHIFT: u32 = 16;
const DOMAIN_MASK: u64 = 0xff;
const FORWARDS: u64 = 1 << 24;
const VCPU_SHIFT: u32 = 25;
const VCPU_MASK: u64 = 0x7f;

const _: () = assert!(crate::addr::PORTS as u64 == PORT_MASK + 1 && super::DOMAINS as u64 == DOMAIN_MASK + 1);

/// Where a send goes: `(domain, port)`, both within their tables.
pub(super) type Route = (usize, usize);

impl Entry {
    /// A port nobody uses.
    pub(super) const FREE: Self = Self(FREE);
    /// Port 0.
    pub(super) const RESERVED: Self = Self(RESERVED);

    const fn pack(state: u64, domain: u16, port: u32, vcpu: VcpuId) -> Self {
        Self(
            state
                | port as u64 & PORT_MASK
                | (domain as u64 & DOMAIN_MASK) << DOMAIN_SHIFT
                | (vcpu.get() as u64) << VCPU_SHIFT,
        )
    }

    /// A port offered to `domain`. It notifies vCPU 0, as does every port until told otherwise.
    pub(super) const fn unbound(domain: DomainId) -> Self {
        Self::pack(UNBOUND, domain.get(), 0, VcpuId::new(0))
    }
    /// A port bound to `port` of `domain`.
    pub(super) const fn interdomain(domain: DomainId, port: Port) -> Self {
        Self::pack(INTERDOMAIN | FORWARDS, domain.get(), port.get(), VcpuId::new(0))
    }
    /// A port that virtual interrupt `virq` raises for `vcpu`.
    pub(super) const fn virq(virq: u8, vcpu: VcpuId) -> Self {
        Self::pack(VIRQ, 0, virq as u32, vcpu)
    }
    /// A port that signals `vcpu`. It is routed to itself, so that a sender need not tell it from others.
    pub(super) const fn ipi(domain: DomainId, port: Port, vcpu: VcpuId) -> Self {
        Self::pack(IPI | FORWARDS, domain.get(), port.get(), vcpu)
    }

    /// The same port, made part of a static channel.
    pub(super) const fn into_static(self) -> Self {
        Self(self.0 | STATIC)
    }
    /// The same port, notifying `vcpu`.
    pub(super) const fn notifying(self, vcpu: VcpuId) -> Self {
        Self(self.0 & !(VCPU_MASK << VCPU_SHIFT) | (vcpu.get() as u64) << VCPU_SHIFT)
    }

    /// Reads the stored form.
    pub(super) const fn from_raw(raw: u32) -> Self {
        Self(raw as u64)
    }
    /// The stored form.
    pub(super) const fn raw(self) -> u32 {
        self.0 as u32
    }

    const fn state(self) -> u64 {
        self.0 & STATE
    }
    const fn port(self) -> u32 {
        (self.0 & PORT_MASK) as u32
    }
    const fn domain(self) -> DomainId {
        DomainId::new((self.0 >> DOMAIN_SHIFT & DOMAIN_MASK) as u16)
    }
    /// The vCPU that is told about events of this port.
    pub(super) const fn vcpu(self) -> VcpuId {
        VcpuId::new((self.0 >> VCPU_SHIFT & VCPU_MASK) as u16)
    }
    /// Whether the port belongs to the device tree.
    pub(super) const fn is_static(self) -> bool {
        self.0 & STATIC != 0
    }
    /// Whether the next allocation may take the port.
    pub(super) const fn is_free(self) -> bool {
        self.state() == FREE
    }
    /// Whether the port is bound to anything at all, or offered.
    pub(super) const fn is_used(self) -> bool {
        self.state() > RESERVED
    }
    /// Whether a send on this port is accepted and goes nowhere.
    pub(super) const fn drops_sends(self) -> bool {
        self.state() == UNBOUND
    }
    /// Where a send on this port goes, if it goes anywhere.
    #[inline(always)]
    pub(super) const fn route(self) -> Option<Route> {
        if self.0 & FORWARDS == 0 {
            return None;
        }
        Some(((self.0 >> DOMAIN_SHIFT & DOMAIN_MASK) as usize, (self.0 & PORT_MASK) as usize))
    }

    /// What the port is bound to.
    pub(super) const fn binding(self) -> Binding {
        match self.state() {
            RESERVED => Binding::Reserved,
            UNBOUND => Binding::Unbound { domain: self.domain() },
            INTERDOMAIN => Binding::Interdomain { domain: self.domain(), port: Port::new(self.port()) },
            VIRQ => Binding::Virq { virq: self.port() as u8 },
            IPI => Binding::Ipi,
            _ => Binding::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binding_survives_packing() {
        let (domain, port, vcpu) = (DomainId::new(255), Port::new(4095), VcpuId::new(127));
        assert_eq!(Entry::FREE.binding(), Binding::Free);
        assert_eq!(Entry::RESERVED.binding(), Binding::Reserved);
        assert_eq!(Entry::unbound(domain).binding(), Binding::Unbound { domain });
        assert_eq!(Entry::interdomain(domain, port).binding(), Binding::Interdomain { domain, port });
        assert_eq!(Entry::virq(23, vcpu).binding(), Binding::Virq { virq: 23 });
        assert_eq!(Entry::ipi(domain, port, vcpu).binding(), Binding::Ipi);
        assert_eq!(Entry::ipi(domain, port, vcpu).route(), Some((255, 4095)));
        let moved = Entry::interdomain(domain, port).into_static().notifying(vcpu);
        assert_eq!((moved.vcpu(), moved.is_static()), (vcpu, true));
        assert_eq!(moved.binding(), Binding::Interdomain { domain, port });
        assert_eq!(moved.notifying(VcpuId::new(0)).vcpu(), VcpuId::new(0));
    }
}
