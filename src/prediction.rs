//! Branch prediction: what a guest may have taught it, and what EL2 does about it when it is entered.
//!
//! Two ways are known by which a guest can steer what EL2 executes speculatively (Arm, "Cache Speculation
//! Side-channels" and "Spectre-BHB"; CVE-2017-5715 and CVE-2022-23960):
//!
//! * **targets**: an indirect branch of EL2 is predicted to go where one of the guest's went. CPUs with
//!   ID_AA64PFR0_EL1.CSV2 of 1 or more keep the two apart, and some predict too little to be misled. On others only
//!   firmware can forget what was learnt (SMCCC_ARCH_WORKAROUND_1).
//! * **history**: which of EL2's own targets is chosen depends on the branches taken last, and those were the guest's.
//!   Whatever overwrites the history before EL2's first indirect branch ends that: a loop of as many branches as the
//!   CPU remembers, an instruction for it (CLRBHB), or firmware (SMCCC_ARCH_WORKAROUND_3).
//!
//! This module *decides* which of these the vectors of a CPU execute, from what the CPU and its firmware say. It
//! *trusts* the ID registers. It *refuses* to guess in favour of speed: of a CPU it does not know, it assumes the most.

use core::fmt;

/// What identifies a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Core {
    /// MIDR_EL1.
    pub midr: u64,
    /// ID_AA64PFR0_EL1.
    pub pfr0: u64,
    /// ID_AA64ISAR2_EL1.
    pub isar2: u64,
    /// ID_AA64MMFR1_EL1.
    pub mmfr1: u64,
}

/// What firmware says of one of its workarounds for the executing CPU (Arm DEN 0028, SMCCC_ARCH_FEATURES).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// It knows none, or there is no firmware to ask.
    #[default]
    Unknown,
    /// The CPU needs it.
    Needed,
    /// The CPU does not need it.
    NotNeeded,
}

impl Offer {
    /// From the answer of SMCCC_ARCH_FEATURES: 0 for needed, 1 for there and not needed.
    #[must_use]
    pub const fn of(answer: i64) -> Self {
        match answer as i32 {
            0 => Self::Needed,
            1 => Self::NotNeeded,
            _ => Self::Unknown,
        }
    }
}

/// SMCCC_ARCH_WORKAROUND_1: forgets branch targets.
pub const WORKAROUND_1: u32 = 0x8000_8000;
/// SMCCC_ARCH_WORKAROUND_2: switches speculative loads past older stores off and on.
pub const WORKAROUND_2: u32 = 0x8000_7fff;
/// SMCCC_ARCH_WORKAROUND_3: forgets branch targets and history.
pub const WORKAROUND_3: u32 = 0x8000_3fff;

/// What firmware says of its workarounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// Of [`WORKAROUND_1`].
    pub targets: Offer,
    /// Of [`WORKAROUND_3`].
    pub history: Offer,
}

/// What the vectors do first when a guest traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Plain,
    /// This many rounds of two branches.
    Loop(u8),
    /// CLRBHB.
    Clear,
    /// This call to firmware.
    Call(u32),
}

/// How far a CPU is from what it needs, for one of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// The CPU is not affected.
    None,
    /// It is, and every entry of EL2 undoes what the guest did.
    Mitigated,
    /// It is, and nothing that EL2 can do helps.
    Open,
}

/// What is done about a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// At each entry.
    pub entry: Entry,
    /// What remains as to targets.
    pub targets: Exposure,
    /// What remains as to history.
    pub history: Exposure,
    /// Whether loads may overtake older stores to the same address in speculation.
    pub stores: bool,
}

/// Implementer and part number of MIDR_EL1.
const fn part(midr: u64) -> u64 {
    midr & 0xff00_fff0
}

const CORTEX_A35: u64 = 0x4100_d040;
const CORTEX_A53: u64 = 0x4100_d030;
const CORTEX_A55: u64 = 0x4100_d050;
const CORTEX_A57: u64 = 0x4100_d070;
const CORTEX_A72: u64 = 0x4100_d080;
const CORTEX_A73: u64 = 0x4100_d090;
const CORTEX_A75: u64 = 0x4100_d0a0;
const CORTEX_A76: u64 = 0x4100_d0b0;
const NEOVERSE_N1: u64 = 0x4100_d0c0;
const CORTEX_A77: u64 = 0x4100_d0d0;
const CORTEX_A76AE: u64 = 0x4100_d0e0;
const NEOVERSE_V1: u64 = 0x4100_d400;
const CORTEX_A78: u64 = 0x4100_d410;
const CORTEX_A78AE: u64 = 0x4100_d420;
const CORTEX_X1: u64 = 0x4100_d440;
const CORTEX_A510: u64 = 0x4100_d460;
const CORTEX_A710: u64 = 0x4100_d470;
const CORTEX_X2: u64 = 0x4100_d480;
const NEOVERSE_N2: u64 = 0x4100_d490;
const CORTEX_A78C: u64 = 0x4100_d4b0;
const CORTEX_A715: u64 = 0x4100_d4d0;
const CORTEX_X3: u64 = 0x4100_d4e0;
const NEOVERSE_V2: u64 = 0x4100_d4f0;
const CORTEX_A520: u64 = 0x4100_d800;
const CORTEX_A720: u64 = 0x4100_d810;
const AMPERE_1: u64 = 0xc000_ac30;

/// Rounds of the loop for a CPU that is not in the table: the most that any is known to need.
const MOST_ROUNDS: u8 = 132;

/// Rounds of the loop that outlast what the CPU remembers of its history; `None` for one that is known to need another
/// way, or none (Arm, "Spectre-BHB", table of CPUs).
const fn rounds(midr: u64) -> Option<u8> {
    match part(midr) {
        CORTEX_A57 | CORTEX_A72 => Some(8),
        AMPERE_1 => Some(11),
        CORTEX_A76 | CORTEX_A76AE | CORTEX_A77 | NEOVERSE_N1 => Some(24),
        CORTEX_A78 | CORTEX_A78AE | CORTEX_A78C | CORTEX_X1 | CORTEX_A710 | CORTEX_X2 | NEOVERSE_N2
        | NEOVERSE_V1 => Some(32),
        CORTEX_A715 | CORTEX_A720 => Some(38),
        CORTEX_X3 | NEOVERSE_V2 => Some(MOST_ROUNDS),
        CORTEX_A73 | CORTEX_A75 => None,
        _ => Some(MOST_ROUNDS),
    }
}

impl Core {
    const fn csv2(self) -> u64 {
        self.pfr0 >> 56 & 0xf
    }

    /// Whether no branch of a guest can be taken for one of EL2.
    const fn separates_targets(self) -> bool {
        self.csv2() >= 1 || matches!(part(self.midr), CORTEX_A35 | CORTEX_A53 | CORTEX_A55)
    }

    /// Whether no branch of a guest is part of EL2's history: CSV2 of 3, ECBHB, or a CPU without such a history.
    const fn separates_history(self) -> bool {
        let ecbhb = self.mmfr1 >> 60;
        let keeps_none =
            matches!(part(self.midr), CORTEX_A35 | CORTEX_A53 | CORTEX_A55 | CORTEX_A510 | CORTEX_A520);
        self.csv2() >= 3 || ecbhb >= 1 || keeps_none
    }

    const fn has_clear(self) -> bool {
        self.isar2 >> 28 & 0xf >= 1
    }

    /// What is to be done about this CPU, with firmware that says `firmware`.
    ///
    /// Where firmware is called for the targets, nothing more is needed for the history: without targets there is
    /// nothing to choose among.
    #[must_use]
    pub fn decide(self, firmware: Firmware) -> Verdict {
        let stores = !matches!(part(self.midr), CORTEX_A35 | CORTEX_A53 | CORTEX_A55);
        let history_call = firmware.history == Offer::Needed;
        let targets_safe = self.separates_targets() || firmware.targets == Offer::NotNeeded;
        let history_safe = self.separates_history() || firmware.history == Offer::NotNeeded;
        if !targets_safe && (history_call || firmware.targets == Offer::Needed) {
            let call = if history_call { WORKAROUND_3 } else { WORKAROUND_1 };
            let history = if history_safe { Exposure::None } else { Exposure::Mitigated };
            return Verdict { entry: Entry::Call(call), targets: Exposure::Mitigated, history, stores };
        }
        let targets = if targets_safe { Exposure::None } else { Exposure::Open };
        if history_safe {
            return Verdict { entry: Entry::Plain, targets, history: Exposure::None, stores };
        }
        let (entry, history) = match rounds(self.midr) {
            _ if self.has_clear() => (Entry::Clear, Exposure::Mitigated),
            Some(rounds) => (Entry::Loop(rounds), Exposure::Mitigated),
            None if history_call => (Entry::Call(WORKAROUND_3), Exposure::Mitigated),
            None => (Entry::Plain, Exposure::Open),
        };
        Verdict { entry, targets, history, stores }
    }
}

impl Verdict {
    /// A CPU that is not affected by anything.
    pub const UNAFFECTED: Self =
        Self { entry: Entry::Plain, targets: Exposure::None, history: Exposure::None, stores: false };

    /// What holds for a guest whose vCPUs may be on either of two CPUs.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            entry: self.entry,
            targets: self.targets.max(other.targets),
            history: self.history.max(other.history),
            stores: self.stores || other.stores,
        }
    }

    /// What SMCCC_ARCH_FEATURES answers a guest that asks for one of the workarounds, if `function` is one. A call of
    /// one that is offered has its effect by trapping: the vectors have done it before the call is looked at.
    ///
    /// [`WORKAROUND_2`] is not offered, or not needed (-2); it is never -1 turned into a promise.
    #[must_use]
    pub const fn offered(self, function: u32) -> Option<i64> {
        const NOT_SUPPORTED: i64 = -1;
        const NOT_REQUIRED: i64 = -2;
        const fn forgets(exposure: Exposure) -> i64 {
            match exposure {
                Exposure::None => 1,
                Exposure::Mitigated => 0,
                Exposure::Open => NOT_SUPPORTED,
            }
        }
        match function {
            WORKAROUND_1 => Some(forgets(self.targets)),
            WORKAROUND_3 => Some(forgets(self.history)),
            WORKAROUND_2 => Some(if self.stores { NOT_SUPPORTED } else { NOT_REQUIRED }),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            Entry::Plain => write!(f, "nothing to do"),
            Entry::Loop(rounds) => write!(f, "{rounds} rounds of branches at each trap"),
            Entry::Clear => write!(f, "CLRBHB at each trap"),
            Entry::Call(function) => write!(f, "firmware call {function:#x} at each trap"),
        }?;
        if self.targets == Exposure::Open {
            write!(
                f,
                "; this core mixes up branch targets, and firmware offers no help (SMCCC_ARCH_WORKAROUND_1)"
            )?;
        }
        if self.history == Exposure::Open {
            write!(
                f,
                "; this core mixes up histories, and firmware offers no help (SMCCC_ARCH_WORKAROUND_3)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_FIRMWARE: Firmware = Firmware { targets: Offer::Unknown, history: Offer::Unknown };
    const OLD: Firmware = Firmware { targets: Offer::Needed, history: Offer::Unknown };
    const NEW: Firmware = Firmware { targets: Offer::Needed, history: Offer::Needed };

    /// A CPU by its MIDR_EL1 and CSV2.
    fn core(midr: u64, csv2: u64) -> Core {
        Core { midr, pfr0: csv2 << 56 | 0x2222, ..Core::default() }
    }

    fn entry(midr: u64, csv2: u64, firmware: Firmware) -> Entry {
        core(midr, csv2).decide(firmware).entry
    }

    #[test]
    fn a_cortex_a53_pays_nothing() {
        let verdict = core(0x410f_d034, 0).decide(NO_FIRMWARE);
        assert_eq!(verdict, Verdict::UNAFFECTED);
        assert_eq!([WORKAROUND_1, WORKAROUND_3].map(|id| verdict.offered(id)), [Some(1); 2]);
        assert_eq!(verdict.offered(WORKAROUND_2), Some(-2));
    }

    #[test]
    fn the_loop_is_as_long_as_the_cpu_remembers() {
        assert_eq!(entry(0x411f_d070, 0, NO_FIRMWARE), Entry::Loop(8), "Cortex-A57");
        assert_eq!(entry(0x410f_d083, 0, NO_FIRMWARE), Entry::Loop(8), "Cortex-A72 r0p3, Raspberry Pi 4");
        assert_eq!(entry(0x414f_d0b1, 1, NO_FIRMWARE), Entry::Loop(24), "Cortex-A76");
        assert_eq!(entry(0x411f_d401, 1, NO_FIRMWARE), Entry::Loop(32), "Neoverse V1");
    }

    #[test]
    fn an_unknown_cpu_is_given_the_longest_loop_unless_it_says_that_it_needs_none() {
        assert_eq!(entry(0x001f_1230, 1, NO_FIRMWARE), Entry::Loop(132));
        assert_eq!(entry(0x001f_1230, 3, NO_FIRMWARE), Entry::Plain);
        let ecbhb = Core { mmfr1: 1 << 60, ..core(0x001f_1230, 1) };
        assert_eq!(ecbhb.decide(NO_FIRMWARE).entry, Entry::Plain);
        let clears = Core { isar2: 1 << 28, ..core(0x001f_1230, 1) };
        assert_eq!(clears.decide(NO_FIRMWARE).entry, Entry::Clear);
    }

    #[test]
    fn firmware_is_called_where_nothing_else_forgets_targets() {
        assert_eq!(entry(0x410f_d083, 0, OLD), Entry::Call(WORKAROUND_1));
        assert_eq!(entry(0x410f_d083, 0, NEW), Entry::Call(WORKAROUND_3));
        assert_eq!(entry(0x411f_d083, 1, NEW), Entry::Loop(8), "Cortex-A72 r1 separates targets");
        assert_eq!(entry(0x410f_d090, 1, NEW), Entry::Call(WORKAROUND_3), "Cortex-A73 has no loop");
    }

    #[test]
    fn what_stays_open_is_said_and_not_offered_to_guests() {
        let verdict = core(0x410f_d083, 0).decide(NO_FIRMWARE);
        assert_eq!((verdict.targets, verdict.history), (Exposure::Open, Exposure::Mitigated));
        assert_eq!(verdict.offered(WORKAROUND_1), Some(-1));
        assert_eq!(verdict.offered(WORKAROUND_3), Some(0));
        assert_eq!(verdict.offered(0x8000_0000), None);
    }

    #[test]
    fn guests_are_told_of_the_worst_cpu() {
        let both = core(0x410f_d034, 0).decide(NO_FIRMWARE).worse(core(0x410f_d083, 0).decide(NO_FIRMWARE));
        assert_eq!(both.offered(WORKAROUND_1), Some(-1));
        assert_eq!(both.offered(WORKAROUND_2), Some(-1));
    }

    fn offers() -> impl Strategy<Value = Offer> {
        prop_oneof![Just(Offer::Unknown), Just(Offer::Needed), Just(Offer::NotNeeded)]
    }

    proptest! {
        #[test]
        fn nothing_is_called_mitigated_that_is_not(
            midr: u32, csv2 in 0u64..4, isar2: u64, ecbhb in 0u64..2, targets in offers(), history in offers(),
        ) {
            let known = [CORTEX_A53, CORTEX_A57, CORTEX_A72, CORTEX_A73, CORTEX_A76, NEOVERSE_V2];
            for midr in known.into_iter().chain([u64::from(midr)]) {
                let core = Core { midr, pfr0: csv2 << 56, isar2, mmfr1: ecbhb << 60 };
                let verdict = core.decide(Firmware { targets, history });
                let acts = verdict.entry != Entry::Plain;
                prop_assert!(verdict.history != Exposure::Mitigated || acts);
                prop_assert!(verdict.targets != Exposure::Mitigated || matches!(verdict.entry, Entry::Call(_)));
                if core.separates_targets() && core.separates_history() {
                    prop_assert!(!acts);
                }
            }
        }
    }
}
