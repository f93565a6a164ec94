//! What a CPU has, in words: for the banner, so that a report from a board says what it runs on.
//!
//! Fields: Arm DDI 0487, ID_AA64PFR0_EL1 and so on. Only what makes a difference to a hypervisor or its guests.

use super::table::{AA64ISAR0, AA64MMFR0, AA64MMFR1, AA64MMFR2, AA64PFR0};
use super::{IdReg, IdValues};

/// A feature: its register, the lowest bit of its field, the least value that means it, and its name.
type Feature = (IdReg, u8, u64, &'static str);

const FEATURES: [Feature; 12] = [
    (AA64PFR0, 0, 2, "AArch32 at EL0"),
    (AA64PFR0, 4, 2, "AArch32 at EL1"),
    (AA64MMFR0, 20, 1, "16 KiB granule"),
    (AA64MMFR1, 4, 2, "16-bit VMIDs"),
    (AA64ISAR0, 20, 2, "LSE atomics"),
    (AA64MMFR1, 20, 1, "PAN"),
    (AA64MMFR1, 8, 1, "VHE"),
    (AA64PFR0, 28, 1, "RAS"),
    (AA64PFR0, 32, 1, "SVE"),
    (AA64PFR0, 40, 1, "MPAM"),
    (AA64MMFR2, 40, 1, "S2FWB"),
    (AA64MMFR0, 56, 1, "fine-grained traps"),
];

/// The features that `cpu` has.
pub fn features(cpu: &IdValues) -> impl Iterator<Item = &'static str> + '_ {
    let has = |(register, shift, least, _): &&Feature| cpu.field(*register, *shift) >= *least;
    FEATURES.iter().filter(has).map(|(.., name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cortex_a57_and_an_a76_are_told_apart() {
        // ID_AA64PFR0_EL1 and ID_AA64MMFR0_EL1 of the A57; those of the A76, with its ISAR0 and MMFR1.
        let a57 = IdValues::gather(|register| match register {
            AA64PFR0 => 0x0100_2222,
            AA64MMFR0 => 0x1124,
            _ => 0,
        });
        assert_eq!(features(&a57).collect::<Vec<_>>(), ["AArch32 at EL0", "AArch32 at EL1"]);
        let a76 = IdValues::gather(|register| match register {
            AA64PFR0 => 0x1100_0000_1111_1112,
            AA64MMFR0 => 0x10_1122,
            AA64MMFR1 => 0x1021_2122,
            AA64ISAR0 => 0x1000_1021_1120,
            _ => 0,
        });
        let expected =
            ["AArch32 at EL0", "16 KiB granule", "16-bit VMIDs", "LSE atomics", "PAN", "VHE", "RAS"];
        assert_eq!(features(&a76).collect::<Vec<_>>(), expected);
    }
}
