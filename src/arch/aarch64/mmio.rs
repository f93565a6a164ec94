//! Access to device registers: exactly one load or store of the width asked for.
//!
//! `read_volatile` may become a post-indexed or paired access, which a device (or a hypervisor below) cannot
//! be expected to take; inline assembly cannot.

use core::arch::asm;

use portunus::addr::PaSpan;

/// A run of device registers that EL2 maps as Device memory (VA = PA).
#[derive(Clone, Copy)]
pub struct Mmio {
    base: u64,
    size: u64,
}

impl Mmio {
    /// # Safety
    ///
    /// `span` must hold registers of the device that the caller drives and be mapped as Device memory (or the
    /// MMU must be off). Nobody else may drive it.
    #[must_use]
    pub const unsafe fn new(span: PaSpan) -> Self {
        Self { base: span.start().get(), size: span.size() }
    }

    /// Reads the 32-bit register at byte `offset`; an offset outside reads zero.
    #[inline(always)]
    #[must_use]
    pub fn read32(self, offset: u64) -> u32 {
        if offset >= self.size {
            return 0;
        }
        let value: u32;
        // SAFETY: inside the span that `new` was promised.
        unsafe {
            asm!("ldr {:w}, [{}]", out(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags))
        };
        value
    }

    /// Reads the 8-bit register at byte `offset`; an offset outside reads zero.
    #[inline]
    #[must_use]
    pub fn read8(self, offset: u64) -> u8 {
        if offset >= self.size {
            return 0;
        }
        let value: u32;
        // SAFETY: inside the span that `new` was promised.
        unsafe {
            asm!("ldrb {:w}, [{}]", out(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags))
        };
        value as u8
    }

    /// Writes the 8-bit register at byte `offset`; an offset outside is ignored.
    #[inline]
    pub fn write8(self, offset: u64, value: u8) {
        if offset < self.size {
            let value = u32::from(value);
            // SAFETY: inside the span that `new` was promised.
            unsafe {
                asm!("strb {:w}, [{}]", in(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags))
            };
        }
    }

    /// Writes the 32-bit register at byte `offset`; an offset outside is ignored.
    #[inline(always)]
    pub fn write32(self, offset: u64, value: u32) {
        if offset < self.size {
            // SAFETY: inside the span that `new` was promised.
            unsafe {
                asm!("str {:w}, [{}]", in(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags))
            };
        }
    }

    /// Writes the 64-bit register at byte `offset`; an offset outside is ignored.
    #[inline]
    pub fn write64(self, offset: u64, value: u64) {
        if offset < self.size {
            // SAFETY: inside the span that `new` was promised.
            unsafe {
                asm!("str {}, [{}]", in(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags))
            };
        }
    }

    /// Reads the 64-bit register at byte `offset`; an offset outside reads zero.
    #[inline]
    #[must_use]
    pub fn read64(self, offset: u64) -> u64 {
        if offset >= self.size {
            return 0;
        }
        let value: u64;
        // SAFETY: inside the span that `new` was promised.
        unsafe {
            asm!("ldr {}, [{}]", out(reg) value, in(reg) self.base + offset, options(nostack, preserves_flags))
        };
        value
    }
}

/// Registers of a device that are known to be at least `SIZE` bytes: an access at a constant offset needs no check when
/// it runs.
#[derive(Clone, Copy)]
pub struct Block<const SIZE: u64>(u64);

impl<const SIZE: u64> Block<SIZE> {
    /// The first `SIZE` bytes of `span`; `None` if it is smaller.
    ///
    /// # Safety
    ///
    /// As for [`Mmio::new`].
    #[must_use]
    pub const unsafe fn new(span: PaSpan) -> Option<Self> {
        if span.size() < SIZE { None } else { Some(Self(span.start().get())) }
    }

    /// As [`Mmio::read32`].
    #[inline(always)]
    #[must_use]
    pub fn read32(self, offset: u64) -> u32 {
        Mmio { base: self.0, size: SIZE }.read32(offset)
    }

    /// As [`Mmio::write32`].
    #[inline(always)]
    pub fn write32(self, offset: u64, value: u32) {
        Mmio { base: self.0, size: SIZE }.write32(offset, value);
    }

    /// The address of the register at byte `offset`.
    #[must_use]
    pub const fn address(self, offset: u64) -> u64 {
        self.0 + offset
    }
}
