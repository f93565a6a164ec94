//! Calls to firmware: what HVC #0 and SMC #0 mean to a guest.
//!
//! Arm DEN 0028 (SMC Calling Convention). Besides PSCI there is the version of the convention, the workarounds of
//! [`crate::prediction`], which have happened by the time the call is looked at, and the identification of a Xen
//! hypervisor, since it is Xen's ABI that guests find here. Every other function answers -1.

use super::power::Power;
use super::psci::{self, code};
use crate::addr::VcpuId;
use crate::prediction::{Verdict, WORKAROUND_1, WORKAROUND_3};

/// SMCCC_VERSION.
pub const VERSION_FUNCTION: u32 = 0x8000_0000;
/// SMCCC_ARCH_FEATURES.
const ARCH_FEATURES: u32 = 0x8000_0001;
/// Call count, UID and revision of the hypervisor service, which Xen has at owner 5 (xen/arch/arm/vsmc.c).
const HYPERVISOR_COUNT: u32 = 0x8500_ff00;
const HYPERVISOR_UID: u32 = 0x8500_ff01;
const HYPERVISOR_REVISION: u32 = 0x8500_ff03;

/// SMCCC 1.2.
const VERSION: i64 = 0x1_0002;
/// Functions of the hypervisor service, all of them listed above.
const COUNT: i64 = 3;
/// a71812dc-c698-4369-9acf-79d18ddee667, four bytes a register, the first byte lowest (DEN 0028, "UID").
const UID: [u64; 4] = [0xdc12_18a7, 0x6943_98c6, 0xd179_cf9a, 0x67e6_de8d];
/// Revision 0.1.
const REVISION: [u64; 2] = [0, 1];

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Return this in x0; the other registers keep their values.
    Return(i64),
    /// Return these in x0 and x1.
    Two([u64; 2]),
    /// Return these in x0 to x3.
    Four([u64; 4]),
    /// A PSCI call with an effect.
    Psci(psci::Outcome),
    /// Not a call to firmware (the immediate is not 0): the guest takes an undefined instruction.
    Undefined,
}

/// The answer of a call that is the same for everybody and has no effect: for those who would not look further.
#[inline]
#[must_use]
pub const fn constant(function: u32) -> Option<i64> {
    match function {
        psci::VERSION_FUNCTION => Some(psci::VERSION as i64),
        VERSION_FUNCTION => Some(VERSION),
        _ => None,
    }
}

/// Answers HVC or SMC `#immediate` with `registers` x0-x3, for a domain whose vCPUs have the switches that
/// `power` finds, on CPUs of which `verdict` holds. (HVC #0xEA1, the hypercall of the Xen ABI, does not come here.)
#[must_use]
pub fn answer<'a>(
    immediate: u16,
    registers: [u64; 4],
    verdict: Verdict,
    power: impl Fn(VcpuId) -> Option<&'a Power>,
) -> Outcome {
    if immediate != 0 {
        return Outcome::Undefined;
    }
    let [function, first, second, third] = registers;
    match function as u32 {
        VERSION_FUNCTION => Outcome::Return(VERSION),
        // Of the convention's own functions it says nothing, as in Xen.
        ARCH_FEATURES => Outcome::Return(verdict.offered(first as u32).unwrap_or(code::NOT_SUPPORTED)),
        // Trapping was it; where that has no effect, none is promised (0 is what they return: DEN 0028, 7.5 and 7.7).
        WORKAROUND_1 | WORKAROUND_3 if verdict.offered(function as u32) != Some(code::NOT_SUPPORTED) => {
            Outcome::Return(code::SUCCESS)
        }
        HYPERVISOR_COUNT => Outcome::Return(COUNT),
        HYPERVISOR_UID => Outcome::Four(UID),
        HYPERVISOR_REVISION => Outcome::Two(REVISION),
        function => match psci::Call::decode(function, [first, second, third]).map(|call| call.answer(power))
        {
            Some(psci::Outcome::Return(value)) => Outcome::Return(value),
            Some(effect) => Outcome::Psci(effect),
            None => Outcome::Return(code::NOT_SUPPORTED),
        },
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn call(function: u64) -> Outcome {
        answer(0, [function, 0, 0, 0], Verdict::UNAFFECTED, |_| None)
    }

    #[test]
    fn a_guest_finds_smccc_1_2_psci_1_1_and_xen() {
        assert_eq!(call(0x8000_0000), Outcome::Return(0x1_0002));
        assert_eq!(call(0x8400_0000), Outcome::Return(0x1_0001));
        assert_eq!(call(0x8500_ff00), Outcome::Return(3));
        assert_eq!(call(0x8500_ff03), Outcome::Two([0, 1]));
        let Outcome::Four(words) = call(0x8500_ff01) else { panic!() };
        let bytes: Vec<String> = words
            .iter()
            .flat_map(|word| (*word as u32).to_le_bytes())
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(bytes.concat(), "a71812dcc69843699acf79d18ddee667");
    }

    #[test]
    fn unknown_functions_answer_minus_one() {
        for function in
            [0, 3, 0x8000_0001, 0x8000_7fff, 0x8400_000e, 0x8400_0012, 0xc400_0002, 0x8500_ff02, 0x8600_ff01]
        {
            assert_eq!(call(function), Outcome::Return(-1), "{function:#x}");
        }
    }

    #[test]
    fn the_short_cut_answers_as_the_long_way_does() {
        for function in
            (0..0x40).flat_map(|low| [low, 0x8000_0000 | low, 0x8400_0000 | low, 0xc400_0000 | low])
        {
            if let Some(value) = constant(function) {
                assert_eq!(call(function.into()), Outcome::Return(value), "{function:#x}");
            }
        }
        assert_eq!(constant(0x8400_0000), Some(0x1_0001));
    }

    #[test]
    fn workarounds_are_offered_as_far_as_they_have_an_effect() {
        use crate::prediction::Exposure;
        let asked = |verdict, registers: [u64; 2]| {
            let [function, first] = registers;
            answer(0, [function, first, 0, 0], verdict, |_| None)
        };
        let open = Verdict { targets: Exposure::Open, history: Exposure::Mitigated, ..Verdict::UNAFFECTED };
        assert_eq!(asked(open, [0x8000_0001, 0x8000_8000]), Outcome::Return(-1));
        assert_eq!(asked(open, [0x8000_8000, 0]), Outcome::Return(-1));
        assert_eq!(asked(open, [0x8000_0001, 0x8000_3fff]), Outcome::Return(0));
        assert_eq!(asked(open, [0x8000_3fff, 0]), Outcome::Return(0));
        assert_eq!(asked(Verdict::UNAFFECTED, [0x8000_0001, 0x8000_8000]), Outcome::Return(1));
        assert_eq!(asked(open, [0x8000_0001, 0x8000_0000]), Outcome::Return(-1), "as in Xen");
        assert_eq!(asked(open, [0x8000_0001, 0x8000_0002]), Outcome::Return(-1));
    }

    #[test]
    fn only_the_lower_half_of_x0_names_the_function() {
        assert_eq!(call(0xffff_ffff_8000_0000), Outcome::Return(0x1_0002));
    }

    #[test]
    fn another_immediate_is_undefined() {
        let answer = answer(1, [0x8400_0000, 0, 0, 0], Verdict::UNAFFECTED, |_| None);
        assert_eq!(answer, Outcome::Undefined);
    }

    #[test]
    fn effects_are_handed_to_the_caller() {
        let off = psci::Outcome::Shutdown(crate::hypercall::ShutdownReason::PowerOff);
        assert_eq!(call(0x8400_0008), Outcome::Psci(off));
    }
}
