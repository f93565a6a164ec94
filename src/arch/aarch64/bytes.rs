//! Copies between the hypervisor and memory that a guest may be writing at the same time.
//!
//! Each byte is read or written once, by volatile accesses: the compiler may not read it again after it was checked.

use portunus::addr::Pa;

/// Copies from physical memory, in words where both sides are aligned.
///
/// # Safety
///
/// EL2 maps the memory as RAM.
#[inline(always)]
pub unsafe fn read(from: Pa, into: &mut [u8]) {
    let source = from.get() as *const u8;
    if from.is_aligned(4)
        && let Ok(word) = <&mut [u8; 4]>::try_from(&mut *into)
    {
        // SAFETY: aligned, and inside the memory that the caller vouches for.
        *word = unsafe { source.cast::<u32>().read_volatile() }.to_ne_bytes();
        return;
    }
    unaligned_or_long(source, into);
}

/// One word.
///
/// # Safety
///
/// As for [`read`]; `from` is 4-byte aligned.
#[inline(always)]
#[must_use]
pub unsafe fn read_word(from: Pa) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { (from.get() as *const u32).read_volatile() }
}

/// The general case of [`read`].
fn unaligned_or_long(source: *const u8, into: &mut [u8]) {
    let whole = if source.addr().is_multiple_of(4) { into.len() & !3 } else { 0 };
    let (words, rest) = into.split_at_mut(whole);
    for (index, word) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        // SAFETY: aligned, and inside the memory that the caller of `read` vouches for.
        *word = unsafe { source.cast::<u32>().add(index).read_volatile() }.to_ne_bytes();
    }
    for (index, byte) in rest.iter_mut().enumerate() {
        // SAFETY: as above.
        *byte = unsafe { source.add(whole + index).read_volatile() };
    }
}

/// Copies to physical memory, in words of 8 bytes where it is aligned: another CPU of the guest sees each of them whole.
///
/// # Safety
///
/// EL2 maps the memory as RAM, and nobody relies on what it held.
pub unsafe fn write(to: Pa, from: &[u8]) {
    let target = to.get() as *mut u8;
    let whole = if to.is_aligned(8) { from.len() & !7 } else { 0 };
    let (words, rest) = from.split_at(whole);
    for (index, word) in words.as_chunks::<8>().0.iter().enumerate() {
        // SAFETY: aligned, and inside the memory that the caller vouches for.
        unsafe { target.cast::<u64>().add(index).write_volatile(u64::from_ne_bytes(*word)) };
    }
    for (index, byte) in rest.iter().enumerate() {
        // SAFETY: inside the memory that the caller vouches for.
        unsafe { target.add(whole + index).write_volatile(*byte) };
    }
}
