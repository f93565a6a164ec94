//! The exception that a guest takes instead of what it tried.
//!
//! This is AArch64.TakeException of Arm DDI 0487 (J1, "aarch64/exceptions"), for a synchronous exception taken to
//! EL1 from EL1 or EL0: the values of ELR_EL1, SPSR_EL1, ESR_EL1 and FAR_EL1, and where the guest goes on.

use super::esr::Esr;
use super::idregs::{IdValues, table};
use crate::addr::Gva;

/// What is needed of the vCPU. All of it is the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// ELR_EL2: the instruction in question.
    pub pc: u64,
    /// SPSR_EL2.
    pub pstate: u64,
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// VBAR_EL1.
    pub vbar: u64,
}

/// Which exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// An undefined instruction.
    Undefined,
    /// A load or store at this address to which the bus answered with an error.
    DataAbort(Gva),
    /// An instruction fetch at this address, likewise.
    InstructionAbort(Gva),
}

/// The registers to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// ELR_EL2: the guest's vector.
    pub pc: u64,
    /// SPSR_EL2: the state in which it runs its handler.
    pub pstate: u64,
    /// ELR_EL1.
    pub elr: u64,
    /// SPSR_EL1.
    pub spsr: u64,
    /// ESR_EL1.
    pub esr: Esr,
    /// FAR_EL1; `None` leaves it as it is.
    pub far: Option<Gva>,
}

/// PSTATE in an SPSR (Arm DDI 0487, SPSR_EL2).
mod pstate {
    pub const NZCV: u64 = 0xf << 28;
    pub const DIT: u64 = 1 << 24;
    pub const SS: u64 = 1 << 21;
    pub const PAN: u64 = 1 << 22;
    pub const SSBS: u64 = 1 << 12;
    pub const BTYPE: u64 = 0b11 << 10;
    pub const DAIF: u64 = 0xf << 6;
    pub const AARCH32: u64 = 1 << 4;
    pub const MODE: u64 = 0xf;
    pub const EL0T: u64 = 0b0000;
    pub const EL1T: u64 = 0b0100;
    pub const EL1H: u64 = 0b0101;
}

/// SCTLR_EL1.SPAN: 1 leaves PSTATE.PAN alone.
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS: PSTATE.SSBS of a handler.
const SCTLR_DSSBS: u64 = 1 << 44;
/// A 32-bit instruction; also what the architecture prescribes for the exceptions here.
const IL: u64 = 1 << 25;
/// Synchronous external abort, not on a table walk (DFSC, IFSC).
const EXTERNAL: u64 = 0x10;

impl Interrupted {
    /// Takes `exception`. `view` tells which PSTATE bits the guest has.
    #[must_use]
    pub fn take(self, exception: Exception, view: &IdValues) -> Taken {
        let from_el0 = self.pstate & pstate::AARCH32 != 0 || self.pstate & pstate::MODE == pstate::EL0T;
        let class: u64 = match exception {
            Exception::Undefined => 0x00,
            Exception::InstructionAbort(_) => {
                if from_el0 {
                    0x20
                } else {
                    0x21
                }
            }
            Exception::DataAbort(_) => {
                if from_el0 {
                    0x24
                } else {
                    0x25
                }
            }
        };
        let (syndrome, far) = match exception {
            Exception::Undefined => (0, None),
            Exception::InstructionAbort(at) | Exception::DataAbort(at) => (EXTERNAL, Some(at)),
        };
        Taken {
            pc: self.vbar.wrapping_add(self.vector()),
            pstate: self.handler_pstate(view),
            elr: self.pc,
            spsr: self.pstate,
            esr: Esr::new(class << 26 | IL | syndrome),
            far,
        }
    }

    /// Offset of the vector for a synchronous exception (Arm DDI 0487, D1, "Exception vectors").
    const fn vector(self) -> u64 {
        match (self.pstate & pstate::AARCH32 != 0, self.pstate & pstate::MODE) {
            (true, _) => 0x600,
            (false, pstate::EL0T) => 0x400,
            (false, pstate::EL1T) => 0x000,
            (false, _) => 0x200,
        }
    }

    /// Everything that is not named is clear: IL, SS, BTYPE, UAO, and the bits of features a guest is not shown.
    fn handler_pstate(self, view: &IdValues) -> u64 {
        let has = |register, shift: u32| view.get(register) >> shift & 0xf != 0;
        let mut new = self.pstate & pstate::NZCV | pstate::DAIF | pstate::EL1H;
        if has(table::AA64PFR0, 48) && self.pstate & pstate::DIT != 0 {
            new |= pstate::DIT;
        }
        if has(table::AA64MMFR1, 20) && (self.pstate & pstate::PAN != 0 || self.sctlr & SCTLR_SPAN == 0) {
            new |= pstate::PAN;
        }
        if has(table::AA64PFR1, 4) && self.sctlr & SCTLR_DSSBS != 0 {
            new |= pstate::SSBS;
        }
        new
    }
}

/// IT bits of an AArch32 SPSR: 26-25 are the lower two, 15-10 the upper six.
const IT: u64 = 0b11 << 25 | 0b11_1111 << 10;
const THUMB: u64 = 1 << 5;

/// PC and PSTATE behind a trapped instruction that was emulated, or whose condition failed. (HVC needs none of
/// this: its return address is already behind it.) SS is cleared, as by executing the instruction, and so is BTYPE, which
/// only branches leave behind; AArch32 has IT bits in its place, and in Thumb code the IT block advances (Arm DDI 0487,
/// C5.2.19 and AArch32.ITAdvance).
#[must_use]
pub const fn step_over(esr: Esr, pc: u64, pstate: u64) -> (u64, u64) {
    let size = if esr.is_32_bit_instruction() { 4 } else { 2 };
    let mut after = pstate & !pstate::SS;
    if pstate & pstate::AARCH32 == 0 {
        after &= !pstate::BTYPE;
    } else if pstate & THUMB != 0 {
        let it = pstate >> 25 & 0b11 | (pstate >> 10 & 0b11_1111) << 2;
        let next = if it & 0b111 == 0 { 0 } else { it & 0b1110_0000 | it << 1 & 0b1_1111 };
        after = after & !IT | (next & 0b11) << 25 | next >> 2 << 10;
    }
    (pc.wrapping_add(size), after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::idregs::{Limits, guest_view};
    use super::*;

    fn view(all: u64) -> IdValues {
        guest_view(&IdValues::gather(|_| all), Limits { gicv3: true, ipa_bits: 40 })
    }

    fn at(pstate: u64, sctlr: u64) -> Interrupted {
        Interrupted { pc: 0x4000_1000, pstate, sctlr, vbar: 0xffff_8000_0001_0800 }
    }

    const SPAN: u64 = 1 << 23;

    #[test]
    fn an_undefined_instruction_at_el1_goes_to_the_current_level() {
        let taken = at(0x6000_0305, SPAN).take(Exception::Undefined, &view(0));
        assert_eq!(taken.pc, 0xffff_8000_0001_0a00);
        assert_eq!(taken.pstate, 0x6000_03c5);
        assert_eq!((taken.elr, taken.spsr), (0x4000_1000, 0x6000_0305));
        assert_eq!((taken.esr.get(), taken.far), (0x0200_0000, None));
    }

    #[test]
    fn the_vector_depends_on_where_the_guest_was() {
        let offset =
            |pstate| at(pstate, SPAN).take(Exception::Undefined, &view(0)).pc - 0xffff_8000_0001_0800;
        assert_eq!([0x5, 0x4, 0x0, 0x10, 0x1f].map(offset), [0x200, 0x000, 0x400, 0x600, 0x600]);
    }

    #[test]
    fn aborts_carry_the_address_and_the_level() {
        let far = Gva::new(0x2300_0000);
        let take = |pstate, exception| at(pstate, SPAN).take(exception, &view(0));
        let data = take(0x5, Exception::DataAbort(far));
        assert_eq!((data.esr.get(), data.far), (0x25 << 26 | 1 << 25 | 0x10, Some(far)));
        assert_eq!(take(0x0, Exception::DataAbort(far)).esr.class(), 0x24);
        assert_eq!(take(0x5, Exception::InstructionAbort(far)).esr.class(), 0x21);
        assert_eq!(take(0x10, Exception::InstructionAbort(far)).esr.class(), 0x20);
    }

    #[test]
    fn pan_and_ssbs_follow_sctlr_where_the_guest_has_them() {
        let (rich, poor) = (view(0x1111_1111_1111_1111), view(0));
        let pstate =
            |before, sctlr, view: &IdValues| at(before, sctlr).take(Exception::Undefined, view).pstate;
        assert_eq!(pstate(0x5, 0, &rich), 0x40_03c5, "SPAN = 0 sets PAN");
        assert_eq!(pstate(0x5, SPAN, &rich), 0x3c5);
        assert_eq!(pstate(0x40_0005, SPAN, &rich), 0x40_03c5, "SPAN = 1 keeps PAN");
        assert_eq!(pstate(0x1005, SPAN, &rich), 0x3c5, "SSBS comes from DSSBS");
        assert_eq!(pstate(0x5, SPAN | 1 << 44, &rich), 0x13c5);
        assert_eq!(pstate(0x5, 1 << 44, &poor), 0x3c5);
        assert_eq!(pstate(0x0120_0010, SPAN, &rich), 0x0100_03c5, "DIT stays, SS does not");
        assert_eq!(pstate(0x0080_0c05, SPAN, &rich), 0x3c5, "UAO and BTYPE are cleared");
    }

    #[test]
    fn stepping_over_advances_an_it_block() {
        let (wide, narrow) = (Esr::new(1 << 25), Esr::new(0));
        assert_eq!(step_over(wide, 0x1000, 0x5 | 1 << 21), (0x1004, 0x5));
        let spsr = |it: u64| 0x30 | (it & 3) << 25 | it >> 2 << 10;
        assert_eq!(step_over(narrow, 0x1000, spsr(0b0000_0111)), (0x1002, spsr(0b0000_1110)));
        assert_eq!(step_over(narrow, 0x1000, spsr(0b0000_1000)), (0x1002, spsr(0)));
        assert_eq!(step_over(wide, 0x1000, 0x0100_0010), (0x1004, 0x0100_0010));
    }

    #[test]
    fn behind_an_emulated_instruction_no_branch_target_is_expected() {
        let word = Esr::new(1 << 25);
        assert_eq!(step_over(word, 0x1000, 0x0100_0c05), (0x1004, 0x0100_0005), "BTYPE");
        assert_eq!(step_over(word, 0x1000, 0x0000_0c10), (0x1004, 0x0000_0c10), "IT bits of A32");
    }

    proptest! {
        #[test]
        fn a_handler_always_runs_at_el1_with_everything_masked(
            pc in any::<u64>(), pstate in any::<u64>(), sctlr in any::<u64>(), vbar in any::<u64>(),
        ) {
            let guest = Interrupted { pc, pstate, sctlr, vbar };
            let taken = guest.take(Exception::Undefined, &view(u64::MAX));
            prop_assert_eq!(taken.pstate & 0x3ff, 0x3c5);
            prop_assert_eq!((taken.elr, taken.spsr), (pc, pstate));
            let (_, after) = step_over(Esr::new(pc), vbar, pstate);
            prop_assert_eq!(after & 0x3df, pstate & 0x3df, "stepping changes no mode and no mask");
        }
    }
}
