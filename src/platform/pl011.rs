//! Arm PL011 UART (DDI 0183) and its SBSA subset.

use portunus::addr::PaSpan;

use crate::arch::aarch64::mmio::Mmio;

const DR: u64 = 0x00;
const FR: u64 = 0x18;
/// UARTFR: reading it has no effect.
pub const STATUS: u64 = FR;
const CR: u64 = 0x30;
const IMSC: u64 = 0x38;
const ICR: u64 = 0x44;
/// UARTFR.RXFE: nothing was received.
const FR_RXFE: u32 = 1 << 4;
/// UARTFR.TXFF: the transmit FIFO is full.
const FR_TXFF: u32 = 1 << 5;
/// UARTCR: UARTEN, TXE, RXE.
const CR_ON: u32 = 1 | 1 << 8 | 1 << 9;
/// UARTIMSC: RXIM and RTIM, something was received; TXIM, there is room to send; in ICR the same bits clear.
const INT_RECEIVE: u32 = 1 << 4 | 1 << 6;
const INT_TRANSMIT: u32 = 1 << 5;

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

    /// Interrupts when something is received, from here on.
    pub fn listen(self) {
        self.0.write32(ICR, INT_RECEIVE | INT_TRANSMIT);
        self.0.write32(IMSC, INT_RECEIVE);
    }

    /// Interrupts no more.
    pub fn hush(self) {
        self.0.write32(IMSC, 0);
    }

    /// See [`portunus::console::Uart::try_write`].
    #[inline(always)] // a boot says thousands of bytes
    pub fn try_write(self, byte: u8) -> bool {
        let room = self.0.read32(FR) & FR_TXFF == 0;
        if room {
            self.0.write32(DR, u32::from(byte));
        }
        room
    }

    /// See [`portunus::console::Uart::read`].
    pub fn read(self) -> Option<u8> {
        (self.0.read32(FR) & FR_RXFE == 0).then(|| self.0.read32(DR) as u8)
    }

    /// See [`portunus::console::Uart::tx_interrupt`].
    ///
    /// The transmit interrupt is raised when the FIFO drains past its mark, so it comes only after the FIFO was
    /// above it: the console asks for it when the UART was full.
    pub fn tx_interrupt(self, on: bool) {
        let transmit = if on { INT_TRANSMIT } else { 0 };
        self.0.write32(IMSC, INT_RECEIVE | transmit);
    }
}
