//! ESR_EL2 in words, for people who read the console.
//!
//! Arm DDI 0487, ESR_EL2.

use core::fmt;

use super::abort::{Fault, MmioAccess};
use super::sysreg::Trapped;

/// A value of ESR_EL2 (or of ESR_EL1, which has the same layout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Esr(u64);

impl Esr {
    /// WFI, WFE and relatives.
    pub const WFX: u8 = 0x01;
    /// FP or SIMD, disabled.
    pub const FP: u8 = 0x07;
    /// HVC from AArch64.
    pub const HVC: u8 = 0x16;
    /// SMC from AArch64.
    pub const SMC: u8 = 0x17;
    /// MSR, MRS or a system instruction.
    pub const SYSREG: u8 = 0x18;
    /// Instruction abort from a lower level.
    pub const INSTRUCTION_ABORT_LOWER: u8 = 0x20;
    /// Data abort from a lower level.
    pub const DATA_ABORT_LOWER: u8 = 0x24;

    /// Wraps the value of the register.
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The value of the register.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The exception class (EC).
    #[must_use]
    pub const fn class(self) -> u8 {
        (self.0 >> 26 & 0x3f) as u8
    }

    /// The syndrome (ISS), 25 bits.
    #[must_use]
    pub const fn iss(self) -> u32 {
        (self.0 & 0x1ff_ffff) as u32
    }

    /// Whether the instruction had 32 bits (IL), not 16.
    #[must_use]
    pub const fn is_32_bit_instruction(self) -> bool {
        self.0 & 1 << 25 != 0
    }

    /// The immediate of HVC, SMC, SVC or BRK.
    #[must_use]
    pub const fn immediate(self) -> u16 {
        self.0 as u16
    }

    /// Whether the instruction takes effect. Traps of conditional AArch32 instructions may be taken although the
    /// condition fails (EC 0x01, 0x03-0x06, 0x08, 0x0c: CV and COND); then the instruction is to be stepped over.
    /// `spsr` holds the guest's flags. AArch64 instructions report COND = 0b1110, "always".
    #[must_use]
    pub const fn condition_holds(self, spsr: u64) -> bool {
        if !matches!(self.class(), 0x01 | 0x03..=0x06 | 0x08 | 0x0c) || self.iss() & 1 << 24 == 0 {
            return true;
        }
        let (n, z, c, v) =
            (spsr & 1 << 31 != 0, spsr & 1 << 30 != 0, spsr & 1 << 29 != 0, spsr & 1 << 28 != 0);
        let condition = self.iss() >> 20 & 0xf;
        let holds = match condition >> 1 {
            0 => z,
            1 => c,
            2 => n,
            3 => v,
            4 => c && !z,
            5 => n == v,
            6 => n == v && !z,
            _ => return true,
        };
        holds != (condition & 1 != 0)
    }

    const fn class_in_words(self) -> &'static str {
        match self.class() {
            0x00 => "unknown reason (an undefined instruction, most likely)",
            Self::WFX => "trapped WFI or WFE",
            0x03..=0x06 | 0x08 | 0x0c => "trapped AArch32 coprocessor access",
            Self::FP => "trapped FP or SIMD instruction",
            0x09 => "trapped pointer authentication",
            0x0a => "trapped LD64B or ST64B",
            0x0d => "branch target exception",
            0x0e => "illegal execution state",
            0x11 | 0x15 => "SVC",
            0x12 | Self::HVC => "HVC",
            0x13 | Self::SMC => "SMC",
            Self::SYSREG => "trapped system register access",
            0x19 => "trapped SVE",
            0x1a => "trapped ERET",
            0x1b => "trapped TSTART",
            0x1c => "pointer authentication failure",
            0x1d => "trapped SME",
            Self::INSTRUCTION_ABORT_LOWER => "instruction abort from a lower level",
            0x21 => "instruction abort",
            0x22 => "misaligned PC",
            Self::DATA_ABORT_LOWER => "data abort from a lower level",
            0x25 => "data abort",
            0x26 => "misaligned SP",
            0x28 | 0x2c => "trapped floating-point exception",
            0x2f => "SError",
            0x30 => "breakpoint from a lower level",
            0x31 => "breakpoint",
            0x32 => "software step from a lower level",
            0x33 => "software step",
            0x34 => "watchpoint from a lower level",
            0x35 => "watchpoint",
            0x38 => "BKPT instruction",
            0x3c => "BRK instruction",
            _ => "exception of a class that this hypervisor does not know",
        }
    }

    fn abort_in_words(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iss = self.iss();
        let code = iss & 0x3f;
        match Fault::of(self) {
            Fault::AddressSize => write!(f, ": address size fault level {}", code & 3)?,
            Fault::Translation => write!(f, ": translation fault level {}", code & 3)?,
            Fault::AccessFlag => write!(f, ": access flag fault level {}", code & 3)?,
            Fault::Permission => write!(f, ": permission fault level {}", code & 3)?,
            Fault::External => write!(f, ": external abort")?,
            Fault::Alignment => write!(f, ": alignment fault")?,
            Fault::TlbConflict => write!(f, ": TLB conflict")?,
            Fault::Other(code) => write!(f, ": fault {code:#04x}")?,
        }
        if iss & 1 << 7 != 0 {
            write!(f, ", on a walk of stage 1 tables")?;
        }
        if matches!(self.class(), 0x24 | 0x25) {
            let verb = if iss & 1 << 6 != 0 { "write" } else { "read" };
            match MmioAccess::decode(self) {
                Ok(access) => {
                    let letter = if access.sixty_four { 'x' } else { 'w' };
                    let preposition = if access.write { "from" } else { "to" };
                    let (bytes, register) = (access.width.bytes(), access.register);
                    write!(f, ", {verb} of {bytes} bytes {preposition} {letter}{register}")?;
                }
                Err(_) => write!(f, ", {verb}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Esr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class_in_words())?;
        match self.class() {
            0x11..=0x17 | 0x38 | 0x3c => write!(f, " #{:#x}", self.immediate())?,
            0x20 | 0x21 | 0x24 | 0x25 => self.abort_in_words(f)?,
            Self::SYSREG => {
                let Trapped { register, rt, write } = Trapped::decode(self.iss());
                let verb = if write { "write from" } else { "read to" };
                write!(f, ": {register}, {verb} x{rt}")?;
            }
            _ => {}
        }
        write!(f, " (ESR {:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(class: u64, iss: u64) -> String {
        let text = Esr::new(class << 26 | 1 << 25 | iss).to_string();
        text.split(" (ESR").next().unwrap().to_owned()
    }

    #[test]
    fn a_fault_says_what_the_guest_wanted() {
        let store = 1 << 24 | 2 << 22 | 5 << 16 | 1 << 6 | 6;
        assert_eq!(
            words(0x24, store),
            "data abort from a lower level: translation fault level 2, write of 4 bytes from w5"
        );
        assert_eq!(
            words(0x24, 1 << 6 | 0xf),
            "data abort from a lower level: permission fault level 3, write"
        );
        assert_eq!(
            words(0x20, 1 << 7 | 5),
            "instruction abort from a lower level: translation fault level 1, on a walk of stage 1 tables"
        );
    }

    #[test]
    fn other_classes_have_names_too() {
        assert_eq!(words(0x16, 0xea1), "HVC #0xea1");
        assert_eq!(words(0x01, 0), "trapped WFI or WFE");
        assert_eq!(
            words(0x18, 3 << 20 | 3 << 5 | 4 << 1 | 1),
            "trapped system register access: S3_0_C0_C4_0 (ID register AA64PFR0), read to x3"
        );
        assert_eq!(Esr::new(0x16 << 26 | 1 << 25).to_string(), "HVC #0x0 (ESR 0x5a000000)");
    }

    #[test]
    fn a_conditional_instruction_may_not_take_effect() {
        let (eq, ne, z) = (1 << 24, 1 << 24 | 1 << 20, 1 << 30);
        let trap = |iss| Esr::new(0x03 << 26 | iss);
        assert!(trap(eq).condition_holds(z) && !trap(eq).condition_holds(0));
        assert!(trap(ne).condition_holds(0) && !trap(ne).condition_holds(z));
        assert!(trap(1 << 24 | 0xe << 20).condition_holds(0), "always");
        assert!(trap(0).condition_holds(0), "COND is not valid");
        assert!(Esr::new(0x16 << 26 | eq).condition_holds(0), "an HVC has no condition");
    }

    proptest! {
        #[test]
        fn every_value_has_words(raw in any::<u64>(), spsr in any::<u64>()) {
            prop_assert!(!Esr::new(raw).to_string().is_empty());
            let _ = Esr::new(raw).condition_holds(spsr);
        }
    }
}
