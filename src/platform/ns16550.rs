//! The 16550 family (TI PC16550D), and BCM2835's auxiliary ("mini") UART, which has the same registers four bytes apart
//! (BCM2835 ARM Peripherals, 2.2, with its errata).

use portunus::addr::PaSpan;

use crate::arch::aarch64::mmio::Mmio;

// Registers, counted.
/// What was received, and what is to be sent.
const DATA: u64 = 0;
const INTERRUPT_ENABLE: u64 = 1;
const MODEM_CONTROL: u64 = 4;
const LINE_STATUS: u64 = 5;
/// BCM2835 only: AUX_MU_CNTL_REG.
const MINI_CONTROL: u64 = 8;

/// Something was received, and line status: the mini UART's receive interrupt needs its bit, too (errata to page 12).
const INT_RECEIVE: u32 = 1 | 1 << 2;
/// There is room to send.
const INT_SEND: u32 = 1 << 1;
/// OUT2: on PCs, and what imitates them, it lets the interrupt out.
const OUT2: u32 = 1 << 3;
/// Line status: something was received.
const RECEIVED: u32 = 1;
/// Line status: there is room for one byte.
const ROOM: u32 = 1 << 5;
/// BCM2835: receiver and transmitter on.
const MINI_ON: u32 = 0b11;

/// Where 32 bits with the line status lie, of registers `1 << shift` bytes apart. Reading them forgets errors of
/// reception, no more.
#[must_use]
pub const fn line_status(shift: u8) -> u64 {
    (LINE_STATUS << shift) & !3
}

/// A UART of the 16550 family.
#[derive(Clone, Copy)]
pub struct Ns16550 {
    regs: Mmio,
    shift: u8,
    /// Registers are accessed as 32 bits, not 8.
    words: bool,
}

impl Ns16550 {
    /// With registers `1 << shift` bytes apart, accessed `width` bytes at a time: 1, or 4.
    ///
    /// # Safety
    ///
    /// As for [`Mmio::new`]: `regs` holds such a UART, mapped as Device memory, driven by nobody else.
    #[must_use]
    pub unsafe fn new(regs: PaSpan, shift: u8, width: u8) -> Self {
        // SAFETY: the caller's promise.
        let uart = Self { regs: unsafe { Mmio::new(regs) }, shift, words: width == 4 };
        uart.write(INTERRUPT_ENABLE, 0);
        uart.write(MODEM_CONTROL, uart.read_register(MODEM_CONTROL) | OUT2);
        uart
    }

    /// BCM2835's mini UART. Firmware has enabled it in AUX_ENABLES: without that its registers are not accessible at
    /// all.
    ///
    /// # Safety
    ///
    /// As for [`new`](Self::new).
    #[must_use]
    pub unsafe fn mini(regs: PaSpan) -> Self {
        // SAFETY: the caller's promise.
        let uart = Self { regs: unsafe { Mmio::new(regs) }, shift: 2, words: true };
        uart.write(INTERRUPT_ENABLE, 0);
        uart.write(MINI_CONTROL, uart.read_register(MINI_CONTROL) | MINI_ON);
        uart
    }

    fn read_register(self, number: u64) -> u32 {
        let offset = number << self.shift;
        if self.words { self.regs.read32(offset) } else { u32::from(self.regs.read8(offset)) }
    }

    fn write(self, number: u64, value: u32) {
        let offset = number << self.shift;
        if self.words {
            self.regs.write32(offset, value);
        } else {
            self.regs.write8(offset, value as u8);
        }
    }

    /// Interrupts when something is received, from here on.
    pub fn listen(self) {
        self.write(INTERRUPT_ENABLE, INT_RECEIVE);
    }

    /// Interrupts no more.
    pub fn hush(self) {
        self.write(INTERRUPT_ENABLE, 0);
    }

    /// See [`portunus::console::Uart::try_write`].
    #[inline(always)] // a boot says thousands of bytes
    pub fn try_write(self, byte: u8) -> bool {
        let room = self.read_register(LINE_STATUS) & ROOM != 0;
        if room {
            self.write(DATA, u32::from(byte));
        }
        room
    }

    /// See [`portunus::console::Uart::read`].
    pub fn read(self) -> Option<u8> {
        (self.read_register(LINE_STATUS) & RECEIVED != 0).then(|| self.read_register(DATA) as u8)
    }

    /// See [`portunus::console::Uart::tx_interrupt`].
    pub fn tx_interrupt(self, on: bool) {
        self.write(INTERRUPT_ENABLE, if on { INT_RECEIVE | INT_SEND } else { INT_RECEIVE });
    }
}
