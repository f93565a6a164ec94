//! What traps to EL2 while a guest runs, per pCPU, and the exception that a guest takes instead of what it tried.

use core::arch::asm;

use portunus::vdev::esr::Esr;
use portunus::vdev::idregs::IdValues;
use portunus::vdev::inject::{self, Exception, Interrupted};

use super::sysreg::{
    CNTHCTL_EL2, CPTR_EL2, ELR_EL1, ELR_EL2, ESR_EL1, FAR_EL1, HAFGRTR_EL2, HCR_EL2, HCRX_EL2, HDFGRTR_EL2,
    HDFGRTR2_EL2, HDFGWTR_EL2, HDFGWTR2_EL2, HFGITR_EL2, HFGITR2_EL2, HFGRTR_EL2, HFGRTR2_EL2, HFGWTR_EL2,
    HFGWTR2_EL2, HSTR_EL2, ID_AA64DFR0_EL1, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64PFR0_EL1,
    ID_AA64PFR1_EL1, MDCR_EL2, MDSCR_EL1, MIDR_EL1, MPAM2_EL2, MPAMHCR_EL2, MPAMIDR_EL1, PMCR_EL0, SCTLR_EL1,
    SPSR_EL1, SPSR_EL2, VBAR_EL1, VPIDR_EL2, VTCR_EL2,
};

// HCR_EL2 (Arm ARM DDI 0487).
const VM: u64 = 1;
/// DC ISW of a guest cleans as well: it may only touch what is the guest's.
const SWIO: u64 = 1 << 1;
/// A guest's page tables are not read from device memory.
const PTW: u64 = 1 << 2;
const FMO: u64 = 1 << 3;
const IMO: u64 = 1 << 4;
const AMO: u64 = 1 << 5;
/// Barriers of a guest reach at least the Inner Shareable domain, in which its vCPUs are.
const BSU_INNER: u64 = 1 << 10;
const TWI: u64 = 1 << 13;
const TID3: u64 = 1 << 18;
const TSC: u64 = 1 << 19;
const TIDCP: u64 = 1 << 20;
const TACR: u64 = 1 << 21;
const RW: u64 = 1 << 31;
const TLOR: u64 = 1 << 35;
const TERR: u64 = 1 << 36;

const HCR: u64 = VM | SWIO | PTW | FMO | IMO | AMO | BSU_INNER | TID3 | TSC | TIDCP | TACR | RW;

/// Sets the traps of the executing pCPU, for guests whose stage 2 has the shape `vtcr`.
pub fn set_traps(vtcr: u64) {
    /// RES1 bits and TZ; TTA (trace) and TAM (activity monitors) trap as well. FP does not.
    const CPTR: u64 = 0x33ff | 1 << 20 | 1 << 30;
    /// Guests have the physical counter and timer.
    const PHYSICAL_COUNTER_AND_TIMER: u64 = 0b11;
    CPTR_EL2::write(CPTR);
    MDCR_EL2::write(debug_traps());
    // UNKNOWN out of reset, and guests' writes trap: a breakpoint or step that firmware left on would stay so.
    MDSCR_EL1::write(0);
    HSTR_EL2::write(0);
    // Guests see the CPU that they are on.
    VPIDR_EL2::write(MIDR_EL1::read());
    CNTHCTL_EL2::write(PHYSICAL_COUNTER_AND_TIMER);
    VTCR_EL2::write(vtcr);
    later_features();
    trap_wfi(false);
}

/// Debug, performance monitors, statistical profiling and trace filter trap. HPMN keeps the number of counters: a
/// smaller one is CONSTRAINED UNPREDICTABLE at zero (Arm ARM, MDCR_EL2.HPMN).
fn debug_traps() -> u64 {
    /// TPMCR, TPM, TDA, TDOSA, TDRA, TPMS, TTRF.
    const TRAPS: u64 = 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 14 | 1 << 19;
    let counters = match ID_AA64DFR0_EL1::read() >> 8 & 0xf {
        0 | 0xf => 0,
        _ => PMCR_EL0::read() >> 11 & 0x1f,
    };
    TRAPS | counters
}

/// Registers that newer CPUs have: none of what they can grant is granted, so that what guests are not shown they
/// cannot use either. Their reset values are UNKNOWN.
fn later_features() {
    if ID_AA64MMFR1_EL1::read() >> 40 & 0xf != 0 {
        HCRX_EL2::write(0);
    }
    let fine_grained = ID_AA64MMFR0_EL1::read() >> 56 & 0xf;
    if fine_grained >= 1 {
        HFGRTR_EL2::write(0);
        HFGWTR_EL2::write(0);
        HFGITR_EL2::write(0);
        HDFGRTR_EL2::write(0);
        HDFGWTR_EL2::write(0);
        if ID_AA64PFR0_EL1::read() >> 44 & 0xf != 0 {
            HAFGRTR_EL2::write(0);
        }
    }
    if fine_grained >= 2 {
        HFGRTR2_EL2::write(0);
        HFGWTR2_EL2::write(0);
        HFGITR2_EL2::write(0);
        HDFGRTR2_EL2::write(0);
        HDFGWTR2_EL2::write(0);
    }
    memory_partitioning();
}

/// Guests and EL2 are in memory partition 0, and guests' accesses to the registers of FEAT_MPAM trap: they are not
/// shown it. MPAM2_EL2's partition numbers are UNKNOWN out of reset (Arm DDI 0598).
fn memory_partitioning() {
    /// TRAPMPAM0EL1 and TRAPMPAM1EL1.
    const TRAPS: u64 = 1 << 48 | 1 << 49;
    /// MPAMHCR_EL2.TRAP_MPAMIDR_EL1, and no virtual partitions.
    const TRAP_ID: u64 = 1 << 31;
    const HAS_HCR: u64 = 1 << 17;
    let (major, minor) = (ID_AA64PFR0_EL1::read() >> 40 & 0xf, ID_AA64PFR1_EL1::read() >> 16 & 0xf);
    if major == 0 && minor == 0 {
        return;
    }
    MPAM2_EL2::write(TRAPS);
    if MPAMIDR_EL1::read() & HAS_HCR != 0 {
        MPAMHCR_EL2::write(TRAP_ID);
    }
}

/// Whether a guest's WFI traps: only where someone else could run meanwhile.
pub fn trap_wfi(trap: bool) {
    let mut hcr = HCR;
    if ID_AA64MMFR1_EL1::read() >> 16 & 0xf != 0 {
        hcr |= TLOR;
    }
    if ID_AA64PFR0_EL1::read() >> 28 & 0xf != 0 {
        hcr |= TERR;
    }
    HCR_EL2::write(if trap { hcr | TWI } else { hcr });
    // SAFETY: a context synchronisation; changes nothing.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Goes on behind the trapped instruction, which was emulated. Not for HVC, which returns behind itself.
pub fn step_over(esr: Esr) {
    let (pc, pstate) = inject::step_over(esr, ELR_EL2::read(), SPSR_EL2::read());
    ELR_EL2::write(pc);
    SPSR_EL2::write(pstate);
}

/// The same behind an instruction of AArch64, which leaves behind neither a single step nor a BTYPE.
#[inline(always)]
pub fn step_over_word() {
    const SS: u64 = 1 << 21;
    const BTYPE: u64 = 0b11 << 10;
    ELR_EL2::write(ELR_EL2::read().wrapping_add(4));
    SPSR_EL2::write(SPSR_EL2::read() & !(SS | BTYPE));
}

/// Goes back to the HVC that trapped.
pub fn repeat_hvc() {
    ELR_EL2::write(ELR_EL2::read().wrapping_sub(4));
}

/// The guest takes `exception` instead of the instruction at ELR_EL2.
pub fn inject(exception: Exception, view: &IdValues) {
    let interrupted = Interrupted {
        pc: ELR_EL2::read(),
        pstate: SPSR_EL2::read(),
        sctlr: SCTLR_EL1::read(),
        vbar: VBAR_EL1::read(),
    };
    let taken = interrupted.take(exception, view);
    ELR_EL1::write(taken.elr);
    SPSR_EL1::write(taken.spsr);
    ESR_EL1::write(taken.esr.get());
    if let Some(far) = taken.far {
        FAR_EL1::write(far.get());
    }
    ELR_EL2::write(taken.pc);
    SPSR_EL2::write(taken.pstate);
}

/// PSTATE of the guest.
#[must_use]
pub fn pstate() -> u64 {
    SPSR_EL2::read()
}

/// Whether the guest holds off interrupts: PSTATE.I.
#[must_use]
pub fn interrupts_masked() -> bool {
    SPSR_EL2::read() & PSTATE_I != 0
}

/// Clears PSTATE.I of the guest, as SCHEDOP_block has it.
pub fn unmask_interrupts() {
    SPSR_EL2::write(SPSR_EL2::read() & !PSTATE_I);
}

const PSTATE_I: u64 = 1 << 7;

/// Waits for a physical interrupt, which EL2 itself holds masked: WFI ends for a masked one, too (Arm ARM D1.6.2). An SGI
/// that was sent before is on its way: WFI alone does not synchronise.
pub fn wait_for_interrupt() {
    // SAFETY: waits; memory accesses before it are complete.
    unsafe { asm!("dsb sy", "isb", "wfi", options(nostack, preserves_flags)) };
}
