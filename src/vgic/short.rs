//! Short ways for one private interrupt of the vCPU that is loaded here: an SGI, a timer's interrupt.
//!
//! Where a free list register is there for it and nothing waits for one, choosing anew what all of them hold
//! (`refill`) would leave the others as they are. So only the register of this interrupt is read back and written, by
//! the same steps as there. In every other case nothing is placed and [`Listed::Resync`] sends the caller the long
//! way. A timer's output that has dropped is noticed by the next resync, not here: no hardware promises more, for the
//! guest that lowered it did not trap either.
//!
//! # The same once more
//!
//! Most often an interrupt comes, is acknowledged and ended, and comes again, and nobody looked at its list register
//! meanwhile. To publish that the last one has ended and then that the next one has come would change nothing: the
//! token that is consumed is replaced by its like, the line and the link stay as they are. So the register is made
//! pending again and that is all. Which registers this holds for is noted when a short way fills them
//! (`LrBank::again`), and forgotten when anything reads them back ([`fold`](Vgic::fold)), which every other change of
//! what is listed begins with. What *other* vCPUs may have changed meanwhile is compared here: tokens and enables. Any
//! change that comes after the comparison comes after the interrupt and asks for a resync, which finds a list register and
//! state as if it had been filled the usual way. So does another priority, or to make the interrupt active: these are not
//! compared, and take effect with that resync.

use super::refill::Wish;
use super::sgi::Senders;
use super::state::{Irq, Private, SGIS, Vgic};
use super::sync::{SeqCst, bits};
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
    /// The loaded vCPU sends SGI `sgi` to itself, as sender `source`, and that is the same once more. Whether it was; if
    /// not, nothing was done. On its home pCPU.
    #[inline(always)]
    #[must_use]
    pub fn sgi_again<H>(&self, local: &LrBank, hw: &mut H, sgi: IntId, source: SgiSource) -> bool
    where
        H: ListRegisters,
    {
        let (Some(private), Some(place)) = (self.private(local.vcpu), local.place_again(sgi)) else {
            return false;
        };
        private.senders(sgi.index()).is_some_and(|senders| senders.is_queued_alone(source.get()))
            && self.may_signal(private, 1 << (sgi.get() % 32))
            && hw.again(place)
    }

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

    /// Others have sent SGIs to the loaded vCPU, and nothing else is known to have changed. On its home pCPU.
    pub fn sgis_arrived<H>(&self, local: &mut LrBank, hw: &mut H) -> Listed
    where
        H: ListRegisters + PhysicalGic,
    {
        let Some(private) = self.private(local.vcpu) else { return Listed::Done };
        // The latch of an SGI is a summary, and may be set for one that was sent earlier.
        for sgi in bits(private.bank.latched() & SGIS).map(IntId::new) {
            let Some(senders) = private.senders(sgi.index()).filter(|senders| senders.wait()) else {
                continue;
            };
            if self.arrived_again(private, senders, local, hw, sgi) {
                continue;
            }
            let Some(irq) = self.irq(local.vcpu, sgi) else { continue };
            if !Self::is_simple(local) {
                return Listed::Resync;
            }
            let present = local.find(sgi);
            if let Some(index) = present {
                self.publish(local, hw, index, irq);
            }
            if self.list(local, hw, sgi, irq, present) == Listed::Resync {
                return Listed::Resync;
            }
        }
        Listed::Done
    }

    /// Whether SGI `sgi`, which somebody sent to the loaded vCPU, is the same once more; if not, nothing was done.
    fn arrived_again<H: ListRegisters>(
        &self,
        private: &Private,
        senders: &Senders,
        local: &LrBank,
        hw: &mut H,
        sgi: IntId,
    ) -> bool {
        let Some(place) = local.place_again(sgi).filter(|_| self.may_signal(private, 1 << (sgi.get() % 32)))
        else {
            return false;
        };
        let Some(source) = senders.merge() else { return false };
        if hw.again(place) {
            return true;
        }
        // The guest has not acknowledged or not ended the last one: as it was.
        senders.unmerge(source);
        false
    }

    /// The physical interrupt of the linked PPI `intid` was acknowledged as for [`taken`](Self::taken), and that is the same
    /// once more. Whether it was; if not, nothing was done.
    #[inline(always)]
    #[must_use]
    pub fn taken_again<H: ListRegisters>(&self, local: &LrBank, hw: &mut H, intid: IntId) -> bool {
        let (Some(private), Some(place)) = (self.private(local.vcpu), local.place_again(intid)) else {
            return false;
        };
        let bit = 1 << (intid.get() % 32);
        !private.bank.has_token(bit)
            && private.bank.line.load(SeqCst) & bit != 0
            && self.may_signal(private, bit)
            && hw.again(place)
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

    /// Whether the private interrupt `bit` (a mask) is signalled when it is pending.
    #[inline(always)]
    fn may_signal(&self, private: &Private, bit: u32) -> bool {
        private.bank.eligible(bit) != 0 && self.is_enabled()
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
        local.again = local.again & !(1 << index) | u32::from(!lr.active && !lr.eoi) << index;
        Listed::Done
    }
}
