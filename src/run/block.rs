//! A vCPU that waits, starts, or goes off.

use portunus::sched::Slot;
use portunus::vdev::esr::Esr;
use portunus::vdev::power::Start;

use super::Here;
use super::attend::is_ready;
use crate::arch::aarch64::gic::Interface;
use crate::arch::aarch64::{guest, timer};

impl Here<'_> {
    /// A trapped WFI. (WFE does not trap: it is a hint, and an event may be near.)
    pub(super) fn wait_for_interrupt(&mut self, esr: Esr) {
        let waits = esr.condition_holds(guest::pstate());
        guest::step_over(esr);
        if waits {
            self.block(None);
        }
    }

    /// The vCPU that trapped sleeps until an interrupt can be delivered to it, its poll ends, or the physical counter
    /// reaches `until`.
    #[inline]
    pub fn block(&mut self, until: Option<u64>) {
        if !self.is_idle() && self.has_reason_to_go_on() {
            return;
        }
        let timer = &self.world.timer;
        let Some(slot) = self.local.loaded else { return };
        let Some(vcpu) = self.local.current() else { return };
        // A timer whose interrupt has come already is no reason to wake: it was not one to stay awake.
        let mut counts = [true, true];
        if vcpu.bank.holds_any() {
            counts = [timer.virt, timer.phys].map(|intid| !vcpu.bank.holds(intid));
        }
        let alarm = vcpu.registers.next_timer(counts).into_iter().chain(until).min();
        self.pcpu.set_asleep(slot, true);
        self.local.scheduler.block(alarm, timer::now());
        self.local.reschedule = true;
    }

    /// Whether the vCPU that trapped has nothing on its way to it. If not, the long way finds out what.
    #[inline]
    fn is_idle(&mut self) -> bool {
        let Some(call) = self.pcpu.calling() else { return false };
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return false };
        let (vgic, upcall) = (&call.domain.vgic, call.line.is_asserted());
        !vcpu.polling
            && match interface {
                Interface::V2(lists) => vgic.is_idle(&mut vcpu.bank, lists, upcall),
                Interface::V3(lists) => vgic.is_idle(&mut vcpu.bank, lists, upcall),
            }
    }

    /// Whether the vCPU that trapped and wants to wait need not.
    #[inline(never)]
    fn has_reason_to_go_on(&mut self) -> bool {
        let (world, pcpu) = (self.world, self.pcpu);
        let dropped = self.sample_timers();
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return true };
        let woken = vcpu.domain.vgic.fold(&mut vcpu.bank, interface);
        vcpu.domain.publish(woken.union(dropped), pcpu);
        let ready = is_ready(vcpu, true, world);
        if ready && core::mem::take(&mut vcpu.polling) {
            world.events.stop_polling(vcpu.domain.id, vcpu.id);
        }
        ready
    }

    /// The vCPU that trapped lets others of this pCPU go first.
    pub(super) fn give_way(&mut self) {
        self.local.scheduler.give_way(timer::now());
        self.local.reschedule = true;
    }

    /// Takes the vCPU in `slot` out of the hardware, if it is there.
    fn unload(&mut self, slot: Slot) {
        if self.local.loaded == Some(slot) {
            self.put_away();
        }
    }

    /// The vCPU in `slot` was turned on.
    pub(super) fn begin(&mut self, slot: Slot, start: Start) {
        self.unload(slot);
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        vcpu.registers.reset(start.entry, start.context);
        if let Some(record) = vcpu.domain.records.get(vcpu.id.index()) {
            record.forget();
        }
        let woken = vcpu.domain.vgic.reset_cpu(&mut vcpu.bank);
        vcpu.domain.publish(woken, self.pcpu);
        self.wake(slot);
    }

    /// The vCPU in `slot` is off, whatever it did.
    pub(super) fn turn_off(&mut self, slot: Slot) {
        self.unload(slot);
        self.local.scheduler.turn_off(slot, timer::now());
        self.local.reschedule = true;
        self.pcpu.set_asleep(slot, false);
        if let Some(vcpu) = self.local.vcpus.get_mut(slot.index())
            && core::mem::take(&mut vcpu.polling)
        {
            self.world.events.stop_polling(vcpu.domain.id, vcpu.id);
        }
    }

    /// PSCI CPU_OFF of the vCPU that trapped. Last of all its switch: from then on it can be turned on again.
    pub(super) fn power_off_cpu(&mut self) {
        let Some(slot) = self.local.loaded else { return };
        self.turn_off(slot);
        if let Some(vcpu) = self.local.vcpus.get(slot.index())
            && let Some(power) = vcpu.domain.power.get(vcpu.id.index())
        {
            power.turn_off();
        }
    }
}
