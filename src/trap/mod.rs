//! Where a guest's trap comes in: the functions that boot/vectors.S calls.
//!
//! What happens all the time is done here at once (`brief`, `device`); everything else is left to `run` of
//! `portunus_machine`. These are a package of their own to be fast where that one is small: what they call there is made
//! here if it is marked `#[inline]`. On a development host there is nothing in it.
#![cfg_attr(target_os = "none", no_std)]
#![warn(missing_docs)]
#![cfg(target_os = "none")]

mod brief;
mod device;

use portunus::vdev::esr::Esr;
use portunus_machine::arch::aarch64::guest;
use portunus_machine::arch::aarch64::start::TrapFrame;
use portunus_machine::arch::aarch64::sysreg::ESR_EL2;
use portunus_machine::run::here;

/// Fills the frame of the first guest. Called by boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn first_entry(frame: &mut TrapFrame) {
    // SAFETY: an entry point, once.
    if let Some(mut here) = unsafe { here(frame) } {
        here.settle(true);
    }
}

/// A hypercall that does more than to return a number: [`brief`] has executed it.
extern "C" fn guest_unanswered(frame: &mut TrapFrame) {
    // SAFETY: an entry point, once.
    let Some(mut here) = (unsafe { here(frame) }) else { return };
    if let Some(outcome) = here.local.unanswered.take() {
        here.follow(outcome);
    }
    here.leave();
}

/// An event was sent; somebody on this pCPU may have to be told.
extern "C" fn guest_sent(frame: &mut TrapFrame) {
    frame.set_register(0, 0);
    // SAFETY: an entry point, once.
    if let Some(mut here) = unsafe { here(frame) } {
        here.settle(true);
    }
}

/// Everything is done but to see who rang, or who runs next.
extern "C" fn guest_left(frame: &mut TrapFrame) {
    // SAFETY: an entry point, once.
    let Some(mut here) = (unsafe { here(frame) }) else { return };
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
    // SAFETY: an entry point, once.
    let Some(mut here) = (unsafe { here(frame) }) else { return };
    guest::step_over_word();
    here.block(None);
    here.leave();
}

/// A synchronous exception of a guest. Called by boot/vectors.S, for AArch64 state by way of [`brief`].
#[unsafe(no_mangle)]
extern "C" fn guest_sync(frame: &mut TrapFrame) {
    // SAFETY: an entry point, once.
    let Some(mut here) = (unsafe { here(frame) }) else { return };
    let esr = Esr::new(ESR_EL2::read());
    match esr.class() {
        Esr::SYSREG => here.system_register(esr),
        Esr::DATA_ABORT_LOWER => here.data_abort(esr),
        _ => here.other_exception(esr),
    }
    here.leave();
}

/// A physical interrupt while a guest ran. Called by boot/vectors.S, for AArch64 state by way of [`brief`], which has
/// acknowledged it.
#[unsafe(no_mangle)]
extern "C" fn guest_irq(frame: &mut TrapFrame) {
    // SAFETY: an entry point, once.
    let Some(mut here) = (unsafe { here(frame) }) else { return };
    match here.local.acknowledged.take() {
        Some(intid) => here.handle(intid),
        None => here.interrupt(),
    }
    here.leave();
}

/// An SError while a guest ran.
#[unsafe(no_mangle)]
extern "C" fn guest_serror(frame: &mut TrapFrame) {
    // SAFETY: an entry point, once.
    let Some(mut here) = (unsafe { here(frame) }) else { return };
    here.memory_failed();
    here.leave();
}
