//! Cache maintenance by address, for memory that someone will read with the cache off.
//!
//! A guest starts with its MMU off and a secondary CPU reads its start block with its MMU off: both see memory
//! at the point of coherency, not the cache (Arm ARM DDI 0487, B2.7.2 and D7.5.9). QEMU models no cache; these
//! are written for hardware that has one.

use core::arch::asm;

use portunus::addr::{Pa, PaSpan};

use super::sysreg::{CTR_EL0, DCZID_EL0};

/// Smallest data cache line of this system in bytes (CTR_EL0.DminLine, log2 of words).
fn line() -> u64 {
    4 << ((CTR_EL0::read() >> 16) & 0xf)
}

/// Writes every dirty line of `span` back to the point of coherency and drops it from the caches.
pub fn clean_and_invalidate(span: PaSpan) {
    let line = line();
    let mut address = span.start().get() & !(line - 1);
    while address < span.end().get() {
        // SAFETY: DC CIVAC changes no value that a coherent observer can see; `address` lies in RAM that EL2
        // maps (VA = PA).
        unsafe { asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
        address += line;
    }
    // SAFETY: a barrier. Cache maintenance is complete only after a DSB (Arm ARM, D7.5.9).
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Zeroes `span`, which begins and ends at multiples of 4 KiB, and leaves it clean to the point of coherency.
///
/// # Safety
///
/// The span is RAM that EL2 maps and that nobody uses.
pub unsafe fn zero(span: PaSpan) {
    /// DCZID_EL0: DZP, DC ZVA is prohibited; BS, log2 of words in a block.
    const PROHIBITED: u64 = 1 << 4;
    const USUAL: u64 = 4;
    let id = DCZID_EL0::read();
    if id & (PROHIBITED | 0xf) == USUAL && line() == 64 {
        // SAFETY: the caller's promise.
        return unsafe { zero_by_lines(span) };
    }
    // SAFETY: plain stores into the span that the caller gives away.
    unsafe { core::ptr::write_bytes(span.start().get() as *mut u8, 0, span.size() as usize) };
    clean_and_invalidate(span);
}

/// [`zero`] where a block of DC ZVA is a cache line of 64 bytes, as on every Cortex-A: line by line, 64 between
/// two comparisons, written back while it is at hand. Most of a boot is spent here.
///
/// # Safety
///
/// As for [`zero`]; DC ZVA is permitted and zeroes 64 bytes, the size of a cache line.
unsafe fn zero_by_lines(span: PaSpan) {
    if span.is_empty() {
        return;
    }
    // SAFETY: each line lies inside the span that the caller gives away, whose size is a multiple of 64 lines.
    unsafe {
        asm!(
            "2:",
            ".rept 64",
            "dc zva, {at}",
            "dc civac, {at}",
            "add {at}, {at}, #64",
            ".endr",
            "cmp {at}, {end}",
            "b.lo 2b",
            "dsb sy",
            at = inout(reg) span.start().get() => _,
            end = in(reg) span.end().get(),
            options(nostack)
        )
    };
}

/// Copies `bytes` to `to`, and leaves them clean to the point of coherency.
///
/// # Safety
///
/// `to` and what is behind it is RAM that EL2 maps, and nobody else uses; `bytes` does not lie there.
pub unsafe fn copy(to: Pa, bytes: &[u8]) {
    let blocks = bytes.len() & !(BLOCK - 1);
    let (front, rest) = bytes.split_at(blocks);
    // SAFETY: the caller's promise, for the front part and for what is behind it.
    unsafe {
        copy_by_blocks(to, front);
        core::ptr::copy_nonoverlapping(rest.as_ptr(), (to.get() as *mut u8).add(blocks), rest.len());
    }
    if let Some(span) = PaSpan::new(to, bytes.len() as u64) {
        clean_and_invalidate(span);
    }
}

/// What [`copy_by_blocks`] moves in one round.
const BLOCK: usize = 128;

/// Copies whole blocks, by pairs of general registers: EL2 does not use the wider ones, which are the guests'. Kernels
/// and ramdisks are megabytes, and the library's `memcpy` moves eight bytes in a round.
///
/// # Safety
///
/// As for [`copy`]; `bytes` is a multiple of [`BLOCK`].
unsafe fn copy_by_blocks(to: Pa, bytes: &[u8]) {
    let bytes = bytes.as_ptr_range();
    if bytes.is_empty() {
        return;
    }
    // SAFETY: reads `bytes` and writes as much from `to` on, which is the caller's to give. Neither needs to be aligned:
    // both are Normal memory, and SCTLR_EL2.A is clear.
    unsafe {
        asm!(
            "2:",
            ".rept 4",
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            ".endr",
            "cmp {from}, {end}",
            "b.lo 2b",
            from = inout(reg) bytes.start => _,
            end = in(reg) bytes.end,
            to = inout(reg) to.get() => _,
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            options(nostack)
        )
    };
}

/// Forgets instructions that a CPU may have fetched from memory that was written since (Arm ARM, B2.7.4.2): on every
/// CPU, all of them.
pub fn forget_instructions() {
    // SAFETY: cache maintenance and barriers.
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
}
