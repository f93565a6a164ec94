//! The traps that happen all the time, each by the shortest way.
//!
//! Entered with only the caller-saved registers of the guest in the frame (boot/vectors.S). Whatever takes longer than
//! a few dozen instructions is left to the handlers of [`super`]: the answer names one, and the rest of the frame is
//! filled before it runs. A short cut does exactly what the long way would have done, or nothing at all.
//!
//! None of them looks at the doorbell when it is done: whoever else rang it for the vCPU that runs has sent an SGI, which
//! interrupts the guest at once, what is left for others waits for a timer, and what this pCPU rang itself is known
//! ([`Pcpu::has_rung_itself`]).

use portunus::addr::{Gva, IntId, Port};
use portunus::evtchn::Sent;
use portunus::hypercall::{self, Outcome};
use portunus::sched::Slot;
use portunus::vdev::smccc;
use portunus::vgic::{ListRegisters, Listed, Upcall};
use portunus_machine::arch::aarch64::gic::{self, Interface, Taken};
use portunus_machine::arch::aarch64::gicv2::{self, Ahead, Frames};
use portunus_machine::arch::aarch64::start::{FIRMWARE, TrapFrame};
use portunus_machine::arch::aarch64::{gicv3, percpu, timer};
use portunus_machine::run::{DOORBELL, GuestMemory, Local, Pcpu, SGIS, Vcpu};

use super::{guest_irq, guest_left, guest_sent, guest_sync, guest_unanswered};

/// The handler to continue with, or none: the guest goes on.
pub(super) type Rest = Option<extern "C" fn(&mut TrapFrame)>;

/// What [`guest_sends`] answers when the event was sent and nothing else is to be done.
const SENT: u64 = 0;
/// When it was sent, and somebody on this pCPU may have to be told.
const SENT_TO_OURSELVES: u64 = 1;
const _: () = assert!(SENT == 0 && SENT_TO_OURSELVES == 1);
/// When nothing was done: the general way has to be taken.
const NOT_SENT: u64 = 2;

/// EVTCHNOP_send, with the address of its argument. Called by boot/vectors.S; after 0 the guest goes on, with 0 in x0.
#[unsafe(no_mangle)]
extern "C" fn guest_sends(_command: u64, argument: u64) -> u64 {
    let Some(call) = percpu::this().calling() else { return NOT_SENT };
    let Some(port) = GuestMemory::peek_word(Gva::new(argument)) else { return NOT_SENT };
    match call.sender.send(Port::new(port), call) {
        // The CPU is asked for anew, so that nothing is kept meanwhile. The number is SENT or SENT_TO_OURSELVES.
        Ok(Sent::Fresh) => percpu::this().rung_by_itself().into(),
        Ok(_) => SENT,
        Err(_) => NOT_SENT,
    }
}

/// The event was for a vCPU of this pCPU: if that one neither sleeps nor is loaded, it finds it when it runs. Called by
/// boot/vectors.S after [`SENT_TO_OURSELVES`], and answers as [`guest_sends`] does.
#[unsafe(no_mangle)]
extern "C" fn guest_sent_to_ourselves() -> u64 {
    let pcpu = percpu::this();
    match pcpu.calling() {
        Some(call) if pcpu.forget_idle_ringing(call.place) => SENT,
        _ => SENT_TO_OURSELVES,
    }
}

/// Called by boot/vectors.S with the frame filled after [`guest_sends`] has answered `what`.
#[unsafe(no_mangle)]
extern "C" fn guest_sends_otherwise(frame: &mut TrapFrame, what: u64) {
    if what == SENT_TO_OURSELVES { guest_sent(frame) } else { guest_called(frame) }
}

/// A hypercall that was not answered by the shortest way.
extern "C" fn guest_called(frame: &mut TrapFrame) {
    if let Some(rest) = hypercall(frame) {
        rest(frame);
    }
}

/// A hypercall, unless it was an event. Called by boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn guest_hypercall(frame: &mut TrapFrame) -> Rest {
    let [first, ..] = frame.x;
    match hypercall::constant(frame.register(16), first) {
        Some(value) => answer(frame, value),
        None => hypercall(frame),
    }
}

/// HVC from AArch64 with syndrome `esr`, unless it was a hypercall. Called by boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn guest_calls_firmware(frame: &mut TrapFrame, esr: u64) -> Rest {
    let [function, ..] = frame.x;
    match smccc::constant(function as u32).filter(|_| esr == FIRMWARE) {
        Some(value) => answer(frame, value),
        None => Some(guest_sync),
    }
}

fn answer(frame: &mut TrapFrame, value: i64) -> Rest {
    frame.set_register(0, value.cast_unsigned());
    None
}

/// Not inlined, so that other traps do not pay for its registers.
#[inline(never)]
fn hypercall(frame: &mut TrapFrame) -> Rest {
    let pcpu = percpu::this();
    let call = pcpu.calling()?;
    match call.dispatch(frame.register(16), frame.x.first_chunk()?) {
        Outcome::Return(value) => frame.set_register(0, value.cast_unsigned()),
        outcome => {
            // SAFETY: entry points are not re-entered, and this reference ends with this function.
            unsafe { pcpu.local() }?.unanswered = Some(outcome);
            return Some(guest_unanswered);
        }
    }
    if pcpu.has_rung_itself() { Some(guest_left) } else { None }
}

/// A physical interrupt while a guest ran. Called by boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn guest_irq_briefly() -> Rest {
    // Asked once, so that neither way carries the other.
    match gicv2::frames() {
        None => irq_of_gicv3(),
        Some(frames) => irq_of_gicv2(frames),
    }
}

fn irq_of_gicv3() -> Rest {
    let taken = gicv3::acknowledge_any();
    if taken != DOORBELL {
        return other_irq_of_gicv3(taken);
    }
    gicv3::drop_priority(DOORBELL);
    gicv3::deactivate(DOORBELL);
    let pcpu = percpu::this();
    // SAFETY: entry points are not re-entered, and this reference ends with this function.
    let Local { loaded, vcpus, interface, .. } = unsafe { pcpu.local() }?;
    let slot = (*loaded)?;
    if !pcpu.doorbell.take_upcall_alone(slot) {
        return Some(guest_left);
    }
    let (Some(vcpu), Interface::V3(lists)) = (vcpus.get_mut(slot.index()), interface) else { return None };
    upcall(vcpu, lists, pcpu)
}

#[cold]
#[inline(never)]
fn other_irq_of_gicv3(taken: IntId) -> Rest {
    other_irq(percpu::this(), Taken::v3(gicv3::is_interrupt(taken).then_some(taken)?))
}

/// The doorbell is in memory, where looking is cheap: its SGI is withdrawn, not taken and ended, and the three accesses
/// that are left are the withdrawal and a read and a write of the list register. An SGI that arrives once more finds
/// nobody rung and is taken like any other.
#[inline(always)]
fn irq_of_gicv2(frames: &Frames) -> Rest {
    const _: () = assert!(DOORBELL.get() == 0);
    let pcpu = percpu::this();
    // SAFETY: as above.
    let local = unsafe { pcpu.local() }?;
    // An alarm that is due is more urgent, and would be behind the doorbell for as long as that is rung again in time.
    if !pcpu.doorbell.is_rung() || timer::now() >= local.alarm {
        return other_irq(pcpu, Taken::v2(frames.acknowledge()?));
    }
    let slot = local.loaded?;
    let (vcpu, Interface::V2(lists)) = local.current_and_interface()? else { return Some(guest_left) };
    frames.withdraw_sgi_0();
    // The bits are taken after the SGI is gone: who rings from here on sends another.
    let mut lists = Ahead::new(lists);
    if !pcpu.doorbell.take_upcall_alone(slot) {
        return Some(guest_left);
    }
    upcall(vcpu, &mut lists, pcpu)
}

/// An interrupt that was acknowledged and is no doorbell: the loaded vCPU's timer, or one of those that take longer.
#[inline(never)]
fn other_irq(pcpu: &Pcpu, taken: Taken) -> Rest {
    // SAFETY: entry points are not re-entered, and the caller's reference is no longer used.
    let local = unsafe { pcpu.local() }?;
    let (intid, timer) = (taken.intid(), &local.world.timer);
    let is_virtual = intid == timer.virt;
    if !is_virtual && intid != timer.phys {
        if intid == SGIS {
            return sgis(pcpu, taken);
        }
        local.acknowledged = Some(taken);
        return Some(guest_irq);
    }
    gic::drop_priority(taken);
    let asserted = timer::is_asserted(is_virtual);
    if asserted && let Some((vcpu, interface)) = local.current_and_interface() {
        let (vgic, bank) = (&vcpu.domain.vgic, &vcpu.bank);
        let again = match interface {
            Interface::V2(lists) => vgic.taken_again(bank, lists, intid),
            Interface::V3(lists) => vgic.taken_again(bank, lists, intid),
        };
        if again {
            return None;
        }
    }
    timer_irq(pcpu, taken, asserted)
}

/// SGIs were sent to a vCPU that ran, as the interrupt `taken` says: to the one that is loaded, or it takes longer.
#[inline(never)]
fn sgis(pcpu: &Pcpu, taken: Taken) -> Rest {
    // SAFETY: entry points are not re-entered, and the caller's reference is no longer used.
    let local = unsafe { pcpu.local() }?;
    let Some(slot) = local.loaded.filter(|slot| pcpu.doorbell.take_sgis_alone(*slot)) else {
        local.acknowledged = Some(taken);
        return Some(guest_irq);
    };
    gic::end(taken);
    let (vcpu, interface) = local.current_and_interface()?;
    let listed = vcpu.domain.vgic.sgis_arrived(&mut vcpu.bank, interface);
    resync_if(listed, pcpu, slot)
}

/// The interrupt of a timer of the loaded vCPU, its priority dropped.
#[cold]
#[inline(never)]
fn timer_irq(pcpu: &Pcpu, taken: Taken, asserted: bool) -> Rest {
    // SAFETY: entry points are not re-entered, and the caller's reference is no longer used.
    let local = unsafe { pcpu.local() }?;
    let slot = local.loaded?;
    let (vcpu, interface) = local.current_and_interface()?;
    let listed = if asserted {
        vcpu.domain.vgic.taken_at_once(&mut vcpu.bank, interface, taken.intid())
    } else {
        None
    };
    match listed {
        Some(listed) => resync_if(listed, pcpu, slot),
        // The timer was stopped just as it came: it is nobody's.
        None => {
            gic::deactivate(taken);
            None
        }
    }
}

/// Sends the loaded vCPU, in `slot`, the long way if the short one was not enough.
#[inline(always)]
pub(super) fn resync_if(listed: Listed, pcpu: &Pcpu, slot: Slot) -> Rest {
    match listed {
        Listed::Done => None,
        Listed::Resync => {
            pcpu.ring_other(slot, pcpu);
            Some(guest_left)
        }
    }
}

/// The upcall of `vcpu`, which is loaded, was rung for and nothing else.
#[inline(always)]
fn upcall(vcpu: &Vcpu, lists: &mut impl ListRegisters, pcpu: &Pcpu) -> Rest {
    if vcpu.bank.upcall_again(lists) { None } else { other_upcall(pcpu) }
}

/// The same where that is not the same once more.
#[cold]
#[inline(never)]
fn other_upcall(pcpu: &Pcpu) -> Rest {
    // SAFETY: entry points are not re-entered, and the caller's reference is no longer used.
    let local = unsafe { pcpu.local() }?;
    let slot = local.loaded?;
    let (vcpu, interface) = local.current_and_interface()?;
    match vcpu.domain.vgic.other_upcall(&mut vcpu.bank, interface) {
        Upcall::Resync => {
            // Once more, the long way.
            pcpu.ring_other(slot, pcpu);
            Some(guest_left)
        }
        Upcall::Queued | Upcall::Latched => None,
    }
}
