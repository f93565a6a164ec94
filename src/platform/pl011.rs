//! Arm PL011 UART (DDI 0183) and its SBSA subset, polled.
//!
//! Line settings stay as firmware left them: the divisors depend on a clock that only firmware knows.

use portunus::addr::PaSpan;

use crate::arch::aarch64::mmio::Mmio;

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const CR: u64 = 0x30;
/// UARTFR.TXFF: the transmit FIFO is full.
const FR_TXFF: u32 = 1 << 5;
/// UARTCR: UARTEN, TXE, RXE.
const CR_ON: u32 = 1 | 1 << 8 | 1 << 9;
/// How often a full FIFO is looked at before a character is given up. At 115200 baud a FIFO of 32 drains in
/// 3 ms; a UART whose clock stands still must not stop the machine.
const PATIENCE: u32 = 1_000_000;

/// A PL011 that only the console drives.
#[derive(Clone, Copy)]
pub struct Pl011(Mmio);

impl Pl011 {
    /// # Safety
    ///
    /// As for [`Mmio::new`]: `regs` holds a PL011, mapped as Device memory, driven by nobody else.
    #[must_use]
    pub unsafe fn new(regs: PaSpan) -> Self {
        // SAFETY: the caller's promise.
        let uart = Self(unsafe { Mmio::new(regs) });
        // QEMU transmits even when disabled, hardware does not.
        uart.0.write32(CR, uart.0.read32(CR) | CR_ON);
        uart
    }

    /// Sends one byte, waiting for room.
    pub fn put(self, byte: u8) {
        for _ in 0..PATIENCE {
            if self.0.read32(FR) & FR_TXFF == 0 {
                self.0.write32(DR, u32::from(byte));
                return;
            }
        }
    }
}
