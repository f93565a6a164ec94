//! Calls to the firmware below: PSCI (Arm DEN 0022) through the conduit that the tree names.
//!
//! There is a [`Firmware`] only where the tree has a PSCI node: an SMC that nobody answers hangs some machines and
//! is UNDEFINED on others, so none is ever tried on suspicion.

use core::arch::asm;
use core::fmt;

use portunus::addr::Affinity;
use portunus::plan::Conduit;

const PSCI_VERSION: u64 = 0x8400_0000;
const PSCI_FEATURES: u64 = 0x8400_000a;
const SMCCC_VERSION: u64 = 0x8000_0000;
const SMCCC_ARCH_FEATURES: u64 = 0x8000_0001;
const CPU_ON_64: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;

/// Firmware that speaks PSCI.
#[derive(Clone, Copy)]
pub struct Firmware(Conduit);

/// A PSCI error code (DEN 0022, 5.2.2).
#[derive(Clone, Copy, Debug)]
pub struct PsciError(i32);

impl fmt::Display for PsciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.0 {
            -1 => "not supported",
            -2 => "invalid parameters: firmware knows no such CPU",
            -3 => "denied",
            -4 => "already on",
            -5 => "already being switched on",
            -6 => "internal failure",
            -8 => "disabled",
            -9 => "invalid address",
            _ => "unknown error",
        };
        write!(f, "PSCI {} ({words})", self.0)
    }
}

impl Firmware {
    /// Firmware reached through `conduit`, as the tree says.
    #[must_use]
    pub const fn new(conduit: Conduit) -> Self {
        Self(conduit)
    }

    /// Whether it is reached by SMC.
    #[must_use]
    pub fn is_called_by_smc(self) -> bool {
        matches!(self.0, Conduit::Smc)
    }

    /// What SMCCC_ARCH_FEATURES says of `function` on the executing CPU; `None` from firmware that does not know the
    /// question. It is put step by step, because each step is defined only if the one before says so (Arm DEN 0028,
    /// "Discovery").
    #[must_use]
    pub fn workaround(self, function: u32) -> Option<i64> {
        const PSCI_1_0: i64 = 1 << 16;
        const SMCCC_1_1: i64 = 1 << 16 | 1;
        let ask = |function: u64, first: u64| i64::from(self.call(function, first, 0) as i32);
        let known = ask(PSCI_VERSION, 0) >= PSCI_1_0
            && ask(PSCI_FEATURES, SMCCC_VERSION) >= 0
            && ask(SMCCC_VERSION, 0) >= SMCCC_1_1;
        known.then(|| ask(SMCCC_ARCH_FEATURES, function.into()))
    }

    /// Starts the CPU with `affinity` at physical address `entry`.
    ///
    /// # Errors
    ///
    /// What firmware answers, when it refuses.
    pub fn cpu_on(self, affinity: Affinity, entry: u64) -> Result<(), PsciError> {
        match self.call(CPU_ON_64, affinity.get(), entry) as i32 {
            0 => Ok(()),
            error => Err(PsciError(error)),
        }
    }

    /// Switches the machine off. Returns only if firmware does not.
    pub fn system_off(self) {
        self.call(SYSTEM_OFF, 0, 0);
    }

    /// Resets the machine. Returns only if firmware does not.
    pub fn system_reset(self) {
        self.call(SYSTEM_RESET, 0, 0);
    }

    /// One SMCCC call (Arm DEN 0028, 2.6 and 2.7): x0 to x3 in, x0 out, x4 to x17 may be lost.
    #[inline(never)]
    fn call(self, function: u64, first: u64, second: u64) -> u64 {
        let result: u64;
        macro_rules! conduit {
            ($instruction:literal) => {
                // SAFETY: the tree says that firmware takes PSCI calls here; those named above touch no memory
                // of ours. Registers that SMCCC 1.0 lets the callee change are clobbered.
                unsafe {
                    asm!($instruction, inout("x0") function => result, inout("x1") first => _,
                        inout("x2") second => _, inout("x3") 0u64 => _, out("x4") _, out("x5") _, out("x6") _,
                        out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _,
                        out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _, options(nostack))
                }
            };
        }
        match self.0 {
            Conduit::Smc => conduit!("smc #0"),
            Conduit::Hvc => conduit!("hvc #0"),
        }
        result
    }
}
