//! Reading the list registers back: what the guest did to them becomes the shared state.
//!
//! The guest turns "pending" into "active" when it acknowledges, and takes "active" away when it deactivates.
//! Both are published in the interrupt's bank; a list register that has become free lets its interrupt go.

use super::state::{Irq, Vgic};
use super::sync::{SeqCst, bits};
use super::{ListRegisters, Lr, LrBank, PhysicalGic, VcpuSet};
use crate::addr::{IntId, VcpuId};

impl Vgic {
    /// Publishes what the guest has done to its list registers, and changes nothing else. On the home pCPU,
    /// before an access to a register of the virtual GIC is emulated for this vCPU. Returns vCPUs that need
    /// attention, the vCPU itself among them if a maintenance interrupt was answered by looking: what it called
    /// for is still to be done. Does nothing if the vCPU is not loaded.
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
                woken = woken.with(local.vcpu).union(self.retire_most_urgent(local, hw));
            }
        }
        woken
    }

    /// Lets go of SPIs that this vCPU was keeping because they were active, and that another vCPU has made
    /// inactive since (ICACTIVER). On the home pCPU of a vCPU that has its attention bit set but is not loaded;
    /// [`resync`](Self::resync) does it by itself. Returns vCPUs that need attention.
    pub fn settle(&self, local: &mut LrBank) -> VcpuSet {
        let mut woken = VcpuSet::EMPTY;
        local.stale |= !local.loaded;
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

    /// Reads list register `index` back and publishes what the guest did; the register is free afterwards if
    /// the guest is done with it. Returns vCPUs that need attention.
    fn observe<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, index: u32) -> VcpuSet {
        let Some(&was) = local.slot(index) else { return VcpuSet::EMPTY };
        let Some(irq) = self.irq(local.vcpu, was.vintid) else { return VcpuSet::EMPTY };
        self.publish(local, hw, index, irq);
        if local.slot(index).is_some() {
            return VcpuSet::EMPTY;
        }
        let woken = self.release(local.vcpu, was.vintid, irq);
        if was.eoi { woken.with(local.vcpu) } else { woken }
    }

    /// The part of [`observe`](Self::observe) that concerns the interrupt alone.
    pub(super) fn publish<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, index: u32, irq: Irq<'_>) {
        let Some(&was) = local.slot(index) else { return };
        local.again &= !(1 << index);
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
    pub(super) fn let_go<H: PhysicalGic>(&self, local: &mut LrBank, hw: &mut H) {
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
