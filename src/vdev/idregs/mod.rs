//! What a guest may know of the CPU: the ID registers, trapped by HCR_EL2.TID3.
//!
//! The rule: a feature is shown only if a guest can use it with what EL2 permits and saves. [`table`] holds every
//! field that is shown, and every one worth a reason for hiding it. What is not in the table reads as zero: a
//! feature of tomorrow's CPU, with registers that trap today, stays unseen until somebody has thought about it.
//!
//! Layout of the registers: Arm DDI 0487, each under its name (ID_AA64PFR0_EL1 and so on). The group is the
//! encoding space op0 = 3, op1 = 0, CRn = 0, CRm = 1-7, in which reserved encodings read as zero. MIDR_EL1 and
//! MPIDR_EL1 do not belong to it: VPIDR_EL2 and VMPIDR_EL2 answer for them.

mod found;
pub mod table;

pub use self::found::features;

use self::table::{AARCH32_INSTRUCTIONS, FIELDS, Field, Show};

/// Registers in the group.
pub const COUNT: usize = 56;

/// One register of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdReg(u8);

impl IdReg {
    /// The register S3_0_C0_C`crm`_`op2`, if it belongs to the group.
    #[must_use]
    pub const fn new(crm: u8, op2: u8) -> Option<Self> {
        if matches!(crm, 1..=7) && op2 < 8 { Some(Self::at(crm, op2)) } else { None }
    }

    /// For the constants of [`table`], whose encodings are known to belong to the group.
    const fn at(crm: u8, op2: u8) -> Self {
        Self((crm - 1) * 8 + op2)
    }

    /// CRm and op2 of its encoding.
    #[must_use]
    pub const fn encoding(self) -> (u8, u8) {
        (self.0 / 8 + 1, self.0 % 8)
    }

    /// Every register of the group.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT as u8).map(Self)
    }
}

/// A value for every register of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdValues([u64; COUNT]);

impl IdValues {
    /// Values as `read` gives them: on a pCPU, by MRS of S3_0_C0_Cm_op2.
    #[must_use]
    pub fn gather(mut read: impl FnMut(IdReg) -> u64) -> Self {
        let mut values = [0; COUNT];
        for (register, value) in IdReg::all().zip(&mut values) {
            *value = read(register);
        }
        Self(values)
    }

    /// The value of `register`.
    #[must_use]
    pub fn get(&self, register: IdReg) -> u64 {
        self.0.get(usize::from(register.0)).copied().unwrap_or(0)
    }

    fn set(&mut self, register: IdReg, value: u64) {
        if let Some(slot) = self.0.get_mut(usize::from(register.0)) {
            *slot = value;
        }
    }

    fn field(&self, register: IdReg, shift: u8) -> u64 {
        self.get(register) >> (shift & 63) & 0xf
    }

    /// What this pCPU and `other` have in common, so that a vCPU finds what it was told wherever it lives. Only
    /// the fields that guests are shown count.
    #[must_use]
    pub fn in_common(&self, other: &Self) -> Self {
        let mut common = Self([0; COUNT]);
        for field in fields() {
            let (mine, theirs) =
                (self.field(field.register, field.shift), other.field(field.register, field.shift));
            let least = match field.show {
                Show::Signed(_) => least_signed(mine, theirs),
                _ => mine.min(theirs),
            };
            common.set(field.register, common.get(field.register) | least << (field.shift & 63));
        }
        common
    }
}

/// What differs between the guests of one machine, or is not written in the CPU's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether guests have a GICv3, with its system registers.
    pub gicv3: bool,
    /// Bits of an intermediate physical address, which a guest takes for its physical address size.
    pub ipa_bits: u8,
}

/// What guests read, of a machine whose pCPUs have `host` in common.
#[must_use]
pub fn guest_view(host: &IdValues, limits: Limits) -> IdValues {
    let aarch32 = host.field(table::AA64PFR0, 0) >= 2;
    let mut view = IdValues([0; COUNT]);
    for field in fields() {
        let value = host.field(field.register, field.shift);
        let shown = match field.show {
            Show::UpTo(most) => value.min(most.into()),
            Show::Signed(most) => least_signed(value, most.into()),
            Show::Always(fixed) => fixed.into(),
            Show::Gic => u64::from(limits.gicv3),
            Show::PhysicalAddressSize => value.min(address_size(limits.ipa_bits)),
        };
        let shown = if field.register.is_aarch32() && !aarch32 { 0 } else { shown };
        view.set(field.register, view.get(field.register) | shown << (field.shift & 63));
    }
    view
}

impl IdReg {
    /// Whether it describes AArch32 (CRm 1-3); these read as zero where EL0 has none.
    const fn is_aarch32(self) -> bool {
        self.0 < 24
    }
}

/// The fields of the table, and those of the registers shown whole.
fn fields() -> impl Iterator<Item = Field> {
    let whole = AARCH32_INSTRUCTIONS.iter().flat_map(|register| {
        (0..8).map(|nibble| Field { register: *register, shift: nibble * 4, show: Show::UpTo(15) })
    });
    FIELDS.iter().copied().chain(whole)
}

/// The lesser of two fields that count from -8 to 7 (0b1111, "not implemented", is less than 0).
fn least_signed(one: u64, two: u64) -> u64 {
    if one ^ 8 < two ^ 8 { one } else { two }
}

/// The largest encoding of ID_AA64MMFR0_EL1.PARange that fits `bits`.
const fn address_size(bits: u8) -> u64 {
    match bits {
        0..36 => 0,
        36..40 => 1,
        40..42 => 2,
        42..44 => 3,
        44..48 => 4,
        48..52 => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { gicv3: true, ipa_bits: 40 };

    fn cpu(values: &[(IdReg, u64)]) -> IdValues {
        IdValues::gather(|register| {
            values.iter().find(|(which, _)| *which == register).map_or(0, |(_, value)| *value)
        })
    }

    /// Cortex-A72: ID_AA64PFR0 with GICv3 and AArch32 at all levels, DFR0 with a PMUv3.
    fn cortex_a72() -> IdValues {
        cpu(&[
            (table::AA64PFR0, 0x0100_2222),
            (table::AA64DFR0, 0x1030_5106),
            (table::AA64ISAR0, 0x1_1120),
            (table::AA64MMFR0, 0x1124),
            (table::ISAR5, 0x1_1121),
            (table::PFR1, 0x1001_1011),
        ])
    }

    fn everything() -> IdValues {
        IdValues::gather(|_| u64::MAX)
    }

    #[test]
    fn a_cortex_a72_guest_sees_no_el2_no_pmu_and_its_instructions() {
        let view = guest_view(&cortex_a72(), LIMITS);
        assert_eq!(view.get(table::AA64PFR0), 0x0100_0012);
        assert_eq!(view.get(table::AA64DFR0), 0xf0_0010_1006);
        assert_eq!(view.get(table::AA64ISAR0), 0x1_1120);
        assert_eq!(view.get(table::AA64MMFR0), 0x111_0000_0122);
        assert_eq!(view.get(table::ISAR5), 0x1_1121);
        assert_eq!(view.get(table::PFR1), 0x1001_0000, "no AArch32 EL1, a timer, a GICv3");
    }

    #[test]
    fn without_aarch32_at_el0_its_registers_read_as_zero() {
        let mut host = cortex_a72();
        host.set(table::AA64PFR0, 0x1111);
        let view = guest_view(&host, LIMITS);
        assert_eq!([view.get(table::ISAR5), view.get(table::PFR1)], [0, 0]);
    }

    #[test]
    fn what_needs_el2_is_hidden_on_a_cpu_that_has_it_all() {
        let view = guest_view(&everything(), LIMITS);
        let hidden = [
            (table::AA64PFR0, 8, "EL2"),
            (table::AA64PFR0, 28, "RAS"),
            (table::AA64PFR0, 32, "SVE"),
            (table::AA64PFR1, 8, "MTE"),
            (table::AA64PFR1, 24, "SME"),
            (table::AA64DFR0, 8, "PMU"),
            (table::AA64DFR0, 32, "SPE"),
            (table::AA64ISAR1, 4, "APA"),
            (table::AA64MMFR1, 8, "VHE"),
            (table::AA64MMFR2, 24, "NV"),
        ];
        for (register, shift, name) in hidden {
            assert_eq!(view.field(register, shift), 0, "{name}");
        }
    }

    #[test]
    fn a_gicv2_guest_is_told_of_no_gic_registers() {
        let view = guest_view(&cortex_a72(), Limits { gicv3: false, ..LIMITS });
        assert_eq!(view.field(table::AA64PFR0, 24), 0);
        assert_eq!(view.field(table::PFR1, 28), 0);
    }

    #[test]
    fn the_address_size_is_that_of_stage_2() {
        for (bits, encoding) in [(32, 0), (36, 1), (39, 1), (40, 2), (48, 4)] {
            let view = guest_view(&cortex_a72(), Limits { ipa_bits: bits, ..LIMITS });
            assert_eq!(view.field(table::AA64MMFR0, 0), encoding, "{bits}");
        }
    }

    #[test]
    fn unequal_pcpus_show_what_both_have() {
        let with_lse = cpu(&[(table::AA64ISAR0, 2 << 20), (table::AA64PFR0, 0x2)]);
        let without_fp = cpu(&[(table::AA64ISAR0, 0), (table::AA64PFR0, 0xff_0001)]);
        let view = guest_view(&with_lse.in_common(&without_fp), LIMITS);
        assert_eq!(view.field(table::AA64ISAR0, 20), 0);
        assert_eq!(view.get(table::AA64PFR0) & 0xff_000f, 0xff_0001);
    }

    #[test]
    fn encodings_come_back() {
        assert_eq!(IdReg::all().count(), COUNT);
        for register in IdReg::all() {
            let (crm, op2) = register.encoding();
            assert_eq!(IdReg::new(crm, op2), Some(register));
        }
        assert_eq!([IdReg::new(0, 0), IdReg::new(8, 0), IdReg::new(1, 8)], [None; 3]);
    }

    #[test]
    fn no_field_is_in_the_table_twice() {
        let all: Vec<_> = fields().map(|field| (field.register.0, field.shift)).collect();
        for (at, field) in all.iter().enumerate() {
            assert!(!all.get(..at).unwrap().contains(field), "{field:?}");
            assert!(field.1 <= 60 && field.1 % 4 == 0);
        }
    }

    proptest! {
        #[test]
        fn what_two_cpus_have_in_common_does_not_depend_on_their_order(
            one in prop::collection::vec(any::<u64>(), COUNT),
            two in prop::collection::vec(any::<u64>(), COUNT),
        ) {
            let cpu = |values: &[u64]| IdValues::gather(|register| values[usize::from(register.0)]);
            let (one, two) = (cpu(&one), cpu(&two));
            prop_assert_eq!(one.in_common(&two), two.in_common(&one));
            let alone = guest_view(&one, LIMITS);
            prop_assert_eq!(guest_view(&one.in_common(&one), LIMITS), alone);
        }
    }
}
