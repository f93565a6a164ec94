// The first instructions of a domU: arm64 Image header, entry of vCPU 0, entry of every other vCPU.
//
// Trusts: the hypervisor loaded the file with its header's rules (Linux, Documentation/arch/arm64/booting.rst), left
// it clean to the point of coherency, entered at EL1 with MMU and caches off, x0 = address of the device tree.

    .section .head, "ax"
    .global _start
_start:
    b       primary_entry               // code0
    .word   0                           // code1
    .quad   0                           // text_offset
    .quad   __image_size                // with .bss and stacks, so that nothing is placed on top of them
    .quad   0xa                         // flags: little endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0

    .section .text.start, "ax"

// Drops what the cache may hold of x0..x1: with the MMU off we write past it, and a line that the loader left there
// would hide what we wrote (Arm ARM DDI 0487, B2.7, mismatched attributes). Clobbers x2, x3.
    .macro  drop_cached
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4             // CTR_EL0.DminLine: log2 of words in the smallest line
    mov     x3, #4
    lsl     x3, x3, x2
    sub     x2, x3, #1
    bic     x0, x0, x2
1:  dc      ivac, x0
    add     x0, x0, x3
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    .endm

primary_entry:
    hint    #0x78                       // marks.rs, START
    msr     daifset, #0xf
    mov     x20, x0                     // the device tree
    adrp    x0, __data_start
    adrp    x1, __image_end
    drop_cached

    // Apply the relocations. At link address 0 the load address is the bias.
    adrp    x3, __image_start
    adrp    x0, __rela_start
    add     x0, x0, :lo12:__rela_start
    adrp    x1, __rela_end
    add     x1, x1, :lo12:__rela_end
2:  cmp     x0, x1
    b.hs    3f
    ldp     x4, x5, [x0], #16           // r_offset, r_info
    ldr     x6, [x0], #8                // r_addend
    cmp     w5, #1027                   // R_AARCH64_RELATIVE; the linker emits no other kind (-z text, -Bsymbolic)
    b.ne    2b
    add     x6, x6, x3
    str     x6, [x4, x3]
    b       2b

3:  adrp    x0, __bss_start
    adrp    x1, __bss_end
4:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    4b

    mov     x19, #0                     // vCPU 0
    bl      own_state
    mov     x0, x20
    bl      first_map                   // Rust with the MMU off: no atomics, no unaligned access
    adrp    x0, __data_start
    adrp    x1, __image_end
    drop_cached
    bl      mmu_on
    mov     x0, x20
    bl      rt_primary                  // never returns

// Entered through PSCI CPU_ON with x0 = a context. The number of the vCPU is not taken from there: Xen 4.17 may
// overwrite it with the result of a CPU_OFF that is not quite over. Its vCPUs count up, 16 to a cluster.
    .global secondary_entry
secondary_entry:
    msr     daifset, #0xf
    mov     x20, x0
    mrs     x1, mpidr_el1
    ubfx    x2, x1, #8, #8              // Aff1
    and     x19, x1, #0xf               // Aff0
    add     x19, x19, x2, lsl #4
    bl      own_state
    bl      mmu_on
    mov     x0, x19
    mov     x1, x20
    bl      rt_secondary                // never returns

// The stack, the vectors and the number of this vCPU. x19 = its number.
own_state:
    adrp    x0, {stacks}
    add     x0, x0, :lo12:{stacks}
    add     x1, x19, #1
    mov     x2, #{stack_size}
    madd    x0, x1, x2, x0
    mov     sp, x0
    msr     tpidr_el1, x19
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0
    mov     x29, #0
    isb
    ret

// Turns MMU and caches on with the tables that first_map made. Identity mapped, so the next instruction is the same
// before and after.
mmu_on:
    adrp    x0, {regime}
    add     x0, x0, :lo12:{regime}
    ldp     x1, x2, [x0]                // TTBR0_EL1, TCR_EL1
    ldp     x3, x4, [x0, #16]           // MAIR_EL1, SCTLR_EL1
    msr     ttbr0_el1, x1
    msr     tcr_el1, x2
    msr     mair_el1, x3
    isb                                 // the walker must see the new controls before the TLB is emptied
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el1, x4
    isb
    ret
