//! Cadence UART of Zynq and ZynqMP (Xilinx UG1085, chapter 21; UG1087, UART module).

use portunus::addr::PaSpan;

use crate::arch::aarch64::mmio::Mmio;

const CONTROL: u64 = 0x00;
const INTERRUPT_ENABLE: u64 = 0x08;
const INTERRUPT_DISABLE: u64 = 0x0c;
const INTERRUPT_STATUS: u64 = 0x14;
const RECEIVE_TRIGGER: u64 = 0x20;
/// Reading it has no effect.
pub const STATUS: u64 = 0x2c;
const FIFO: u64 = 0x30;

// Control.
const RESET_BOTH: u32 = 0b11;
const RECEIVE_ON: u32 = 1 << 2;
const SEND_ON: u32 = 1 << 4;
const SEND_OFF: u32 = 1 << 5;
// Status.
const RECEIVE_EMPTY: u32 = 1 << 1;
const SEND_FULL: u32 = 1 << 4;
/// Interrupts: as many bytes as the trigger says, or none for a while.
const INT_RECEIVE: u32 = 1 | 1 << 8;
/// Interrupt: the send FIFO has drained.
const INT_SEND: u32 = 1 << 3;

/// A Cadence UART.
#[derive(Clone, Copy)]
pub struct Cadence(Mmio);

impl Cadence {
    /// # Safety
    ///
    /// As for [`Mmio::new`]: `regs` holds a Cadence UART, mapped as Device memory, driven by nobody else.
    #[must_use]
    pub unsafe fn new(regs: PaSpan) -> Self {
        // SAFETY: the caller's promise.
        let uart = Self(unsafe { Mmio::new(regs) });
        let control = uart.0.read32(CONTROL);
        // Out of reset it drops what it is given. Where firmware uses it, its FIFOs are left alone.
        if control & SEND_ON == 0 || control & SEND_OFF != 0 {
            uart.0.write32(CONTROL, RESET_BOTH | RECEIVE_ON | SEND_ON);
            uart.0.write32(CONTROL, RECEIVE_ON | SEND_ON);
        }
        uart
    }

    /// Interrupts when something is received, from here on.
    pub fn listen(self) {
        self.0.write32(INTERRUPT_DISABLE, !0);
        self.0.write32(RECEIVE_TRIGGER, 1);
        self.0.write32(INTERRUPT_STATUS, !0);
        self.0.write32(INTERRUPT_ENABLE, INT_RECEIVE);
    }

    /// Interrupts no more.
    pub fn hush(self) {
        self.0.write32(INTERRUPT_DISABLE, !0);
    }

    /// See [`portunus::console::Uart::try_write`].
    #[inline(always)] // a boot says thousands of bytes
    pub fn try_write(self, byte: u8) -> bool {
        let room = self.0.read32(STATUS) & SEND_FULL == 0;
        if room {
            self.0.write32(FIFO, u32::from(byte));
        }
        room
    }

    /// See [`portunus::console::Uart::read`].
    pub fn read(self) -> Option<u8> {
        if self.0.read32(STATUS) & RECEIVE_EMPTY != 0 {
            // The status of an interrupt stays until it is cleared; then the FIFO is looked at once more, for what came
            // before.
            self.0.write32(INTERRUPT_STATUS, INT_RECEIVE);
            if self.0.read32(STATUS) & RECEIVE_EMPTY != 0 {
                return None;
            }
        }
        Some(self.0.read32(FIFO) as u8)
    }

    /// See [`portunus::console::Uart::tx_interrupt`]. It is asked for when the FIFO is full, so the draining that is to
    /// interrupt is still to come.
    pub fn tx_interrupt(self, on: bool) {
        if on {
            self.0.write32(INTERRUPT_STATUS, INT_SEND);
            self.0.write32(INTERRUPT_ENABLE, INT_SEND);
        } else {
            self.0.write32(INTERRUPT_DISABLE, INT_SEND);
        }
    }
}
