// The first instructions of the image: its header, and the way to the hypervisor that is packed behind.
//
// Decides where things lie. The hypervisor is unpacked to where the boot loader put the image, so this code and the stream move
// out of the way first, to where the hypervisor will have variables and stacks: no memory is needed but what the header
// asks for. In the order of addresses: the unpacked hypervisor; this code and the stream again; what unpacking works with.
// At EL2 it works with the caches on, for with the MMU off each of its accesses, several for each instruction that is unpacked,
// would go to memory. At other exception levels, where the hypervisor is only to say that it cannot run, it works without.
// Trusts: the loader followed Linux's arm64 boot protocol (Documentation/arch/arm64/booting.rst): MMU and data cache off,
// the image clean to the point of coherency. Does not trust the rest of the memory to be in no cache, nor the TLBs to be empty.
// Leaves x0 and the exception level as they were, and MMU and data cache off; boot/head.S trusts no system register.

    .equ    SCTLR_OFF, 0x30c50830       // SCTLR_EL2: its RES1 bits,
    .equ    SCTLR_I, 1 << 12
    .equ    SCTLR_C_M, 1 << 2 | 1       // data cache and MMU
    // TCR_EL2: its RES1 bits, 40 bits of PA (no Cortex-A has fewer), tables of 4 KiB in inner shareable write-back memory,
    // addresses of 39 bits: a lookup begins with gibibytes.
    .equ    TCR, 1 << 31 | 1 << 23 | 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 25
    .equ    MAIR, 0xff                  // attribute 0: normal, write-back
    .equ    BLOCK, 0x741                // a block: accessed, inner shareable, EL2 may do all, attribute 0
    .equ    TABLE, 3

    .section .head, "ax"
    .global _start
_start:
    b       entry                       // code0
    .word   0                           // code1
    .quad   0                           // text_offset
    .quad   0                           // image_size  } written when the image is put together, as is all
    .quad   0                           // flags       } that follows (xtask/pack/src/layout.rs)
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0
layout:
    .word   0                           // where the stream begins, from the start,
    .word   0                           // and ends,
    .word   0                           // where both move
    .word   0                           // and where all memory in use ends

entry:
    msr     daifset, #0xf               // U-Boot enters with SError unmasked; one that is pending is the hypervisor's to take
    mov     x19, x0                     // the device tree; the protocol has nothing in x1 to x3
    adr     x23, _start
    adr     x24, layout
    ldp     w21, w5, [x24]
    ldp     w6, w7, [x24, #8]
    add     x22, x23, x5
    add     x25, x23, x6
    add     x26, x23, x7                // a page for each level of tables is behind it
    mov     x0, x23
    add     x1, x26, #(2 << 12)
    bl      flush

    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.ne    4f
    mov     x0, #(1 << 31)              // HCR_EL2.RW; SCTLR_EL2 and TCR_EL2 mean something else under E2H
    msr     hcr_el2, x0
    isb
    ldr     x27, =(SCTLR_OFF | SCTLR_I)
    msr     sctlr_el2, x27
    isb
    add     x5, x26, #(1 << 12)
    mov     x0, x26
    add     x1, x26, #(2 << 12)
2:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    2b
    // The blocks of 2 MiB, one or two, in which all of this lies, are where they are. What else is in them can be speculated
    // about as well, until the hypervisor maps its own pages; the protocol wants an image at the start of such a block.
    lsr     x6, x23, #21
    sub     x7, x1, #1
    lsr     x7, x7, #21
    eor     x0, x6, x7
    lsr     x0, x0, #9
    lsr     x1, x6, #9
    cmp     x1, #512
    ccmp    x0, #1, #2, lo
    b.hs    4f                          // too far up, or in two gibibytes: without caches, then
    orr     x0, x5, #TABLE
    str     x0, [x26, x1, lsl #3]
    mov     x0, #BLOCK
3:  orr     x1, x0, x6, lsl #21
    and     x2, x6, #511
    str     x1, [x5, x2, lsl #3]
    add     x6, x6, #1
    cmp     x6, x7
    b.ls    3b
    mov     x0, x26                     // what speculation may have loaded while they were written past the cache
    add     x1, x26, #(2 << 12)
    bl      flush
    msr     ttbr0_el2, x26
    ldr     x0, =TCR
    msr     tcr_el2, x0
    mov     x0, #MAIR
    msr     mair_el2, x0
    isb                                 // the walker must see the controls before the TLBs are emptied,
    tlbi    alle2                       // which are UNKNOWN out of reset (Arm ARM D8.13)
    dsb     nsh
    isb
    add     x0, x27, #SCTLR_C_M
    msr     sctlr_el2, x0
    isb

4:  mov     x0, x23
    mov     x2, x25
5:  ldp     x3, x4, [x0], #16
    stp     x3, x4, [x2], #16
    cmp     x0, x22
    b.lo    5b
    // What is fetched from there must be what was written (Arm ARM B2.4.4).
    mov     x0, x25
    add     x1, x25, x21
    bl      flush
    adr     x0, unpack
    sub     x0, x0, x23
    add     x0, x0, x25
    br      x0

unpacked:
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.ne    6f
    ldr     x0, =(SCTLR_OFF | SCTLR_I)
    msr     sctlr_el2, x0
    isb
    // All of it: a line that is dirty would be written back over what the hypervisor writes there with the MMU off.
6:  mov     x0, x23
    add     x1, x26, #(2 << 12)
    bl      flush
    mov     x0, x19
    mov     x1, #0
    mov     x2, #0
    mov     x3, #0
    br      x23

// Cleans and invalidates the data cache by address, from x0 to x1, to the point of coherency, and forgets fetched instructions.
// Clobbers x0, x2, x3.
// The barrier first: maintenance by address is not ordered behind stores to Device memory, which all are with the MMU off, but
// by one (Arm ARM DDI 0487, D7.5.9).
// Before writes with the MMU off: a line that was left there would be written back over them. After writes with it on: those
// who have it off are to see them (Arm ARM DDI 0487, B2.7 and D7.5 on mismatched attributes).
flush:
    dsb     sy
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4             // CTR_EL0.DminLine: log2 of words in the smallest line
    mov     x3, #4
    lsl     x3, x3, x2
1:  dc      civac, x0
    add     x0, x0, x3
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    ret
