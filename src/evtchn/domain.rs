//! All domains' ports, and what is asked of them often enough to be found without searching.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use super::page::{SharedInfo, VcpuInfo};
use super::port::Entry;
use super::view::AtomicRef;
use super::word::{Half, Word};
use super::{DOMAINS, PORT_COUNT, WORDS};
use crate::addr::{DomainId, Port, VcpuId};
use crate::sync::{Held, TryLock};

/// The event channels of all domains. Made by [`Builder`](super::Builder) at boot; from then on shared by all
/// CPUs, and changed only through the atomics inside.
#[derive(Debug)]
pub struct Events {
    /// By domain number.
    pub(super) domains: [Option<Box<Domain>>; DOMAINS],
}

/// The event channels of one domain.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Domain {
    /// Non-zero if some vCPU may be polling. First: a load-acquire has no offset.
    pub(super) pollers: Word,
    pub(super) id: DomainId,
    /// The page with the bitmaps, wherever (and whether) the guest maps it.
    pub(super) shared: &'static SharedInfo,
    /// The bitmaps in that page: a sender needs them at once.
    pub(super) pending: &'static [Word; WORDS],
    pub(super) mask: &'static [Word; WORDS],
    /// The port table: one packed [`Entry`] each. Written only with `config` held.
    pub(super) ports: Box<[Half; PORT_COUNT]>,
    /// What was sent on each port, up to the last of a static channel: nobody asks about those behind.
    pub(super) traffic: Box<[Counters]>,
    /// By vCPU number.
    pub(super) vcpus: Box<[Vcpu]>,
    /// Serialises everything but send, unmask, status and poll.
    pub(super) config: TryLock,
}

/// The event side of one vCPU.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Vcpu {
    /// Where its information lives now. Events for a vCPU without any set their pending bit and tell nobody.
    pub(super) info: AtomicRef<VcpuInfo>,
    /// How [`Attention`](super::Attention) reaches it.
    pub(super) bell: Bell,
    /// Where its information lives before it registers a place: `shared_info` for vCPU 0, nowhere for others.
    pub(super) first_info: Option<&'static VcpuInfo>,
    /// Non-zero while the vCPU waits in a poll.
    pub(super) polling: Word,
}

/// The upcall interrupt of one vCPU: found once, and asked each time the vCPU is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a>(&'a Vcpu);

impl Line<'_> {
    /// See [`Events::upcall_line`].
    #[inline(always)]
    #[must_use]
    pub fn is_asserted(self) -> bool {
        self.0.info.get().is_some_and(|info| info.upcall.get() != 0)
    }
}

/// A word of the binary's own about a vCPU, kept here so that whoever sends it an event has it at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bell(pub usize);

/// Counters of one port. Statistics only: nothing is ordered by them.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Counters {
    /// Sends that made the receiving port pending.
    fresh: AtomicU64,
    /// Sends that found it so.
    merged: AtomicU64,
}

impl Counters {
    /// Counts a send.
    #[inline(always)]
    pub(super) fn count_merged(&self) {
        self.merged.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a send.
    #[inline(always)]
    pub(super) fn count_fresh(&self) {
        self.fresh.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Traffic {
        let [fresh, coalesced] = [&self.fresh, &self.merged].map(|counter| counter.load(Ordering::Relaxed));
        Traffic { sent: fresh + coalesced, coalesced }
    }
}

/// What was sent on a port since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sends that the port accepted and forwarded to a port.
    pub sent: u64,
    /// How many of these found the receiving port still pending, and so were merged with an earlier event.
    pub coalesced: u64,
}

impl Events {
    /// The domain numbered `id`, if it was built.
    #[inline(always)]
    pub(super) fn domain(&self, id: DomainId) -> Option<&Domain> {
        self.domains.get(id.index())?.as_deref()
    }

    /// Whether domain `id` was built. (Domains never cease to exist.)
    #[must_use]
    pub fn exists(&self, id: DomainId) -> bool {
        self.domain(id).is_some()
    }

    /// Whether domain `id` has a vCPU `vcpu`, which is a number as a guest gives it.
    #[must_use]
    pub fn vcpu(&self, id: DomainId, vcpu: u32) -> Option<VcpuId> {
        let number = VcpuId::new(u16::try_from(vcpu).ok()?);
        self.domain(id)?.vcpu(number).map(|_| number)
    }

    /// The level of the upcall interrupt (PPI 31) of a vCPU: asserted while the guest has not cleared its upcall
    /// flag. Sample it whenever the vCPU is about to be entered: the guest lowers it by a plain store.
    #[must_use]
    pub fn upcall_line(&self, id: DomainId, vcpu: VcpuId) -> bool {
        self.line(id, vcpu).is_some_and(Line::is_asserted)
    }

    /// The upcall interrupt of `vcpu` of domain `id`, if there is such a vCPU.
    #[must_use]
    pub fn line(&self, id: DomainId, vcpu: VcpuId) -> Option<Line<'_>> {
        self.domain(id)?.vcpu(vcpu).map(Line)
    }

    /// How many bytes count what is sent on a domain's first `ports` ports.
    #[must_use]
    pub const fn counters(ports: usize) -> usize {
        ports * size_of::<Counters>()
    }

    /// What was sent on port `port` of domain `id`. Not counted are ports behind the last one of a static channel.
    #[must_use]
    pub fn traffic(&self, id: DomainId, port: Port) -> Traffic {
        let counters = self.domain(id).and_then(|domain| domain.traffic.get(port.index()));
        counters.map_or(Traffic::default(), Counters::read)
    }
}

impl Domain {
    /// The event side of `vcpu`, if the domain has it.
    #[inline(always)]
    pub(super) fn vcpu(&self, vcpu: VcpuId) -> Option<&Vcpu> {
        self.vcpus.get(vcpu.index())
    }

    /// The port at index `port`, if there can be one.
    #[inline(always)]
    pub(super) fn entry(&self, port: usize) -> Option<Entry> {
        Some(Entry::from_raw(self.ports.get(port)?.get()))
    }

    /// Changes a port.
    pub(super) fn store(&self, _: &Held<'_>, port: usize, entry: Entry) {
        if let Some(word) = self.ports.get(port) {
            word.put(entry.raw());
        }
    }
}
