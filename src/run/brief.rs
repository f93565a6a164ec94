//! The two traps that happen all the time: a hypercall that returns, and an event for the guest that is running.
//!
//! Entered with only the caller-saved registers of the guest in the frame (boot/vectors.S). Whatever takes longer than
//! a few dozen instructions is left to the handlers of [`super`]: the answer names one, and the rest of the frame is
//! filled before it runs.

use portunus::hypercall::{HVC_IMMEDIATE, Outcome, dispatch};
use portunus::sched::Slot;
use portunus::vdev::esr::Esr;
use portunus::vgic::{ListRegisters, Upcall};

use super::pcpu::{DOORBELL, Pcpu, Vcpu};
use super::{guest_irq, guest_left, guest_sync, guest_unanswered};
use crate::arch::aarch64::gic::{Interface, Taken};
use crate::arch::aarch64::gicv2::{self, Ahead, Frames};
use crate::arch::aarch64::start::TrapFrame;
use crate::arch::aarch64::sysreg::ESR_EL2;
use crate::arch::aarch64::{gicv3, percpu};

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
    // Asked once, so that neither way carries the other.
    match gicv2::frames() {
        None => irq_of_gicv3(),
        Some(frames) => irq_of_gicv2(frames),
    }
}

fn irq_of_gicv3() -> Rest {
    let intid = gicv3::acknowledge()?;
    let pcpu = percpu::this();
    // SAFETY: as above.
    let local = unsafe { pcpu.local() }?;
    if intid != DOORBELL {
        local.acknowledged = Some(Taken::v3(intid));
        return Some(guest_irq);
    }
    gicv3::drop_priority(intid);
    gicv3::deactivate(intid);
    let slot = local.loaded?;
    if !pcpu.doorbell.take_upcall_alone(slot) {
        return Some(guest_left);
    }
    let (vcpu, Interface::V3(lists)) = local.current_and_interface()? else { return Some(guest_left) };
    upcall(vcpu, lists, pcpu, slot)
}

/// The doorbell is in memory, where looking is cheap: its SGI is withdrawn, not taken and ended, and the three accesses
/// that are left are the withdrawal and a read and a write of the list register. An SGI that arrives once more finds
/// nobody rung and is taken like any other.
#[inline(never)]
fn irq_of_gicv2(frames: &Frames) -> Rest {
    const _: () = assert!(DOORBELL.get() == 0);
    let pcpu = percpu::this();
    // SAFETY: as above.
    let local = unsafe { pcpu.local() }?;
    if !pcpu.doorbell.is_rung() {
        local.acknowledged = Some(Taken::v2(frames.acknowledge()?));
        return Some(guest_irq);
    }
    let slot = local.loaded?;
    let (vcpu, Interface::V2(lists)) = local.current_and_interface()? else { return Some(guest_left) };
    frames.withdraw_sgi_0();
    // The bits are taken after the SGI is gone: who rings from here on sends another.
    let mut lists = Ahead::new(lists);
    if !pcpu.doorbell.take_upcall_alone(slot) {
        return Some(guest_left);
    }
    upcall(vcpu, &mut lists, pcpu, slot)
}

/// The upcall of the vCPU in `slot`, which is loaded, was rung for and nothing else.
#[inline(always)]
fn upcall(vcpu: &mut Vcpu, lists: &mut impl ListRegisters, pcpu: &Pcpu, slot: Slot) -> Rest {
    match vcpu.domain.vgic.upcall(&mut vcpu.bank, lists) {
        Upcall::Resync => {
            // Once more, the long way.
            pcpu.ring_other(slot, pcpu);
            Some(guest_left)
        }
        Upcall::Queued | Upcall::Latched => None,
    }
}
