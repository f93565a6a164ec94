//! Between two entries of guests: whom somebody wants looked at, who runs next, and the switch to it.

use portunus::sched::Slot;
use portunus::vgic::VcpuSet;

use super::Here;
use super::pcpu::{DOORBELL, Vcpu};
use crate::arch::aarch64::{gic, guest, timer};

/// How often the doorbell is looked at before a guest is entered in any case: a neighbour that rings without end
/// must not keep this pCPU at EL2. (Its next ring interrupts the guest.)
const ROUNDS: u32 = 4;

impl Here<'_> {
    /// Attends to everything and chooses who runs. Returns with a vCPU loaded that can run; until there is one, the
    /// pCPU sleeps here.
    #[cold]
    pub(super) fn settle(&mut self) {
        let mut rounds = 0;
        loop {
            self.attend();
            self.local.reschedule = false;
            let next = self.local.scheduler.pick(timer::now());
            self.account();
            if let Some(slot) = next.filter(|slot| self.local.loaded != Some(*slot)) {
                if self.restart(slot) {
                    continue;
                }
                self.switch_to(slot);
                self.account();
            }
            self.share();
            let busy = self.local.reschedule || self.pcpu.doorbell.is_rung();
            match next {
                Some(_) if !busy => return,
                Some(_) if rounds == ROUNDS => {
                    // The rest is attended to after the guest has had its chance, for this SGI, whoever rang.
                    self.pcpu.forget_ringing();
                    gic::send_sgi(DOORBELL, &self.pcpu.doorbell.sgi);
                    return;
                }
                Some(_) => rounds += 1,
                // Whoever rings without end must not keep an alarm or the console from being heard.
                None if busy => self.interrupts(),
                None => {
                    guest::wait_for_interrupt();
                    self.interrupt();
                }
            }
        }
    }

    /// Makes the timer and the trap of WFI fit those who can run now.
    pub(super) fn share(&mut self) {
        let alarms = [self.local.scheduler.next_interrupt(), self.local.console_due, self.local.watchdog_due];
        timer::set_alarm(alarms.into_iter().flatten().min());
        let shared = self.local.scheduler.is_shared();
        if self.local.wfi_traps != shared {
            self.local.wfi_traps = shared;
            guest::trap_wfi(shared);
        }
    }

    /// Looks at every vCPU that somebody rang for. The bits are cleared first: a ring that comes meanwhile is seen
    /// next time.
    fn attend(&mut self) {
        self.pcpu.forget_ringing();
        let (upcalls, others) = self.pcpu.doorbell.take();
        // Nothing is held here, and who rang for an epoch has begun it before.
        self.world.epochs.observe(&self.pcpu.observer);
        for slot in slots(upcalls & !others) {
            self.event(slot);
        }
        for slot in slots(others) {
            self.tend(slot);
        }
    }

    /// An event was sent to the vCPU in `slot`.
    fn event(&mut self, slot: Slot) {
        if self.local.loaded != Some(slot) {
            return self.wake_if_ready(slot);
        }
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return };
        if vcpu.domain.vgic.upcall(&mut vcpu.bank, interface) == portunus::vgic::Upcall::Resync {
            self.resync();
        }
        self.wake_if_ready(slot);
    }

    /// Something happened to the vCPU in `slot`: its domain stopped, it was turned on, its interrupts changed, or
    /// its poll ended.
    fn tend(&mut self, slot: Slot) {
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        if let Some(ended) = vcpu.domain.stopped() {
            return self.retire(slot, ended);
        }
        if vcpu.keeper.is_some() {
            self.watch(slot);
        }
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        if let Some(start) = vcpu.domain.power.get(vcpu.id.index()).and_then(|power| power.take_start()) {
            return self.begin(slot, start);
        }
        if self.local.loaded == Some(slot) {
            self.resync();
        } else {
            let woken = vcpu.domain.vgic.settle(&mut vcpu.bank);
            vcpu.domain.publish(woken, self.pcpu);
        }
        self.wake_if_ready(slot);
    }

    /// Brings the list registers of the loaded vCPU, whose timers run, up to date.
    pub(super) fn resync(&mut self) {
        // Only itself could be in need of attention, and it gets it.
        let _ = self.sample_timers();
        self.refill();
    }

    /// Looks whether a timer of the loaded vCPU whose interrupt was taken asserts it no more: the guest may have stopped
    /// or reprogrammed it before it acknowledged, and nothing else tells. Answers the vCPU if so.
    pub(super) fn sample_timers(&mut self) -> VcpuSet {
        let (virt, phys) = (self.world.timer.virt, self.world.timer.phys);
        let Some(vcpu) = self.local.current() else { return VcpuSet::EMPTY };
        [(virt, true), (phys, false)]
            .into_iter()
            .filter(|(intid, is_virtual)| vcpu.bank.holds(*intid) && !timer::is_asserted(*is_virtual))
            .fold(VcpuSet::EMPTY, |dropped, (intid, _)| {
                dropped.union(vcpu.domain.vgic.set_line(vcpu.id, intid, false))
            })
    }

    /// Fills the list registers of the loaded vCPU, whatever its timers do.
    fn refill(&mut self) {
        let (world, pcpu) = (self.world, self.pcpu);
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return };
        let upcall = world.events.upcall_line(vcpu.domain.id, vcpu.id);
        let woken = vcpu.domain.vgic.resync(&mut vcpu.bank, interface, upcall);
        vcpu.domain.publish(woken, pcpu);
    }

    /// Wakes the vCPU in `slot` if it sleeps and has a reason not to.
    pub(super) fn wake_if_ready(&mut self, slot: Slot) {
        let loaded = self.local.loaded == Some(slot);
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()).filter(|vcpu| vcpu.blocked) else { return };
        if is_ready(vcpu, loaded, self.world) {
            self.wake(slot);
        }
    }

    /// Ends the sleep of the vCPU in `slot`.
    pub(super) fn wake(&mut self, slot: Slot) {
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        if core::mem::take(&mut vcpu.polling) {
            self.world.events.stop_polling(vcpu.domain.id, vcpu.id);
        }
        vcpu.blocked = false;
        self.local.scheduler.wake(slot, timer::now());
        self.local.reschedule = true;
    }

    /// Takes whoever is loaded out of the hardware, to be switched in again later.
    pub(super) fn put_away(&mut self) {
        let _ = self.sample_timers();
        if let Some((vcpu, interface)) = self.local.current_and_interface() {
            vcpu.registers.stop_timers();
            let woken = vcpu.domain.vgic.unload(&mut vcpu.bank, interface);
            vcpu.registers.save(self.frame);
            vcpu.domain.publish(woken, self.pcpu);
        }
        self.local.loaded = None;
        self.pcpu.set_calling(None);
    }

    /// Switches the hardware from whoever is loaded to the vCPU in `slot`.
    fn switch_to(&mut self, slot: Slot) {
        self.put_away();
        self.local.loaded = Some(slot);
        let Some(vcpu) = self.local.current() else { return };
        vcpu.registers.restore(self.frame);
        self.pcpu.set_calling(self.local.call());
        self.refill();
        if let Some(vcpu) = self.local.current() {
            vcpu.registers.start_timers();
        }
    }

    /// Takes the vCPU in `slot` out of the hardware, if it is there; its registers are lost.
    pub(super) fn unload(&mut self, slot: Slot) {
        if self.local.loaded != Some(slot) {
            return;
        }
        let _ = self.sample_timers();
        if let Some((vcpu, interface)) = self.local.current_and_interface() {
            vcpu.registers.stop_timers();
            let woken = vcpu.domain.vgic.unload(&mut vcpu.bank, interface);
            vcpu.domain.publish(woken, self.pcpu);
        }
        self.local.loaded = None;
        self.pcpu.set_calling(None);
    }
}

/// Whether a sleeping vCPU has a reason to go on.
pub(super) fn is_ready(vcpu: &Vcpu, loaded: bool, world: &super::World) -> bool {
    let (domain, events) = (vcpu.domain, &world.events);
    let threshold = if loaded { gic::guest_threshold() } else { vcpu.registers.threshold() };
    let upcall = events.upcall_line(domain.id, vcpu.id);
    domain.vgic.deliverable(&vcpu.bank, upcall, threshold)
        || vcpu.polling && !events.is_polling(domain.id, vcpu.id)
}

/// The slots in a word of the doorbell.
fn slots(word: u64) -> impl Iterator<Item = Slot> {
    let mut rest = word;
    core::iter::from_fn(move || {
        let slot = Slot::new(rest.trailing_zeros() as usize)?;
        rest &= rest.wrapping_sub(1);
        Some(slot)
    })
}
