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
}
