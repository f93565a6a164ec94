//! `HVC #0xEA1`: the caller that the hypercall room sees, and what follows from its answer.

use portunus::addr::{DomainId, Gva, Ipa, VcpuId};
use portunus::evtchn::{Attention, Bell, Events, Line, Sender, VcpuInfo};
use portunus::hypercall::{self, CallState, Caller, Fault, MapError, Outcome, PlaceError, SpecialPage};
use portunus::sched::{Slot, nanoseconds};
use portunus::vgic::VcpuSet;

use super::Here;
use super::interrupt::pump;
use super::pcpu::Pcpu;
use super::runstate::Record;
use super::world::{Domain, World};
use crate::arch::aarch64::{guest, timer};

/// The vCPU that executes a hypercall.
pub struct Call {
    /// Everything that is shared.
    pub world: &'static World,
    /// The executing pCPU.
    pub pcpu: &'static Pcpu,
    /// The domain.
    pub domain: &'static Domain,
    /// The vCPU's number in it.
    pub vcpu: VcpuId,
    /// The domain as one that sends events.
    pub sender: Sender<'static>,
    /// The vCPU's upcall interrupt.
    pub line: Line<'static>,
    /// Where it reads how it has spent its time.
    pub record: &'static Record,
    /// Its place on the pCPU, as a bitmap.
    pub place: u64,
}

impl Call {
    /// vCPU `vcpu` of `domain`, whose home is `slot` of `pcpu`. `None` if the domain has no event channels, which all have.
    #[must_use]
    pub fn new(
        world: &'static World,
        pcpu: &'static Pcpu,
        domain: &'static Domain,
        vcpu: VcpuId,
        slot: Slot,
    ) -> Option<Self> {
        Some(Self {
            world,
            pcpu,
            domain,
            vcpu,
            sender: world.events.sender(domain.id)?,
            line: world.events.line(domain.id, vcpu)?,
            record: domain.records.get(vcpu.index())?,
            place: slot.bit(),
        })
    }

    /// Carries out hypercall `number` with its `arguments`.
    pub fn dispatch(&self, number: u64, arguments: &[u64; 5]) -> Outcome {
        hypercall::dispatch(self, number, arguments)
    }
}

impl Here<'_> {
    /// Does what a hypercall asked for beyond a return value.
    #[inline(never)]
    pub fn follow(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Return(value) => self.frame.set_register(0, value.cast_unsigned()),
            Outcome::Retry => {
                pump(self.pcpu);
                guest::repeat_hvc();
            }
            Outcome::Continue(arguments) => {
                pump(self.pcpu);
                if let Some(registers) = self.frame.x.get_mut(..arguments.len()) {
                    registers.copy_from_slice(&arguments);
                }
                guest::repeat_hvc();
            }
            Outcome::Yield => {
                self.frame.set_register(0, 0);
                self.give_way();
            }
            Outcome::Block => {
                self.frame.set_register(0, 0);
                guest::unmask_interrupts();
                self.block(None);
            }
            Outcome::Poll { until } => {
                self.frame.set_register(0, 0);
                if let Some(vcpu) = self.local.current() {
                    vcpu.polling = true;
                }
                self.block(until.map(|time| self.world.ticks_at(time)));
            }
            Outcome::Shutdown(reason) => {
                self.frame.set_register(0, 0);
                if let Some(domain) = self.local.current().map(|vcpu| vcpu.domain) {
                    self.shut_down(domain, reason);
                }
            }
        }
    }
}

impl World {
    /// System time in ns.
    pub(super) fn system_time(&self) -> u64 {
        nanoseconds(timer::now().saturating_sub(self.started), self.frequency)
    }

    /// Counter value at system time `time` (ns), rounded up.
    pub(super) fn ticks_at(&self, time: u64) -> u64 {
        const SECOND: u64 = 1_000_000_000;
        let (whole, rest) = (time / SECOND, time % SECOND);
        let frequency = u64::from(self.frequency);
        // The rest has 30 bits and the frequency 32.
        let ticks = whole.saturating_mul(frequency).saturating_add((rest * frequency).div_ceil(SECOND));
        self.started.saturating_add(ticks)
    }
}

impl Attention for Call {
    #[inline(always)]
    fn upcall(&self, _: DomainId, _: VcpuId, bell: Bell) {
        Pcpu::ring_upcall(bell, self.pcpu);
    }

    fn wake(&self, domain: DomainId, vcpu: VcpuId) {
        if let Some(home) = self.world.home(domain, vcpu) {
            home.pcpu.ring_other(home.slot, self.pcpu);
        }
    }
}

impl Caller for Call {
    #[inline(always)]
    fn domain(&self) -> DomainId {
        self.domain.id
    }

    #[inline]
    fn vcpu(&self) -> VcpuId {
        self.vcpu
    }

    #[inline(always)]
    fn events(&self) -> &Events {
        &self.world.events
    }

    fn state(&self) -> &CallState {
        &self.domain.calls
    }

    #[inline(never)]
    fn read_guest(&self, from: Gva, into: &mut [u8]) -> Result<(), Fault> {
        self.domain.memory.read(from, into)
    }

    fn write_guest(&self, to: Gva, bytes: &[u8]) -> Result<(), Fault> {
        self.domain.memory.write(to, bytes)
    }

    fn map_special(&self, page: SpecialPage, frame: u64) -> Result<(), MapError> {
        self.domain.memory.place(page, frame)
    }

    fn unmap(&self, frame: u64) -> Result<(), MapError> {
        self.domain.memory.unmap(frame)
    }

    fn vcpu_info_at(&self, at: Ipa) -> Result<&'static VcpuInfo, PlaceError> {
        self.domain.memory.vcpu_info(at)
    }

    fn memory_pages(&self) -> u64 {
        self.domain.memory.pages()
    }

    fn highest_frame(&self) -> u64 {
        self.domain.memory.highest_frame()
    }

    fn console_write(&self, text: &[u8]) -> usize {
        let taken = self.domain.stream.write(text);
        pump(self.pcpu);
        taken
    }

    fn register_runstate(&self, vcpu: VcpuId, area: Gva) {
        if let (Some(home), Some(record)) =
            (self.domain.homes.get(vcpu.index()), self.domain.records.get(vcpu.index()))
        {
            record.register(area);
            // Its home writes before the guest goes on.
            home.pcpu.ring_other(home.slot, self.pcpu);
        }
    }

    fn watchdogs_changed(&self) {
        self.domain.publish(VcpuSet::one(VcpuId::new(0)), self.pcpu);
    }

    fn now(&self) -> u64 {
        self.world.system_time()
    }

    fn interrupts_masked(&self) -> bool {
        guest::interrupts_masked()
    }
}
