//! A vCPU that waits, starts, or goes off.

use portunus::sched::Slot;
use portunus::vdev::esr::Esr;
use portunus::vdev::power::Start;

use super::Here;
use super::attend::is_ready;
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
    pub(super) fn block(&mut self, until: Option<u64>) {
        let (world, pcpu) = (self.world, self.pcpu);
        let dropped = self.sample_timers();
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return };
        let woken = vcpu.domain.vgic.fold(&mut vcpu.bank, interface);
        vcpu.domain.publish(woken.union(dropped), pcpu);
        if is_ready(vcpu, true, world) {
            if core::mem::take(&mut vcpu.polling) {
                world.events.stop_polling(vcpu.domain.id, vcpu.id);
            }
            return;
        }
        vcpu.blocked = true;
        // A timer whose interrupt has come already is no reason to wake: it was not one to stay awake.
        let counts = [world.timer.virt, world.timer.phys].map(|intid| !vcpu.bank.holds(intid));
        let alarm = vcpu.registers.next_timer(counts).into_iter().chain(until).min();
        self.local.scheduler.block(alarm, timer::now());
        self.local.reschedule = true;
    }

    /// The vCPU that trapped lets others of this pCPU go first.
    pub(super) fn give_way(&mut self) {
        self.local.scheduler.give_way(timer::now());
        self.local.reschedule = true;
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
        if let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) {
            vcpu.blocked = false;
            if core::mem::take(&mut vcpu.polling) {
                self.world.events.stop_polling(vcpu.domain.id, vcpu.id);
            }
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
