//! System registers, one line each.
//!
//! `aarch64-cpu`'s accessors carry `nomem`: the compiler may move memory accesses across them. For registers
//! whose write changes what memory means, or who owns it, that is wrong, so these are our own. Names that the
//! assembler does not know for this target are given in their encoded form `S<op0>_<op1>_C<n>_C<m>_<op2>`
//! (Arm ARM DDI 0487, C5.3 and the register's own page).

/// Defines a zero-sized type per register with `read` and `write`.
macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = $encoding:literal;)*) => {$(
        $(#[$doc])*
        #[allow(non_camel_case_types, reason = "registers keep the spelling of the Arm ARM")]
        pub struct $name;

        #[allow(dead_code, reason = "a register that is only ever read or only ever written is normal")]
        impl $name {
            /// Reads the register of the executing CPU.
            #[inline(always)]
            pub fn read() -> u64 {
                let value: u64;
                // SAFETY: reading this register has no effect on memory; what it may have on the interrupt
                // controller (acknowledge) is what the caller asks for.
                unsafe { core::arch::asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nostack, preserves_flags)) };
                value
            }

            /// Writes the register of the executing CPU. Takes effect at the next context synchronisation.
            #[inline(always)]
            pub fn write(value: u64) {
                // SAFETY: the callers are the few modules of this room, each of which argues what it writes;
                // without `nomem` the compiler keeps memory accesses on their side of it.
                unsafe { core::arch::asm!(concat!("msr ", $encoding, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
            }
        }
    )*};
}

registers! {
    /// Exception syndrome of the last trap to EL2.
    ESR_EL2 = "esr_el2";
    /// Where the last trap to EL2 returns to.
    ELR_EL2 = "elr_el2";
    /// PSTATE of what trapped to EL2.
    SPSR_EL2 = "spsr_el2";
    /// Faulting virtual address.
    FAR_EL2 = "far_el2";
    /// Faulting IPA, bits 47:12 in 43:4.
    HPFAR_EL2 = "hpfar_el2";
    /// This pCPU's block (percpu.rs).
    TPIDR_EL2 = "tpidr_el2";
    /// Hypervisor configuration: what is routed and trapped.
    HCR_EL2 = "hcr_el2";
    /// Traps of FP/SIMD, SVE and trace.
    CPTR_EL2 = "cptr_el2";
    /// Traps of debug and performance monitors.
    MDCR_EL2 = "mdcr_el2";
    /// Traps of AArch32 coprocessor accesses.
    HSTR_EL2 = "hstr_el2";
    /// Timer and counter access of EL1.
    CNTHCTL_EL2 = "cnthctl_el2";
    /// Offset between the physical and the virtual counter.
    CNTVOFF_EL2 = "cntvoff_el2";
    /// EL2 physical timer: enable, mask, status.
    CNTHP_CTL_EL2 = "cnthp_ctl_el2";
    /// EL2 physical timer: deadline.
    CNTHP_CVAL_EL2 = "cnthp_cval_el2";
    /// Physical counter.
    CNTPCT_EL0 = "cntpct_el0";
    /// Virtual counter of the loaded vCPU.
    CNTVCT_EL0 = "cntvct_el0";
    /// Counter frequency in Hz.
    CNTFRQ_EL0 = "cntfrq_el0";
    /// What a guest reads as MIDR_EL1.
    VPIDR_EL2 = "vpidr_el2";
    /// What a guest reads as MPIDR_EL1.
    VMPIDR_EL2 = "vmpidr_el2";
    /// Stage 2 root table and VMID.
    VTTBR_EL2 = "vttbr_el2";
    /// Stage 2 geometry.
    VTCR_EL2 = "vtcr_el2";
    /// EL2 stage 1 root table.
    TTBR0_EL2 = "ttbr0_el2";
    /// EL2 system control.
    SCTLR_EL2 = "sctlr_el2";
    /// Implementer, part and revision of this CPU.
    MIDR_EL1 = "midr_el1";
    /// Place of this CPU in the system.
    MPIDR_EL1 = "mpidr_el1";
    /// Cache line sizes.
    CTR_EL0 = "ctr_el0";
    /// Block size of DC ZVA.
    DCZID_EL0 = "dczid_el0";
    /// Memory model features: PARange, granules.
    ID_AA64MMFR0_EL1 = "id_aa64mmfr0_el1";
    /// Memory model features: VMID width, VHE.
    ID_AA64MMFR1_EL1 = "id_aa64mmfr1_el1";
    /// Instruction set features, third part.
    ID_AA64ISAR2_EL1 = "s3_0_c0_c6_2";
    /// Processor features: exception levels, GIC system registers.
    ID_AA64PFR0_EL1 = "id_aa64pfr0_el1";
    /// GIC: system-register access at EL2.
    ICC_SRE_EL2 = "S3_4_C12_C9_5";
    /// GIC: priority mask.
    ICC_PMR_EL1 = "S3_0_C4_C6_0";
    /// GIC: binary point, group 1.
    ICC_BPR1_EL1 = "S3_0_C12_C12_3";
    /// GIC: CPU interface control; bit 1 is EOImode.
    ICC_CTLR_EL1 = "S3_0_C12_C12_4";
    /// GIC: active priorities, group 1, of 4 or 5 bits of priority.
    ICC_AP1R0_EL1 = "S3_0_C12_C9_0";
    /// See [`ICC_AP1R0_EL1`]: of 6 bits.
    ICC_AP1R1_EL1 = "S3_0_C12_C9_1";
    /// See [`ICC_AP1R0_EL1`]: of 7 bits or more.
    ICC_AP1R2_EL1 = "S3_0_C12_C9_2";
    /// See [`ICC_AP1R2_EL1`].
    ICC_AP1R3_EL1 = "S3_0_C12_C9_3";
    /// GIC: group 1 enable.
    ICC_IGRPEN1_EL1 = "S3_0_C12_C12_7";
    /// GIC: acknowledge, group 1.
    ICC_IAR1_EL1 = "S3_0_C12_C12_0";
    /// GIC: priority drop, group 1.
    ICC_EOIR1_EL1 = "S3_0_C12_C12_1";
    /// GIC: deactivate.
    ICC_DIR_EL1 = "S3_0_C12_C11_1";
    /// GIC: send an SGI, group 1.
    ICC_SGI1R_EL1 = "S3_0_C12_C11_5";
    /// Virtual GIC: control.
    ICH_HCR_EL2 = "S3_4_C12_C11_0";
    /// Virtual GIC: number of list registers, priority and preemption bits.
    ICH_VTR_EL2 = "S3_4_C12_C11_1";
    /// Virtual GIC: the guest's PMR, BPR, group enables.
    ICH_VMCR_EL2 = "S3_4_C12_C11_7";
    /// Virtual GIC: active priorities of Group 0, 5 to 7 bits of preemption.
    ICH_AP0R0_EL2 = "S3_4_C12_C8_0";
    /// See [`ICH_AP0R0_EL2`].
    ICH_AP0R1_EL2 = "S3_4_C12_C8_1";
    /// See [`ICH_AP0R0_EL2`].
    ICH_AP0R2_EL2 = "S3_4_C12_C8_2";
    /// See [`ICH_AP0R0_EL2`].
    ICH_AP0R3_EL2 = "S3_4_C12_C8_3";
    /// Virtual GIC: active priorities of Group 1.
    ICH_AP1R0_EL2 = "S3_4_C12_C9_0";
    /// See [`ICH_AP1R0_EL2`].
    ICH_AP1R1_EL2 = "S3_4_C12_C9_1";
    /// See [`ICH_AP1R0_EL2`].
    ICH_AP1R2_EL2 = "S3_4_C12_C9_2";
    /// See [`ICH_AP1R0_EL2`].
    ICH_AP1R3_EL2 = "S3_4_C12_C9_3";
    /// GIC: system-register access at EL1.
    ICC_SRE_EL1 = "S3_0_C12_C12_5";

    /// A guest's system control.
    SCTLR_EL1 = "sctlr_el1";
    /// A guest's FP access control.
    CPACR_EL1 = "cpacr_el1";
    /// A guest's lower root table.
    TTBR0_EL1 = "ttbr0_el1";
    /// A guest's upper root table.
    TTBR1_EL1 = "ttbr1_el1";
    /// A guest's translation control.
    TCR_EL1 = "tcr_el1";
    /// A guest's syndrome.
    ESR_EL1 = "esr_el1";
    /// A guest's auxiliary fault status.
    AFSR0_EL1 = "afsr0_el1";
    /// See [`AFSR0_EL1`].
    AFSR1_EL1 = "afsr1_el1";
    /// A guest's faulting address.
    FAR_EL1 = "far_el1";
    /// Result of an address translation.
    PAR_EL1 = "par_el1";
    /// A guest's memory attributes.
    MAIR_EL1 = "mair_el1";
    /// A guest's auxiliary memory attributes.
    AMAIR_EL1 = "amair_el1";
    /// A guest's vectors.
    VBAR_EL1 = "vbar_el1";
    /// EL2's vectors.
    VBAR_EL2 = "vbar_el2";
    /// A guest's address space identifier for debuggers.
    CONTEXTIDR_EL1 = "contextidr_el1";
    /// A guest's thread pointers.
    TPIDR_EL0 = "tpidr_el0";
    /// See [`TPIDR_EL0`].
    TPIDRRO_EL0 = "tpidrro_el0";
    /// See [`TPIDR_EL0`].
    TPIDR_EL1 = "tpidr_el1";
    /// A guest's stack pointers.
    SP_EL0 = "sp_el0";
    /// See [`SP_EL0`].
    SP_EL1 = "sp_el1";
    /// Where a guest's exception returns to.
    ELR_EL1 = "elr_el1";
    /// PSTATE that a guest's exception returns to.
    SPSR_EL1 = "spsr_el1";
    /// Which cache a guest asks about.
    CSSELR_EL1 = "csselr_el1";
    /// Counter and timer access of a guest's EL0, and the event stream.
    CNTKCTL_EL1 = "cntkctl_el1";
    /// EL1 virtual timer: enable, mask, status.
    CNTV_CTL_EL0 = "cntv_ctl_el0";
    /// EL1 virtual timer: deadline.
    CNTV_CVAL_EL0 = "cntv_cval_el0";
    /// EL1 physical timer: enable, mask, status.
    CNTP_CTL_EL0 = "cntp_ctl_el0";
    /// EL1 physical timer: deadline.
    CNTP_CVAL_EL0 = "cntp_cval_el0";
    /// Debug features: PMUVer.
    ID_AA64DFR0_EL1 = "id_aa64dfr0_el1";
    /// Debug exceptions of EL1 and EL0.
    MDSCR_EL1 = "mdscr_el1";
    /// Performance monitors: number of counters.
    PMCR_EL0 = "pmcr_el0";
    /// More hypervisor configuration (FEAT_HCX).
    HCRX_EL2 = "S3_4_C1_C2_2";
    /// Fine-grained read traps (FEAT_FGT).
    HFGRTR_EL2 = "S3_4_C1_C1_4";
    /// Fine-grained write traps (FEAT_FGT).
    HFGWTR_EL2 = "S3_4_C1_C1_5";
    /// Fine-grained instruction traps (FEAT_FGT).
    HFGITR_EL2 = "S3_4_C1_C1_6";
    /// Fine-grained debug read traps (FEAT_FGT).
    HDFGRTR_EL2 = "S3_4_C3_C1_4";
    /// Fine-grained debug write traps (FEAT_FGT).
    HDFGWTR_EL2 = "S3_4_C3_C1_5";
    /// Fine-grained read traps of activity monitors (FEAT_FGT with FEAT_AMUv1).
    HAFGRTR_EL2 = "S3_4_C3_C1_6";
    /// Fine-grained read traps (FEAT_FGT2).
    HFGRTR2_EL2 = "S3_4_C3_C1_2";
    /// Fine-grained write traps (FEAT_FGT2).
    HFGWTR2_EL2 = "S3_4_C3_C1_3";
    /// Fine-grained instruction traps (FEAT_FGT2).
    HFGITR2_EL2 = "S3_4_C3_C1_7";
    /// Fine-grained debug read traps (FEAT_FGT2).
    HDFGRTR2_EL2 = "S3_4_C3_C1_0";
    /// Fine-grained debug write traps (FEAT_FGT2).
    HDFGWTR2_EL2 = "S3_4_C3_C1_1";
    /// Memory partitioning of EL2, and its traps for EL1 (FEAT_MPAM).
    MPAM2_EL2 = "S3_4_C10_C5_0";
    /// Virtual memory partitions (FEAT_MPAM with MPAMIDR_EL1.HAS_HCR).
    MPAMHCR_EL2 = "S3_4_C10_C4_0";
    /// What memory partitioning there is.
    MPAMIDR_EL1 = "S3_0_C10_C4_4";
    /// Processor features: MPAM's minor version.
    ID_AA64PFR1_EL1 = "id_aa64pfr1_el1";
}
