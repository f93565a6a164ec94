//! System registers that trap: what an MRS or MSR of a guest means.
//!
//! ID registers answer as [`super::idregs`] says. Debug registers and performance counters read as zero and
//! ignore writes, with the few values that keep a guest's driver content. ICC_SGI1R_EL1 sends interrupts.
//! Everything else, known or not, is an undefined instruction, as on a CPU without it.

use core::fmt;

use super::idregs::{IdReg, IdValues, table};

/// A system register, by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysReg {
    /// op0.
    pub op0: u8,
    /// op1.
    pub op1: u8,
    /// CRn.
    pub crn: u8,
    /// CRm.
    pub crm: u8,
    /// op2.
    pub op2: u8,
}

/// A trapped access (Arm DDI 0487, ESR_ELx, "ISS encoding for an exception from MSR, MRS, or System instruction
/// execution in AArch64 state").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trapped {
    /// Which register.
    pub register: SysReg,
    /// The general-purpose register of the instruction; 31 is XZR.
    pub rt: u8,
    /// MSR, not MRS.
    pub write: bool,
}

/// What the caller does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes this to Rt and goes on behind the instruction.
    Read(u64),
    /// Goes on behind the instruction.
    Ignore,
    /// Hands this, the value of ICC_SGI1R_EL1, to the virtual GIC and goes on behind the instruction.
    SendSgi(u64),
    /// Injects an undefined instruction.
    Undefined,
}

impl Trapped {
    /// Reads the syndrome of an exception of class 0x18.
    #[must_use]
    pub const fn decode(iss: u32) -> Self {
        Self {
            register: SysReg {
                op0: (iss >> 20 & 3) as u8,
                op2: (iss >> 17 & 7) as u8,
                op1: (iss >> 14 & 7) as u8,
                crn: (iss >> 10 & 0xf) as u8,
                crm: (iss >> 1 & 0xf) as u8,
            },
            rt: (iss >> 5 & 0x1f) as u8,
            write: iss & 1 == 0,
        }
    }

    /// The general-purpose register of an MSR to ICC_SGI1R_EL1 with syndrome `esr`, if it is one.
    #[inline(always)]
    #[must_use]
    pub const fn sends_sgi(esr: u64) -> Option<u8> {
        const RT: u64 = 0x1f << 5;
        // Class 0x18, IL; op0 = 3, op2 = 5, op1 = 0, CRn = 12, CRm = 11, a write.
        const SGI1R: u64 = 0x18 << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;
        if esr & !RT == SGI1R { Some((esr >> 5 & 0x1f) as u8) } else { None }
    }

    /// What the access means to a guest that is shown `view`; `value` is what Rt holds (0 for XZR).
    #[must_use]
    pub fn decide(self, value: u64, view: &IdValues) -> Action {
        let SysReg { op0, op1, crn, crm, op2 } = self.register;
        let gicv3 = view.get(table::AA64PFR0) >> 24 & 0xf != 0;
        match (op0, op1, crn, crm, op2) {
            (3, 0, 0, _, _) => self.read_only(IdReg::new(crm, op2).map(|register| view.get(register))),
            // OSLAR_EL1, the OS lock, which stays unlocked.
            (2, 0, 1, 0, 4) => {
                if self.write {
                    Action::Ignore
                } else {
                    Action::Undefined
                }
            }
            // OSLSR_EL1: OSLM = 0b10, an OS lock is implemented (and not locked).
            (2, 0, 1, 1, 4) => self.read_only(Some(1 << 3)),
            // MDCCSR_EL0: TXfull, so that nobody believes in a debugger who reads the channel.
            (2, 3, 0, 1, 0) => self.read_only(Some(1 << 29)),
            // MDRAR_EL1 and DBGAUTHSTATUS_EL1: no ROM table, no external debug.
            (2, 0, 1, 0, 0) | (2, 0, 7, 14, 6) => self.read_only(Some(0)),
            _ if is_debug(self.register) || is_counter(self.register) => self.zero(),
            // ACTLR_EL1: implementation defined, so there is nothing to offer.
            (3, 0, 1, 0, 1) => self.zero(),
            // ICC_SGI1R_EL1, and its relatives for groups that a guest's SGIs are not in.
            (3, 0, 12, 11, 5) if gicv3 && self.write => Action::SendSgi(value),
            (3, 0, 12, 11, 6 | 7) if gicv3 && self.write => Action::Ignore,
            // ICC_SRE_EL1: system registers enabled, bypass disabled, for good.
            (3, 0, 12, 12, 5) if gicv3 => {
                if self.write {
                    Action::Ignore
                } else {
                    Action::Read(7)
                }
            }
            // DC ISW, CSW and CISW. They need not do more than each CPU did by itself (see HCR_EL2.SWIO).
            (1, 0, 7, 6 | 10 | 14, 2) if self.write => Action::Ignore,
            _ => Action::Undefined,
        }
    }

    const fn read_only(self, value: Option<u64>) -> Action {
        match value {
            Some(value) if !self.write => Action::Read(value),
            _ => Action::Undefined,
        }
    }

    const fn zero(self) -> Action {
        if self.write { Action::Ignore } else { Action::Read(0) }
    }
}

/// Debug registers that read as zero and ignore writes.
const fn is_debug(register: SysReg) -> bool {
    let SysReg { op0, op1, crn, crm, op2 } = register;
    match (op0, op1, crn) {
        // OSDTRRX, MDCCINT, MDSCR, OSDTRTX and OSECCR; DBGBVR, DBGBCR, DBGWVR and DBGWCR of any number.
        (2, 0, 0) => matches!((crm, op2), (0 | 2 | 3 | 6, 2) | (2, 0) | (_, 4..=7)),
        // OSDLR, DBGPRCR.
        (2, 0, 1) => matches!((crm, op2), (3 | 4, 4)),
        // DBGCLAIMSET, DBGCLAIMCLR.
        (2, 0, 7) => matches!((crm, op2), (8 | 9, 6)),
        // DBGDTR_EL0, DBGDTRRX_EL0 and DBGDTRTX_EL0.
        (2, 3, 0) => matches!((crm, op2), (4 | 5, 0)),
        _ => false,
    }
}

/// Performance monitors. They are hidden, but guests touch some of them before they look.
const fn is_counter(register: SysReg) -> bool {
    let SysReg { op0, op1, crn, crm, .. } = register;
    match (op0, op1, crn) {
        // PMCR_EL0 to PMOVSSET_EL0.
        (3, 3, 9) => matches!(crm, 12..=14),
        // PMINTENSET_EL1, PMINTENCLR_EL1, PMMIR_EL1.
        (3, 0, 9) => crm == 14,
        // PMEVCNTR<n>_EL0, PMEVTYPER<n>_EL0, PMCCFILTR_EL0.
        (3, 3, 14) => matches!(crm, 8..=15),
        _ => false,
    }
}

impl fmt::Display for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op0, op1, crn, crm, op2 } = *self;
        write!(f, "S{op0}_{op1}_C{crn}_C{crm}_{op2}")?;
        if (op0, op1, crn) == (3, 0, 0)
            && let Some(name) = IdReg::new(crm, op2).and_then(table::name)
        {
            return write!(f, " (ID register {name})");
        }
        let name = match (op0, op1, crn, crm, op2) {
            (2, 0, 0, 2, 2) => "MDSCR_EL1",
            (2, 0, 1, 0, 4) => "OSLAR_EL1",
            (2, 0, 1, 1, 4) => "OSLSR_EL1",
            (2, 0, 1, 3, 4) => "OSDLR_EL1",
            (2, 0, 0, _, 4..=7) => "a breakpoint or watchpoint",
            (2, 1, ..) => "a trace register",
            (3, 0, 1, 0, 1) => "ACTLR_EL1",
            (3, 0, 12, 11, 5) => "ICC_SGI1R_EL1",
            (3, 0, 12, 11, 6) => "ICC_ASGI1R_EL1",
            (3, 0, 12, 11, 7) => "ICC_SGI0R_EL1",
            (3, 0, 12, 12, 5) => "ICC_SRE_EL1",
            (3, 3, 14, 2, 0) => "CNTP_TVAL_EL0",
            (3, 3, 14, 2, 1) => "CNTP_CTL_EL0",
            (3, 3, 14, 2, 2) => "CNTP_CVAL_EL0",
            (1, 0, 7, 6 | 10 | 14, 2) => "cache maintenance by set and way",
            (3, 4 | 5, ..) => "a register of EL2",
            (3, _, 11 | 15, ..) => "implementation defined",
            _ if is_counter(*self) => "a performance monitor",
            _ => return Ok(()),
        };
        write!(f, " ({name})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::idregs::{Limits, guest_view};
    use super::*;

    fn view(gicv3: bool) -> IdValues {
        guest_view(&IdValues::gather(|_| 0x1111_1111_1111_1112), Limits { gicv3, ipa_bits: 40 })
    }

    #[test]
    fn a_write_of_icc_sgi1r_is_recognised_by_its_syndrome_alone() {
        let iss = |rt: u32, read: u32| 3 << 20 | 5 << 17 | 12 << 10 | rt << 5 | 11 << 1 | read;
        let esr = |iss: u32| 0x18 << 26 | 1 << 25 | u64::from(iss);
        assert_eq!(Trapped::sends_sgi(esr(iss(19, 0))), Some(19));
        assert_eq!(Trapped::decode(iss(19, 0)).decide(7, &view(true)), Action::SendSgi(7));
        assert_eq!(Trapped::sends_sgi(esr(iss(19, 1))), None);
        assert_eq!(Trapped::sends_sgi(esr(iss(19, 0) + (1 << 17))), None, "ICC_ASGI1R_EL1");
    }

    fn access(encoding: (u8, u8, u8, u8, u8), write: bool) -> Action {
        let (op0, op1, crn, crm, op2) = encoding;
        let register = SysReg { op0, op1, crn, crm, op2 };
        Trapped { register, rt: 3, write }.decide(0xabcd, &view(true))
    }

    #[test]
    fn the_syndrome_is_taken_apart() {
        // mrs x3, id_aa64pfr0_el1
        let iss = 3 << 20 | 3 << 5 | 4 << 1 | 1;
        let trapped = Trapped::decode(iss);
        assert_eq!(trapped.register, SysReg { op0: 3, op1: 0, crn: 0, crm: 4, op2: 0 });
        assert_eq!((trapped.rt, trapped.write), (3, false));
        assert_eq!(trapped.register.to_string(), "S3_0_C0_C4_0 (ID register AA64PFR0)");
        // msr icc_sgi1r_el1, x0
        let trapped = Trapped::decode(3 << 20 | 5 << 17 | 12 << 10 | 11 << 1);
        assert!(trapped.write);
        assert_eq!(trapped.register.to_string(), "S3_0_C12_C11_5 (ICC_SGI1R_EL1)");
    }

    #[test]
    fn id_registers_are_read_from_the_view_and_cannot_be_written() {
        assert_eq!(access((3, 0, 0, 4, 0), false), Action::Read(view(true).get(table::AA64PFR0)));
        assert_eq!(access((3, 0, 0, 5, 7), false), Action::Read(0));
        assert_eq!(access((3, 0, 0, 4, 0), true), Action::Undefined);
    }

    #[test]
    fn the_os_lock_exists_and_is_open() {
        assert_eq!(access((2, 0, 1, 1, 4), false), Action::Read(8));
        assert_eq!(access((2, 0, 1, 0, 4), true), Action::Ignore);
        assert_eq!(access((2, 0, 1, 1, 4), true), Action::Undefined);
    }

    #[test]
    fn debug_and_counters_read_as_zero_and_ignore_writes() {
        let quiet = [
            (2, 0, 0, 2, 2),
            (2, 0, 0, 15, 7),
            (2, 0, 1, 3, 4),
            (3, 3, 9, 12, 0),
            (3, 0, 9, 14, 1),
            (3, 3, 14, 15, 7),
        ];
        for register in quiet {
            assert_eq!(access(register, false), Action::Read(0), "{register:?}");
            assert_eq!(access(register, true), Action::Ignore, "{register:?}");
        }
        assert_eq!(access((2, 3, 0, 1, 0), false), Action::Read(1 << 29));
    }

    #[test]
    fn sgis_are_sent_and_those_of_other_groups_are_not() {
        assert_eq!(access((3, 0, 12, 11, 5), true), Action::SendSgi(0xabcd));
        assert_eq!(access((3, 0, 12, 11, 7), true), Action::Ignore);
        assert_eq!(access((3, 0, 12, 11, 5), false), Action::Undefined);
        assert_eq!(access((3, 0, 12, 12, 5), false), Action::Read(7));
    }

    #[test]
    fn a_gicv2_guest_has_no_gic_registers() {
        let register = SysReg { op0: 3, op1: 0, crn: 12, crm: 11, op2: 5 };
        let trapped = Trapped { register, rt: 0, write: true };
        assert_eq!(trapped.decide(0, &view(false)), Action::Undefined);
    }

    #[test]
    fn what_the_vendor_defined_or_nobody_knows_is_undefined() {
        for register in
            [(3, 0, 15, 2, 0), (3, 1, 11, 0, 2), (2, 1, 0, 0, 0), (3, 4, 1, 1, 0), (3, 0, 10, 4, 3)]
        {
            assert_eq!(access(register, false), Action::Undefined, "{register:?}");
            assert_eq!(access(register, true), Action::Undefined, "{register:?}");
        }
    }

    proptest! {
        #[test]
        fn a_read_never_acts_like_a_write_nor_a_write_like_a_read(iss in 0_u32..1 << 22, value in any::<u64>()) {
            let trapped = Trapped::decode(iss);
            match trapped.decide(value, &view(true)) {
                Action::Read(_) => prop_assert!(!trapped.write),
                Action::Ignore | Action::SendSgi(_) => prop_assert!(trapped.write),
                Action::Undefined => {}
            }
        }
    }
}
