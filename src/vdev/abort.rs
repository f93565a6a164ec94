//! Data aborts of a guest: where it went, and what it wanted there.
//!
//! Arm DDI 0487, ESR_ELx, "ISS encoding for an exception from a Data Abort"; HPFAR_EL2. An access can be emulated
//! only if the syndrome describes the instruction (ISV = 1). It does for single loads and stores without
//! write-back; for others the guest takes an external abort, and [`Undecodable`] says why.

use core::fmt;

use super::esr::Esr;
use crate::addr::{Gva, Ipa};
use crate::vgic::Width;

/// An access that can be emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioAccess {
    /// A store, not a load.
    pub write: bool,
    /// How much.
    pub width: Width,
    /// The general-purpose register; 31 is the zero register.
    pub register: u8,
    /// Whether a load extends the sign of what it reads.
    pub sign_extend: bool,
    /// Whether a load writes all 64 bits of the register, or the lower 32 and zeroes above.
    pub sixty_four: bool,
}

/// Why an access cannot be emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// The exception is not a data abort that stage 2 caused.
    NotStage2,
    /// The guest's own page-table walk went there.
    TableWalk,
    /// A cache maintenance instruction: on a device there is nothing to maintain, so skip it.
    CacheMaintenance,
    /// The syndrome does not describe the instruction.
    NoSyndrome,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStage2 => "not a fault of stage 2",
            Self::TableWalk => "the guest's page tables are (partly) where there is no memory",
            Self::CacheMaintenance => "cache maintenance of an address without memory",
            Self::NoSyndrome => {
                "an instruction that cannot be emulated (a pair, a vector, or one with write-back); \
                 use single loads and stores without write-back on devices"
            }
        })
    }
}

impl MmioAccess {
    /// Reads the syndrome of a data abort from a lower level.
    ///
    /// # Errors
    ///
    /// Why the access cannot be emulated.
    pub fn decode(esr: Esr) -> Result<Self, Undecodable> {
        let iss = esr.iss();
        if esr.class() != Esr::DATA_ABORT_LOWER || !Fault::of(esr).is_stage2() {
            return Err(Undecodable::NotStage2);
        }
        if iss & 1 << 7 != 0 {
            return Err(Undecodable::TableWalk);
        }
        if iss & 1 << 8 != 0 {
            return Err(Undecodable::CacheMaintenance);
        }
        if iss & 1 << 24 == 0 {
            return Err(Undecodable::NoSyndrome);
        }
        Ok(Self {
            write: iss & 1 << 6 != 0,
            width: match iss >> 22 & 3 {
                0 => Width::Byte,
                1 => Width::Half,
                2 => Width::Word,
                _ => Width::Double,
            },
            register: (iss >> 16 & 0x1f) as u8,
            sign_extend: iss & 1 << 21 != 0,
            sixty_four: iss & 1 << 15 != 0,
        })
    }

    /// A word load or store of the commonest form: an aligned word, no sign, where nothing is mapped, with its address noted
    /// in HPFAR_EL2 and FAR_EL2. Whether it is a store, and its register. What it answers, [`decode`](Self::decode) does,
    /// too.
    #[inline(always)]
    #[must_use]
    pub const fn plain_word(esr: u64) -> Option<(bool, u8)> {
        const CLASS: u64 = 0x3f << 26;
        const IL: u64 = 1 << 25;
        const ISV: u64 = 1 << 24;
        const SAS: u64 = 3 << 22;
        const SSE: u64 = 1 << 21;
        const FNV_EA_CM_S1PTW: u64 = 0b1111 << 7;
        /// DFSC but for the level.
        const FAULT: u64 = 0x3c;
        const TRANSLATION: u64 = 0x04;
        const WORD: u64 = 2 << 22;
        let looked_at = esr & (CLASS | IL | ISV | SAS | SSE | FNV_EA_CM_S1PTW | FAULT);
        if looked_at == (Esr::DATA_ABORT_LOWER as u64) << 26 | IL | ISV | WORD | TRANSLATION {
            Some((esr & 1 << 6 != 0, (esr >> 16 & 0x1f) as u8))
        } else {
            None
        }
    }

    /// What a store of a register that holds `value` writes.
    #[must_use]
    pub const fn stored(self, value: u64) -> u64 {
        value & self.mask()
    }

    /// What a load of `value` leaves in the register.
    #[must_use]
    pub const fn loaded(self, value: u64) -> u64 {
        let unused = 64 - self.width.bytes() as u32 * 8;
        let extended = if self.sign_extend {
            ((value << unused).cast_signed() >> unused).cast_unsigned()
        } else {
            value & self.mask()
        };
        if self.sixty_four { extended } else { extended & 0xffff_ffff }
    }

    const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.width.bytes() as u32 * 8)
    }
}

/// What kind of fault an abort reports (DFSC and IFSC, bits 5-0 of the syndrome).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The address is wider than the tables allow.
    AddressSize,
    /// Nothing is mapped there.
    Translation,
    /// The access flag is clear.
    AccessFlag,
    /// It is mapped, but not for this.
    Permission,
    /// The bus answered with an error.
    External,
    /// The address is not aligned as the memory type needs.
    Alignment,
    /// Two TLB entries match.
    TlbConflict,
    /// Another one, by its code.
    Other(u8),
}

impl Fault {
    /// The fault that `esr`, of an instruction or data abort, reports.
    #[must_use]
    pub const fn of(esr: Esr) -> Self {
        match (esr.iss() & 0x3f) as u8 {
            0x00..=0x03 => Self::AddressSize,
            0x04..=0x07 => Self::Translation,
            0x08..=0x0b => Self::AccessFlag,
            0x0c..=0x0f => Self::Permission,
            0x10 | 0x13..=0x17 => Self::External,
            0x21 => Self::Alignment,
            0x30 => Self::TlbConflict,
            other => Self::Other(other),
        }
    }

    /// Whether it is stage 2 that refused (an abort that comes from a lower level to EL2 for such a fault was not
    /// stage 1's, which goes to EL1).
    #[must_use]
    pub const fn is_stage2(self) -> bool {
        matches!(self, Self::AddressSize | Self::Translation | Self::AccessFlag | Self::Permission)
    }
}

/// The IPA of a stage 2 fault, or `None` if the hardware did not note it.
///
/// HPFAR_EL2 is valid for translation and access flag faults, and for every fault of a table walk; for other
/// permission and address size faults the caller has to translate FAR_EL2 itself (AT S1E1R). The offset in the
/// page comes from FAR_EL2, except for a table walk, whose address it does not hold, and unless FnV says that it
/// holds nothing: then the answer is the page.
#[must_use]
pub const fn fault_ipa(esr: Esr, hpfar: u64, far: Gva) -> Option<Ipa> {
    let walk = esr.iss() & 1 << 7 != 0;
    if !walk && !matches!(Fault::of(esr), Fault::Translation | Fault::AccessFlag) {
        return None;
    }
    let page = (hpfar & 0xfff_ffff_fff0) << 8;
    let offset = if walk || esr.iss() & 1 << 10 != 0 { 0 } else { far.page_offset() };
    Some(Ipa::new(page | offset))
}

/// [`fault_ipa`] of a [plain](MmioAccess::plain_word) access, which is always noted.
#[inline(always)]
#[must_use]
pub const fn noted_ipa(hpfar: u64, far: Gva) -> Ipa {
    Ipa::new((hpfar & 0xfff_ffff_fff0) << 8 | far.page_offset())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ISV: u64 = 1 << 24;
    const TRANSLATION_L2: u64 = 6;

    fn abort(iss: u64) -> Esr {
        Esr::new(0x24 << 26 | 1 << 25 | iss)
    }

    fn access(width: Width, sign_extend: bool, sixty_four: bool) -> MmioAccess {
        MmioAccess { write: false, width, register: 0, sign_extend, sixty_four }
    }

    #[test]
    fn a_store_word_is_read_from_its_syndrome() {
        // str w5, [x1]
        let esr = abort(ISV | 2 << 22 | 5 << 16 | 1 << 6 | TRANSLATION_L2);
        let want = MmioAccess {
            write: true,
            width: Width::Word,
            register: 5,
            sign_extend: false,
            sixty_four: false,
        };
        assert_eq!(MmioAccess::decode(esr), Ok(want));
    }

    #[test]
    fn a_sign_extending_load_is_too() {
        // ldrsb x7, [x1]
        let esr = abort(ISV | 1 << 21 | 7 << 16 | 1 << 15 | TRANSLATION_L2);
        let read = MmioAccess::decode(esr).unwrap();
        assert_eq!((read.write, read.width, read.register), (false, Width::Byte, 7));
        assert_eq!(read.loaded(0x80), 0xffff_ffff_ffff_ff80);
    }

    #[test]
    fn loads_extend_as_the_instruction_says() {
        assert_eq!(access(Width::Byte, false, false).loaded(0x1_80), 0x80);
        assert_eq!(access(Width::Byte, true, false).loaded(0x80), 0xffff_ff80);
        assert_eq!(access(Width::Half, true, true).loaded(0x8000), 0xffff_ffff_ffff_8000);
        assert_eq!(access(Width::Word, true, true).loaded(0x7fff_ffff), 0x7fff_ffff);
        assert_eq!(access(Width::Double, false, true).loaded(u64::MAX), u64::MAX);
        assert_eq!(access(Width::Half, false, false).stored(0x1234_5678), 0x5678);
    }

    #[test]
    fn what_cannot_be_emulated_says_why() {
        let decode = |iss| MmioAccess::decode(abort(iss)).unwrap_err();
        assert_eq!(decode(1 << 6 | TRANSLATION_L2), Undecodable::NoSyndrome);
        assert_eq!(decode(ISV | 1 << 7 | TRANSLATION_L2), Undecodable::TableWalk);
        assert_eq!(decode(1 << 8 | 1 << 6 | TRANSLATION_L2), Undecodable::CacheMaintenance);
        assert_eq!(decode(ISV | 0x10), Undecodable::NotStage2);
        assert_eq!(MmioAccess::decode(Esr::new(0x20 << 26 | ISV | 6)), Err(Undecodable::NotStage2));
        assert!(Undecodable::NoSyndrome.to_string().contains("write-back"));
    }

    #[test]
    fn the_place_is_put_together_from_both_registers() {
        let far = Gva::new(0xffff_8000_0000_1abc);
        assert_eq!(fault_ipa(abort(6), 0x22_0000, far), Some(Ipa::new(0x2200_0abc)));
        assert_eq!(fault_ipa(abort(6 | 1 << 10), 0x22_0000, far), Some(Ipa::new(0x2200_0000)));
        assert_eq!(fault_ipa(abort(0xe), 0x22_0000, far), None);
        assert_eq!(fault_ipa(abort(0xe | 1 << 7), 0x22_0000, far), Some(Ipa::new(0x2200_0000)));
        assert_eq!(fault_ipa(abort(6), 1 << 63 | 0x22_0000, far), Some(Ipa::new(0x2200_0abc)), "the NS bit");
    }

    #[test]
    fn a_plain_load_of_a_word_is_recognised() {
        let load = abort(ISV | 2 << 22 | 13 << 16 | TRANSLATION_L2);
        assert_eq!(MmioAccess::plain_word(load.get()), Some((false, 13)));
        assert_eq!(MmioAccess::plain_word(load.get() | 1 << 6), Some((true, 13)));
        for bit in [7, 8, 9, 10, 21] {
            assert_eq!(MmioAccess::plain_word(load.get() | 1 << bit), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn no_syndrome_makes_the_arithmetic_overflow(raw in any::<u64>(), value in any::<u64>()) {
            let esr = Esr::new(raw & 0x3ff_ffff | 0x24 << 26);
            if let Some((write, register)) = MmioAccess::plain_word(esr.get()) {
                let access = MmioAccess::decode(esr).unwrap();
                prop_assert_eq!((access.write, access.register), (write, register));
                prop_assert_eq!((access.width, access.sign_extend), (Width::Word, false));
                let far = Gva::new(value);
                prop_assert_eq!(fault_ipa(esr, 0x22_0000, far), Some(noted_ipa(0x22_0000, far)));
            }
            if let Ok(access) = MmioAccess::decode(esr) {
                prop_assert!(access.register < 32);
                let _ = (access.loaded(value), access.stored(value));
            }
        }
    }
}
