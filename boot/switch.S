// A vCPU's registers, into memory and back: what is moved only where vCPUs share a pCPU. Straight through, since
// every event between two domains of one pCPU comes by here twice.
//
// EL2 itself never touches FP and SIMD registers. The section is one of its own, so that the check of the image
// (xtask/src/simd.rs) can tell it from the rest. They are moved always, not when a guest first uses them: the latter
// relies on no CPU reading them speculatively past the trap of that first use (CVE-2018-3665 is of some that did), and
// saves 38 instructions.
//
// x0 -> Context (src/arch/aarch64/context.rs), which is laid out in the order of this file.

    .section .fp, "ax"
    .arch_extension fp
    .arch_extension simd

    // What of EL1 and EL0 a guest keeps in registers, in pairs. What traps (debug, performance monitors, ACTLR) or is
    // not shown holds nothing of a guest's and is not here.
    .macro  each_pair do
    \do     elr_el2, spsr_el2           // PC and PSTATE
    \do     cpacr_el1, ttbr0_el1
    \do     ttbr1_el1, esr_el1
    \do     afsr0_el1, afsr1_el1
    \do     far_el1, par_el1
    \do     mair_el1, amair_el1
    \do     vbar_el1, contextidr_el1
    \do     tpidr_el0, tpidrro_el0
    \do     tpidr_el1, sp_el0
    \do     sp_el1, elr_el1
    \do     spsr_el1, csselr_el1
    \do     fpcr, fpsr
    .endm

    .macro  save a, b
    mrs     x2, \a
    mrs     x3, \b
    stp     x2, x3, [x0], #16
    .endm

    .macro  restore a, b
    ldp     x2, x3, [x0], #16
    msr     \a, x2
    msr     \b, x3
    .endm

    // q0 to q31 at x0; and the 256 bytes of a frame, by way of q0 to q7 and q16 to q23 while they are nobody's.
    .macro  each_q do
    \do     q0, q1, [x0]
    \do     q2, q3, [x0, #32]
    \do     q4, q5, [x0, #64]
    \do     q6, q7, [x0, #96]
    \do     q8, q9, [x0, #128]
    \do     q10, q11, [x0, #160]
    \do     q12, q13, [x0, #192]
    \do     q14, q15, [x0, #224]
    \do     q16, q17, [x0, #256]
    \do     q18, q19, [x0, #288]
    \do     q20, q21, [x0, #320]
    \do     q22, q23, [x0, #352]
    \do     q24, q25, [x0, #384]
    \do     q26, q27, [x0, #416]
    \do     q28, q29, [x0, #448]
    \do     q30, q31, [x0, #480]
    .endm

    .macro  each_of_frame do, base, offset=0
    \do     q0, q1, [\base, #\offset]
    \do     q2, q3, [\base, #\offset + 32]
    \do     q4, q5, [\base, #\offset + 64]
    \do     q6, q7, [\base, #\offset + 96]
    \do     q16, q17, [\base, #\offset + 128]
    \do     q18, q19, [\base, #\offset + 160]
    \do     q20, q21, [\base, #\offset + 192]
    \do     q22, q23, [\base, #\offset + 224]
    .endm

// void vcpu_save(Context *to, const TrapFrame *frame)
    .global vcpu_save
vcpu_save:
    each_q  stp
    each_of_frame ldp, x1
    each_of_frame stp, x0, 512
    add     x0, x0, #768
    each_pair save
    save    tcr_el1, sctlr_el1
    ret

// void vcpu_restore(const Context *from, TrapFrame *frame). Translations of the guest that had the CPU are stopped
// (stop_walks in src/arch/aarch64/context.rs) and stage 2 is that of this one.
    .global vcpu_restore
vcpu_restore:
    each_of_frame ldp, x0, 512
    each_of_frame stp, x1
    each_q  ldp
    add     x0, x0, #768
    each_pair restore
    ldp     x2, x3, [x0]
    // The regime comes last, in the opposite order of stop_walks.
    isb
    msr     sctlr_el1, x3
    isb
    msr     tcr_el1, x2
    ret

    .arch_extension nosimd
    .arch_extension nofp
    .text
