//! Watchdogs: a domain that does not feed one in time is stopped, and its policy says what follows.
//!
//! The home of a domain's first vCPU keeps time for it, by EL2's own timer. A domain without a watchdog costs nothing.

use portunus::hypercall::ShutdownReason;
use portunus::sched::Slot;

use super::Here;
use super::pcpu::NEVER;

impl Here<'_> {
    /// The watchdogs of the domain whose first vCPU is in `slot` may have been set anew.
    pub(super) fn watch(&mut self, slot: Slot) {
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        let (deadline, Some(keeper)) = (vcpu.domain.calls.watchdog_deadline(), &mut vcpu.keeper) else {
            return;
        };
        if keeper.watchdog != deadline {
            keeper.watchdog = deadline;
            self.set_watchdog_alarm();
        }
    }

    /// The time has come that the first watchdog had. It may have been fed since, or be gone with its domain's last life.
    pub(super) fn bark(&mut self) {
        let now = self.world.system_time();
        for slot in (0..self.local.vcpus.len()).filter_map(Slot::new) {
            let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
            let (domain, Some(keeper)) = (vcpu.domain, &mut vcpu.keeper) else { continue };
            let runs = domain.stopped().is_none();
            let over = domain.calls.watchdog_expired(now);
            keeper.watchdog = domain.calls.watchdog_deadline().filter(|_| runs && !over);
            if runs && over {
                self.shut_down(domain, domain.calls.final_reason(ShutdownReason::Watchdog));
            }
        }
        self.set_watchdog_alarm();
    }

    /// EL2's timer is set when the way back to a guest is taken.
    fn set_watchdog_alarm(&mut self) {
        let keepers = self.local.vcpus.iter().filter_map(|vcpu| vcpu.keeper.as_ref());
        let first = keepers.filter_map(|keeper| keeper.watchdog).min();
        self.local.watchdog_due = first.map_or(NEVER, |at| self.world.ticks_at(at));
        self.local.reschedule = true;
    }
}
