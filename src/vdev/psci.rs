//! PSCI 1.1 for guests: turning vCPUs and the domain off and on.
//!
//! Arm DEN 0022 (PSCI). What is offered, and the answers, are Xen's; beyond them, CPU_ON says ON_PENDING and
//! AFFINITY_INFO knows it, as the specification has it. A call reaches only vCPUs of the caller's own domain:
//! others cannot be named.

use super::power::{Power, Start, State};
use crate::addr::{Affinity, VcpuId};
use crate::hypercall::ShutdownReason;

/// PSCI_VERSION.
pub const VERSION_FUNCTION: u32 = BASE_32;
/// The version that PSCI_VERSION answers: 1.1.
pub const VERSION: u32 = 0x0001_0001;

/// Return codes (DEN 0022, "Return error codes").
pub mod code {
    /// The call succeeded.
    pub const SUCCESS: i64 = 0;
    /// There is no such function.
    pub const NOT_SUPPORTED: i64 = -1;
    /// A parameter makes no sense.
    pub const INVALID_PARAMETERS: i64 = -2;
    /// The vCPU is on.
    pub const ALREADY_ON: i64 = -4;
    /// The vCPU is being turned on.
    pub const ON_PENDING: i64 = -5;
    /// The entry point is no place for an instruction.
    pub const INVALID_ADDRESS: i64 = -9;
}

/// Answer of MIGRATE_INFO_TYPE: there is no Trusted OS to migrate.
const NO_TRUSTED_OS: i64 = 2;

/// A PSCI call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// PSCI_VERSION.
    Version,
    /// PSCI_FEATURES: about this function.
    Features(u32),
    /// CPU_SUSPEND, of whatever depth.
    CpuSuspend,
    /// CPU_OFF.
    CpuOff,
    /// CPU_ON.
    CpuOn {
        /// Affinity of the vCPU meant.
        target: u64,
        /// Where it starts.
        start: Start,
        /// The function of PSCI 0.1, which knows fewer errors.
        version_0_1: bool,
    },
    /// AFFINITY_INFO.
    AffinityInfo {
        /// Affinity of the vCPU or cluster meant.
        target: u64,
        /// The lowest affinity field that counts.
        level: u64,
    },
    /// MIGRATE_INFO_TYPE.
    MigrateInfoType,
    /// SYSTEM_OFF.
    SystemOff,
    /// SYSTEM_RESET.
    SystemReset,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Return this in x0.
    Return(i64),
    /// Return 0; this vCPU was turned on: forget its pending interrupts and tell its home pCPU.
    Started(VcpuId),
    /// Return 0, then wait for an interrupt.
    Standby,
    /// The calling vCPU goes off; the call does not return.
    CpuOff,
    /// The calling domain ends; the call does not return.
    Shutdown(ShutdownReason),
}

/// Functions that have a 32-bit and a 64-bit form.
const CPU_SUSPEND: u32 = 1;
const CPU_ON: u32 = 3;
const AFFINITY_INFO: u32 = 4;
/// First function identifier, of the 32-bit and of the 64-bit forms.
const BASE_32: u32 = 0x8400_0000;
const BASE_64: u32 = 0xc400_0000;

impl Call {
    /// The call of function `id` with arguments `args` (x1-x3), if it is one that is offered. The 32-bit forms
    /// read only the lower halves.
    #[must_use]
    pub fn decode(id: u32, args: [u64; 3]) -> Option<Self> {
        let wide = id & !0xffff == BASE_64;
        let [first, second, third] = if wide { args } else { args.map(|value| value & 0xffff_ffff) };
        let start = Start { entry: second, context: third };
        match (id, id & 0xffff) {
            (1, _) => Some(Self::CpuOff),
            // PSCI 0.1 had no word sizes; its arguments are those of the caller, which is 64-bit.
            (2, _) => {
                let [target, entry, context] = args;
                Some(Self::CpuOn { target, start: Start { entry, context }, version_0_1: true })
            }
            (BASE_32.., function) if wide || id & !0xffff == BASE_32 => match function {
                CPU_SUSPEND => Some(Self::CpuSuspend),
                CPU_ON => Some(Self::CpuOn { target: first, start, version_0_1: false }),
                AFFINITY_INFO => Some(Self::AffinityInfo { target: first, level: second }),
                _ if wide => None,
                0 => Some(Self::Version),
                2 => Some(Self::CpuOff),
                6 => Some(Self::MigrateInfoType),
                8 => Some(Self::SystemOff),
                9 => Some(Self::SystemReset),
                10 => Some(Self::Features(first as u32)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Answers the call, for a domain whose vCPUs have the switches that `power` finds (and none after the first
    /// number without one).
    #[must_use]
    pub fn answer<'a>(self, power: impl Fn(VcpuId) -> Option<&'a Power>) -> Outcome {
        match self {
            Self::Version => Outcome::Return(VERSION.into()),
            Self::Features(function) => Outcome::Return(features(function)),
            Self::CpuSuspend => Outcome::Standby,
            Self::CpuOff => Outcome::CpuOff,
            Self::CpuOn { target, start, version_0_1 } => {
                let refused =
                    |code| Outcome::Return(if version_0_1 { code::INVALID_PARAMETERS } else { code });
                cpu_on(target, start, power).map_or_else(refused, Outcome::Started)
            }
            Self::AffinityInfo { target, level } => Outcome::Return(affinity_info(target, level, power)),
            Self::MigrateInfoType => Outcome::Return(NO_TRUSTED_OS),
            Self::SystemOff => Outcome::Shutdown(ShutdownReason::PowerOff),
            Self::SystemReset => Outcome::Shutdown(ShutdownReason::Reboot),
        }
    }
}

/// PSCI_FEATURES: every function here, and SMCCC_VERSION, by which SMCCC 1.1 is discovered.
fn features(function: u32) -> i64 {
    let offered = match function {
        super::smccc::VERSION_FUNCTION => true,
        BASE_32.. => Call::decode(function, [0; 3]).is_some(),
        _ => false,
    };
    if offered { code::SUCCESS } else { code::NOT_SUPPORTED }
}

fn cpu_on<'a>(target: u64, start: Start, power: impl Fn(VcpuId) -> Option<&'a Power>) -> Result<VcpuId, i64> {
    let vcpu = vcpu_of(target).ok_or(code::INVALID_PARAMETERS)?;
    let switch = power(vcpu).ok_or(code::INVALID_PARAMETERS)?;
    // An odd address would be Thumb code, which EL1 cannot run here.
    if start.entry & 1 != 0 {
        return Err(code::INVALID_ADDRESS);
    }
    match switch.request(start) {
        Ok(()) => Ok(vcpu),
        Err(State::On) => Err(code::ALREADY_ON),
        Err(State::OnPending | State::Off) => Err(code::ON_PENDING),
    }
}

/// The vCPU with exactly this affinity.
fn vcpu_of(target: u64) -> Option<VcpuId> {
    let number = target & 0xf | target >> 8 << 4;
    let vcpu = VcpuId::new(u16::try_from(number).ok()?);
    (Affinity::of_vcpu(vcpu).get() == target).then_some(vcpu)
}

/// 0 if any vCPU meant is on, else 2 if one is about to be, else 1; also 1 if there is no such vCPU, as in Xen.
fn affinity_info<'a>(target: u64, level: u64, power: impl Fn(VcpuId) -> Option<&'a Power>) -> i64 {
    let ignored = match level {
        0 => 0,
        1 => 0xff,
        2 => 0xffff,
        3 => 0xff_ffff,
        _ => return code::INVALID_PARAMETERS,
    };
    let mut pending = false;
    for (vcpu, switch) in (0..=127).map(VcpuId::new).map_while(|vcpu| Some((vcpu, power(vcpu)?))) {
        if Affinity::of_vcpu(vcpu).get() | ignored == Affinity::from_mpidr(target).get() | ignored {
            match switch.state() {
                State::On => return 0,
                State::OnPending => pending = true,
                State::Off => {}
            }
        }
    }
    if pending { 2 } else { 1 }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Start = Start { entry: 0x4000_0000, context: 5 };

    fn switches(count: usize) -> Vec<Power> {
        (0..count).map(|_| Power::new()).collect()
    }

    fn call(vcpus: &[Power], id: u32, args: [u64; 3]) -> Outcome {
        Call::decode(id, args).unwrap().answer(|vcpu| vcpus.get(vcpu.index()))
    }

    fn on(vcpus: &[Power], target: u64) -> Outcome {
        call(vcpus, 0xc400_0003, [target, START.entry, START.context])
    }

    #[test]
    fn a_secondary_is_started_where_it_was_told_to() {
        let vcpus = switches(2);
        assert_eq!(on(&vcpus, 1), Outcome::Started(VcpuId::new(1)));
        assert_eq!(on(&vcpus, 1), Outcome::Return(code::ON_PENDING));
        assert_eq!(vcpus[1].take_start(), Some(START));
        assert_eq!(on(&vcpus, 1), Outcome::Return(code::ALREADY_ON));
        vcpus[1].turn_off();
        assert_eq!(on(&vcpus, 1), Outcome::Started(VcpuId::new(1)));
    }

    #[test]
    fn a_vcpu_that_does_not_exist_cannot_be_started() {
        let vcpus = switches(18);
        for target in [0x12, 0x102, 0x1_0001, 0x1_0000_0001, 0x8000_0001, u64::MAX] {
            assert_eq!(on(&vcpus, target), Outcome::Return(code::INVALID_PARAMETERS), "{target:#x}");
        }
        assert_eq!(on(&vcpus, 0x101), Outcome::Started(VcpuId::new(17)), "16 vCPUs to a cluster");
    }

    #[test]
    fn an_odd_entry_point_is_refused() {
        let vcpus = switches(1);
        let odd = [0, 0x4000_0001, 0];
        assert_eq!(call(&vcpus, 0xc400_0003, odd), Outcome::Return(code::INVALID_ADDRESS));
        assert_eq!(call(&vcpus, 2, odd), Outcome::Return(code::INVALID_PARAMETERS), "PSCI 0.1 knows no -9");
        assert_eq!(vcpus[0].state(), State::Off);
    }

    #[test]
    fn the_32_bit_form_reads_lower_halves() {
        let vcpus = switches(1);
        let args = [0xdead_0000_0000, 0xdead_4000_0000, 0xdead_0000_0007];
        assert_eq!(call(&vcpus, 0x8400_0003, args), Outcome::Started(VcpuId::new(0)));
        assert_eq!(vcpus[0].take_start(), Some(Start { entry: 0x4000_0000, context: 7 }));
    }

    #[test]
    fn affinity_info_tells_on_off_and_pending() {
        let vcpus = switches(17);
        let info = |target, level| call(&vcpus, 0xc400_0004, [target, level, 0]);
        assert_eq!([info(1, 0), info(99, 0), info(0, 4)], [1, 1, -2].map(Outcome::Return));
        vcpus[1].request(START).unwrap();
        assert_eq!([info(1, 0), info(0, 1), info(0x100, 1)], [2, 2, 1].map(Outcome::Return));
        assert!(vcpus[1].take_start().is_some());
        assert_eq!([info(1, 0), info(0, 0), info(0, 1), info(0x1ff, 2)], [0, 1, 0, 0].map(Outcome::Return));
    }

    #[test]
    fn features_are_exactly_the_functions_offered() {
        let offered: [u32; 13] = [
            0x8400_0000,
            0x8400_0001,
            0xc400_0001,
            0x8400_0002,
            0x8400_0003,
            0xc400_0003,
            0x8400_0004,
            0xc400_0004,
            0x8400_0006,
            0x8400_0008,
            0x8400_0009,
            0x8400_000a,
            0x8000_0000,
        ];
        let candidates =
            (0..0x40_u32).flat_map(|low| [low, 0x8400_0000 | low, 0xc400_0000 | low, 0x8000_0000 | low]);
        for id in candidates {
            let answer = call(&[], 0x8400_000a, [id.into(), 0, 0]);
            let want = if offered.contains(&id) { code::SUCCESS } else { code::NOT_SUPPORTED };
            assert_eq!(answer, Outcome::Return(want), "{id:#x}");
        }
    }

    #[test]
    fn ends_and_waits_are_for_the_caller_to_do() {
        assert_eq!(call(&[], 0x8400_0001, [u64::MAX; 3]), Outcome::Standby);
        assert_eq!(call(&[], 0x8400_0002, [0; 3]), Outcome::CpuOff);
        assert_eq!(call(&[], 1, [0; 3]), Outcome::CpuOff);
        assert_eq!(call(&[], 0x8400_0008, [0; 3]), Outcome::Shutdown(ShutdownReason::PowerOff));
        assert_eq!(call(&[], 0x8400_0009, [0; 3]), Outcome::Shutdown(ShutdownReason::Reboot));
    }

    proptest! {
        #[test]
        fn no_call_reaches_a_vcpu_that_is_not_there(id in any::<u32>(), args in any::<[u64; 3]>()) {
            let vcpus = switches(3);
            if let Some(call) = Call::decode(id, args)
                && let Outcome::Started(vcpu) = call.answer(|vcpu| vcpus.get(vcpu.index()))
            {
                prop_assert!(vcpu.index() < 3);
            }
        }
    }
}
