// Unpacks the hypervisor from its stream. What the stream says is told with its other reader, in Rust, by which it is
// checked when it is written (xtask/pack); the names are the same here. This one is in assembly because each instruction of the
// hypervisor takes a round of it at every boot, and because it counts for the size of the image.
//
// Trusts the stream: it was unpacked when it was packed. All accesses are aligned, for with the MMU off all memory is
// Device memory (Arm ARM DDI 0487, D8.2.9 and B2.7.2). Needs no stack.
//
// x23 = where to unpack to, x25 = where this image was moved. Both are kept, and x19. Goes on at `unpacked`.
//
// Everywhere: x0 = next word of the stream; x1 = the next bits from bit 63 down, then a one, then zeros; x2 = 2^32 - 1;
// x3 = entries of codes, x4 = rows, x6 = lists; x20 and x22 are for `refill`. A code is the index of its first entry above
// bit 5, and the shift of the next bits in bits 5:0. An entry is a symbol above bit 5, and the length of its code in bits 5:0.
// (A shift by a register takes bits 5:0 of it.)

    .equ    ROW_BITS, 9                 // log2 of bytes in a row: codes of three fields for 32 registers
    .equ    ROWS, 256 << ROW_BITS
    .equ    PLACES, 253 << ROW_BITS     // the row of codes for places that are in no list,
    .equ    AFTER_REPEAT, 1 << ROW_BITS // from there, the row of what follows a repeat,
    .equ    START, 2 << ROW_BITS        // and of what is first
    .equ    ENTRIES, 2 * (80 << 10)
    .equ    VALUES, 1 << 12             // lists: operations first, and repeats behind them
    .equ    CALLS, 2 << 12
    .equ    ADDRESSES, 3 << 12
    .equ    FIELD, 4 << 12              // the codes of a field, while it is read
    .equ    REPEAT, 7                   // the kind of a repeat: the number of items is above it, where the first is above bit 11
    .equ    DIRECT, 64                  // a number below is a symbol
    .equ    DIRECT_BITS, 6
    .equ    IDENTITY, 57                // a code of seven bits for each symbol: the first of all

    // Sees to it that there are 32 bits, at least: the one that ends them is among the lower 32 then. Else it is taken away,
    // and the next word and another one come in its place: with l for it, x1 - l + (l >> 32) * (2 * word + 1). (Something stands
    // between the load and the product: Cortex-A53 erratum 835769.)
    .macro  refill
    cbnz    w1, 99f
    lsr     x20, x1, #32
    neg     w22, w20
    and     w20, w20, w22
    ldr     w22, [x0], #4
    sub     x22, x2, x22, lsl #1
    msub    x1, x20, x22, x1
99:
    .endm

    // The entry of the next symbol. \code is a register with the code; \entry and \index may be the same.
    .macro  next code, index, entry
    lsr     x\index, x1, x\code
    add     x\index, x\index, x\code, lsr #6
    ldrh    w\entry, [x3, x\index, lsl #1]
    lsl     x1, x1, x\entry
    .endm

    // The entries of the registers and of the last field of the row x13, behind the register x16 -> w14, w13. x15, x16 = what
    // follows these. Clobbers x10.
    .macro  fields
    add     x14, x13, x16, lsl #2
    ldr     w10, [x14, #128]
    next    10, 14, 14
    ubfx    w16, w14, #6, #5
    add     x15, x13, x16, lsl #2
    ldr     w10, [x15, #256]
    next    10, 13, 13
    .endm

    // The distance in words that begins with the symbol w10 -> w10. x21 = where the last one led to; zero is that again.
    // Clobbers x9, x11, x12.
    .macro  distance
    cbz     w10, 98f
    cmp     w10, #DIRECT
    b.lo    97f
    bl      finish
97: sbfx    w9, w10, #0, #1
    eor     w10, w9, w10, lsr #1
    add     x21, x7, w10, sxtw #2
98: sub     x10, x21, x7
    lsr     x10, x10, #2
    .endm

unpack:
    adr     x24, layout
    ldp     w0, w4, [x24]
    add     x0, x25, x0                 // the stream
    add     x4, x25, x4                 // behind it is room for all that follows
    add     x3, x4, #ROWS
    add     x6, x3, #ENTRIES
    mov     x1, #(1 << 63)
    mov     w2, #-1
    mov     x5, x3                      // x5 = next free entry
    mov     w12, #7
1:  strh    w12, [x5], #2
    add     w12, w12, #(1 << 6)
    tbz     w12, #13, 1b

// ---- instructions ----
    mov     w13, #IDENTITY
    bl      read_code
    mov     w15, w14                    // w15 = code of the numbers in lists
    mov     x17, x6
    mov     w7, #3                      // bits behind each number
    mov     w8, #21                     // shift of the sum
    bl      read_list
    sub     x24, x17, x6                // x24 = bytes of operations
    mov     w7, #0
    mov     w8, #10
    add     x17, x6, #VALUES
    bl      read_places
    mov     w8, #0
    add     x17, x6, #CALLS
    bl      read_places
    add     x17, x6, #ADDRESSES
    bl      read_places
    add     x17, x6, x24
    bl      read_repeats

    mov     x29, #0                     // the field, in bytes from the start of a row
1:  bl      read_codes
    mov     x8, #(1 << ROW_BITS)
    lsr     w16, w24, #2
    add     x17, x4, x29
    bl      read_choices
    mov     w16, #3
    add     x17, x4, #(PLACES & 0xfff000)
    add     x17, x17, #(PLACES & 0xfff)
    add     x17, x17, x29
    bl      read_choices
    add     x29, x29, #128
    cmp     x29, #(3 * 128)
    b.ne    1b

    mov     x7, x23                     // x7 = where the next one goes
    mov     x21, x23
    add     x17, x6, #VALUES
    mov     w28, #0                     // the last call and the last address that were in no list
    mov     w29, #0
    add     x5, x4, #(PLACES & 0xfff000)
    add     x5, x5, #(PLACES & 0xfff)
    add     x15, x5, #START             // x15 = the code of what follows
    mov     x16, #0                     // x16 = the register of what was before

more:
    refill
    ldr     w10, [x15]
    next    10, 11, 11
    lsr     w11, w11, #6
    add     x13, x4, x11, lsl #ROW_BITS
    ldr     w11, [x6, x11, lsl #2]
    ands    w12, w11, #7
    b.ne    named
    fields
    orr     w11, w11, w14, lsr #6
    lsr     w13, w13, #6
    cbz     w13, 2f
    ldr     w13, [x17, x13, lsl #2]
1:  orr     w11, w11, w13
    str     w11, [x7], #4
    b       more

2:  mov     w26, w11
    mov     w9, #11
    bl      take
    lsl     w13, w10, #10
    mov     w11, w26
    b       1b

// What names a place, and what is not known. w11 = operation, w12 = its kind.
named:
    mov     w27, w12
    eor     w26, w11, w12
    cmp     w12, #4
    b.hs    bare
    fields
    lsr     w14, w14, #6
    lsr     w10, w13, #6
    cmp     w12, #3
    b.eq    address
    distance
    tbnz    w27, #1, 1f
    orr     w26, w26, w14
    bfi     w26, w10, #5, #19
    str     w26, [x7], #4
    b       more
1:  bfi     w26, w10, #5, #14
    bfi     w26, w14, #0, #5
    lsr     w14, w14, #5                // the second register is in bits 23:19
    bfi     w26, w14, #19, #5
    str     w26, [x7], #4
    b       more

address:
    orr     w26, w26, w14
    add     x9, x6, #ADDRESSES
    ldr     w12, [x9, x10, lsl #2]
    cbnz    w10, 1f
    ldr     w9, [x5, #128]              // not in the list: how far from the last such
    bl      number
    sbfx    w9, w10, #0, #1
    eor     w10, w9, w10, lsr #1
    add     w29, w29, w10
    mov     w12, w29
1:  sub     w9, w7, w23                 // from here
    sub     w10, w12, w9
    bfi     w26, w10, #29, #2
    lsr     w10, w10, #2
    bfi     w26, w10, #5, #19
    str     w26, [x7], #4
    b       more

bare:
    cmp     w12, #REPEAT
    b.eq    repeat
    mov     x15, x13
    mov     x16, #0
    ldr     w10, [x13, #256]
    next    10, 13, 13
    lsr     w10, w13, #6
    cmp     w27, #5
    b.hi    3f
    b.eq    1f
    distance
    b       2f
1:  add     x9, x6, #CALLS
    ldr     w12, [x9, x10, lsl #2]
    cbnz    w10, 1f
    ldr     w9, [x5]
    bl      number
    sbfx    w9, w10, #0, #1
    eor     w10, w9, w10, lsr #1
    add     w28, w28, w10
    mov     w12, w28
1:  sub     w9, w7, w23
    sub     w10, w12, w9, lsr #2
2:  bfi     w26, w10, #0, #26
    str     w26, [x7], #4
    b       more
3:  mov     w9, #32
    bl      take
    str     w10, [x7], #4
    b       more

repeat:
    ubfx    w12, w11, #3, #9            // the number of words, and the first
    lsr     w11, w11, #12
    cbz     w12, bytes                  // that is the end
    add     x11, x23, x11, lsl #2
    sub     x13, x7, x11
    lsr     x13, x13, #2                // how far back, in words
1:  ldr     w10, [x11], #4
    lsr     w14, w10, #26
    cmp     w14, #0x25                  // BL
    b.eq    3f
    ubfx    w14, w10, #24, #5
    cmp     w14, #0x10                  // ADR; ADRP is not repeated
    b.eq    4f
2:  str     w10, [x7], #4
    subs    w12, w12, #1
    b.ne    1b
    and     x16, x10, #31
    add     x15, x5, #AFTER_REPEAT
    add     x15, x15, x16, lsl #2
    b       more
3:  sub     w14, w10, w13               // the same function, from further on
    bfi     w10, w14, #0, #26
    b       2b
4:  ubfx    w14, w10, #29, #2           // the same byte: the distance is bits 23:5 and 30:29
    ubfx    w16, w10, #5, #19
    orr     w14, w14, w16, lsl #2
    sub     w14, w14, w13, lsl #2
    bfi     w10, w14, #29, #2
    lsr     w14, w14, #2
    bfi     w10, w14, #5, #19
    b       2b

// ---- constants ----
bytes:
    mov     x29, x7
    add     x5, x3, #(2 << 7)           // behind the first code
    mov     w13, #IDENTITY
    bl      read_code
    mov     w15, w14
    add     x17, x6, #(256 << 2)        // symbols that are no bytes
    bl      read_repeats
    bl      read_codes
    mov     x8, #128                    // the codes of all bytes, one behind the other
    mov     w16, #8
    mov     x17, x4
    bl      read_choices
    mov     x17, x29                    // x17 = the first byte
    mov     x7, x29
    mov     x16, #0                     // x16 = the byte before

1:  refill
    mov     w13, #3                     // symbols that 32 bits have for sure
2:  ldr     w10, [x4, x16, lsl #2]
    next    10, 11, 14
    lsr     w16, w14, #6
    cmp     w16, #256
    b.hs    5f
    strb    w16, [x7], #1
3:  subs    w13, w13, #1
    b.ne    2b
    b       1b

5:  ldr     w10, [x6, x16, lsl #2]
    ubfx    w11, w10, #3, #9
    cbz     w11, unpacked
    add     x10, x17, x10, lsr #12
6:  ldrb    w16, [x10], #1
    strb    w16, [x7], #1
    subs    w11, w11, #1
    b.ne    6b
    b       3b

// ---- what both are read with ----

// The next w9 bits, 1 to 32 -> w10. Clobbers x11.
take:
    refill
    neg     w11, w9
    lsr     x10, x1, x11
    lsl     x1, x1, x9
    ret

// The next number, whose first bits are in the code w9 -> w10. Clobbers x9, x11, x12.
number:
    refill
    next    9, 10, 11
    lsr     w10, w11, #6
    cmp     w10, #DIRECT
    b.lo    1f
// The number whose first bits are the symbol w10, DIRECT at least.
finish:
    sub     w10, w10, #DIRECT
    lsr     w9, w10, #2
    add     w9, w9, #(DIRECT_BITS - 2)
    and     w12, w10, #3
    orr     w12, w12, #4
    lsl     w12, w12, w9
    refill
    neg     w11, w9
    lsr     x10, x1, x11
    lsl     x1, x1, x9
    orr     w10, w10, w12
1:  ret

// Reads a code: the length of the longest, then for each length how many symbols have it (of the longest, the rest of the table), and
// how far each is from the one before: numbers in the code w13. -> w14. Clobbers x7 to x12, x16, x18, x26 to x28.
read_code:
    mov     x28, x30
    add     x5, x5, #7                  // entries are written eight bytes at once
    and     x5, x5, #~7
    mov     w9, #4
    bl      take
    mov     w16, w10                    // w16 = the longest
    cmp     w16, #0
    cset    w18, ne                     // w18 = a length; no bits for a symbol alone
    cinc    w9, w16, eq                 // bits of an index: one at least
    mov     w27, #2
    lsl     w27, w27, w9                // bytes of the table
    add     x8, x5, x27                 // x8 = behind it
    lsr     w27, w27, w18               // w27 = bytes of entries for each symbol
    sub     x14, x5, x3
    lsl     x14, x14, #5
    neg     w9, w9
    bfi     w14, w9, #0, #6
1:  mov     w9, w13
    cmp     w18, w16
    b.hs    2f
    bl      number
    mov     w7, w10                     // w7 = how many symbols
    b       3f
2:  sub     x7, x8, x5
    lsr     w7, w7, #1
    cmp     w16, #0                     // of a symbol alone there are two entries
    cset    w9, eq
    lsr     w7, w7, w9
3:  mov     w26, #0                     // w26 = a symbol
    cbz     w7, 7f
4:  refill
    next    13, 10, 10
    lsr     w10, w10, #6
    cmp     w10, #DIRECT
    b.lo    5f
    bl      finish
5:  add     w26, w26, w10
    orr     w12, w18, w26, lsl #6
    tbnz    w27, #1, 8f
    orr     w12, w12, w12, lsl #16
    tbnz    w27, #2, 9f
    orr     x12, x12, x12, lsl #32
    mov     w11, w27
6:  str     x12, [x5], #8
    subs    w11, w11, #8
    b.ne    6b
5:  add     w26, w26, #1
    subs    w7, w7, #1
    b.ne    4b
7:  lsr     w27, w27, #1
    add     w18, w18, #1
    cmp     w18, w16
    b.ls    1b
    ret     x28
8:  strh    w12, [x5], #2
    b       5b
9:  str     w12, [x5], #4
    b       5b

// Reads a list of sums, each shifted by w8, with w7 bits below, to x17. Clobbers x9 to x12, x16, x26, x27.
read_places:
    add     x17, x17, #4                // 0 is what is not in the list
read_list:
    mov     x26, x30
    mov     w9, #10
    bl      take
    mov     w16, w10
    mov     w27, #0
1:  cbz     w16, 3f
    mov     w9, w15
    bl      number
    add     w27, w27, w10
    lsl     w12, w27, w8
    cbz     w7, 2f
    mov     w9, w7
    bl      take
    orr     w12, w12, w10
2:  str     w12, [x17], #4
    sub     w16, w16, #1
    b       1b
3:  ret     x26

// Reads where each repeat is from, as sums, and how much it is, to x17. Clobbers x9 to x12, x16, x17, x26, x27.
read_repeats:
    mov     x26, x30
    mov     w9, #10
    bl      take
    mov     w16, w10
    mov     w27, #0
1:  cbz     w16, 2f
    mov     w9, w15
    bl      number
    add     w27, w27, w10
    mov     w9, w15
    bl      number
    lsl     w12, w27, #9
    orr     w12, w12, w10
    lsl     w12, w12, #3
    orr     w12, w12, #REPEAT
    str     w12, [x17], #4
    sub     w16, w16, #1
    b       1b
2:  ret     x26

// Reads the codes of a field -> FIELD, and the one of choices between them -> w14. Clobbers x7 to x18, x21, x26 to x28.
read_codes:
    mov     x15, x30
    mov     w13, #IDENTITY
    bl      read_code
    mov     w13, w14
    mov     w9, #10
    bl      take
    mov     w17, w10
    add     x21, x6, #FIELD
1:  cbz     w17, 2f
    bl      read_code
    str     w14, [x21], #4
    sub     w17, w17, #1
    b       1b
2:  bl      read_code
    ret     x15

// Reads which code there is for each register, to w16 rows from x17 on that are x8 bytes apart. Clobbers x9 to x12, x18, x21, x26
// to x28.
read_choices:
    mov     x28, x30
    add     x21, x6, #FIELD
1:  mov     w9, #1
    bl      take
    mov     w26, w10                    // each register has its own, or all have that of the first
    mov     w27, #0
    mov     x18, #0
2:  refill
    next    14, 10, 11
    lsr     w10, w11, #6
    cbz     w10, 3f                     // that of the register before
    add     x10, x21, x10, lsl #2
    ldur    w27, [x10, #-4]
3:  str     w27, [x17, x18, lsl #2]
    add     x18, x18, #1
    cbz     w26, 5f
    cmp     x18, #32
    b.ne    2b
4:  add     x17, x17, x8
    subs    w16, w16, #1
    b.ne    1b
    ret     x28
5:  orr     x27, x27, x27, lsl #32
    mov     x18, #16
6:  sub     x18, x18, #1
    str     x27, [x17, x18, lsl #3]
    cbnz    x18, 6b
    b       4b
