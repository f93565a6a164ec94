//! The private half of a vCPU's virtual GIC: its list registers, read back, filled and emptied on its home pCPU.
//!
//! While the vCPU is *loaded* its interrupts are in the list registers of its home pCPU and the guest changes
//! them by acknowledging and deactivating. `fold` reads them back into the shared state, `resync` folds and then
//! chooses anew what the list registers should hold (see `refill`), `unload` folds and empties them. A vCPU that
//! is not loaded has no state outside the shared words and this structure, so there is nothing to save.

use super::state::{Irq, Vgic};
use super::sync::{SeqCst, bits};
use super::{ListRegisters, Lr, MAX_LRS, Maintenance, PhysicalGic, UPCALL, VcpuSet};
use crate::addr::{IntId, VcpuId};

pub(super) const UPCALL_BIT: u32 = 1 << UPCALL.get();

/// The private half of one vCPU's virtual GIC. Only the vCPU's home pCPU touches it.
pub struct LrBank {
    pub(super) vcpu: VcpuId,
    pub(super) loaded: bool,
    /// How many list registers there are.
    pub(super) count: usize,
    /// Which of them hold something: bit `n` for list register `n`.
    pub(super) used: u32,
    /// What they held when last read or written.
    pub(super) slots: [Lr; MAX_LRS],
    /// What the hardware was last asked to call for.
    pub(super) requested: Maintenance,
    /// Interrupts are pending that found no list register.
    pub(super) waiting: bool,
    /// SPIs may be held that are in no list register, because they are active.
    pub(super) parked: bool,
    /// Linked PPIs whose physical interrupt is active on behalf of this vCPU.
    pub(super) held: u32,
    /// Those among them that the guest has active as linked interrupts: their deactivation is the physical one.
    pub(super) held_active: u32,
    /// For each SGI that is active, its sender.
    pub(super) senders: [u8; 16],
}

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

impl LrBank {
    /// The list registers of `vcpu`, not loaded.
    #[must_use]
    pub const fn new(vcpu: VcpuId) -> Self {
        Self {
            vcpu,
            loaded: false,
            count: 0,
            used: 0,
            slots: [Lr::EMPTY; MAX_LRS],
            requested: Maintenance { none_pending: false, unlisted_eoi: false },
            waiting: false,
            parked: false,
            held: 0,
            held_active: 0,
            senders: [0; 16],
        }
    }

    /// The vCPU it belongs to.
    #[must_use]
    pub const fn vcpu(&self) -> VcpuId {
        self.vcpu
    }

    /// Whether the vCPU's interrupts are in the list registers of its home pCPU.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        self.loaded
    }

    pub(super) fn slot(&self, index: u32) -> Option<&Lr> {
        if self.used >> index & 1 == 0 { None } else { self.slots.get(index as usize) }
    }

    /// The list register that holds `intid`, if one does.
    pub(super) fn find(&self, intid: IntId) -> Option<u32> {
        bits(self.used).find(|&index| self.slot(index).is_some_and(|lr| lr.vintid == intid))
    }

    /// Writes list register `index` if that changes it.
    pub(super) fn put<H: ListRegisters>(&mut self, hw: &mut H, index: u32, lr: Lr) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if *slot != lr || self.used >> index & 1 == 0 {
            *slot = lr;
            hw.write(index as usize, lr);
        }
        self.used |= 1 << index;
    }

    /// Empties list register `index`. What it held.
    pub(super) fn take<H: ListRegisters>(&mut self, hw: &mut H, index: u32) -> Lr {
        self.used &= !(1 << index);
        match self.slots.get_mut(index as usize) {
            Some(slot) => {
                hw.write(index as usize, Lr::EMPTY);
                core::mem::replace(slot, Lr::EMPTY)
            }
            None => Lr::EMPTY,
        }
    }
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
        folded.union(refilled).without(local.vcpu)
    }

    /// Publishes what the guest has done to its list registers, and changes nothing else. On the home pCPU,
    /// before an access to a register of the virtual GIC is emulated for this vCPU. Returns vCPUs that need
    /// attention. Does nothing if the vCPU is not loaded.
    pub fn fold<H>(&self, local: &mut LrBank, hw: &mut H) -> VcpuSet
    where
        H: ListRegisters + PhysicalGic,
    {
        let mut woken = VcpuSet::EMPTY;
        for index in bits(local.used) {
            woken = woken.union(self.observe(local, hw, index));
        }
        if local.requested.unlisted_eoi {
            for _ in 0..hw.take_eoi_count().min(31) {
                woken = woken.union(self.retire_most_urgent(local, hw));
            }
        }
        woken
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
        woken.without(local.vcpu)
    }

    /// An event was sent to the loaded vCPU and its `evtchn_upcall_pending` set: makes the upcall pending, the
    /// short way. An upcall that the guest is just handling becomes pending again behind it.
    pub fn upcall<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H) -> Upcall {
        let Some(private) = self.private(local.vcpu) else { return Upcall::Latched };
        let bank = &private.bank;
        self.sample_upcall(local, true);
        if !local.loaded || bank.eligible(bank.pending()) & UPCALL_BIT == 0 || !self.is_enabled() {
            return Upcall::Latched;
        }
        if local.waiting {
            return Upcall::Resync;
        }
        if let Some(irq) = self.irq(local.vcpu, UPCALL) {
            self.publish(local, hw, 0, irq);
        }
        let lr = match local.slot(0) {
            Some(held) => Lr { pending: true, ..*held },
            None => Lr {
                vintid: UPCALL,
                priority: bank.priority(UPCALL.get()),
                pending: true,
                group1: true,
                ..Lr::EMPTY
            },
        };
        local.put(hw, 0, lr);
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

    /// Lets go of SPIs that this vCPU was keeping because they were active, and that another vCPU has made
    /// inactive since (ICACTIVER). On the home pCPU of a vCPU that has its attention bit set but is not loaded;
    /// [`resync`](Self::resync) does it by itself. Returns vCPUs that need attention.
    pub fn settle(&self, local: &mut LrBank) -> VcpuSet {
        let mut woken = VcpuSet::EMPTY;
        if !core::mem::take(&mut local.parked) {
            return woken;
        }
        for (index, spi) in (1u32..).zip(&self.spis) {
            for n in (0..32).filter(|&n| spi.holder(n) == Some(local.vcpu)) {
                let intid = IntId::new(index * 32 + n);
                let Some(irq) = self.irq(local.vcpu, intid) else { continue };
                if local.find(intid).is_some() {
                    continue;
                }
                if irq.is_active() {
                    local.parked = true;
                } else {
                    woken = woken.union(self.release(local.vcpu, intid, irq));
                }
            }
        }
        woken.without(local.vcpu)
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

    /// Reads list register `index` back and publishes what the guest did; the register is free afterwards if
    /// the guest is done with it. Returns vCPUs that need attention.
    fn observe<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, index: u32) -> VcpuSet {
        let Some(&was) = local.slot(index) else { return VcpuSet::EMPTY };
        let Some(irq) = self.irq(local.vcpu, was.vintid) else { return VcpuSet::EMPTY };
        self.publish(local, hw, index, irq);
        if local.slot(index).is_some() {
            return VcpuSet::EMPTY;
        }
        self.release(local.vcpu, was.vintid, irq)
    }

    fn publish<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, index: u32, irq: Irq<'_>) {
        let Some(&was) = local.slot(index) else { return };
        let now = hw.read(index as usize);
        if was.pending && !now.pending {
            irq.consume();
        }
        if now.active != was.active {
            irq.bank.set_active(irq.bit, now.active);
        }
        if was.hw.is_some() {
            if now.active {
                local.held_active |= irq.bit;
            } else if !now.pending {
                // The deactivation in the guest was the physical one; if the device still asserts its line,
                // the physical interrupt comes again.
                local.held &= !irq.bit;
                local.held_active &= !irq.bit;
                irq.bank.drive(irq.bit, false);
            }
        }
        if let Some(slot) = local.slots.get_mut(index as usize) {
            slot.pending = now.pending;
            slot.active = now.active;
        }
        if !now.is_valid() {
            local.used &= !(1 << index);
            if was.eoi {
                // A free list register with its EOI bit set keeps the maintenance interrupt asserted
                // (IHI 0069, ICH_EISR_EL2).
                hw.write(index as usize, Lr::EMPTY);
            }
        }
    }

    /// Takes what is in list register `index` out of it; its state is in the shared words already. An active
    /// SPI stays with its vCPU. Returns vCPUs that need attention.
    pub(super) fn evict<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, index: u32) -> VcpuSet {
        let lr = local.take(hw, index);
        let Some(irq) = self.irq(local.vcpu, lr.vintid) else { return VcpuSet::EMPTY };
        if irq.spi.is_some() && irq.is_active() {
            self.park(local, lr.vintid);
            return VcpuSet::EMPTY;
        }
        self.release(local.vcpu, lr.vintid, irq)
    }

    /// SPI `intid` stays with its vCPU though it is in no list register.
    pub(super) fn park(&self, local: &mut LrBank, intid: IntId) {
        local.parked = true;
        self.hint(local.vcpu, 1u32.wrapping_shl(intid.get() / 32));
    }

    /// `vcpu` no longer holds `intid`. If it is an SPI and still pending, its target has to look at it: it may
    /// have been told to before and found the interrupt held. The order of the two steps matters (see `spi`).
    pub(super) fn release(&self, vcpu: VcpuId, intid: IntId, irq: Irq<'_>) -> VcpuSet {
        let Some(spi) = irq.spi else { return VcpuSet::EMPTY };
        spi.release(irq.n);
        if spi.bank.pending() & irq.bit == 0 {
            return VcpuSet::EMPTY;
        }
        self.notify((intid.index() / 32).wrapping_sub(1), spi, irq.bit).without(vcpu)
    }

    /// The guest ended an interrupt that is in no list register. It is the most urgent of those: the guest
    /// ends first what it acknowledged last, and that is more urgent than what it interrupted.
    fn retire_most_urgent<H: PhysicalGic>(&self, local: &mut LrBank, hw: &mut H) -> VcpuSet {
        let Some(private) = self.private(local.vcpu) else { return VcpuSet::EMPTY };
        let own = bits(private.bank.active.load(SeqCst)).map(|n| (private.bank.priority(n), IntId::new(n)));
        let shared = (1u32..).zip(&self.spis).flat_map(|(index, spi)| {
            bits(spi.bank.active.load(SeqCst))
                .filter(|&n| spi.holder(n) == Some(local.vcpu))
                .map(move |n| (spi.bank.priority(n), IntId::new(index * 32 + n)))
        });
        let unlisted = own.chain(shared).filter(|&(_, intid)| local.find(intid).is_none());
        let Some((_, intid)) = unlisted.min() else { return VcpuSet::EMPTY };
        let Some(irq) = self.irq(local.vcpu, intid) else { return VcpuSet::EMPTY };
        irq.bank.set_active(irq.bit, false);
        if irq.spi.is_none() && local.held_active & irq.bit != 0 {
            hw.deactivate(intid);
            local.held &= !irq.bit;
            local.held_active &= !irq.bit;
            irq.bank.drive(irq.bit, false);
        }
        self.release(local.vcpu, intid, irq)
    }

    /// Deactivates physical interrupts of linked PPIs that the guest no longer has any use for: the device
    /// dropped its line before the guest acknowledged, or the guest cleared the active state.
    fn let_go<H: PhysicalGic>(&self, local: &mut LrBank, hw: &mut H) {
        let Some(private) = self.private(local.vcpu) else { return };
        local.held_active &= private.bank.active.load(SeqCst);
        let in_use = private.bank.line.load(SeqCst) | local.held_active;
        for n in bits(local.held & !in_use) {
            let link = Some(IntId::new(n));
            if !bits(local.used).any(|index| local.slot(index).is_some_and(|lr| lr.hw == link)) {
                hw.deactivate(IntId::new(n));
                local.held &= !(1 << n);
            }
        }
    }
}
