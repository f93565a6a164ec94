//! Power: PSCI through HVC #0 (Arm DEN 0022), and other calls of the SMC calling convention (Arm DEN 0028).

use core::arch::asm;

use crate::cpu;

const CPU_OFF: u64 = 0x8400_0002;
const CPU_ON: u64 = 0xc400_0003;
const AFFINITY_INFO: u64 = 0xc400_0004;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;

macro_rules! conduit {
    ($name:ident, $instruction:literal, $doc:literal) => {
        #[doc = $doc]
        pub fn $name(args: [u64; 4]) -> [u64; 4] {
            let [mut x0, mut x1, mut x2, mut x3] = args;
            // SAFETY: the convention lets the callee change x0 to x17 and nothing else.
            unsafe {
                asm!(
                    $instruction,
                    inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
                    out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
                    out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _,
                    out("x17") _, options(nostack)
                );
            }
            [x0, x1, x2, x3]
        }
    };
}

conduit!(smccc, "hvc #0", "Makes a call of the SMC calling convention by HVC; answers x0 to x3.");
conduit!(smccc_by_smc, "smc #0", "Makes a call of the SMC calling convention by SMC; answers x0 to x3.");

/// A PSCI call; negative answers are PSCI's error numbers.
fn psci(function: u64, args: [u64; 3]) -> i64 {
    let [x1, x2, x3] = args;
    // Answers are 32 bits wide and signed.
    i64::from(smccc([function, x1, x2, x3])[0] as i32)
}

/// Starts the vCPU with this affinity at `entry` with `context` in x0. 0, or -2 (no such vCPU), -4 (already on).
pub fn cpu_on(affinity: u64, entry: u64, context: u64) -> i64 {
    psci(CPU_ON, [affinity, entry, context])
}

/// 0: the vCPU with this affinity is on, 1: off, 2: coming.
pub fn affinity_info(affinity: u64) -> i64 {
    psci(AFFINITY_INFO, [affinity, 0, 0])
}

/// Switches this vCPU off.
pub fn cpu_off() -> ! {
    cpu::mask_irqs();
    psci(CPU_OFF, [0; 3]);
    park()
}

/// Switches the domain off.
pub fn system_off() -> ! {
    cpu::mask_irqs();
    psci(SYSTEM_OFF, [0; 3]);
    park()
}

/// Starts the domain again.
pub fn system_reset() -> ! {
    cpu::mask_irqs();
    psci(SYSTEM_RESET, [0; 3]);
    park()
}

/// Where a vCPU stays if it could not be switched off.
fn park() -> ! {
    loop {
        cpu::wait_for_interrupt();
    }
}
