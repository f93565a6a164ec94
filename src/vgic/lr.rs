//! List registers: what they hold, how GICv3 encodes it (GICv2: `v2::lr`), and what this room asks of the hardware.
//!
//! The group is no part of it, for it is always the one that the guest's interrupts are in: Group 1 on GICv3, Group 0
//! on GICv2.

use crate::addr::IntId;

/// Most list registers an implementation can have (IHI 0069, ICH_VTR_EL2.ListRegs; IHI 0048, GICH_VTR allows 64
/// but no implementation has more than 16).
pub const MAX_LRS: usize = 16;

/// The contents of a list register, whichever GIC it is in.
///
/// Neither `pending` nor `active` means that the register is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lr {
    /// The interrupt number that the guest sees.
    pub vintid: IntId,
    /// Its priority: lower is more urgent.
    pub priority: u8,
    /// The guest has yet to acknowledge it.
    pub pending: bool,
    /// The guest has acknowledged it and has yet to deactivate it.
    pub active: bool,
    /// The physical interrupt that is deactivated together with this one.
    pub hw: Option<IntId>,
    /// For a GICv2 SGI: the CPU that sent it, 0-7. Always 0 on GICv3.
    pub source: u8,
    /// Asks for a maintenance interrupt when the guest deactivates it. Never together with `hw`.
    pub eoi: bool,
}

impl Lr {
    /// A free list register.
    pub const EMPTY: Self = Self {
        vintid: IntId::new(0),
        priority: 0,
        pending: false,
        active: false,
        hw: None,
        source: 0,
        eoi: false,
    };

    /// Whether it holds an interrupt.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.pending || self.active
    }

    /// The value of `ICH_LR<n>_EL2` (IHI 0069, "Interrupt Controller List Registers").
    #[inline(always)]
    #[must_use]
    pub const fn to_ich(self) -> u64 {
        let link = match self.hw {
            Some(pintid) => ich::HW | (pintid.get() as u64 & ich::PINTID_MASK) << ich::PINTID_SHIFT,
            None if self.eoi => ich::EOI,
            None => 0,
        };
        self.vintid.get() as u64
            | link
            | (self.priority as u64) << ich::PRIORITY_SHIFT
            | if self.pending { ich::GROUP1 | ich::PENDING } else { 0 }
            | if self.active { ich::GROUP1 | ich::ACTIVE } else { 0 }
    }

    /// The same register made pending: `ICH_LR<n>_EL2` with its state changed and all else as it is. Whether it was pending,
    /// and whether it was active, too.
    #[inline(always)]
    #[must_use]
    pub const fn pended_ich(raw: u64) -> (u64, (bool, bool)) {
        (raw | ich::GROUP1 | ich::PENDING, (raw & ich::PENDING != 0, raw & ich::ACTIVE != 0))
    }

    /// The same register made pending, if it is neither pending nor active.
    #[inline(always)]
    #[must_use]
    pub const fn again_ich(raw: u64) -> Option<u64> {
        if raw & (ich::PENDING | ich::ACTIVE) == 0 { Some(raw | ich::GROUP1 | ich::PENDING) } else { None }
    }

    /// What a value read from `ICH_LR<n>_EL2` means.
    #[inline(always)]
    #[must_use]
    pub const fn from_ich(raw: u64) -> Self {
        let linked = raw & ich::HW != 0;
        let pintid = IntId::new((raw >> ich::PINTID_SHIFT & ich::PINTID_MASK) as u32);
        Self {
            vintid: IntId::new(raw as u32),
            priority: (raw >> ich::PRIORITY_SHIFT) as u8,
            pending: raw & ich::PENDING != 0,
            active: raw & ich::ACTIVE != 0,
            hw: if linked { Some(pintid) } else { None },
            source: 0,
            eoi: !linked && raw & ich::EOI != 0,
        }
    }
}

/// Fields of `ICH_LR<n>_EL2`.
mod ich {
    pub const PINTID_SHIFT: u32 = 32;
    pub const PINTID_MASK: u64 = 0x1fff;
    /// Bit 41 belongs to pINTID where HW is set, and asks for an EOI maintenance interrupt where it is not.
    pub const EOI: u64 = 1 << 41;
    pub const PRIORITY_SHIFT: u32 = 48;
    /// Signalled as Group 1: IRQ.
    pub const GROUP1: u64 = 1 << 60;
    pub const HW: u64 = 1 << 61;
    pub const PENDING: u64 = 1 << 62;
    pub const ACTIVE: u64 = 1 << 63;
}

/// When the hardware is to call for a resync by a maintenance interrupt, besides [`Lr::eoi`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Maintenance {
    /// More interrupts are pending than fit: call when no list register is in the state "pending" (0b01).
    /// ICH_HCR_EL2.NPIE, GICH_HCR.NPIE.
    ///
    /// What waits is never more urgent than what is listed, so this is the first moment at which the guest
    /// could miss something. Underflow (UIE) would come too late behind nested active interrupts, and at once,
    /// for ever, with two list registers.
    pub none_pending: bool,
    /// More interrupts are active than fit: call when the guest ends one that is in no list register.
    /// ICH_HCR_EL2.LRENPIE, GICH_HCR.LRENPIE.
    pub unlisted_eoi: bool,
}

/// The list registers of the pCPU this code runs on.
pub trait ListRegisters {
    /// How many there are: 2 to 16. The first belongs to the upcall, the rest are shared.
    fn count(&self) -> usize;
    /// Reads list register `index`, which is below `count`.
    fn read(&mut self, index: usize) -> Lr;
    /// Makes list register `index`, which is below `count` and holds an interrupt or did and was not written since, pending
    /// if it is not. Whether it was pending, and whether it is active.
    fn pend(&mut self, index: usize) -> (bool, bool) {
        let lr = self.read(index);
        if !lr.pending {
            self.write(index, Lr { pending: true, ..lr });
        }
        (lr.pending, lr.active)
    }
    /// Makes list register `index`, which is below `count`, pending if it is neither pending nor active, and holds what it
    /// held when it was written. Whether it was so.
    ///
    /// A list register whose interrupt has ended keeps all but its state: its EOI bit counts (ICH_EISR_EL2, GICH_EISR).
    fn again(&mut self, index: usize) -> bool {
        let lr = self.read(index);
        let ended = !lr.is_valid();
        if ended {
            self.write(index, Lr { pending: true, ..lr });
        }
        ended
    }
    /// Writes list register `index`, which is below `count`.
    fn write(&mut self, index: usize, lr: Lr);
    /// Says when a maintenance interrupt is wanted; replaces what was said before.
    fn request(&mut self, wanted: Maintenance);
    /// Reads EOIcount (ICH_HCR_EL2 or GICH_HCR, bits 31-27) and sets it to 0.
    fn take_eoi_count(&mut self) -> u32;
}

/// The physical interrupt controller, for interrupts that are linked to a list register.
pub trait PhysicalGic {
    /// Deactivates a physical interrupt that this pCPU has acknowledged (ICC_DIR_EL1, GICC_DIR).
    fn deactivate(&mut self, intid: IntId);
    /// Sets or clears the active state of a private physical interrupt of this pCPU
    /// (GICR_ISACTIVER0/GICR_ICACTIVER0, or the banked GICD registers), without an acknowledge.
    fn set_active(&mut self, intid: IntId, active: bool);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pending_group_1_interrupt_is_encoded_as_ihi_0069_says() {
        let lr = Lr { vintid: IntId::new(31), priority: 0xa0, pending: true, ..Lr::EMPTY };
        assert_eq!(lr.to_ich(), 0x50a0_0000_0000_001f);
    }

    #[test]
    fn a_linked_timer_carries_its_physical_interrupt() {
        let timer = IntId::new(27);
        let lr = Lr { vintid: timer, hw: Some(timer), active: true, ..Lr::EMPTY };
        assert_eq!(lr.to_ich(), 0xb000_001b_0000_001b);
    }

    #[test]
    fn the_eoi_bit_is_part_of_the_physical_interrupt_where_there_is_one() {
        let lr = Lr { hw: Some(IntId::new(0x200)), pending: true, ..Lr::EMPTY };
        assert!(!Lr::from_ich(lr.to_ich()).eoi);
        assert_eq!(Lr::from_ich(lr.to_ich()).hw, Some(IntId::new(0x200)));
    }

    #[test]
    fn an_empty_list_register_is_zero() {
        assert_eq!(Lr::EMPTY.to_ich(), 0);
        assert_eq!(Lr::from_ich(0), Lr::EMPTY);
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(
            vintid in 0u32..1020, priority: u8, pending: bool, active: bool,
            hw in proptest::option::of(0u32..1020), eoi: bool,
        ) {
            let hw = hw.map(IntId::new);
            let eoi = eoi && hw.is_none();
            let lr = Lr { vintid: IntId::new(vintid), priority, pending, active, hw, source: 0, eoi };
            prop_assert_eq!(Lr::from_ich(lr.to_ich()), lr);
        }
    }
}
