//! The machine at work: from a trap to the next entry of a guest.
//!
//! This room joins what the library decides with what the silicon must be told, and decides nothing itself. Each
//! pCPU works on its own [`Local`]; what pCPUs share is the frozen [`World`], the atomics inside it, and one
//! [`Doorbell`](portunus::sched::Doorbell) each. Nothing here allocates, waits for another CPU, or loops without a bound.
//!
//! A guest's registers are spilled to the top of the pCPU's stack, one of the three entry points below runs with
//! everything masked, and whatever it returns to is entered: the same guest, or another that was switched in.

mod attend;
mod block;
mod brief;
mod device;
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

pub use device::SPILLED;
pub use end::nothing_to_run;
pub use interrupt::{remind_of_console, this_cpu};
pub use keeper::Keeper;
pub use memory::{
    GRANT_FRAMES, GuestMemory, Pages, SPECIAL_PAGES, TABLE_PAGES, map_interrupt_interface, map_ram,
};
pub use pcpu::{Local, Pcpu, Vcpu};
pub use ram::Ram;
pub use world::{Domain, Home, Parts, World};

use portunus::hypercall::ShutdownReason;
use portunus::vdev::esr::Esr;
use portunus::vdev::inject::Exception;

use crate::arch::aarch64::start::{TrapFrame, guest_enter};
use crate::arch::aarch64::sysreg::ESR_EL2;
use crate::arch::aarch64::{guest, park, percpu, timer};

/// Where a trap happened: the pCPU, what it owns, and the registers of the guest.
struct Here<'a> {
    pcpu: &'static Pcpu,
    world: &'static World,
    local: &'a mut Local,
    frame: &'a mut TrapFrame,
}

/// The world of the executing pCPU.
fn here(frame: &mut TrapFrame) -> Option<Here<'_>> {
    let pcpu = percpu::this();
    // SAFETY: entry points are not re-entered: EL2 runs with everything masked, and each of them asks once.
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

/// Fills the frame of the first guest. Called by boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn first_entry(frame: &mut TrapFrame) {
    if let Some(mut here) = here(frame) {
        here.settle(true);
    }
}

/// A hypercall that does more than to return a number: [`brief`] has executed it.
extern "C" fn guest_unanswered(frame: &mut TrapFrame) {
    let Some(mut here) = here(frame) else { return };
    if let Some(outcome) = here.local.unanswered.take() {
        here.follow(outcome);
    }
    here.leave();
}

/// An event was sent; somebody on this pCPU may have to be told.
extern "C" fn guest_sent(frame: &mut TrapFrame) {
    frame.set_register(0, 0);
    if let Some(mut here) = here(frame) {
        here.settle(true);
    }
}

/// Everything is done but to see who rang, or who runs next.
extern "C" fn guest_left(frame: &mut TrapFrame) {
    let Some(mut here) = here(frame) else { return };
    here.leave();
}

/// A synchronous exception of a guest in AArch64 state whose class, with this syndrome, is an odd number: WFI, most of the
/// time. Called by boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn guest_waits(frame: &mut TrapFrame, esr: u64) {
    const _: () = assert!(Esr::WFX & 1 == 1);
    if Esr::new(esr).class() != Esr::WFX {
        return guest_sync(frame);
    }
    let Some(mut here) = here(frame) else { return };
    guest::step_over_word();
    here.block(None);
    here.leave();
}

/// A synchronous exception of a guest. Called by boot/vectors.S, for AArch64 state by way of [`brief`].
#[unsafe(no_mangle)]
extern "C" fn guest_sync(frame: &mut TrapFrame) {
    let Some(mut here) = here(frame) else { return };
    let esr = Esr::new(ESR_EL2::read());
    match esr.class() {
        Esr::HVC => here.firmware_by_hvc(esr),
        Esr::SMC => here.firmware_by_smc(esr),
        Esr::SYSREG => here.system_register(esr),
        Esr::DATA_ABORT_LOWER => here.data_abort(esr),
        Esr::INSTRUCTION_ABORT_LOWER => here.instruction_abort(esr),
        Esr::WFX => here.wait_for_interrupt(esr),
        _ => here.undefined(esr),
    }
    here.leave();
}

/// A physical interrupt while a guest ran. Called by boot/vectors.S, for AArch64 state by way of [`brief`], which has
/// acknowledged it.
#[unsafe(no_mangle)]
extern "C" fn guest_irq(frame: &mut TrapFrame) {
    let Some(mut here) = here(frame) else { return };
    match here.local.acknowledged.take() {
        Some(intid) => here.handle(intid),
        None => here.interrupt(),
    }
    here.leave();
}

/// An SError while a guest ran: something it did to memory went wrong too late to say what. It is contained in the
/// domain that was running.
#[unsafe(no_mangle)]
extern "C" fn guest_serror(frame: &mut TrapFrame) {
    let Some(mut here) = here(frame) else { return };
    if let Some(vcpu) = here.local.current() {
        let domain = vcpu.domain;
        log::error!(
            "{} vCPU {}: SError (ESR_EL2 {:#x}): the memory system failed an access of this domain; it is stopped",
            domain.name,
            vcpu.id,
            ESR_EL2::read()
        );
        here.shut_down(domain, ShutdownReason::Crash);
    }
    here.leave();
}

impl Here<'_> {
    /// The way back to a guest: whatever was rung for or decided meanwhile comes first.
    #[inline]
    fn leave(&mut self) {
        let rung = self.pcpu.doorbell.is_rung();
        if rung && self.is_disturbed() {
            self.bear_with_others();
        } else if rung || self.local.reschedule {
            self.settle(rung);
        }
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
