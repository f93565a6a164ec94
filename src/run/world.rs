//! What all pCPUs share: frozen when the last domain is built. What changes afterwards is in atomics.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use portunus::addr::{DomainId, IntId, VcpuId};
use portunus::console::Stream;
use portunus::domain::load::Contents;
use portunus::evtchn::Events;
use portunus::hypercall::{CallState, ShutdownReason};
use portunus::plan::{ChannelPlan, Conduit, Timer, WhenDone};
use portunus::prediction::Verdict;
use portunus::sched::Slot;
use portunus::sync::Epochs;
use portunus::vdev::idregs::IdValues;
use portunus::vdev::pl011::Vpl011;
use portunus::vdev::power::{Power, Start};
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
    /// All pCPUs that run.
    pub pcpus: Vec<&'static Pcpu>,
    /// Whether a pCPU may still hold what a domain that starts again had registered before.
    pub epochs: Epochs,
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
    /// Seconds of UTC at system time 0; 0 if the machine has no clock.
    pub utc: u64,
    /// Counter ticks a second.
    pub frequency: u32,
    /// Allocations refused since the world was frozen.
    pub refused: fn() -> u64,
    /// Domains that have not ended for good.
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
    /// What its memory holds when it starts.
    pub contents: Contents,
    /// Where its first vCPU starts.
    pub start: Start,
    /// How many of its faults have been shown.
    pub faults: AtomicU32,
    /// vCPUs that still have to be told that the domain has stopped.
    pub remaining: AtomicU32,
    /// The number of its present life in the upper half, from 0 on; in the lower [`RUNNING`], or the number of a shutdown
    /// reason. One word, so that nobody takes the end of one life for that of the next.
    state: AtomicU64,
}

/// Where a vCPU lives.
#[derive(Clone, Copy)]
pub struct Home {
    /// Its pCPU.
    pub pcpu: &'static Pcpu,
    /// Its place there.
    pub slot: Slot,
}

/// Lower half of [`Domain::state`] while the domain has not shut down.
const RUNNING: u32 = u32::MAX;

/// A life of a domain that is over, or about to be.
#[derive(Clone, Copy)]
pub struct Ended {
    /// Which life.
    pub life: u32,
    /// Why it ended.
    pub reason: ShutdownReason,
}

impl World {
    /// The domain numbered `id`.
    #[inline(always)]
    #[must_use]
    pub fn domain(&self, id: DomainId) -> Option<&'static Domain> {
        self.domains.get(id.index()).copied().flatten()
    }

    /// UTC when the counter is at `now`, in seconds and nanoseconds, if the machine has a clock.
    #[must_use]
    pub fn utc(&self, now: u64) -> Option<(u64, u32)> {
        let (ticks, second) = (now.saturating_sub(self.started), u64::from(self.frequency).max(1));
        let nanoseconds = ticks % second * 1_000_000_000 / second;
        (self.utc != 0).then_some((self.utc.saturating_add(ticks / second), nanoseconds as u32))
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
    /// See [`Domain::contents`].
    pub contents: Contents,
    /// See [`Domain::start`].
    pub start: Start,
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
            contents: parts.contents,
            start: parts.start,
            faults: AtomicU32::new(0),
            remaining: AtomicU32::new(vcpus as u32),
            state: AtomicU64::new(pack(0, RUNNING)),
        }
    }

    /// Tells the home pCPUs of `vcpus` to look at them. `from` is the executing pCPU.
    #[inline]
    pub fn publish(&self, vcpus: VcpuSet, from: &Pcpu) {
        if !vcpus.is_empty() {
            self.ring(vcpus, from);
        }
    }

    /// Tells the home pCPUs of `vcpus` that SGIs were sent to them, which is all there is to see. `from` is the executing pCPU.
    #[inline]
    pub fn publish_sgis(&self, vcpus: VcpuSet, from: &Pcpu) {
        for vcpu in vcpus.iter() {
            if let Some(home) = self.homes.get(vcpu.index()) {
                home.pcpu.ring_sgis(home.slot, from);
            }
        }
    }

    #[inline(never)]
    fn ring(&self, vcpus: VcpuSet, from: &Pcpu) {
        for vcpu in vcpus.iter() {
            if let Some(home) = self.homes.get(vcpu.index()) {
                home.pcpu.ring_other(home.slot, from);
            }
        }
    }

    /// Ends the domain's present life, once: the first reason counts. Whether this was it.
    pub fn stop(&self, reason: ShutdownReason) -> bool {
        let running = self.state.load(Ordering::Acquire);
        let ended = pack(life(running), reason.raw().into());
        running as u32 == RUNNING
            && self.state.compare_exchange(running, ended, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The life that has ended, if the domain does not run.
    #[must_use]
    pub fn stopped(&self) -> Option<Ended> {
        let state = self.state.load(Ordering::Acquire);
        match state as u32 {
            RUNNING => None,
            reason => Some(Ended { life: life(state), reason: ShutdownReason::from_raw(reason) }),
        }
    }

    /// Begins the next life: everything is as it was before the first. None of its vCPUs is on.
    pub fn revive(&self) {
        self.remaining.store(self.homes.len() as u32, Ordering::Relaxed);
        self.state.store(pack(self.lives().wrapping_add(1), RUNNING), Ordering::Release);
    }

    /// How often it has been started again.
    #[must_use]
    pub fn lives(&self) -> u32 {
        life(self.state.load(Ordering::Acquire))
    }
}

const fn pack(life: u32, state: u32) -> u64 {
    (life as u64) << 32 | state as u64
}

const fn life(state: u64) -> u32 {
    (state >> 32) as u32
}
