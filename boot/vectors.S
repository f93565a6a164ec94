// Exception vectors of EL2, and the way into a guest.
//
// EL2 runs with everything masked and takes no exception of its own except those that end in a report, and the
// probe of an address that may not exist. While a guest runs, SP_EL2 points at the frame for its general registers
// (TrapFrame, src/arch/aarch64/start.rs) at the top of this pCPU's stack, so that a trap spills where SP is. Its PC and
// PSTATE stay in ELR_EL2 and SPSR_EL2 until another vCPU is switched in.
//
// There are three tables, which differ in what they do first when a guest traps, so that its branches do not steer
// those of EL2 (src/prediction.rs). Each CPU has the one it needs in VBAR_EL2 (src/arch/aarch64/harden.rs). Up to the
// end of that sequence no indirect branch is executed.

    .section .text.vectors, "ax"

    // x0 to x17, which every trap needs spilled, and all of them but x0 and x1 back.
    .macro  spill_low
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    .endm

    .macro  fill_low
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    .endm

    .macro  spill
    spill_low
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    .endm

    // Only what Rust may change (AAPCS64, 6.1.1): handlers preserve x19 to x29. x30 lies in the place of x19, so that it
    // makes a pair with x18.
    .macro  spill_briefly
    spill_low
    stp     x18, x30, [sp, #144]
    .endm

    // The frame as TrapFrame has it, after spill_briefly. Clobbers x17.
    .macro  spill_rest
    ldr     x17, [sp, #152]
    str     x19, [sp, #152]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x17, [sp, #240]
    .endm

    // All that spill_briefly spilled but x0 and x1, and back to the guest.
    .macro  resume_briefly
    fill_low
    ldp     x18, x30, [sp, #144]
    return_to_guest
    .endm

    .macro  return_to_guest
    eret
    dsb     nsh                         // nothing behind ERET may run speculatively with a guest's registers
    isb
    .endm

    // What a table does first, the guest's x0 to x18 and x30 spilled. x0 to x4 and x16 keep their values, x17 is lost.
    .macro  protect_plain
    .endm

    // Cortex-A57 and Cortex-A72 remember the last 16 branches at most: eight rounds of two (Arm, "Spectre-BHB").
    .macro  protect_loop
    mov     w17, #8
9:  b       . + 4
    subs    w17, w17, #1
    b.ne    9b
    dsb     nsh
    isb
    .endm

    .macro  protect_other
    bl      forget
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
    .macro  from_guest handler, protection
    .balign 0x80
    spill
    protect_\protection
    mov     x0, sp
    mov     x29, #0
    bl      \handler
    b       guest_resume
    .endm

    // Traps that are usually over soon. The handlers answer 0 if the guest goes on, or a handler of the kind above to
    // continue with; then the rest of the frame is filled first. (A backtrace out of them may go on into whatever the
    // guest's x29 makes of this stack.)
    //
    // First of all, an event: HVC #0xEA1 with EVTCHNOP_send (4) in x0 and event_channel_op (32) in x16. Its arguments are where
    // they are for a function, too. 0 says that it is done, and is also the hypercall's answer.
    .macro  sync_from_guest protection
    .balign 0x80
    spill_briefly
    protect_\protection
    mrs     x18, esr_el2
    mov     w17, #({HYPERCALL} & 0xffff)
    movk    w17, #({HYPERCALL} >> 16), lsl #16
    cmp     x16, #{EVENT_CHANNEL_OP}
    ccmp    w0, #{SEND}, #0, eq
    ccmp    w18, w17, #0, eq
    b.eq    send
    mov     x0, sp
    cmp     w18, w17
    b.ne    sync_otherwise
    bl      guest_hypercall
    cbnz    x0, guest_continue
    b       resume_with_result
    .endm

    .macro  irq_from_guest protection
    .balign 0x80
    spill_briefly
    protect_\protection
    bl      guest_irq_briefly
    cbnz    x0, guest_continue
    ldp     x0, x1, [sp]
    resume_briefly
    .endm

    .macro  table name, protection
    .balign 0x800
    .global \name
\name:
    from_hypervisor 0                   // current EL, SP_EL0: never used
    from_hypervisor 1
    from_hypervisor 2
    from_hypervisor 3
    .balign 0x80                        // current EL, SP_EL2, synchronous
    b       hypervisor_sync
    from_hypervisor 5
    from_hypervisor 6
    from_hypervisor 7
    sync_from_guest \protection         // lower level, AArch64
    irq_from_guest \protection
    from_hypervisor 10                  // FIQ: nothing is configured as one
    from_guest guest_serror, \protection
    from_guest guest_sync, \protection  // lower level, AArch32: EL0 of a guest
    from_guest guest_irq, \protection
    from_hypervisor 14
    from_guest guest_serror, \protection
    .endm

    table   vectors, plain
    table   vectors_loop, loop
    table   vectors_other, other
    .balign 0x80
    .global vectors_end                 // linker.ld checks that no entry has grown into the next
vectors_end:

send:
    bl      guest_sends
    cbnz    x0, 1f
9:  ldr     x1, [sp, #8]
    resume_briefly
1:  tbz     x0, #0, 2f
    bl      guest_sent_to_ourselves     // most of the time there is nothing else to do
    cbz     x0, 9b
2:  spill_rest                          // not over with that, for the reason in x0
    mov     x1, x0
    mov     x0, sp
    mov     x29, #0
    bl      guest_sends_otherwise
    b       guest_resume

// No hypercall: x18 = ESR_EL2, x0 = SP.
sync_otherwise:
    mov     x1, x18
    lsr     x18, x18, #26
    cmp     x18, #{EC_HVC}
    b.ne    1f
    bl      guest_calls_firmware
    cbnz    x0, guest_continue
resume_with_result:
    ldp     x0, x1, [sp]
    resume_briefly
1:  mov     w2, #{SPILLED}
    cmp     x18, #{EC_SYSREG}
    b.eq    2f
    tbnz    x18, #0, 3f                 // WFI, or what happens more seldom
    bl      guest_sync_briefly
    cbz     x0, resume_with_result
    b       guest_continue
2:  bl      guest_sysreg_briefly
    cbz     x0, resume_with_result
    b       guest_continue
3:  spill_rest
    mov     x0, sp
    mov     x29, #0
    bl      guest_waits
    b       guest_resume

// Behind a trap that turned out to take longer: x0 = the handler that continues.
guest_continue:
    spill_rest
    mov     x1, x0
    mov     x0, sp
    mov     x29, #0
    blr     x1
    b       guest_resume

// Forgets what the guest did to the branch predictors, in the way that this CPU's block names. x0 to x3 are spilled.
forget:
    mrs     x17, tpidr_el2
    ldr     w17, [x17, #{PROTECTION}]
    tbnz    w17, #31, 3f
    tbnz    w17, #30, 2f
1:  b       . + 4
    subs    w17, w17, #1
    b.ne    1b
    dsb     nsh
    isb
    ret
2:  hint    #22                         // CLRBHB; a NOP where it is not there
    isb
    ret
3:  mov     w0, w17                     // a call that changes x0 to x3 only (Arm DEN 0028, 7.5)
    smc     #0
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ret

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
    fill_low
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    return_to_guest

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
    sub     sp, sp, #{FRAME_SIZE}
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
