//! Between two entries of guests: whom somebody wants looked at, who runs next, and the switch to it.

use portunus::sched::Slot;
use portunus::vgic::VcpuSet;

use super::Here;
use super::hypercall::Call;
use super::pcpu::{DOORBELL, NEVER, Pcpu, Vcpu};
use super::world::World;
use crate::arch::aarch64::gic::{self, Interface};
use crate::arch::aarch64::{guest, timer};

/// How often the doorbell is looked at before a guest is entered in any case: a neighbour that rings without end
/// must not keep this pCPU at EL2. (An SGI of its own brings the rest.)
const ROUNDS: u32 = 4;

impl Here<'_> {
    /// Attends to everything, if the doorbell was `rung`, and chooses who runs. Returns with a vCPU loaded that can run; until
    /// there is one, the pCPU sleeps here.
    #[cold]
    #[inline]
    pub fn settle(&mut self, rung: bool) {
        let (mut rounds, mut rung) = (0, rung);
        loop {
            let mut now = timer::now();
            if rung {
                now = self.attend(now);
            }
            self.local.reschedule = false;
            let next = self.local.scheduler.pick(now);
            match next {
                Some(slot) if self.local.loaded != Some(slot) => {
                    if self.restart(slot) {
                        rung = true;
                        continue;
                    }
                    self.switch_to(slot);
                }
                _ => self.account(),
            }
            self.share();
            rung = self.pcpu.doorbell.is_rung();
            let busy = rung || self.local.reschedule;
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
                None if busy => {
                    self.interrupts();
                    rung = true;
                }
                None => {
                    guest::wait_for_interrupt();
                    self.interrupt();
                    rung = true;
                }
            }
        }
    }

    /// Whether others ring for others while a guest runs, and not because of what it does itself.
    pub(super) fn is_disturbed(&self) -> bool {
        self.local
            .scheduler
            .current()
            .is_some_and(|slot| !self.pcpu.has_rung_itself() && self.pcpu.doorbell.is_rung_beside(slot))
    }

    /// Attends to everything, if the one that runs has not had to give too much of its time already; otherwise to what is its
    /// own, and the rest later. Until then the doorbell stays rung, so that nobody sends another SGI.
    #[cold]
    #[inline]
    pub(super) fn bear_with_others(&mut self) {
        let start = timer::now();
        let Err(until) = self.local.allowance.ask(start) else {
            self.settle(true);
            self.local.allowance.spend(start, timer::now().saturating_sub(start));
            return;
        };
        if let Interface::V2(_) = self.local.interface {
            // The doorbell was all that was looked at. An SGI that is taken here is looked for behind.
            self.interrupt();
        }
        if let Some(slot) = self.local.loaded {
            // Nothing is held here, as in `attend`.
            match self.pcpu.doorbell.take_of(slot, &self.world.epochs) {
                (_, true) => self.tend(slot),
                (true, false) => self.event(slot, start),
                (false, false) => {}
            }
        }
        if self.local.reschedule || self.pcpu.has_rung_itself() {
            // It looks at everything in the end.
            let start = timer::now();
            self.settle(false);
            self.local.allowance.spend(start, timer::now().saturating_sub(start));
        }
        if until < self.local.alarm {
            self.local.alarm = until;
            timer::set_alarm(Some(until));
        }
    }

    /// Makes the timer and the trap of WFI fit those who can run now.
    #[inline]
    pub(super) fn share(&mut self) {
        let housekeeping = self.local.console_due.min(self.local.watchdog_due);
        let alarm = self.local.scheduler.next_interrupt().unwrap_or(NEVER).min(housekeeping);
        if self.local.alarm != alarm {
            self.local.alarm = alarm;
            timer::set_alarm((alarm != NEVER).then_some(alarm));
        }
        let shared = self.local.scheduler.is_shared();
        if self.local.wfi_traps != shared {
            self.local.wfi_traps = shared;
            guest::trap_wfi(shared);
        }
    }

    /// Looks at every vCPU that somebody rang for. The bits are cleared first: a ring that comes meanwhile is seen
    /// next time. Answers what time it is then.
    #[inline(always)]
    fn attend(&mut self, now: u64) -> u64 {
        self.pcpu.forget_ringing();
        // Nothing is held here, and who rang for an epoch has begun it before.
        let (upcalls, others) = self.pcpu.doorbell.take(&self.world.epochs);
        for slot in slots(upcalls & !others) {
            self.event(slot, now);
        }
        if others == 0 {
            return now;
        }
        slots(others).for_each(|slot| self.tend(slot));
        timer::now()
    }

    /// An event was sent to the vCPU in `slot`.
    #[inline(always)]
    fn event(&mut self, slot: Slot, now: u64) {
        if self.local.loaded != Some(slot) {
            return self.wake_for_event(slot, now);
        }
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return };
        if vcpu.domain.vgic.upcall(&mut vcpu.bank, interface) == portunus::vgic::Upcall::Resync {
            self.resync();
        }
        self.wake_if_ready(slot);
    }

    /// Something happened to the vCPU in `slot`: its domain stopped, it was turned on, its interrupts changed, or
    /// its poll ended.
    #[inline]
    fn tend(&mut self, slot: Slot) {
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        if let Some(ended) = vcpu.domain.stopped() {
            return self.retire(slot, ended);
        }
        // Once one of them has a record, all are looked after.
        self.local.accounts |= vcpu.call.is_some_and(|call| call.record.is_registered());
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

    /// See [`sample_timers`]. Answers the vCPU if a timer has dropped its line.
    pub(super) fn sample_timers(&mut self) -> VcpuSet {
        self.local.current().map_or(VcpuSet::EMPTY, |vcpu| sample_timers(vcpu, self.world))
    }

    /// Fills the list registers of the loaded vCPU, whatever its timers do.
    fn refill(&mut self) {
        let (world, pcpu) = (self.world, self.pcpu);
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return };
        let upcall = world.events.upcall_line(vcpu.domain.id, vcpu.id);
        let woken = vcpu.domain.vgic.resync(&mut vcpu.bank, interface, upcall);
        vcpu.domain.publish(woken, pcpu);
    }

    /// Wakes the vCPU in `slot`, which is not loaded, if it sleeps and has a reason not to, of which an event is the
    /// likely one.
    #[inline]
    fn wake_for_event(&mut self, slot: Slot, now: u64) {
        if !self.pcpu.is_asleep(slot) {
            return;
        }
        let Some(vcpu) = self.local.vcpus.get(slot.index()) else { return };
        if !vcpu.polling
            && vcpu.call.is_some_and(|call| call.line.is_asserted())
            && vcpu.domain.vgic.upcall_wakes(&vcpu.bank, vcpu.registers.threshold())
        {
            self.rouse(slot, now);
        } else {
            self.wake_if_ready(slot);
        }
    }

    /// Wakes the vCPU in `slot` if it sleeps and has a reason not to.
    #[inline]
    pub(super) fn wake_if_ready(&mut self, slot: Slot) {
        if self.pcpu.is_asleep(slot) {
            self.wake_sleeper_if_ready(slot);
        }
    }

    #[inline(never)]
    fn wake_sleeper_if_ready(&mut self, slot: Slot) {
        let loaded = self.local.loaded == Some(slot);
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
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
        self.rouse(slot, timer::now());
    }

    /// The vCPU in `slot` can run from `now` on.
    #[inline]
    fn rouse(&mut self, slot: Slot, now: u64) {
        self.pcpu.set_asleep(slot, false);
        self.local.scheduler.wake(slot, now);
        self.local.reschedule = true;
    }

    /// Takes whoever is loaded out of the hardware, to be switched in again later.
    #[inline(never)]
    pub(super) fn put_away(&mut self) {
        self.save();
        self.local.loaded = None;
        self.pcpu.set_calling(None);
    }

    /// Takes the registers of whoever is loaded.
    #[inline(always)]
    fn save(&mut self) {
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return };
        if vcpu.bank.holds_any() {
            let _ = sample_timers(vcpu, self.world);
        }
        vcpu.registers.stop_timers();
        take_interrupts(vcpu, interface, self.pcpu);
        vcpu.registers.save(self.frame);
    }

    /// Switches the hardware from whoever is loaded to the vCPU in `slot`.
    #[inline(always)]
    fn switch_to(&mut self, slot: Slot) {
        self.account();
        self.save();
        self.local.loaded = Some(slot);
        let Some((vcpu, interface)) = self.local.current_and_interface() else { return };
        // Every vCPU of a world that was built has one.
        let Some(call) = vcpu.call else { return };
        self.pcpu.set_calling(Some(call));
        let forget = vcpu.brothers.is_some_and(|brothers| brothers.change_to(slot));
        vcpu.registers.restore(self.frame, forget);
        give_interrupts(vcpu, interface, call);
        vcpu.registers.start_timers();
        self.account();
    }
}

/// Looks whether a timer of the loaded vCPU whose interrupt was taken asserts it no more: the guest may have stopped
/// or reprogrammed it before it acknowledged, and nothing else tells. Answers the vCPU if so.
#[inline(never)]
fn sample_timers(vcpu: &Vcpu, world: &World) -> VcpuSet {
    [(world.timer.virt, true), (world.timer.phys, false)]
        .into_iter()
        .filter(|(intid, is_virtual)| vcpu.bank.holds(*intid) && !timer::is_asserted(*is_virtual))
        .fold(VcpuSet::EMPTY, |dropped, (intid, _)| {
            dropped.union(vcpu.domain.vgic.set_line(vcpu.id, intid, false))
        })
}

/// The virtual CPU interface becomes that of `vcpu`, which is about to go on.
#[inline(always)]
fn give_interrupts(vcpu: &mut Vcpu, interface: &mut Interface, call: &Call) {
    let (vgic, upcall) = (&call.domain.vgic, call.line.is_asserted());
    let done = match interface {
        Interface::V2(lists) => {
            lists.restore(&vcpu.registers.gic.v2);
            vgic.load_at_once(&mut vcpu.bank, lists, upcall)
        }
        Interface::V3(lists) => {
            vcpu.registers.gic.v3.restore();
            vgic.load_at_once(&mut vcpu.bank, lists, upcall)
        }
    };
    if !done {
        let woken = vgic.load(&mut vcpu.bank, interface, upcall);
        call.domain.publish(woken, call.pcpu);
    }
}

/// The virtual CPU interface, which was that of `vcpu`, whose timers are stopped, becomes nobody's.
#[inline(always)]
fn take_interrupts(vcpu: &mut Vcpu, interface: &mut Interface, pcpu: &Pcpu) {
    let vgic = &vcpu.domain.vgic;
    let done = match interface {
        Interface::V2(lists) => {
            lists.save(&mut vcpu.registers.gic.v2);
            vgic.unload_at_once(&mut vcpu.bank, lists)
        }
        Interface::V3(lists) => {
            vcpu.registers.gic.v3.save();
            vgic.unload_at_once(&mut vcpu.bank, lists)
        }
    };
    if !done {
        let woken = vgic.unload(&mut vcpu.bank, interface);
        vcpu.domain.publish(woken, pcpu);
    }
}

/// Whether a sleeping vCPU has a reason to go on.
pub(super) fn is_ready(vcpu: &Vcpu, loaded: bool, world: &World) -> bool {
    let (domain, events) = (vcpu.domain, &world.events);
    let threshold = if loaded { gic::guest_threshold() } else { vcpu.registers.threshold() };
    let upcall = events.upcall_line(domain.id, vcpu.id);
    domain.vgic.deliverable(&vcpu.bank, upcall, threshold)
        || vcpu.polling && !events.is_polling(domain.id, vcpu.id)
}

/// The slots in a word of the doorbell.
pub(super) fn slots(word: u64) -> impl Iterator<Item = Slot> {
    let mut rest = word;
    core::iter::from_fn(move || {
        let slot = Slot::new(rest.trailing_zeros() as usize)?;
        rest &= rest.wrapping_sub(1);
        Some(slot)
    })
}
