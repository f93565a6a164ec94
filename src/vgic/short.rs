//! Short ways for one private interrupt of the vCPU that is loaded here: an SGI to itself, a timer's interrupt.
//!
//! Where a free list register is there for it and nothing waits for one, choosing anew what all of them hold
//! (`refill`) would leave the others as they are. So only the register of this interrupt is read back and written, by
//! the same steps as there. In every other case nothing is placed and [`Listed::Resync`] sends the caller the long
//! way. A timer's output that has dropped is noticed by the next resync, not here: no hardware promises more, for the
//! guest that lowered it did not trap either.

use super::refill::Wish;
use super::state::{Irq, Vgic};
use super::sync::bits;
use super::{ListRegisters, LrBank, Maintenance, PhysicalGic, SgiSource};
use crate::addr::IntId;

/// What became of a short way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// All is done: the guest may be entered.
    Done,
    /// [`Vgic::resync`] before entering the guest.
    Resync,
}

impl Vgic {
    /// The loaded vCPU sends SGI `sgi` to itself, as sender `source`. On its home pCPU.
    pub fn sgi_to_self<H>(&self, local: &mut LrBank, hw: &mut H, sgi: IntId, source: SgiSource) -> Listed
    where
        H: ListRegisters + PhysicalGic,
    {
        let _ = self.send_sgi(local.vcpu, sgi, source);
        let Some(irq) = self.irq(local.vcpu, sgi) else { return Listed::Done };
        if !Self::is_simple(local) {
            return Listed::Resync;
        }
        let present = local.find(sgi);
        if let Some(index) = present {
            self.publish(local, hw, index, irq);
        }
        self.list(local, hw, sgi, irq, present)
    }

    /// [`taken`](Self::taken), and what follows from it. `None` if `intid` is not linked: then the caller deactivates it.
    pub fn taken_at_once<H>(&self, local: &mut LrBank, hw: &mut H, intid: IntId) -> Option<Listed>
    where
        H: ListRegisters + PhysicalGic,
    {
        let irq = self.irq(local.vcpu, intid)?;
        if irq.bank.linked & irq.bit == 0 {
            return None;
        }
        if !Self::is_simple(local) {
            // Only itself can be in need of attention, and it gets it.
            let _ = self.taken(local, hw, intid)?;
            return Some(Listed::Resync);
        }
        let present = local.find(intid);
        if let Some(index) = present {
            self.publish(local, hw, index, irq);
        }
        irq.bank.drive(irq.bit, true);
        local.held |= irq.bit;
        Some(self.list(local, hw, intid, irq, present))
    }

    /// Whether nothing waits for a list register, and none calls for maintenance.
    fn is_simple(local: &LrBank) -> bool {
        local.loaded && !local.waiting && local.requested == Maintenance::default()
    }

    /// Gives `intid`, which was just read back from list register `present` if it was in one, its list register.
    fn list<H: ListRegisters>(
        &self,
        local: &mut LrBank,
        hw: &mut H,
        intid: IntId,
        irq: Irq<'_>,
        present: Option<u32>,
    ) -> Listed {
        // A guest that has the interrupt or its GIC disabled finds it when it enables them: that is a resync.
        if !self.is_enabled() || !irq.is_eligible() {
            return Listed::Resync;
        }
        let active = irq.is_active();
        let index = match present {
            Some(index) => index,
            None if active => return Listed::Resync,
            None => match bits(!local.used & !1).find(|&index| (index as usize) < local.count) {
                Some(index) => index,
                None => return Listed::Resync,
            },
        };
        let wish = Wish { priority: irq.priority(), intid, active, eligible: true };
        let lr = self.compose(local, irq, &wish);
        if !lr.is_valid() {
            return Listed::Resync;
        }
        local.put(hw, index, lr);
        Listed::Done
    }
}
