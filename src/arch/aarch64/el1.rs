//! The system registers in which a guest kernel keeps its state, moved only where vCPUs share a pCPU.
//!
//! Registers that trap (debug, performance monitors, ACTLR) or that a guest is not shown hold nothing of a guest's
//! and are not here.

use core::arch::asm;

use super::sysreg::{
    AFSR0_EL1, AFSR1_EL1, AMAIR_EL1, CNTKCTL_EL1, CONTEXTIDR_EL1, CPACR_EL1, CSSELR_EL1, ELR_EL1, ESR_EL1,
    FAR_EL1, MAIR_EL1, PAR_EL1, SCTLR_EL1, SP_EL0, SP_EL1, SPSR_EL1, TCR_EL1, TPIDR_EL0, TPIDR_EL1,
    TPIDRRO_EL0, TTBR0_EL1, TTBR1_EL1, VBAR_EL1,
};

macro_rules! context {
    ($($field:ident: $register:ident,)*) => {
        /// EL1 and EL0 state of a vCPU that is not loaded.
        #[derive(Clone, Copy, Default)]
        pub struct El1 {
            sctlr: u64,
            tcr: u64,
            $($field: u64,)*
        }

        impl El1 {
            fn read() -> Self {
                Self { sctlr: SCTLR_EL1::read(), tcr: TCR_EL1::read(), $($field: $register::read(),)* }
            }

            fn write_most(&self) {
                $($register::write(self.$field);)*
            }
        }
    };
}

context! {
    cpacr: CPACR_EL1,
    ttbr0: TTBR0_EL1,
    ttbr1: TTBR1_EL1,
    esr: ESR_EL1,
    afsr0: AFSR0_EL1,
    afsr1: AFSR1_EL1,
    far: FAR_EL1,
    par: PAR_EL1,
    mair: MAIR_EL1,
    amair: AMAIR_EL1,
    vbar: VBAR_EL1,
    contextidr: CONTEXTIDR_EL1,
    tpidr_el0: TPIDR_EL0,
    tpidrro_el0: TPIDRRO_EL0,
    tpidr_el1: TPIDR_EL1,
    sp_el0: SP_EL0,
    sp_el1: SP_EL1,
    elr: ELR_EL1,
    spsr: SPSR_EL1,
    csselr: CSSELR_EL1,
    cntkctl: CNTKCTL_EL1,
}

/// SCTLR_EL1 of a vCPU that starts: MMU, caches and alignment checks off; bits 29, 28, 23, 22, 20 and 11 are RES1
/// on Armv8.0 and mean the behaviour of Armv8.0 where they have come to mean something (Arm ARM, SCTLR_EL1).
const SCTLR_RESET: u64 = 0x30d0_0800;
const SCTLR_M: u64 = 1;
/// TCR_EL1.EPD0 and EPD1: no table walks.
const TCR_NO_WALKS: u64 = 1 << 7 | 1 << 23;

impl El1 {
    /// The state in which a vCPU starts: MMU off, everything else zero.
    #[must_use]
    pub fn reset() -> Self {
        Self { sctlr: SCTLR_RESET, ..Self::default() }
    }

    /// Takes the registers of this pCPU.
    #[must_use]
    pub fn save() -> Self {
        Self::read()
    }

    /// Gives them back; stage 2 is that of the vCPU already, and [`stop_walks`] was called before it changed. The
    /// regime comes last, in the opposite order.
    pub fn restore(&self) {
        self.write_most();
        synchronise();
        SCTLR_EL1::write(self.sctlr);
        synchronise();
        TCR_EL1::write(self.tcr);
    }
}

/// Leaves a regime of EL1 that walks no tables: between two guests a speculative address translation must not fill
/// a TLB from the tables of one under the VMID of the other (Cortex-A53 erratum 1530924, Cortex-A57 1319537,
/// Cortex-A72 1319367).
pub fn stop_walks() {
    TCR_EL1::write(TCR_NO_WALKS);
    synchronise();
    SCTLR_EL1::write(SCTLR_RESET | SCTLR_M);
    synchronise();
}

fn synchronise() {
    // SAFETY: a context synchronisation; changes nothing.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}
