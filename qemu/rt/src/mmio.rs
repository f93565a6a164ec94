//! Device registers.
//!
//! One plain load or store per access: a compiler may turn `read_volatile` in a loop into a post-indexed access, which
//! a hypervisor gets without a syndrome and cannot decode.

use core::arch::asm;

/// Reads 32 bits.
#[must_use]
pub fn read32(address: usize) -> u32 {
    let value: u32;
    // SAFETY: addresses come from the device tree, or from a guest that means to fault; Rust's own memory is never
    // addressed this way.
    unsafe { asm!("ldr {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Writes 32 bits.
pub fn write32(address: usize, value: u32) {
    // SAFETY: as for `read32`; nothing of Rust's lies behind a device register.
    unsafe { asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
}

/// Reads 64 bits.
#[must_use]
pub fn read64(address: usize) -> u64 {
    let value: u64;
    // SAFETY: as for `read32`.
    unsafe { asm!("ldr {}, [{}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Writes 64 bits.
pub fn write64(address: usize, value: u64) {
    // SAFETY: as for `write32`.
    unsafe { asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
}

/// Writes 8 bits.
pub fn write8(address: usize, value: u8) {
    // SAFETY: as for `write32`.
    unsafe { asm!("strb {:w}, [{}]", in(reg) u32::from(value), in(reg) address, options(nostack)) };
}
