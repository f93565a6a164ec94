// The first instructions: the arm64 Image header and the entry of the boot CPU.
//
// Trusts: it was entered by Linux's arm64 boot protocol (Documentation/arch/arm64/booting.rst): MMU and data cache off, the
// image clean to the point of coherency, x0 = physical address of the device tree. The front that unpacks the image
// (boot/unpack) does so; a boot loader would as well.
// Does not trust: the exception level, DAIF, HCR_EL2, SCTLR_EL2, SP, the contents of .bss, nor that x0 is a
// tree. The image may lie at any 4 KiB-aligned address; the header asks for 2 MiB, as the protocol does.

    .section .head, "ax"
    .global _start
_start:
    b       primary_entry               // code0
    .word   0                           // code1
    .quad   0                           // text_offset: the start of a 2 MiB-aligned block will do
    .quad   __image_size                // with .bss and stack, so that nothing is placed on top of them
    .quad   0xa                         // flags: little endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0

    .section .text.boot, "ax"

// Invalidates the data cache by address to the point of coherency, from page x0 to page x1; clobbers x0, x2, x3. Two lines
// in a round: lines are of 64 or 128 bytes, so a page has an even number of them.
// Needed around writes made with the MMU off: those bypass the cache, so a line that the loader left there
// would hide them later, or be written back over them (Arm ARM DDI 0487, B2.7 and D7.5 on mismatched attributes).
// The barrier first: such maintenance is not ordered behind stores to Device memory, which all are with the MMU off, but by
// one (Arm ARM DDI 0487, D7.5.9).
    .macro  invalidate_range
    dsb     sy
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4             // CTR_EL0.DminLine: log2 of words in the smallest line
    mov     x3, #4
    lsl     x3, x3, x2
1:  dc      ivac, x0
    add     x0, x0, x3
    dc      ivac, x0
    add     x0, x0, x3
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    .endm

primary_entry:
    msr     daifset, #0xf               // U-Boot enters with SError unmasked
    msr     spsel, #1                   // the boot protocol does not say; guests trap to the stack of SP_EL2
    mov     x20, x0                     // the alleged device tree
    mrs     x21, CurrentEL
    lsr     x21, x21, #2

    cmp     x21, #2
    b.ne    prepare_memory              // EL1 or EL3: get far enough to say so

    // EL2 as this hypervisor wants it, whatever firmware left: MMU, caches and alignment checks off, EL1 is
    // AArch64 and nothing is routed or trapped yet. HCR_EL2 first: SCTLR_EL2 means something else under E2H.
    mov     x0, #(1 << 31)              // HCR_EL2.RW
    msr     hcr_el2, x0
    isb
    ldr     x0, ={SCTLR_EL2_MMU_OFF}
    msr     sctlr_el2, x0
    mov     x0, #0x33ff                 // CPTR_EL2: RES1 bits only, no trap of FP, SVE hidden by TZ below
    msr     cptr_el2, x0
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el2, x0
    msr     tpidr_el2, xzr              // no per-CPU block yet (src/arch/aarch64/percpu.rs)
    isb

prepare_memory:
    adrp    x0, __relro_start           // what shares its page is constant, and clean
    adrp    x1, __heap_start            // the heap is written with the caches on
    invalidate_range

    // Apply the relocations: words that hold addresses, to which the bias is added. At link address 0 that is the
    // load address. They are packed (generic System V ABI, "Relative Relocation Table"): an even entry is the
    // address of a word; an odd one is a bitmap of the 63 words behind those that the entries before it spoke of.
    adrp    x3, __image_start
    adrp    x0, __relr_start
    add     x0, x0, :lo12:__relr_start
    adrp    x1, __relr_end
    add     x1, x1, :lo12:__relr_end
2:  cmp     x0, x1
    b.hs    3f
    ldr     x4, [x0], #8
    tbnz    x4, #0, 7f
    add     x5, x4, x3
    ldr     x6, [x5]
    add     x6, x6, x3
    str     x6, [x5], #8                // x5: the next word that no entry has spoken of
    b       2b
7:  mov     x7, x5
    add     x5, x5, #(63 * 8)
8:  lsr     x4, x4, #1
    cbz     x4, 2b
    tbz     x4, #0, 9f
    ldr     x6, [x7]
    add     x6, x6, x3
    str     x6, [x7]
9:  add     x7, x7, #8
    b       8b

3:  adrp    x0, __bss_start
    adrp    x1, __bss_end
4:  stp     xzr, xzr, [x0], #128        // .bss is whole pages
    stp     xzr, xzr, [x0, #-112]
    stp     xzr, xzr, [x0, #-96]
    stp     xzr, xzr, [x0, #-80]
    stp     xzr, xzr, [x0, #-64]
    stp     xzr, xzr, [x0, #-48]
    stp     xzr, xzr, [x0, #-32]
    stp     xzr, xzr, [x0, #-16]
    cmp     x0, x1
    b.lo    4b

    adrp    x0, __boot_stack_top
    mov     sp, x0
    mov     x29, #0
    mov     x30, #0
    cmp     x21, #2
    b.ne    5f

    // First page tables, written by Rust that runs with the MMU off (no atomics, no unaligned access).
    mov     x0, x20
    bl      first_map                   // -> x0: the Regime to load
    mov     x22, x0
    adrp    x0, __relro_start
    adrp    x1, __heap_start
    invalidate_range                    // drop what speculation may have loaded while we wrote past the cache
    mov     x0, x22
    bl      mmu_on
    mov     x0, x20
    bl      boot_main                   // never returns
    b       park

5:  adrp    x0, __heap_start            // here it is written with the caches off
    adrp    x1, __heap_end
    invalidate_range
    mov     x0, x20
    mov     x1, x21
    bl      wrong_exception_level
    b       park

// Turns the MMU and the caches on for this CPU. x0 -> a Regime (src/arch/aarch64/map.rs): TTBR0_EL2,
// TCR_EL2, MAIR_EL2, SCTLR_EL2. Runs identity mapped, so the next instruction is the same before and after.
    .global mmu_on
mmu_on:
    ldp     x1, x2, [x0]
    ldp     x3, x4, [x0, #16]
    msr     ttbr0_el2, x1
    msr     tcr_el2, x2
    msr     mair_el2, x3
    isb                                 // the walker must see the new controls before TLBs are emptied
    tlbi    alle2                       // TLBs and the I-cache are UNKNOWN out of reset (Arm ARM D8.13, D7.5)
    tlbi    alle1
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el2, x4
    isb
    ret

// Where a CPU ends that must not run any more. Interrupts stay masked; WFI only saves power.
    .global park
park:
    msr     daifset, #0xf
6:  wfi
    b       6b
