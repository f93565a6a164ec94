//! How GICv2 encodes a list register (IHI 0048, 5.3.7, `GICH_LR<n>`).

use super::super::Lr;
use crate::addr::IntId;

const INTID_MASK: u32 = 0x3ff;
const PINTID_SHIFT: u32 = 10;
/// The sender of an SGI: part of the physical interrupt's number where HW is set.
const SOURCE_SHIFT: u32 = 10;
/// Bit 19, likewise: asks for an EOI maintenance interrupt.
const EOI: u32 = 1 << 19;
/// Bits 27-23: the upper five of the priority.
const PRIORITY_SHIFT: u32 = 23;
const PENDING: u32 = 1 << 28;
const ACTIVE: u32 = 1 << 29;
const HW: u32 = 1 << 31;

impl Lr {
    /// The value of `GICH_LR<n>`. Grp1 (bit 30) stays clear: the guest's interrupts are in Group 0.
    #[inline(always)]
    #[must_use]
    pub const fn to_gich(self) -> u32 {
        let link = match self.hw {
            Some(pintid) => HW | (pintid.get() & INTID_MASK) << PINTID_SHIFT,
            None => ((self.source & 7) as u32) << SOURCE_SHIFT | if self.eoi { EOI } else { 0 },
        };
        self.vintid.get() & INTID_MASK
            | link
            | (self.priority as u32 >> 3) << PRIORITY_SHIFT
            | if self.pending { PENDING } else { 0 }
            | if self.active { ACTIVE } else { 0 }
    }

    /// The same register made pending: `GICH_LR<n>` with its state changed and all else as it is. Whether it was pending,
    /// and whether it was active, too.
    #[inline(always)]
    #[must_use]
    pub const fn pended_gich(raw: u32) -> (u32, (bool, bool)) {
        (raw | PENDING, (raw & PENDING != 0, raw & ACTIVE != 0))
    }

    /// The same register made pending, if it is neither pending nor active.
    #[inline(always)]
    #[must_use]
    pub const fn again_gich(raw: u32) -> Option<u32> {
        if raw & (PENDING | ACTIVE) == 0 { Some(raw | PENDING) } else { None }
    }

    /// What a value read from `GICH_LR<n>` means.
    #[inline(always)]
    #[must_use]
    pub const fn from_gich(raw: u32) -> Self {
        let linked = raw & HW != 0;
        let pintid = IntId::new(raw >> PINTID_SHIFT & INTID_MASK);
        Self {
            vintid: IntId::new(raw & INTID_MASK),
            priority: ((raw >> PRIORITY_SHIFT & 0x1f) << 3) as u8,
            pending: raw & PENDING != 0,
            active: raw & ACTIVE != 0,
            hw: if linked { Some(pintid) } else { None },
            source: if linked { 0 } else { (raw >> SOURCE_SHIFT & 7) as u8 },
            eoi: !linked && raw & EOI != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pending_interrupt_is_encoded_as_ihi_0048_says() {
        let lr = Lr { vintid: IntId::new(31), priority: 0xa0, pending: true, ..Lr::EMPTY };
        assert_eq!(lr.to_gich(), 0x1a00_001f);
    }

    #[test]
    fn a_linked_timer_carries_its_physical_interrupt() {
        let timer = IntId::new(27);
        let lr = Lr { vintid: timer, hw: Some(timer), active: true, ..Lr::EMPTY };
        assert_eq!(lr.to_gich(), 0xa000_6c1b);
    }

    #[test]
    fn an_sgi_carries_its_sender_beside_the_eoi_bit() {
        let lr = Lr { vintid: IntId::new(3), source: 5, pending: true, eoi: true, ..Lr::EMPTY };
        assert_eq!(lr.to_gich(), 0x1008_1403);
    }

    #[test]
    fn an_empty_list_register_is_zero() {
        assert_eq!(Lr::EMPTY.to_gich(), 0);
        assert_eq!(Lr::from_gich(0), Lr::EMPTY);
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(
            vintid in 0u32..1020, priority in 0u8..32, pending: bool, active: bool,
            hw in proptest::option::of(0u32..1020), source in 0u8..8, eoi: bool,
        ) {
            let hw = hw.map(IntId::new);
            let (eoi, source) = if hw.is_none() { (eoi, source) } else { (false, 0) };
            let lr =
                Lr { vintid: IntId::new(vintid), priority: priority << 3, pending, active, hw, source, eoi };
            prop_assert_eq!(Lr::from_gich(lr.to_gich()), lr);
        }
    }
}
