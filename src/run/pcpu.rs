//! What belongs to one physical CPU, and how others get its attention.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

use portunus::addr::{Affinity, CpuId, IntId, PaSpan, VcpuId};
use portunus::evtchn::Bell;
use portunus::hypercall::Outcome;
use portunus::prediction::Verdict;
use portunus::sched::{Allowance, Doorbell, MAX_VCPUS, Rung, Scheduler, Slot};
use portunus::vdev::idregs::IdValues;
use portunus::vgic::LrBank;
use spin::Once;

use super::hypercall::Call;
use super::keeper::Keeper;
use super::runstate::Recorded;
use super::world::{Domain, World};
use crate::arch::aarch64::gic::{self, Interface, Private, SgiTarget, Taken};
use crate::arch::aarch64::timer;
use crate::arch::aarch64::vcpu::Registers;

/// More than any time: no alarm.
pub const NEVER: u64 = u64::MAX;

/// The SGI that says: look at your doorbell.
pub const DOORBELL: IntId = IntId::new(0);

/// The SGI that says: the vCPU that you run was sent SGIs. (1 and 2 are the console's and the end's.)
pub const SGIS: IntId = IntId::new(3);

/// One physical CPU.
#[repr(C, align(64))]
pub struct Pcpu {
    /// What its vectors do first, in the words of boot/vectors.S.
    protection: AtomicU32,
    /// 1 if it has rung its own doorbell, for which no interrupt comes. For the CPU itself.
    rung_by_itself: AtomicU32,
    /// The vCPU that is loaded, as the caller of hypercalls; null if none is. For the CPU itself.
    calling: AtomicPtr<Call>,
    /// Its vCPUs that wait for an interrupt, and are to be woken by one: a bit for each slot. For the CPU itself.
    asleep: AtomicU64,
    /// Which of its vCPUs somebody wants it to look at.
    pub doorbell: Doorbell<SgiTarget>,
    /// Its number in the plan.
    pub cpu: CpuId,
    /// Its place in the system.
    pub affinity: Affinity,
    /// Its part of the interrupt controller.
    pub gic: Private,
    /// What it says of itself, once it is up.
    pub ids: Once<IdValues>,
    /// What it does about its branch predictors, once it is up.
    pub verdict: Once<Verdict>,
    stack: PaSpan,
    local: UnsafeCell<Option<Local>>,
}

// SAFETY: `local` is filled by the boot CPU before the world is published, and from then on used by its own CPU only
// (see `Pcpu::local`).
unsafe impl Sync for Pcpu {}

/// What a pCPU owns.
pub struct Local {
    /// Everything that is shared.
    pub world: &'static World,
    /// Who runs.
    pub scheduler: Scheduler,
    /// What of the time of who runs may be spent on others.
    pub allowance: Allowance,
    /// Its vCPUs, by slot.
    pub vcpus: Vec<Vcpu>,
    /// Whose registers are in the hardware, whether it runs or sleeps.
    pub loaded: Option<Slot>,
    /// Something may have changed about who should run.
    pub reschedule: bool,
    /// What a hypercall wants done, until the frame is complete.
    pub unanswered: Option<Outcome>,
    /// A physical interrupt that was acknowledged, until the frame is complete.
    pub acknowledged: Option<Taken>,
    /// When EL2's timer interrupts, or [`NEVER`].
    pub alarm: u64,
    /// When this pCPU looks at the console again, or [`NEVER`].
    pub console_due: u64,
    /// When the first watchdog of its domains runs out, or [`NEVER`].
    pub watchdog_due: u64,
    /// Whether any of its vCPUs may have registered a record of its run states.
    pub accounts: bool,
    /// The slots in whose place a domain is being started again.
    pub restarting: u64,
    /// Whether a guest's WFI traps at present.
    pub wfi_traps: bool,
    /// Its list registers.
    pub interface: Interface,
}

/// A vCPU, owned by its home pCPU.
pub struct Vcpu {
    /// Its domain.
    pub domain: &'static Domain,
    /// Its number in it.
    pub id: VcpuId,
    /// It as the caller of hypercalls.
    pub call: Option<&'static Call>,
    /// What is in its list registers.
    pub bank: LrBank,
    /// Its registers while it is not loaded.
    pub registers: Registers,
    /// It waits in a poll.
    pub polling: bool,
    /// The last life of its domain whose end it has been told.
    pub retired: Option<u32>,
    /// For the first vCPU of a domain: what becomes of the domain at its end.
    pub keeper: Option<Box<Keeper>>,
    /// What its record of run states says.
    pub recorded: Recorded,
    /// What it shares with its brothers, the vCPUs of its domain that live on this pCPU, if there are any.
    pub brothers: Option<&'static Brothers>,
}

/// vCPUs of one domain on one pCPU: their translations have the same VMID. Holds the slot of the one whose translations the
/// pCPU may remember.
pub struct Brothers(AtomicUsize);

impl Pcpu {
    /// The CPU `cpu`, whose stack is `stack`.
    #[must_use]
    pub fn new(cpu: CpuId, affinity: Affinity, gic: Private, stack: PaSpan) -> Self {
        Self {
            protection: AtomicU32::new(0),
            calling: AtomicPtr::new(core::ptr::null_mut()),
            rung_by_itself: AtomicU32::new(0),
            asleep: AtomicU64::new(0),
            cpu,
            affinity,
            gic,
            ids: Once::new(),
            verdict: Once::new(),
            doorbell: Doorbell::new(SgiTarget::new(affinity)),
            stack,
            local: UnsafeCell::new(None),
        }
    }

    /// Where boot/vectors.S finds [`protect`](Self::protect)'s word.
    pub const PROTECTION: usize = offset_of!(Self, protection);

    /// Tells the vectors of this CPU what to do first: rounds of branches, or one of the words of boot/vectors.S.
    pub fn protect(&self, word: u32) {
        self.protection.store(word, Relaxed);
    }

    /// The vCPU that is loaded, as the caller of hypercalls. Known to the CPU itself; to others, one that was loaded lately.
    #[inline(always)]
    pub fn calling(&self) -> Option<&'static Call> {
        // SAFETY: null, or stored by `set_calling`.
        unsafe { self.calling.load(Relaxed).as_ref() }
    }

    /// Who is loaded from now on. On this CPU itself.
    pub fn set_calling(&self, call: Option<&'static Call>) {
        let call = call.map_or(core::ptr::null(), core::ptr::from_ref);
        self.calling.store(call.cast_mut(), Relaxed);
    }

    /// Whether it has rung its own doorbell since [`forget_ringing`](Self::forget_ringing). On this CPU itself.
    #[inline(always)]
    pub fn has_rung_itself(&self) -> bool {
        self.rung_by_itself() != 0
    }

    /// The same as a number, 1 or 0.
    #[inline(always)]
    pub fn rung_by_itself(&self) -> u32 {
        self.rung_by_itself.load(Relaxed)
    }

    /// It is about to look at its doorbell. On this CPU itself.
    pub fn forget_ringing(&self) {
        self.rung_by_itself.store(0, Relaxed);
    }

    /// Whether the vCPU in `slot` waits for an interrupt. On this CPU itself.
    #[inline(always)]
    pub fn is_asleep(&self, slot: Slot) -> bool {
        self.asleep.load(Relaxed) >> slot.index() & 1 != 0
    }

    /// The vCPU in `slot` waits for an interrupt from now on, or does not any more. On this CPU itself.
    #[inline(always)]
    pub fn set_asleep(&self, slot: Slot, asleep: bool) {
        let (before, bit) = (self.asleep.load(Relaxed), slot.bit());
        self.asleep.store(if asleep { before | bit } else { before & !bit }, Relaxed);
    }

    /// It has rung its own doorbell: forgets it if that was only for events to vCPUs that neither sleep nor are loaded,
    /// which find them when they are. `false`, and nothing is changed, if there is more. On this CPU itself.
    #[inline(always)]
    pub fn forget_idle_ringing(&self, loaded: u64) -> bool {
        let forgotten = self.doorbell.take_upcalls_but(self.asleep.load(Relaxed) | loaded);
        if forgotten {
            self.forget_ringing();
        }
        forgotten
    }

    /// The first address behind its stack.
    #[must_use]
    pub fn stack_top(&self) -> u64 {
        self.stack.end().get()
    }

    /// Where its stack lies.
    #[must_use]
    pub fn stack(&self) -> PaSpan {
        self.stack
    }

    /// Gives the CPU what it owns: these vCPUs, in the order of their slots. Once.
    ///
    /// # Safety
    ///
    /// The boot CPU, before the world is published.
    #[inline(never)] // in its caller it would be copied in pieces
    pub unsafe fn give(&'static self, world: &'static World, vcpus: Vec<Vcpu>) {
        // SAFETY: the caller's promise: nobody else looks. There is nothing to drop yet.
        unsafe { self.local.get().write(Some(Local::new(world, self, vcpus))) };
        // SAFETY: the caller's promise.
        if let Some(local) = unsafe { self.local() } {
            for _ in 0..local.vcpus.len() {
                let _ = local.scheduler.add(world.started);
            }
        }
    }

    /// What the CPU owns.
    ///
    /// # Safety
    ///
    /// On this CPU itself; no other reference from here is alive.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the cell is this CPU's own")]
    pub unsafe fn local(&self) -> Option<&mut Local> {
        // SAFETY: the caller's promise.
        unsafe { (*self.local.get()).as_mut() }
    }
}

impl Pcpu {
    /// How an event reaches the vCPU in `slot`: the address of the block, and the slot in the bits that are zero in it.
    #[must_use]
    pub fn bell(&'static self, slot: Slot) -> Bell {
        const _: () = assert!(align_of::<Pcpu>() >= MAX_VCPUS);
        Bell(core::ptr::from_ref(self).expose_provenance() | slot.index())
    }

    /// An event was sent to the vCPU that `bell` belongs to. `from` is the executing pCPU, which looks at its own doorbell
    /// before it enters a guest.
    #[inline(always)]
    pub fn ring_upcall(Bell(word): Bell, from: &Self) {
        let block = core::ptr::with_exposed_provenance::<Self>(word & !(MAX_VCPUS - 1));
        // SAFETY: zero, for a vCPU that was never given a bell, or made by `bell` of a block that lives for good.
        if let Some(pcpu) = unsafe { block.as_ref() } {
            pcpu.rung(pcpu.doorbell.ring_upcall(word as u32), from);
        }
    }

    /// The vCPU in `slot` needs attention.
    #[inline(always)]
    pub fn ring_other(&self, slot: Slot, from: &Self) {
        self.rung(self.doorbell.ring_other(slot), from);
    }

    /// SGIs were sent to the vCPU in `slot`, and nothing else is to be seen.
    #[inline]
    pub fn ring_sgis(&self, slot: Slot, from: &Self) {
        // Only a guess, for it may be switched now: then the other way is taken there.
        let runs = self.calling().is_some_and(|call| call.place == slot.bit());
        if !runs || core::ptr::eq(self, from) {
            self.ring_other(slot, from);
        } else if self.doorbell.ring_sgis(slot) {
            gic::send_sgi(SGIS, &self.doorbell.sgi);
        }
    }

    #[inline(always)]
    fn rung(&self, rung: Rung<'_>, from: &Self) {
        if core::ptr::eq(self, from) {
            from.rung_by_itself.store(1, Relaxed);
        } else if rung.needs_sgi() {
            gic::send_sgi(DOORBELL, &self.doorbell.sgi);
        }
    }
}

impl Local {
    /// A pCPU on which nothing is loaded.
    fn new(world: &'static World, pcpu: &'static Pcpu, mut vcpus: Vec<Vcpu>) -> Self {
        Brothers::introduce(&mut vcpus);
        let frequency = u64::from(timer::frequency());
        let call = |(slot, vcpu): (usize, &Vcpu)| {
            Slot::new(slot).and_then(|slot| Call::new(world, pcpu, vcpu.domain, vcpu.id, slot))
        };
        let calls: &'static [_] = Vec::leak(vcpus.iter().enumerate().map(call).collect::<Vec<_>>());
        for (vcpu, call) in vcpus.iter_mut().zip(calls) {
            vcpu.call = call.as_ref();
        }
        Self {
            world,
            // 10 ms.
            scheduler: Scheduler::new(frequency / 100),
            // A quarter of a slice, and 50 us.
            allowance: Allowance::new(frequency / 400, frequency / 20_000),
            vcpus,
            loaded: None,
            reschedule: false,
            unanswered: None,
            acknowledged: None,
            alarm: NEVER,
            console_due: NEVER,
            watchdog_due: NEVER,
            accounts: false,
            restarting: 0,
            wfi_traps: false,
            interface: Interface::new(pcpu.gic),
        }
    }

    /// The vCPU that is loaded: after a trap, the one that trapped.
    #[inline(always)]
    pub fn current(&mut self) -> Option<&mut Vcpu> {
        self.vcpus.get_mut(self.loaded?.index())
    }

    /// The vCPU that is loaded, and the interface that its interrupts are in.
    #[inline(always)]
    pub fn current_and_interface(&mut self) -> Option<(&mut Vcpu, &mut Interface)> {
        Some((self.vcpus.get_mut(self.loaded?.index())?, &mut self.interface))
    }
}

impl Brothers {
    /// The one in `slot` is about to be loaded: whether the pCPU may remember translations of another one. On this pCPU.
    #[inline]
    pub fn change_to(&self, slot: Slot) -> bool {
        let changes = self.0.load(Relaxed) != slot.index();
        self.0.store(slot.index(), Relaxed);
        changes
    }

    /// Introduces vCPUs of one domain to each other.
    fn introduce(vcpus: &mut [Vcpu]) {
        let mut rest = vcpus;
        while let Some((first, others)) = rest.split_first_mut() {
            let id = first.domain.id;
            if first.brothers.is_none() && others.iter().any(|other| other.domain.id == id) {
                first.brothers = Some(Box::leak(Box::new(Self(AtomicUsize::new(MAX_VCPUS)))));
            }
            for other in others.iter_mut().filter(|other| other.domain.id == id) {
                other.brothers = first.brothers;
            }
            rest = others;
        }
    }
}

impl Vcpu {
    /// A vCPU that is off.
    #[must_use]
    pub fn new(
        domain: &'static Domain,
        id: VcpuId,
        registers: Registers,
        keeper: Option<Box<Keeper>>,
    ) -> Self {
        Self {
            domain,
            id,
            call: None,
            bank: LrBank::new(id),
            registers,
            polling: false,
            retired: None,
            keeper,
            recorded: Recorded::default(),
            brothers: None,
        }
    }
}
