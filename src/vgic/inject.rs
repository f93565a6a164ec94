//! Interrupts on their way to the guest: what a home pCPU does with the list registers of its vCPUs.
//!
//! While the vCPU is *loaded* its interrupts are in the list registers of its home pCPU and the guest changes
//! them by acknowledging and deactivating. `fold` reads them back into the shared state, `resync` folds and then
//! chooses anew what the list registers should hold (see `refill`); `switch` has what happens when another vCPU is
//! loaded. A vCPU that is not loaded has no state outside the shared words and its [`LrBank`], so there is nothing to save.

use super::bank::Bank;
use super::state::Vgic;
use super::sync::{SeqCst, bits};
use super::{ListRegisters, Lr, LrBank, MAX_LRS, Maintenance, PhysicalGic, UPCALL, VcpuSet};
use crate::addr::IntId;

pub(super) const UPCALL_BIT: u32 = 1 << UPCALL.get();

/// What became of an event-channel upcall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upcall {
    /// It is pending in its list register; the guest may be entered.
    Queued,
    /// The guest has not enabled it, or is not loaded: it is remembered and delivered when it can be.
    Latched,
    /// Other interrupts are waiting for list registers and may be more urgent: resync before entering the guest.
    Resync,
}

impl Vgic {
    /// Brings the list registers up to date; loads the vCPU if it is not loaded. On its home pCPU, before each
    /// entry to the guest that follows an attention, a maintenance interrupt or a change made by a trap.
    ///
    /// `upcall`: whether the vCPU's `evtchn_upcall_pending` is set, read *after* the attention bit was cleared.
    /// Returns other vCPUs that need attention.
    pub fn resync<H>(&self, local: &mut LrBank, hw: &mut H, upcall: bool) -> VcpuSet
    where
        H: ListRegisters + PhysicalGic,
    {
        if !local.loaded {
            local.loaded = true;
            local.count = hw.count().min(MAX_LRS);
            for n in bits(local.held) {
                hw.set_active(IntId::new(n), true);
            }
        }
        self.sample_upcall(local, upcall);
        let folded = self.fold(local, hw);
        let refilled = self.refill(local, hw);
        self.let_go(local, hw);
        local.calm = !local.waiting && !local.parked && local.requested == Maintenance::default();
        folded.union(refilled).without(local.vcpu)
    }

    /// An event was sent to the loaded vCPU and its `evtchn_upcall_pending` set: makes the upcall pending, the
    /// short way. An upcall that the guest is just handling becomes pending again behind it.
    ///
    /// No change that another vCPU made to the upcall, such as to disable it, waits to be looked at: the caller has seen
    /// that the attention bit is clear. One that is made between that look and this, and an event behind it, may take
    /// effect in the other order: the upcall is signalled, and taken back by the resync that the change has asked for.
    #[inline(always)]
    pub fn upcall<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H) -> Upcall {
        if local.upcall_again(hw) { Upcall::Queued } else { self.other_upcall(local, hw) }
    }

    /// [`upcall`](Self::upcall), where list register 0 may hold anything.
    pub fn other_upcall<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H) -> Upcall {
        let Some(private) = self.private(local.vcpu) else { return Upcall::Latched };
        let bank = &private.bank;
        if bank.line.load(SeqCst) & UPCALL_BIT == 0 {
            bank.drive(UPCALL_BIT, true);
        }
        if !local.loaded || bank.eligible(UPCALL_BIT) == 0 || !self.is_enabled() {
            return Upcall::Latched;
        }
        if local.waiting {
            return Upcall::Resync;
        }
        if local.used & 1 != 0 {
            let before = hw.pend(0);
            local.upcall_pended(bank, before);
        } else {
            let priority = bank.priority(UPCALL.get());
            local.put(hw, 0, Lr { vintid: UPCALL, priority, pending: true, ..Lr::EMPTY });
        }
        local.upcall_comes_again(bank);
        Upcall::Queued
    }

    /// The physical interrupt of a linked PPI was acknowledged on the home pCPU (its priority dropped, but not
    /// deactivated) while the vCPU was loaded. Resync before entering the guest. Returns vCPUs that need
    /// attention, or `None` if `intid` is not linked: then the caller deactivates it.
    pub fn taken<H>(&self, local: &mut LrBank, hw: &mut H, intid: IntId) -> Option<VcpuSet>
    where
        H: ListRegisters + PhysicalGic,
    {
        let irq = self.irq(local.vcpu, intid)?;
        if irq.bank.linked & irq.bit == 0 {
            return None;
        }
        // The guest may have deactivated the previous one since the last look; that one must be seen to have
        // ended first, or this one would end with it.
        let woken = self.fold(local, hw);
        irq.bank.drive(irq.bit, true);
        local.held |= irq.bit;
        Some(woken)
    }

    /// Whether an interrupt could be signalled that is more urgent than `pmr` (the guest's ICC_PMR_EL1; 0 if it
    /// has ICC_IGRPEN1_EL1 clear): whether a WFI would end. On the home pCPU: for a loaded vCPU after a
    /// [`fold`](Self::fold), for one that is not loaded at any time. `upcall` as for [`resync`](Self::resync).
    #[must_use]
    pub fn deliverable(&self, local: &LrBank, upcall: bool, pmr: u8) -> bool {
        let Some(private) = self.private(local.vcpu) else { return false };
        self.sample_upcall(local, upcall);
        if !self.is_enabled() {
            return false;
        }
        let ready = private.eligible() & !private.bank.active.load(SeqCst);
        if private.bank.any_above(ready, pmr) {
            return true;
        }
        let listed = |index| {
            local.slot(index).is_some_and(|lr| {
                let irq = self.irq(local.vcpu, lr.vintid);
                !lr.active && lr.priority < pmr && irq.is_some_and(|irq| irq.is_eligible())
            })
        };
        if bits(local.used).any(listed) {
            return true;
        }
        bits(private.hints.load(SeqCst) >> 1).any(|index| {
            self.spis.get(index as usize).is_some_and(|spi| {
                let ready = spi.bank.eligible(spi.bank.pending()) & !spi.bank.active.load(SeqCst);
                bits(ready).any(|n| {
                    let free = spi.holder(n).is_none_or(|holder| holder == local.vcpu);
                    free && spi.route(n) == Some(local.vcpu) && spi.bank.priority(n) < pmr
                })
            })
        })
    }

    /// The upcall's line is the guest's memory, so it is looked at rather than driven.
    fn sample_upcall(&self, local: &LrBank, upcall: bool) {
        if let Some(private) = self.private(local.vcpu) {
            let high = private.bank.line.load(SeqCst) & UPCALL_BIT != 0;
            if high != upcall {
                private.bank.drive(UPCALL_BIT, upcall);
            }
        }
    }
}

impl LrBank {
    /// [`Vgic::upcall`] where that is the same once more. Whether it was; if not, nothing was done.
    #[inline(always)]
    #[must_use]
    pub fn upcall_again<H: ListRegisters>(&self, hw: &mut H) -> bool {
        self.comes_again() & 1 != 0 && hw.again(0)
    }

    /// List register 0 was made pending, and was pending or active `before`: publishes what the guest had done to it.
    fn upcall_pended(&mut self, bank: &Bank, (pending, active): (bool, bool)) {
        let Some(slot) = self.slots.first_mut() else { return };
        if pending {
            return;
        }
        if slot.pending {
            bank.consume(UPCALL_BIT);
        }
        if slot.active != active {
            bank.set_active(UPCALL_BIT, active);
        }
        slot.active = active;
        slot.pending = true;
    }

    /// List register 0 was made pending. The next upcall is the same once more if this one is for the line alone.
    fn upcall_comes_again(&mut self, bank: &Bank) {
        let plain = self.slots.first().is_some_and(|slot| slot.pending && !slot.active);
        self.again = self.again & !1 | u32::from(plain && !bank.has_token(UPCALL_BIT));
    }
}
