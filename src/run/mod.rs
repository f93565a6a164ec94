//! The machine at work: from a trap to the next entry of a guest.
//!
//! This room joins what the library decides with what the silicon must be told, and decides nothing itself. Each
//! pCPU works on its own [`Local`]; what pCPUs share is the frozen [`World`], the atomics inside it, and one
//! [`Doorbell`](portunus::sched::Doorbell) each. Nothing here allocates, waits for another CPU, or loops without a bound.
//!
//! A guest's registers are spilled to the top of the pCPU's stack, an entry point (`src/trap/`) runs with everything masked,
//! and whatever it returns to is entered: the same guest, or another that was switched in.
//!
//! A function that is marked `#[inline]` is made where it is called, by the entry points for speed; every other one is
//! made small (`Cargo.toml`, `profile.release`).

mod attend;
mod block;
mod end;
mod fault;
mod firmware;
mod hypercall;
mod interrupt;
mod keeper;
mod memory;
mod pcpu;
mod ram;
mod registers;
mod runstate;
mod watchdog;
mod world;

pub use end::nothing_to_run;
pub use hypercall::Call;
pub use interrupt::{remind_of_console, this_cpu};
pub use keeper::Keeper;
pub use memory::{
    GRANT_FRAMES, GuestMemory, Pages, SPECIAL_PAGES, TABLE_PAGES, map_interrupt_interface, map_ram,
};
pub use pcpu::{DOORBELL, Local, Pcpu, SGIS, Vcpu};
pub use ram::Ram;
pub use world::{Domain, Home, Parts, World};

use portunus::hypercall::ShutdownReason;
use portunus::vdev::esr::Esr;
use portunus::vdev::inject::Exception;

use crate::arch::aarch64::start::{TrapFrame, guest_enter};
use crate::arch::aarch64::sysreg::ESR_EL2;
use crate::arch::aarch64::{guest, park, percpu, timer};

/// Where a trap happened.
pub struct Here<'a> {
    /// The pCPU.
    pub pcpu: &'static Pcpu,
    /// What it shares with the others.
    pub world: &'static World,
    /// What it owns.
    pub local: &'a mut Local,
    /// The registers of the guest.
    pub frame: &'a mut TrapFrame,
}

/// The world of the executing pCPU, whose guest's registers are in `frame`.
///
/// # Safety
///
/// Asked once by a function that boot/vectors.S has called. These are not re-entered: EL2 runs with everything masked.
#[inline]
pub unsafe fn here(frame: &mut TrapFrame) -> Option<Here<'_>> {
    let pcpu = percpu::this();
    // SAFETY: the caller's promise: there is no other reference.
    let local = unsafe { pcpu.local() }?;
    Some(Here { pcpu, world: local.world, local, frame })
}

/// Runs the vCPUs of this pCPU, for good. Called once on each CPU when the world is built. A CPU that came when it had
/// been given up on has no part in it.
pub fn start(pcpu: &'static Pcpu) -> ! {
    // SAFETY: once on each CPU, before its first guest; the reference ends with this function's use of it.
    let Some(local) = (unsafe { pcpu.local() }) else { park() };
    guest::set_traps(local.world.vtcr);
    local.interface.switch_on();
    // UNKNOWN out of reset; from here on it is known what it was last told.
    timer::set_alarm(None);
    interrupt::enable(pcpu, local.world);
    // SAFETY: this CPU's own stack, of which nothing is needed any more.
    unsafe { guest_enter(pcpu.stack_top()) }
}

impl Here<'_> {
    /// The way back to a guest: whatever was rung for or decided meanwhile comes first.
    #[inline]
    pub fn leave(&mut self) {
        let rung = self.pcpu.doorbell.is_rung();
        if rung && self.is_disturbed() {
            self.bear_with_others();
        } else if rung || self.local.reschedule {
            self.settle(rung);
        }
    }

    /// A synchronous exception with syndrome `esr` that is neither a data abort nor of a system register.
    #[inline(never)]
    pub fn other_exception(&mut self, esr: Esr) {
        match esr.class() {
            Esr::HVC => self.firmware_by_hvc(esr),
            Esr::SMC => self.firmware_by_smc(esr),
            Esr::INSTRUCTION_ABORT_LOWER => self.instruction_abort(esr),
            Esr::WFX => self.wait_for_interrupt(esr),
            _ => self.undefined(esr),
        }
    }

    /// An SError: something that the guest did to memory went wrong too late to say what. It is contained in the domain that
    /// was running.
    #[inline(never)]
    pub fn memory_failed(&mut self) {
        let Some(vcpu) = self.local.current() else { return };
        let domain = vcpu.domain;
        log::error!(
            "{} vCPU {}: SError (ESR_EL2 {:#x}): the memory system failed an access of this domain; it is stopped",
            domain.name,
            vcpu.id,
            ESR_EL2::read()
        );
        self.shut_down(domain, ShutdownReason::Crash);
    }

    /// An instruction that a guest may not execute, or one whose AArch32 condition failed.
    fn undefined(&mut self, esr: Esr) {
        if esr.condition_holds(guest::pstate()) {
            guest::inject(Exception::Undefined, &self.world.view);
        } else {
            guest::step_over(esr);
        }
    }
}
