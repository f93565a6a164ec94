//! What all pCPUs share: frozen when the last domain is built. What changes afterwards is in atomics.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use portunus::addr::{DomainId, IntId, VcpuId};
use portunus::console::Stream;
use portunus::evtchn::Events;
use portunus::hypercall::{CallState, ShutdownReason};
use portunus::plan::{ChannelPlan, Conduit, Timer, WhenDone};
use portunus::prediction::Verdict;
use portunus::sched::Slot;
use portunus::vdev::idregs::IdValues;
use portunus::vdev::pl011::Vpl011;
use portunus::vdev::power::Power;
use portunus::vgic::{VcpuSet, Version, Vgic};

use super::memory::GuestMemory;
use super::pcpu::Pcpu;
use super::runstate::Record;

/// Everything that is shared.
pub struct World {
    /// The event channels of all domains.
    pub events: Events,
    /// Domains by number; those that were not built are missing.
    pub domains: Vec<Option<&'static Domain>>,
    /// The static channels, for the summary.
    pub channels: Vec<ChannelPlan>,
    /// What guests know of the CPU.
    pub view: IdValues,
    /// What holds of the CPUs' branch predictors wherever a guest is.
    pub verdict: Verdict,
    /// The shape of all stage 2 tables (VTCR_EL2).
    pub vtcr: u64,
    /// Timer interrupts of this machine.
    pub timer: Timer,
    /// The architecture of the guests' interrupt controllers.
    pub gic: Version,
    /// The maintenance interrupt of the virtual GIC.
    pub maintenance: IntId,
    /// The interrupt of the console's UART.
    pub uart_irq: Option<IntId>,
    /// What to do when all domains have shut down.
    pub when_done: WhenDone,
    /// Firmware, to do it.
    pub psci: Option<Conduit>,
    /// Counter value when the domains were unpaused: system time 0.
    pub started: u64,
    /// Counter ticks a second.
    pub frequency: u32,
    /// Allocations refused since the world was frozen.
    pub refused: fn() -> u64,
    /// Domains that have not shut down.
    pub running: AtomicU32,
}

/// One domain.
pub struct Domain {
    /// Its number.
    pub id: DomainId,
    /// Its name.
    pub name: Box<str>,
    /// Its interrupt controller.
    pub vgic: Vgic,
    /// Its UART.
    pub uart: Option<Vpl011>,
    /// Where its output goes.
    pub stream: &'static Stream,
    /// The power switches of its vCPUs.
    pub power: Box<[Power]>,
    /// What hypercalls remember.
    pub calls: CallState,
    /// Where its vCPUs read how they have spent their time.
    pub records: Box<[Record]>,
    /// Where its vCPUs live.
    pub homes: Box<[Home]>,
    /// Its memory.
    pub memory: GuestMemory,
    /// How many of its faults have been shown.
    pub faults: AtomicU32,
    /// vCPUs that still have to be told that the domain has stopped.
    pub remaining: AtomicU32,
    /// [`RUNNING`], or the number of a shutdown reason.
    state: AtomicU32,
}

/// Where a vCPU lives.
#[derive(Clone, Copy)]
pub struct Home {
    /// Its pCPU.
    pub pcpu: &'static Pcpu,
    /// Its place there.
    pub slot: Slot,
}

/// [`Domain::state`] of a domain that has not shut down.
const RUNNING: u32 = u32::MAX;

impl World {
    /// The domain numbered `id`.
    #[inline(always)]
    #[must_use]
    pub fn domain(&self, id: DomainId) -> Option<&'static Domain> {
        self.domains.get(id.index()).copied().flatten()
    }

    /// Where `vcpu` of domain `id` lives.
    #[inline(always)]
    #[must_use]
    pub fn home(&self, id: DomainId, vcpu: VcpuId) -> Option<Home> {
        self.domain(id)?.homes.get(vcpu.index()).copied()
    }
}

/// The parts of a domain that build provides.
pub struct Parts {
    /// See [`Domain::id`].
    pub id: DomainId,
    /// See [`Domain::name`].
    pub name: Box<str>,
    /// See [`Domain::vgic`].
    pub vgic: Vgic,
    /// See [`Domain::uart`].
    pub uart: Option<Vpl011>,
    /// See [`Domain::stream`].
    pub stream: &'static Stream,
    /// See [`Domain::homes`].
    pub homes: Box<[Home]>,
    /// See [`Domain::memory`].
    pub memory: GuestMemory,
}

impl Domain {
    /// A domain whose vCPUs are all off.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let vcpus = parts.homes.len();
        Self {
            id: parts.id,
            name: parts.name,
            vgic: parts.vgic,
            uart: parts.uart,
            stream: parts.stream,
            power: (0..vcpus).map(|_| Power::new()).collect(),
            records: (0..vcpus).map(|_| Record::default()).collect(),
            calls: CallState::new(super::memory::GRANT_FRAMES as u32),
            homes: parts.homes,
            memory: parts.memory,
            faults: AtomicU32::new(0),
            remaining: AtomicU32::new(vcpus as u32),
            state: AtomicU32::new(RUNNING),
        }
    }

    /// Tells the home pCPUs of `vcpus` to look at them. `from` is the executing pCPU.
    pub fn publish(&self, vcpus: VcpuSet, from: &Pcpu) {
        for vcpu in vcpus.iter() {
            if let Some(home) = self.homes.get(vcpu.index()) {
                home.pcpu.ring_other(home.slot, from);
            }
        }
    }

    /// Stops the domain, once: the first reason counts. Whether this was it.
    pub fn stop(&self, reason: ShutdownReason) -> bool {
        self.state.compare_exchange(RUNNING, reason.raw().into(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Why it stopped, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<ShutdownReason> {
        match self.state.load(Ordering::Acquire) {
            RUNNING => None,
            reason => Some(ShutdownReason::from_raw(reason)),
        }
    }
}
