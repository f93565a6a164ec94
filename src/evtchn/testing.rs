//! What the tests of this room, and of the hypercalls, share: pages that live for ever, and a witness.

use crate::addr::{DomainId, Port};
use crate::plan::Endpoint;

#[cfg(not(loom))]
pub(crate) use world::*;

/// Domain `number`.
pub(crate) const fn dom(number: u16) -> DomainId {
    DomainId::new(number)
}

/// One end of a channel.
pub(crate) const fn end(domain: u16, port: u32) -> Endpoint {
    Endpoint { domain: dom(domain), port: Port::new(port) }
}

#[cfg(not(loom))]
mod world {
    use std::sync::Mutex;

    use super::dom;
    use crate::addr::{DomainId, VcpuId};
    use crate::evtchn::{Attention, Bell, Builder, Events, SharedInfo};
    use crate::plan::Endpoint;

    /// Keeps what tests leak reachable, so that leak checkers know it is meant.
    static KEPT: Mutex<Vec<&'static (dyn core::any::Any + Send + Sync)>> = Mutex::new(Vec::new());

    /// Gives `value` the life of the hypervisor's own pages.
    pub(crate) fn forever<T: Send + Sync>(value: T) -> &'static T {
        let kept: &'static T = Box::leak(Box::new(value));
        KEPT.lock().unwrap().push(kept);
        kept
    }

    /// What was asked of the interrupt controller and the scheduler.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum Asked {
        /// An upcall for (domain, vCPU).
        Upcall(u16, u16),
        /// A wake-up of (domain, vCPU).
        Wake(u16, u16),
    }

    /// Remembers what was asked, in order.
    #[derive(Debug, Default)]
    pub(crate) struct Witness(Mutex<Vec<Asked>>);

    impl Witness {
        /// What was asked since last time.
        pub(crate) fn take(&self) -> Vec<Asked> {
            core::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Attention for Witness {
        fn upcall(&self, domain: DomainId, vcpu: VcpuId, _: Bell) {
            self.0.lock().unwrap().push(Asked::Upcall(domain.get(), vcpu.get()));
        }
        fn wake(&self, domain: DomainId, vcpu: VcpuId) {
            self.0.lock().unwrap().push(Asked::Wake(domain.get(), vcpu.get()));
        }
    }

    /// Domains 1, 2, … with as many vCPUs each as given, and their pages.
    pub(crate) fn domains(vcpus: &[u16], channels: &[[Endpoint; 2]]) -> (Events, Vec<&'static SharedInfo>) {
        let mut builder = Builder::new();
        let mut pages = Vec::new();
        for (number, &vcpus) in (1..).zip(vcpus) {
            let page = forever(SharedInfo::new());
            builder.add_domain(dom(number), vcpus, page).unwrap();
            pages.push(page);
        }
        for &ends in channels {
            builder.bind_static(ends).unwrap();
        }
        (builder.freeze(), pages)
    }
}
