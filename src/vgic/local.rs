//! The private half of a vCPU's virtual GIC: which interrupt is in which list register of its home pCPU.

use super::sync::bits;
use super::{ListRegisters, Lr, MAX_LRS, Maintenance};
use crate::addr::{IntId, VcpuId};

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
    /// What the list registers hold has to be chosen anew when the vCPU is loaded: they were emptied, or an interrupt has
    /// changed since.
    pub(super) stale: bool,
    /// Nothing waits for a list register, none calls for maintenance, and nothing is held outside of them: as of the last
    /// resync, and nothing but a resync changes it.
    pub(super) calm: bool,
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
    /// For each private interrupt, the list register that it was put into last.
    pub(super) places: [u8; 32],
    /// List registers whose interrupt may come again by the shortest way (see `short`): bit `n` for list register `n`, if
    /// that is in use. Whoever reads one back, or takes what is in it out, clears its bit.
    pub(super) again: u32,
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
            stale: true,
            calm: false,
            waiting: false,
            parked: false,
            held: 0,
            held_active: 0,
            senders: [0; 16],
            places: [0; 32],
            again: 0,
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

    /// Whether the physical interrupt of the linked PPI `intid` is active on behalf of this vCPU: whether the state of
    /// its device is worth a look.
    #[must_use]
    pub const fn holds(&self, intid: IntId) -> bool {
        intid.is_private() && self.held >> intid.get() & 1 != 0
    }

    /// Whether it [holds](Self::holds) any.
    #[must_use]
    pub const fn holds_any(&self) -> bool {
        self.held != 0
    }

    pub(super) fn slot(&self, index: u32) -> Option<&Lr> {
        if self.used >> index & 1 == 0 { None } else { self.slots.get(index as usize) }
    }

    /// The list register that holds `intid`, if one does.
    pub(super) fn find(&self, intid: IntId) -> Option<u32> {
        let holds = |index: &u32| self.slot(*index).is_some_and(|lr| lr.vintid == intid);
        match self.places.get(intid.index()) {
            Some(place) => Some(u32::from(*place)).filter(holds),
            None => bits(self.used).find(holds),
        }
    }

    /// The list register that the private interrupt `intid` may come again in.
    #[inline(always)]
    pub(super) fn place_again(&self, intid: IntId) -> Option<usize> {
        let place = *self.places.get(intid.index())?;
        let lr = self.slots.get(usize::from(place))?;
        (self.comes_again() >> place & 1 != 0 && lr.vintid == intid).then_some(usize::from(place))
    }

    /// The list registers that are in use and may be used once more.
    #[inline(always)]
    pub(super) const fn comes_again(&self) -> u32 {
        self.again & self.used
    }

    /// Writes list register `index` if that changes it.
    pub(super) fn put<H: ListRegisters>(&mut self, hw: &mut H, index: u32, lr: Lr) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if *slot != lr || self.used >> index & 1 == 0 {
            *slot = lr;
            hw.write(index as usize, lr);
        }
        self.used |= 1 << index;
        if let Some(place) = self.places.get_mut(lr.vintid.index()) {
            *place = index as u8;
        }
    }

    /// Empties list register `index`. What it held.
    pub(super) fn take<H: ListRegisters>(&mut self, hw: &mut H, index: u32) -> Lr {
        self.used &= !(1 << index);
        self.again &= !(1 << index);
        match self.slots.get_mut(index as usize) {
            Some(slot) => {
                hw.write(index as usize, Lr::EMPTY);
                core::mem::replace(slot, Lr::EMPTY)
            }
            None => Lr::EMPTY,
        }
    }
}
