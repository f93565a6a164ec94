// Entry of every other CPU, by PSCI CPU_ON or by a spin-table.
//
// Trusts: SECONDARY_START was filled and cleaned to the point of coherency by the boot CPU, which starts one
// CPU at a time and waits for a while. Does not trust registers: a spin-table passes nothing in x0. Nor that it is this
// CPU's turn: one that the boot CPU has given up on must not take the stack of the next.

    .section .text.boot, "ax"
    .global secondary_entry
secondary_entry:
    msr     daifset, #0xf
    adrp    x19, SECONDARY_START
    add     x19, x19, :lo12:SECONDARY_START
    // First what is to be used, then whom it is for: the MMU is off, so the loads happen in this order.
    ldp     x20, x21, [x19, #{START_STACK}] // stack top, per-CPU block
    ldr     x1, [x19, #{START_WHOM}]
    mvn     x1, x1
    mrs     x0, mpidr_el1
    mov     x2, #0xffffff               // Aff2, Aff1, Aff0
    movk    x2, #0xff, lsl #32          // Aff3
    and     x0, x0, x2
    cmp     x0, x1
    b.ne    park

    msr     spsel, #1                   // see boot/head.S
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.ne    7f

    mov     x0, #(1 << 31)              // HCR_EL2.RW; see boot/head.S
    msr     hcr_el2, x0
    isb
    ldr     x0, ={SCTLR_EL2_MMU_OFF}
    msr     sctlr_el2, x0
    mov     x0, #0x33ff
    msr     cptr_el2, x0
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el2, x0
    msr     tpidr_el2, xzr              // no per-CPU block yet (src/arch/aarch64/percpu.rs)
    isb

    ldr     x0, [x19, #{START_REGIME}]
    bl      mmu_on
    mov     sp, x20
    mov     x0, x21
    mov     x29, #0
    mov     x30, #0
    bl      secondary_main              // never returns
    b       park

    // Not EL2: nothing to be done here, but the boot CPU can say so. The MMU is off, so the store goes to
    // memory; the boot CPU reads it after an invalidate.
7:  lsr     x0, x0, #2
    str     x0, [x19, #{START_WRONG_LEVEL}]
    dsb     sy
    b       park
