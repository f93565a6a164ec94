// Exception vectors of EL2.
//
// EL2 runs with everything masked and takes no exception of its own except those that end in a report, and the
// probe of an address that may not exist.

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
    // No guest runs yet: what comes from a lower level is as unexpected as the rest.
    from_hypervisor 8
    from_hypervisor 9
    from_hypervisor 10
    from_hypervisor 11
    from_hypervisor 12
    from_hypervisor 13
    from_hypervisor 14
    from_hypervisor 15

    .balign 0x80
// A synchronous exception at EL2. x0 and x1 are kept in EL1's thread registers meanwhile: this is not the
// guest's path, and probing happens only before the first guest runs.
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
    mov     x1, sp                      // where the stack was
    msr     tpidrro_el0, x1
    adrp    x1, __report_stack_top      // shared by all CPUs: the reporter stops the others first
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
