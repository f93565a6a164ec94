//! A vCPU's interrupts when it gets its pCPU, and when another one does.
//!
//! Whoever waits for events has nothing in its list registers when it goes, and nobody changes its interrupts until it
//! comes back for the upcall. Then the register of the upcall is all there is to look after. Otherwise ([`LrBank::stale`])
//! all of them are emptied, and chosen anew by a resync.

use super::inject::UPCALL_BIT;
use super::state::Vgic;
use super::sync::{SeqCst, bits};
use super::{ListRegisters, Lr, LrBank, Maintenance, PhysicalGic, UPCALL, VcpuSet};
use crate::addr::IntId;

impl Vgic {
    /// The vCPU gets its home pCPU: fills the list registers. Before its timers run.
    ///
    /// `upcall`: whether the vCPU's `evtchn_upcall_pending` is set, read *after* the attention bit was cleared.
    /// Returns other vCPUs that need attention.
    pub fn load<H>(&self, local: &mut LrBank, hw: &mut H, upcall: bool) -> VcpuSet
    where
        H: ListRegisters + PhysicalGic,
    {
        local.stale = false;
        local.used = 0;
        self.resync(local, hw, upcall)
    }

    /// The short way of [`load`](Self::load), which is to be called if this answers `false`.
    #[inline]
    #[must_use]
    pub fn load_at_once<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, upcall: bool) -> bool {
        let Some(private) = self.private(local.vcpu) else { return false };
        let bank = &private.bank;
        let line = bank.line.load(SeqCst) & UPCALL_BIT != 0;
        if local.stale || line && !upcall {
            return false;
        }
        // Nothing was in the list registers when it went, and nothing has changed.
        local.loaded = true;
        if !upcall {
            return true;
        }
        if !line {
            bank.drive(UPCALL_BIT, true);
        }
        if bank.eligible(UPCALL_BIT) != 0 && self.is_enabled() {
            let lr = Lr { vintid: UPCALL, priority: bank.priority(UPCALL.get()), pending: true, ..Lr::EMPTY };
            hw.write(0, lr);
            local.used = 1;
            if let Some(slot) = local.slots.first_mut() {
                *slot = lr;
            }
        }
        true
    }

    /// Empties the list registers: the vCPU leaves its home pCPU. Physical interrupts that are active on its
    /// behalf are made inactive, so that the next vCPU's devices can raise them; its own are saved with their
    /// enable and condition bits and cannot fire meanwhile. Returns other vCPUs that need attention.
    pub fn unload<H>(&self, local: &mut LrBank, hw: &mut H) -> VcpuSet
    where
        H: ListRegisters + PhysicalGic,
    {
        if !local.loaded {
            return VcpuSet::EMPTY;
        }
        let mut woken = self.fold(local, hw);
        for index in bits(local.used) {
            woken = woken.union(self.evict(local, hw, index));
        }
        self.let_go(local, hw);
        for n in bits(local.held) {
            hw.set_active(IntId::new(n), false);
        }
        if local.requested != Maintenance::default() {
            local.requested = Maintenance::default();
            hw.request(local.requested);
        }
        local.waiting = false;
        local.loaded = false;
        local.stale = true;
        woken.without(local.vcpu)
    }

    /// The short way of [`unload`](Self::unload), which is to be called if this answers `false`.
    #[inline]
    #[must_use]
    pub fn unload_at_once<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H) -> bool {
        let short = local.has_at_most_the_upcall() && (local.used == 0 || !self.reads_back(local, hw));
        if short {
            local.loaded = false;
        }
        short
    }

    /// Whether the loaded vCPU, which wants to wait, has nothing in its list registers that it could take. Where `false`,
    /// [`fold`](Self::fold) and [`deliverable`](Self::deliverable) tell. Interrupts that it may need attention for are left
    /// to whoever looks at its attention bit before it sleeps. `upcall` as for [`load`](Self::load).
    #[inline]
    #[must_use]
    pub fn is_idle<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, upcall: bool) -> bool {
        !upcall && local.has_at_most_the_upcall() && (local.used == 0 || !self.reads_back(local, hw))
    }

    /// Whether an event that was sent to the vCPU, which is not loaded and sleeps, wakes it. `pmr` as for
    /// [`deliverable`](Self::deliverable); `false` only means that this has to be asked there.
    #[inline]
    #[must_use]
    pub fn upcall_wakes(&self, local: &LrBank, pmr: u8) -> bool {
        let Some(private) = self.private(local.vcpu) else { return false };
        let bank = &private.bank;
        bank.eligible(UPCALL_BIT) & !bank.active.load(SeqCst) != 0
            && bank.priority(UPCALL.get()) < pmr
            && self.is_enabled()
    }

    /// Publishes what the guest has done to list register 0, which was in use. Whether it still is.
    #[inline]
    fn reads_back<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H) -> bool {
        let (Some(private), Some(slot)) = (self.private(local.vcpu), local.slots.first_mut()) else {
            return true;
        };
        let now = hw.read(0);
        local.again = 0;
        if slot.pending && !now.pending {
            private.bank.consume(UPCALL_BIT);
        }
        if slot.active != now.active {
            private.bank.set_active(UPCALL_BIT, now.active);
        }
        (slot.pending, slot.active) = (now.pending, now.active);
        local.used = u32::from(now.is_valid());
        now.is_valid()
    }
}

impl LrBank {
    /// Whether the upcall is the only interrupt that is on its way to the guest, if any is. The vCPU is loaded.
    #[inline]
    fn has_at_most_the_upcall(&self) -> bool {
        self.used & !1 | self.held == 0 && self.calm
    }
}
