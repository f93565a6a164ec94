//! The fields of the ID registers: shown or hidden, and why.

use self::Show::{Always, Signed, UpTo};
use super::IdReg;

/// How a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// The host's value, up to this one, which is as far as we have looked.
    UpTo(u8),
    /// The same for a field that counts from -8: 0b1111 says "not implemented", 0 is a feature.
    Signed(u8),
    /// This value, whatever the host has.
    Always(u8),
    /// 1 with a GICv3, whose CPU interface is in system registers, else 0.
    Gic,
    /// The host's, but no more than a guest's physical address has bits.
    PhysicalAddressSize,
}

/// Hidden: the feature is not there.
const HIDDEN: Show = Show::Always(0);

/// One field of four bits. Its name in the Arm ARM and the reason for what guests read stand in the table, for who reads
/// this file.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The register it is in.
    pub register: IdReg,
    /// Its lowest bit.
    pub shift: u8,
    /// What guests read.
    pub show: Show,
}

macro_rules! registers {
    ($($name:ident = $crm:literal, $op2:literal;)*) => {
        $(
            #[doc = concat!("ID_", stringify!($name), "_EL1 (MVFR*: without ID_), S3_0_C0_C", $crm, "_", $op2, ".")]
            pub const $name: IdReg = IdReg::at($crm, $op2);
        )*

        /// The name of `register`, if the table has one for it.
        #[must_use]
        pub fn name(register: IdReg) -> Option<&'static str> {
            [$((stringify!($name), $name)),*].iter().find(|(_, other)| *other == register).map(|(name, _)| *name)
        }
    };
}

registers! {
    PFR0 = 1, 0; PFR1 = 1, 1; DFR0 = 1, 2; MMFR0 = 1, 4; MMFR1 = 1, 5; MMFR2 = 1, 6; MMFR3 = 1, 7;
    ISAR0 = 2, 0; ISAR1 = 2, 1; ISAR2 = 2, 2; ISAR3 = 2, 3; ISAR4 = 2, 4; ISAR5 = 2, 5; MMFR4 = 2, 6; ISAR6 = 2, 7;
    MVFR0 = 3, 0; MVFR1 = 3, 1; MVFR2 = 3, 2; PFR2 = 3, 4; DFR1 = 3, 5; MMFR5 = 3, 6;
    AA64PFR0 = 4, 0; AA64PFR1 = 4, 1; AA64PFR2 = 4, 2; AA64ZFR0 = 4, 4; AA64SMFR0 = 4, 5;
    AA64DFR0 = 5, 0; AA64DFR1 = 5, 1;
    AA64ISAR0 = 6, 0; AA64ISAR1 = 6, 1; AA64ISAR2 = 6, 2; AA64ISAR3 = 6, 3;
    AA64MMFR0 = 7, 0; AA64MMFR1 = 7, 1; AA64MMFR2 = 7, 2; AA64MMFR3 = 7, 3; AA64MMFR4 = 7, 4;
}

/// AArch32 registers that say which instructions EL0 has. Nothing in them needs EL2, so they are shown whole.
pub const AARCH32_INSTRUCTIONS: [IdReg; 10] =
    [ISAR0, ISAR1, ISAR2, ISAR3, ISAR4, ISAR5, ISAR6, MVFR0, MVFR1, MVFR2];

const fn field(register: IdReg, shift: u8, _name: &str, show: Show, _why: &str) -> Field {
    Field { register, shift, show }
}

const INSTRUCTIONS: &str = "instructions without state of their own";
const TRAPPED: &str =
    "its registers or instructions trap to EL2, or would if enabled, and nothing emulates them";
const UNSAVED: &str = "its state is not switched between vCPUs";
const EL2_ONLY: &str = "a feature of EL2, which guests do not have";
const PROPERTY: &str = "a property of the CPU that a guest may rely on without using anything";
const EL1_CONTROL: &str = "controlled by SCTLR_EL1 and TCR_EL1, which are the guest's own";
const PSTATE_BIT: &str = "a PSTATE bit: SPSR_EL2 keeps it";

/// Every field that has been thought about.
#[rustfmt::skip]
pub const FIELDS: &[Field] = &[
    field(AA64PFR0, 0, "EL0", UpTo(2), "HCR_EL2.RW binds EL1 only: EL0 may use AArch32 where there is one"),
    field(AA64PFR0, 4, "EL1", Always(1), "HCR_EL2.RW = 1: AArch64 only"),
    field(AA64PFR0, 8, "EL2", HIDDEN, EL2_ONLY),
    field(AA64PFR0, 12, "EL3", HIDDEN, "firmware is PSCI by HVC: there is nothing at EL3 for a guest"),
    field(AA64PFR0, 16, "FP", Signed(1), "CPTR_EL2 lets it through, and it is switched where vCPUs share a pCPU"),
    field(AA64PFR0, 20, "AdvSIMD", Signed(1), "as FP"),
    field(AA64PFR0, 24, "GIC", Show::Gic, "the ICC registers are the guest's virtual CPU interface"),
    field(AA64PFR0, 28, "RAS", HIDDEN, TRAPPED),
    field(AA64PFR0, 32, "SVE", HIDDEN, TRAPPED),
    field(AA64PFR0, 36, "SEL2", HIDDEN, EL2_ONLY),
    field(AA64PFR0, 40, "MPAM", HIDDEN, TRAPPED),
    field(AA64PFR0, 44, "AMU", HIDDEN, TRAPPED),
    field(AA64PFR0, 48, "DIT", UpTo(1), PSTATE_BIT),
    field(AA64PFR0, 52, "RME", HIDDEN, EL2_ONLY),
    field(AA64PFR0, 56, "CSV2", UpTo(1), "2 and 3 add SCXTNUM_ELx, which is not switched"),
    field(AA64PFR0, 60, "CSV3", UpTo(1), PROPERTY),

    field(AA64PFR1, 0, "BT", UpTo(1), "PSTATE.BTYPE is kept by SPSR_EL2; the control is SCTLR_EL1.BT"),
    field(AA64PFR1, 4, "SSBS", UpTo(2), PSTATE_BIT),
    field(AA64PFR1, 8, "MTE", HIDDEN, "tags need HCR_EL2.ATA, and memory that has them"),
    field(AA64PFR1, 12, "RAS_frac", HIDDEN, TRAPPED),
    field(AA64PFR1, 16, "MPAM_frac", HIDDEN, TRAPPED),
    field(AA64PFR1, 24, "SME", HIDDEN, TRAPPED),
    field(AA64PFR1, 28, "RNDR_trap", HIDDEN, "a trap to EL3"),
    field(AA64PFR1, 32, "CSV2_frac", HIDDEN, "as CSV2 = 2"),
    field(AA64PFR1, 36, "NMI", HIDDEN, "the virtual GIC has no superpriority"),
    field(AA64PFR1, 40, "MTE_frac", HIDDEN, "as MTE"),
    field(AA64PFR1, 44, "GCS", HIDDEN, UNSAVED),
    field(AA64PFR1, 48, "THE", HIDDEN, UNSAVED),

    field(AA64DFR0, 0, "DebugVer", Always(6), "Armv8.0 debug, whose registers read as zero and ignore writes"),
    field(AA64DFR0, 4, "TraceVer", HIDDEN, TRAPPED),
    field(AA64DFR0, 8, "PMUVer", HIDDEN, "counters would count EL2 and other guests; MDCR_EL2 traps them"),
    field(AA64DFR0, 12, "BRPs", Always(1), "the architecture's least, two; they exist and never match"),
    field(AA64DFR0, 20, "WRPs", Always(1), "as BRPs"),
    field(AA64DFR0, 28, "CTX_CMPs", Always(0), "the architecture's least, one"),
    field(AA64DFR0, 32, "PMSVer", HIDDEN, "statistical profiling writes memory by the guest's tables: not switched"),
    field(AA64DFR0, 36, "DoubleLock", Always(15), "OSDLR_EL1 ignores writes, as a CPU without the double lock does"),
    field(AA64DFR0, 40, "TraceFilt", HIDDEN, TRAPPED),
    field(AA64DFR0, 44, "TraceBuffer", HIDDEN, TRAPPED),
    field(AA64DFR0, 48, "MTPMU", HIDDEN, "as PMUVer"),
    field(AA64DFR0, 52, "BRBE", HIDDEN, TRAPPED),

    field(AA64ISAR0, 4, "AES", UpTo(2), INSTRUCTIONS),
    field(AA64ISAR0, 8, "SHA1", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR0, 12, "SHA2", UpTo(2), INSTRUCTIONS),
    field(AA64ISAR0, 16, "CRC32", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR0, 20, "Atomic", UpTo(3), INSTRUCTIONS),
    field(AA64ISAR0, 24, "TME", HIDDEN, "a transaction fails on every trap, and EL2 has not been checked for it"),
    field(AA64ISAR0, 28, "RDM", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR0, 32, "SHA3", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR0, 36, "SM3", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR0, 40, "SM4", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR0, 44, "DP", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR0, 48, "FHM", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR0, 52, "TS", UpTo(2), INSTRUCTIONS),
    field(AA64ISAR0, 56, "TLB", UpTo(2), "outer-shareable and range invalidations act on the guest's VMID only"),
    field(AA64ISAR0, 60, "RNDR", UpTo(1), INSTRUCTIONS),

    field(AA64ISAR1, 0, "DPB", UpTo(2), "cache cleaning by address goes through stage 2"),
    field(AA64ISAR1, 4, "APA", HIDDEN, "pointer authentication keys are not switched, and HCR_EL2.APK traps them"),
    field(AA64ISAR1, 8, "API", HIDDEN, "as APA"),
    field(AA64ISAR1, 12, "JSCVT", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR1, 16, "FCMA", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR1, 20, "LRCPC", UpTo(2), INSTRUCTIONS),
    field(AA64ISAR1, 24, "GPA", HIDDEN, "as APA"),
    field(AA64ISAR1, 28, "GPI", HIDDEN, "as APA"),
    field(AA64ISAR1, 32, "FRINTTS", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR1, 36, "SB", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR1, 40, "SPECRES", UpTo(1), "prediction restriction applies to the guest's own context"),
    field(AA64ISAR1, 44, "BF16", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR1, 48, "DGH", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR1, 52, "I8MM", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR1, 56, "XS", HIDDEN, "what it does depends on HCRX_EL2, which stays zero"),
    field(AA64ISAR1, 60, "LS64", HIDDEN, "traps unless HCRX_EL2 enables it"),

    field(AA64ISAR2, 0, "WFxT", HIDDEN, "a trapped WFIT would need its time-out emulated"),
    field(AA64ISAR2, 4, "RPRES", UpTo(1), "its control is in FPCR, which is switched"),
    field(AA64ISAR2, 8, "GPA3", HIDDEN, "as APA"),
    field(AA64ISAR2, 12, "APA3", HIDDEN, "as APA"),
    field(AA64ISAR2, 16, "MOPS", HIDDEN, "undefined unless HCRX_EL2 enables it"),
    field(AA64ISAR2, 20, "BC", UpTo(1), INSTRUCTIONS),
    field(AA64ISAR2, 24, "PAC_frac", HIDDEN, "as APA"),
    field(AA64ISAR2, 28, "CLRBHB", UpTo(1), "an instruction against branch history injection: guests need it"),
    field(AA64ISAR2, 52, "CSSC", UpTo(1), INSTRUCTIONS),

    field(AA64MMFR0, 0, "PARange", Show::PhysicalAddressSize, "stage 2 has the last word on addresses"),
    field(AA64MMFR0, 4, "ASIDBits", UpTo(2), EL1_CONTROL),
    field(AA64MMFR0, 8, "BigEnd", UpTo(1), EL1_CONTROL),
    field(AA64MMFR0, 12, "SNSMem", HIDDEN, "there is no Secure state for a guest"),
    field(AA64MMFR0, 16, "BigEndEL0", UpTo(1), EL1_CONTROL),
    field(AA64MMFR0, 20, "TGran16", UpTo(1), "stage 1 is the guest's; 2 is the 52-bit form, which stage 2 does not offer"),
    field(AA64MMFR0, 24, "TGran64", Signed(0), EL1_CONTROL),
    field(AA64MMFR0, 28, "TGran4", Signed(0), "as TGran16"),
    field(AA64MMFR0, 32, "TGran16_2", Always(1), EL2_ONLY),
    field(AA64MMFR0, 36, "TGran64_2", Always(1), EL2_ONLY),
    field(AA64MMFR0, 40, "TGran4_2", Always(1), EL2_ONLY),
    field(AA64MMFR0, 44, "ExS", HIDDEN, "without it exceptions synchronise, which is always safe to assume"),
    field(AA64MMFR0, 56, "FGT", HIDDEN, EL2_ONLY),
    field(AA64MMFR0, 60, "ECV", HIDDEN, "its counter views depend on CNTHCTL_EL2 bits that stay zero"),

    field(AA64MMFR1, 0, "HAFDBS", UpTo(2), "the table walker writes guest RAM, which stage 2 lets it"),
    field(AA64MMFR1, 4, "VMIDBits", HIDDEN, EL2_ONLY),
    field(AA64MMFR1, 8, "VH", HIDDEN, EL2_ONLY),
    field(AA64MMFR1, 12, "HPDS", UpTo(2), EL1_CONTROL),
    field(AA64MMFR1, 16, "LO", HIDDEN, "HCR_EL2.TLOR traps its registers"),
    field(AA64MMFR1, 20, "PAN", UpTo(3), PSTATE_BIT),
    field(AA64MMFR1, 28, "XNX", HIDDEN, EL2_ONLY),
    field(AA64MMFR1, 32, "TWED", HIDDEN, EL2_ONLY),
    field(AA64MMFR1, 36, "ETS", UpTo(3), PROPERTY),
    field(AA64MMFR1, 40, "HCX", HIDDEN, EL2_ONLY),
    field(AA64MMFR1, 44, "AFP", UpTo(1), "its controls are in FPCR, which is switched"),
    field(AA64MMFR1, 48, "nTLBPA", UpTo(1), PROPERTY),
    field(AA64MMFR1, 60, "ECBHB", UpTo(1), PROPERTY),

    field(AA64MMFR2, 0, "CnP", UpTo(1), "the vCPUs of a domain share a VMID, and nobody else has it"),
    field(AA64MMFR2, 4, "UAO", UpTo(1), PSTATE_BIT),
    field(AA64MMFR2, 8, "LSM", UpTo(1), EL1_CONTROL),
    field(AA64MMFR2, 12, "IESB", HIDDEN, "as RAS"),
    field(AA64MMFR2, 16, "VARange", UpTo(1), EL1_CONTROL),
    field(AA64MMFR2, 20, "CCIDX", UpTo(1), "the format of CCSIDR_EL1, which guests read without a trap"),
    field(AA64MMFR2, 24, "NV", HIDDEN, EL2_ONLY),
    field(AA64MMFR2, 28, "ST", UpTo(1), EL1_CONTROL),
    field(AA64MMFR2, 32, "AT", UpTo(1), PROPERTY),
    field(AA64MMFR2, 36, "IDS", UpTo(1), PROPERTY),
    field(AA64MMFR2, 40, "FWB", HIDDEN, EL2_ONLY),
    field(AA64MMFR2, 48, "TTL", UpTo(1), "a hint in TLB invalidations of the guest's own addresses"),
    field(AA64MMFR2, 52, "BBM", HIDDEN, "without it, break-before-make is always safe"),
    field(AA64MMFR2, 56, "EVT", HIDDEN, EL2_ONLY),
    field(AA64MMFR2, 60, "E0PD", UpTo(1), EL1_CONTROL),

    field(PFR0, 0, "State0", UpTo(1), INSTRUCTIONS),
    field(PFR0, 4, "State1", UpTo(3), INSTRUCTIONS),
    field(PFR0, 8, "State2", UpTo(2), INSTRUCTIONS),
    field(PFR0, 12, "State3", UpTo(1), INSTRUCTIONS),
    field(PFR0, 16, "CSV2", UpTo(1), "as in ID_AA64PFR0_EL1"),
    field(PFR0, 24, "DIT", UpTo(1), PSTATE_BIT),
    field(PFR1, 16, "GenTimer", UpTo(1), "EL0 reads the counter"),
    field(PFR1, 28, "GIC", Show::Gic, "as in ID_AA64PFR0_EL1"),
    field(PFR2, 0, "CSV3", UpTo(1), PROPERTY),
    field(PFR2, 4, "SSBS", UpTo(1), PSTATE_BIT),
    field(DFR0, 0, "CopDbg", Always(6), "as DebugVer"),
];
