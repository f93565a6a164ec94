//! What belongs to one physical CPU, and how others get its attention.

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use portunus::addr::{Affinity, CpuId, IntId, PaSpan, VcpuId};
use portunus::hypercall::Outcome;
use portunus::sched::{Scheduler, Slot};
use portunus::vdev::idregs::IdValues;
use portunus::vgic::LrBank;
use spin::Once;

use super::hypercall::Call;
use super::runstate::Recorded;
use super::world::{Domain, World};
use crate::arch::aarch64::gic::{self, Interface, Private, SgiTarget, Taken};
use crate::arch::aarch64::vcpu::Registers;

/// The SGI that says: look at your doorbell.
pub const DOORBELL: IntId = IntId::new(0);

/// One physical CPU.
pub struct Pcpu {
    /// Its number in the plan.
    pub cpu: CpuId,
    /// Its place in the system.
    pub affinity: Affinity,
    /// How others send it an SGI.
    pub sgi: SgiTarget,
    /// Its part of the interrupt controller.
    pub gic: Private,
    /// What it says of itself, once it is up.
    pub ids: Once<IdValues>,
    /// Which of its vCPUs somebody wants it to look at.
    pub doorbell: Doorbell,
    stack: PaSpan,
    local: UnsafeCell<Option<Local>>,
}

// SAFETY: `local` is filled by the boot CPU before the world is published, and from then on used by its own CPU only
// (see `Pcpu::local`).
unsafe impl Sync for Pcpu {}

/// Bits by which any CPU asks a pCPU to look at some of its vCPUs: bit `n` for the vCPU in slot `n`.
///
/// The pCPU clears the bits first and looks after. Whoever finds a word empty sends the SGI; whoever does not knows
/// that the pCPU has not looked yet, and will see this bit too.
#[derive(Default)]
pub struct Doorbell {
    /// An event was sent: the upcall flag was set.
    upcalls: AtomicU64,
    /// Anything else.
    others: AtomicU64,
}

/// What a pCPU owns.
pub struct Local {
    /// Everything that is shared.
    pub world: &'static World,
    /// Who runs.
    pub scheduler: Scheduler,
    /// Its vCPUs, by slot.
    pub vcpus: Vec<Vcpu>,
    /// Whose registers are in the hardware, whether it runs or sleeps.
    pub loaded: Option<Slot>,
    /// Something may have changed about who should run.
    pub reschedule: bool,
    /// The loaded vCPU as the caller of hypercalls.
    pub call: Option<Call>,
    /// What a hypercall wants done, until the frame is complete.
    pub unanswered: Option<Outcome>,
    /// A physical interrupt that was acknowledged, until the frame is complete.
    pub acknowledged: Option<Taken>,
    /// When this pCPU looks at the console again, if it said so.
    pub console_due: Option<u64>,
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
    /// What is in its list registers.
    pub bank: LrBank,
    /// Its registers while it is not loaded.
    pub registers: Registers,
    /// It waits for an interrupt, and is to be woken by one.
    pub blocked: bool,
    /// It waits in a poll.
    pub polling: bool,
    /// Its domain has stopped and it has been told.
    pub retired: bool,
    /// What its record of run states says.
    pub recorded: Recorded,
}

impl Pcpu {
    /// The CPU `cpu`, whose stack is `stack`.
    #[must_use]
    pub fn new(cpu: CpuId, affinity: Affinity, gic: Private, stack: PaSpan) -> Self {
        Self {
            cpu,
            affinity,
            sgi: SgiTarget::new(affinity),
            gic,
            ids: Once::new(),
            doorbell: Doorbell::default(),
            stack,
            local: UnsafeCell::new(None),
        }
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

    /// Gives the CPU what it owns.
    ///
    /// # Safety
    ///
    /// The boot CPU, before the world is published.
    pub unsafe fn give(&self, local: Local) {
        // SAFETY: the caller's promise: nobody else looks.
        unsafe { *self.local.get() = Some(local) };
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

impl Doorbell {
    /// Whether anything is to be looked at.
    #[inline(always)]
    pub fn is_rung(&self) -> bool {
        self.upcalls.load(SeqCst) | self.others.load(SeqCst) != 0
    }

    /// Takes all bits: upcalls, and others.
    pub fn take(&self) -> (u64, u64) {
        let take = |word: &AtomicU64| if word.load(SeqCst) == 0 { 0 } else { word.swap(0, SeqCst) };
        (take(&self.upcalls), take(&self.others))
    }
}

impl Doorbell {
    /// Takes the upcall of `slot` if that is all that was rung for; otherwise nothing is taken.
    #[inline]
    pub fn take_upcall_alone(&self, slot: Slot) -> bool {
        self.others.load(SeqCst) == 0
            && self.upcalls.compare_exchange(1 << slot.index(), 0, SeqCst, SeqCst).is_ok()
    }
}

impl Pcpu {
    /// An event was sent to the vCPU in `slot`. `from` is the executing pCPU, which looks at its own doorbell before
    /// it enters a guest.
    #[inline(always)]
    pub fn ring_upcall(&self, slot: Slot, from: &Self) {
        self.ring(&self.doorbell.upcalls, slot, from);
    }

    /// The vCPU in `slot` needs attention.
    #[inline]
    pub fn ring_other(&self, slot: Slot, from: &Self) {
        self.ring(&self.doorbell.others, slot, from);
    }

    #[inline(always)]
    fn ring(&self, word: &AtomicU64, slot: Slot, from: &Self) {
        if word.fetch_or(1 << slot.index(), SeqCst) == 0 && !core::ptr::eq(self, from) {
            gic::send_sgi(DOORBELL, &self.sgi);
        }
    }
}

impl Local {
    /// A pCPU on which nothing is loaded.
    #[must_use]
    pub fn new(world: &'static World, scheduler: Scheduler, vcpus: Vec<Vcpu>, interface: Interface) -> Self {
        Self {
            world,
            scheduler,
            vcpus,
            loaded: None,
            reschedule: false,
            call: None,
            unanswered: None,
            acknowledged: None,
            console_due: None,
            wfi_traps: false,
            interface,
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

impl Vcpu {
    /// A vCPU that is off.
    #[must_use]
    pub fn new(domain: &'static Domain, id: VcpuId, registers: Registers) -> Self {
        Self {
            domain,
            id,
            bank: LrBank::new(id),
            registers,
            blocked: false,
            polling: false,
            retired: false,
            recorded: Recorded::default(),
        }
    }
}
