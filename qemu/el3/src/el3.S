// EL3 on QEMU's ZCU102. Position independent; loaded at 0xfffc0000 and entered there by CPU 0, the others come from reset
// when CPU_ON lets them.
//
// Behind the first branch: where CPU 0 goes at EL2, and what it finds in x0. Whoever loads this fills them in.

    .equ    GICD, 0xf9010000            // Zynq UltraScale+ TRM (UG1085), "GIC", and its register reference (UG1087)
    .equ    GICC, 0xf9020000
    .equ    APU_RVBAR, 0xfd5c0040       // RVBARADDR0L: where CPU n starts, 8 bytes each
    .equ    RST_FPD_APU, 0xfd1a0104     // ACPUn_RESET bits 0-3, ACPUn_PWRON_RESET bits 10-13

    .equ    PSCI_VERSION, 0x84000000    // Arm DEN 0022
    .equ    PSCI_SYSTEM_OFF, 0x84000008
    .equ    PSCI_FEATURES, 0x8400000a
    .equ    PSCI_CPU_ON, 0xc4000003
    .equ    PM_GET_API_VERSION, 0xc2000001  // EEMI (UG1200): what U-Boot asks of the PMU's firmware
    .equ    PM_MMIO_WRITE, 0xc2000013
    .equ    PM_MMIO_READ, 0xc2000014
    .equ    PM_GET_CHIPID, 0xc2000018
    .equ    NOT_SUPPORTED, -1
    .equ    INVALID, -2
    .equ    ALREADY_ON, -4

    .section .head, "ax"
    .global _start
_start:
    b       cold
    .word   0
entry:
    .quad   0                           // where CPU 0 goes
    .quad   0                           // its x0

cold:
    ldr     x1, =GICD                   // every interrupt is Group 1: the non-secure side's
    mov     w2, #-1
    add     x3, x1, #0x80               // GICD_IGROUPR1 on
    mov     x4, #7
1:  str     w2, [x3], #4
    subs    x4, x4, #1
    b.ne    1b
    mov     w2, #3                      // both groups are forwarded
    str     w2, [x1]
    adr     x20, cpus
    adr     x21, entry
    ldp     x0, x1, [x21]
    stp     x0, x1, [x20]
    mov     w0, #1
    str     w0, [x20, #16]

// Every CPU, from reset. Its slot says where it goes.
warm:
    mrs     x5, mpidr_el1
    and     x5, x5, #3
    adr     x20, cpus
    add     x20, x20, x5, lsl #5
    adr     x0, vectors
    msr     vbar_el3, x0
    adr     x0, stacks
    add     x0, x0, x5, lsl #8
    add     x0, x0, #256
    mov     sp, x0
    ldr     x1, =GICC                   // the priority mask as the non-secure side may need it
    mov     w2, #0xff
    str     w2, [x1, #4]
    ldr     x1, =GICD + 0x80            // GICD_IGROUPR0 is banked
    mov     w2, #-1
    str     w2, [x1]
    ldr     x0, =62500000               // what QEMU's counter runs at
    msr     cntfrq_el0, x0
    msr     cptr_el3, xzr
    mov     x0, #0x531                  // SCR_EL3: RW, HCE, RES1, NS; SMC is not disabled
    msr     scr_el3, x0
    ldr     x0, =0x30c50830             // SCTLR_EL2: RES1
    msr     sctlr_el2, x0
    mov     x0, #0x3c9                  // SPSR_EL3: EL2h, all masked
    msr     spsr_el3, x0
    ldp     x0, x1, [x20]
    msr     elr_el3, x0
    mov     x0, x1
    mov     x1, #0
    mov     x2, #0
    mov     x3, #0
    isb
    eret

    .macro  dead
    .balign 0x80
    b       .
    .endm

    .balign 0x800
vectors:
    .rept   8                           // from EL3
    dead
    .endr
    .balign 0x80
    b       lower                       // synchronous, from AArch64 below
    .rept   7
    dead
    .endr
    .balign 0x80

    .macro  case id, label
    ldr     w11, =\id
    cmp     w0, w11
    b.eq    \label
    .endm

lower:
    stp     x10, x11, [sp, #-16]!
    mrs     x10, esr_el3
    lsr     x10, x10, #26
    cmp     x10, #0x17                  // SMC, AArch64
    b.ne    .
    case    PSCI_VERSION, version
    case    PSCI_FEATURES, features
    case    PSCI_CPU_ON, cpu_on
    case    PSCI_SYSTEM_OFF, off
    case    PM_GET_API_VERSION, pm_version
    case    PM_MMIO_WRITE, pm_write
    case    PM_MMIO_READ, pm_read
    case    PM_GET_CHIPID, pm_chip
    lsr     w10, w0, #24
    cmp     w10, #0xc2                  // any other call of that firmware: done, nothing to report
    b.eq    2f
    mov     x0, #NOT_SUPPORTED
    b       back
pm_version:
    ldr     x0, =0x1000100000000        // 1.1, behind the status
    b       back
pm_write:                               // x1 address and mask, x2 value
    mov     w10, w1
    lsr     x11, x1, #32
    ldr     w0, [x10]
    bic     w0, w0, w11
    and     w11, w11, w2
    orr     w0, w0, w11
    str     w0, [x10]
    b       2f
pm_read:
    mov     w10, w1
    ldr     w0, [x10]
    lsl     x0, x0, #32
    b       back
pm_chip:
    ldr     x0, =0x2473809300000000     // an xczu9eg
    mov     x1, #0
    b       back
version:
    mov     x0, #0x10000                // 1.0
    b       back
features:
    mov     w0, w1
    case    PSCI_CPU_ON, 2f
    case    PSCI_SYSTEM_OFF, 2f
    mov     x0, #NOT_SUPPORTED
    b       back
2:  mov     x0, #0
    b       back

cpu_on:                                 // x1 CPU, x2 entry, x3 context
    and     x10, x1, #0xff
    cmp     x10, #3
    b.hi    4f
    adr     x11, cpus
    add     x11, x11, x10, lsl #5
    ldr     w0, [x11, #16]
    cbnz    w0, 5f
    stp     x2, x3, [x11]
    mov     w0, #1
    str     w0, [x11, #16]
    dsb     sy                          // it reads its slot with its caches off, as this writes it
    ldr     x11, =APU_RVBAR
    add     x11, x11, x10, lsl #3
    adr     x0, warm
    str     w0, [x11]
    str     wzr, [x11, #4]
    stp     x4, x5, [sp, #-16]!
    ldr     x11, =RST_FPD_APU
    ldr     w0, [x11]
    mov     w4, #0x401
    lsl     w4, w4, w10
    bic     w0, w0, w4
    str     w0, [x11]
    ldp     x4, x5, [sp], #16
    mov     x0, #0
    b       back
4:  mov     x0, #INVALID
    b       back
5:  mov     x0, #ALREADY_ON
back:
    ldp     x10, x11, [sp], #16
    eret

off:                                    // ends QEMU if it runs with -semihosting
    adr     x1, reason
    mov     w0, #0x20                   // SYS_EXIT_EXTENDED
    hlt     #0xf000
    b       .

    .ltorg
    .balign 16
reason:
    .quad   0x20026, 0                  // ADP_Stopped_ApplicationExit
cpus:                                   // for each: entry, x0, whether it is on, nothing
    .fill   16, 8, 0
stacks:
    .fill   128, 8, 0
