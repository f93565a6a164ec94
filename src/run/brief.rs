//! The two traps that happen all the time: a hypercall that returns, and an event for the guest that is running.
//!
//! Entered with only the caller-saved registers of the guest in the frame (boot/vectors.S). Whatever takes longer than
//! a few dozen instructions is left to the handlers of [`super`]: the answer names one, and the rest of the frame is
//! filled before it runs.

use portunus::hypercall::{HVC_IMMEDIATE, Outcome, dispatch};
use portunus::vdev::esr::Esr;
use portunus::vgic::Upcall;

use super::pcpu::DOORBELL;
use super::{guest_irq, guest_left, guest_sync, guest_unanswered};
use crate::arch::aarch64::start::TrapFrame;
use crate::arch::aarch64::sysreg::ESR_EL2;
use crate::arch::aarch64::{gic, percpu};

/// The handler to continue with, or none: the guest goes on.
type Rest = Option<extern "C" fn(&mut TrapFrame)>;

/// ESR_EL2 of `HVC #0xEA1` from AArch64: the class, IL, and the immediate.
const HYPERCALL: u64 = (Esr::HVC as u64) << 26 | 1 << 25 | HVC_IMMEDIATE as u64;

/// A synchronous exception of a guest in AArch64 state. Called by boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn guest_sync_briefly(frame: &mut TrapFrame) -> Rest {
    if ESR_EL2::read() != HYPERCALL {
        return Some(guest_sync);
    }
    hypercall(frame)
}

/// Not inlined, so that other traps do not pay for its registers.
#[inline(never)]
fn hypercall(frame: &mut TrapFrame) -> Rest {
    let pcpu = percpu::this();
    // SAFETY: entry points are not re-entered, and this reference ends with this function.
    let local = unsafe { pcpu.local() }?;
    let call = local.call.as_ref()?;
    match dispatch(call, frame.register(16), frame.x.first_chunk()?) {
        Outcome::Return(value) => frame.set_register(0, value.cast_unsigned()),
        outcome => {
            local.unanswered = Some(outcome);
            return Some(guest_unanswered);
        }
    }
    if local.reschedule || pcpu.doorbell.is_rung() { Some(guest_left) } else { None }
}

/// A physical interrupt while a guest ran. Called by boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn guest_irq_briefly(_: &mut TrapFrame) -> Rest {
    let taken = gic::acknowledge()?;
    let pcpu = percpu::this();
    // SAFETY: as above.
    let local = unsafe { pcpu.local() }?;
    if taken.intid() != DOORBELL {
        local.acknowledged = Some(taken);
        return Some(guest_irq);
    }
    gic::end(taken);
    let slot = local.loaded?;
    if !pcpu.doorbell.take_upcall_alone(slot) {
        return Some(guest_left);
    }
    let (vcpu, interface) = local.current_and_interface()?;
    match vcpu.domain.vgic.upcall(&mut vcpu.bank, interface) {
        Upcall::Resync => {
            // Once more, the long way.
            pcpu.ring_other(slot, pcpu);
            Some(guest_left)
        }
        Upcall::Queued | Upcall::Latched => None,
    }
}
