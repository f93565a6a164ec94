// Exception vectors of EL2, and the way into a guest.
//
// EL2 runs with everything masked and takes no exception of its own except those that end in a report, and the
// probe of an address that may not exist. A guest's general registers are spilled to the top of this pCPU's stack
// (TrapFrame, src/arch/aarch64/start.rs); its PC and PSTATE stay in ELR_EL2 and SPSR_EL2 until another vCPU is
// switched in.

    .section .text.vectors, "ax"

    .macro  spill
    sub     sp, sp, #{FRAME_SIZE}
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    .endm

    // A trap taken at EL2 itself. Only a probe of an address that may not exist is expected (probe_read in
    // src/arch/aarch64/probe.rs); all else is our own broken invariant and ends in a report. The report gets a
    // stack of its own: the fault may be this one's overflow.
    .macro  from_hypervisor kind
    .balign 0x80
    msr     tpidr_el1, x0               // EL1 state is lost only if this ends in a report
    mov     x0, #\kind
    b       hypervisor_trap
    .endm

    // A trap from a guest. x29 = 0 ends a backtrace here: the guest's frame pointer is not to be followed.
    .macro  from_guest handler
    .balign 0x80
    spill
    mov     x0, sp
    mov     x29, #0
    bl      \handler
    b       guest_resume
    .endm

    // The same for a trap that is usually over soon. Only what Rust may clobber is spilled (AAPCS64, 6.1.1): the
    // handler preserves x19 to x28. It answers 0 if the guest goes on, or a handler of the kind above to continue with;
    // then the rest of the frame is filled first.
    .macro  from_guest_briefly handler
    .balign 0x80
    sub     sp, sp, #{FRAME_SIZE}
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    str     x18, [sp, #144]
    stp     x29, x30, [sp, #232]
    mov     x0, sp
    mov     x29, #0
    bl      \handler
    cbnz    x0, guest_continue
    b       guest_resume_briefly
    .endm

    .balign 0x800
    .global vectors
vectors:
    from_hypervisor 0                   // current EL, SP_EL0: never used
    from_hypervisor 1
    from_hypervisor 2
    from_hypervisor 3
    .balign 0x80                        // current EL, SP_EL2, synchronous
    b       hypervisor_sync
    from_hypervisor 5
    from_hypervisor 6
    from_hypervisor 7
    from_guest_briefly guest_sync_briefly   // lower level, AArch64
    from_guest_briefly guest_irq_briefly
    from_hypervisor 10                  // FIQ: nothing is configured as one
    from_guest guest_serror
    from_guest guest_sync               // lower level, AArch32: EL0 of a guest
    from_guest guest_irq
    from_hypervisor 14
    from_guest guest_serror

    .balign 0x80
// Behind a trap that turned out to take longer: x0 = the handler that continues.
guest_continue:
    str     x19, [sp, #152]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    str     x28, [sp, #224]
    mov     x1, x0
    mov     x0, sp
    blr     x1
    b       guest_resume

guest_resume_briefly:
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldr     x18, [sp, #144]
    ldp     x29, x30, [sp, #232]
    add     sp, sp, #{FRAME_SIZE}
    eret
    dsb     nsh                         // nothing behind ERET may run speculatively with a guest's registers
    isb

// void guest_enter(stack_top): leaves the stack as it is and enters the first guest that can run.
    .global guest_enter
guest_enter:
    sub     sp, x0, #{FRAME_SIZE}
    mov     x0, sp
    mov     x29, #0
    mov     x30, #0
    bl      first_entry                 // fills the frame
guest_resume:
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    add     sp, sp, #{FRAME_SIZE}
    eret
    dsb     nsh                         // nothing behind ERET may run speculatively with a guest's registers
    isb

// A synchronous exception at EL2. x0 and x1 are kept in EL1's thread registers meanwhile: this is not the
// guest's path, and probing happens only before the first guest runs, or when a report is printed.
hypervisor_sync:
    msr     tpidr_el1, x0
    msr     tpidrro_el0, x1
    mrs     x0, elr_el2
    adrp    x1, probe_load
    add     x1, x1, :lo12:probe_load
    cmp     x0, x1
    b.ne    8f
    adrp    x1, probe_failed
    add     x1, x1, :lo12:probe_failed
    msr     elr_el2, x1
    mrs     x1, tpidrro_el0
    mrs     x0, tpidr_el1
    eret
    dsb     nsh
    isb
8:  mrs     x1, tpidrro_el0
    mov     x0, #4

hypervisor_trap:
    msr     tpidr_el0, x1
    // One report at a time, on one stack: whoever comes second parks. (With the MMU off there is one CPU only, and
    // exclusive accesses need not work: Arm ARM B2.9.)
    mrs     x1, sctlr_el2
    tbz     x1, #0, 10f
    msr     tpidrro_el0, x0
    msr     elr_el1, x2
    adrp    x0, REPORTING
    add     x0, x0, :lo12:REPORTING
9:  ldaxr   w1, [x0]
    cbnz    w1, park
    mov     w1, #1
    stlxr   w2, w1, [x0]
    cbnz    w2, 9b
    mrs     x2, elr_el1
    mrs     x0, tpidrro_el0
10:
    mov     x1, sp                      // where the stack was
    msr     tpidrro_el0, x1
    adrp    x1, __report_stack_top      // shared by all CPUs: see above
    add     x1, x1, :lo12:__report_stack_top
    mov     sp, x1
    mrs     x1, tpidr_el0
    msr     tpidr_el0, x0               // kind
    mrs     x0, tpidr_el1
    spill
    mov     x0, sp
    mrs     x1, tpidr_el0               // kind
    mrs     x2, tpidrro_el0             // stack pointer at the fault
    bl      hypervisor_fault            // never returns
    b       park

// u64 probe_read(address, width): reads 32 bits from x0, or answers all ones in 64 bits if nothing is there.
    .global probe_read
probe_read:
    dsb     sy
    .global probe_load
probe_load:
    ldr     w0, [x0]
    dsb     sy
    ret
probe_failed:
    mov     x0, #-1
    ret
