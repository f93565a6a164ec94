//! The UART of a guest: the SBSA subset of the PL011, as Xen offers it.
//!
//! Registers: Arm DDI 0183 (PL011), reduced to those of Arm DEN 0029 (SBSA), appendix on the generic UART. What
//! the guest writes goes to its [`Stream`] of the console, and its transmitter is always empty: while the console
//! is behind, a store to the data register is retried, so the guest waits and nothing is lost.
//!
//! The guest sees a receive FIFO of 32 bytes; behind it 4 KiB wait, so that a pasted page arrives whole.
//!
//! The receive interrupts are levels, not latches: RXI while 16 or more bytes wait, RTI (whose time-out of 32 bit
//! periods is taken as zero) while any do. Writing ICR does not clear them, reading the data does: an interrupt
//! cleared just as a byte arrives cannot be lost.

use crate::console::Stream;
use crate::console::ring::{Ring, Upto};
use crate::sync::{AtomicBool, AtomicU32, Baton, Ordering, Retry};
use crate::vgic::Width;

/// Depth of the FIFO that a guest sees, in bytes.
const FIFO: u32 = 32;
/// Bytes that may wait for the guest.
const BACKLOG: u32 = 4096;

/// Offsets of the registers.
mod reg {
    pub const DR: u64 = 0x00;
    pub const FR: u64 = 0x18;
    pub const IMSC: u64 = 0x38;
    pub const RIS: u64 = 0x3c;
    pub const MIS: u64 = 0x40;
    pub const ICR: u64 = 0x44;
}

/// Flag register bits.
mod fr {
    pub const RXFE: u32 = 1 << 4;
    pub const RXFF: u32 = 1 << 6;
    pub const TXFE: u32 = 1 << 7;
}

/// Interrupt bits, alike in IMSC, RIS, MIS and ICR.
mod int {
    pub const RX: u32 = 1 << 4;
    pub const TX: u32 = 1 << 5;
    pub const RT: u32 = 1 << 6;
    pub const ALL: u32 = 0x7ff;
}

/// An access of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store of this value.
    Write(u64),
}

/// What becomes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The load reads this.
    Value(u64),
    /// The store is done.
    Done,
    /// Nothing happened: execute the instruction again.
    Retry,
    /// Not something the device answers: the guest takes an external abort.
    Refused,
}

/// The virtual PL011 of one domain. Every vCPU of the domain and the console's pCPU may call it at any time.
#[derive(Debug)]
pub struct Vpl011 {
    received: Ring,
    dropped: AtomicU32,
    mask: AtomicU32,
    transmitted: AtomicBool,
    /// The level of the interrupt line as last driven, for the holder of the turn.
    driven: AtomicBool,
    turn: Baton,
}

impl Vpl011 {
    /// The device after reset, or `None` if there is no memory for it.
    #[must_use]
    pub fn new() -> Option<Self> {
        Some(Self {
            received: Ring::new(BACKLOG)?,
            dropped: AtomicU32::new(0),
            mask: AtomicU32::new(0),
            transmitted: AtomicBool::new(false),
            driven: AtomicBool::new(false),
            turn: Baton::new(),
        })
    }

    /// A guest accesses the register at `offset`. What it transmits goes to `out`; `line` drives the device's
    /// interrupt line (INTID 32) where its level changes.
    pub fn access(
        &self,
        offset: u64,
        width: Width,
        access: Access,
        out: &Stream,
        mut line: impl FnMut(bool),
    ) -> Outcome {
        let mask = match width {
            Width::Byte => 0xff,
            Width::Half => 0xffff,
            Width::Word => u32::MAX,
            Width::Double => return Outcome::Refused,
        };
        match (offset, access) {
            (reg::ICR, Access::Read) => Outcome::Refused,
            (reg::DR, Access::Read) => {
                let take = || self.received.take(Upto::Committed).unwrap_or(0);
                self.change(take, &mut line).map_or(Outcome::Retry, |byte| Outcome::Value(byte.into()))
            }
            (_, Access::Read) => Outcome::Value((self.register(offset) & mask).into()),
            (_, Access::Write(value)) => {
                let write = || self.write(offset, mask, value as u32, out);
                self.change(write, &mut line).unwrap_or(Outcome::Retry)
            }
        }
    }

    /// Offset of the flag register, which guests read before each byte.
    pub const FLAGS: u64 = reg::FR;

    /// What the flag register reads as.
    #[inline(always)]
    #[must_use]
    pub fn flags(&self) -> u32 {
        match self.received.waiting() {
            0 => fr::TXFE | fr::RXFE,
            1..FIFO => fr::TXFE,
            FIFO.. => fr::TXFE | fr::RXFF,
        }
    }

    /// What the register at `offset` reads as, by words, if reading it has no effect.
    #[inline]
    #[must_use]
    pub fn peek(&self, offset: u64) -> Option<u32> {
        match offset {
            reg::FR | reg::IMSC | reg::RIS | reg::MIS => Some(self.register(offset)),
            _ => None,
        }
    }

    /// A key was typed for this domain. For the console's pCPU only. A byte that finds the backlog full is
    /// dropped, as a UART does; to wait for the guest would keep the keys of all others from being read.
    pub fn receive(&self, byte: u8, mut line: impl FnMut(bool)) {
        if self.received.stage(byte) {
            self.received.commit();
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        // A guest that is at the device hears the bell and drives the line; guests themselves never ring.
        let _ = self.turn.ring(2, || self.drive(&mut line));
    }

    /// How many bytes were dropped because the guest did not read.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Back to the state after reset, for a domain none of whose vCPUs runs. A key that is typed meanwhile is for its next
    /// life. `line` is lowered if it was high.
    ///
    /// # Errors
    ///
    /// [`Retry`] if the console's pCPU is at the device just now.
    pub fn reset(&self, mut line: impl FnMut(bool)) -> Result<(), Retry> {
        let reset = || {
            for _ in 0..BACKLOG {
                if self.received.take(Upto::Committed).is_none() {
                    break;
                }
            }
            self.dropped.store(0, Ordering::Relaxed);
            self.mask.store(0, Ordering::Relaxed);
            self.transmitted.store(false, Ordering::Relaxed);
        };
        self.change(reset, &mut line).ok_or(Retry)
    }

    /// Does `what`, then drives the line; `None` if another CPU is at the device.
    fn change<R>(&self, what: impl FnOnce() -> R, line: &mut impl FnMut(bool)) -> Option<R> {
        // `line` is needed by two closures that never run at once.
        let line = core::cell::RefCell::new(line);
        let drive = || {
            if let Ok(mut line) = line.try_borrow_mut() {
                self.drive(*line);
            }
        };
        self.turn.try_enter(
            || {
                let result = what();
                drive();
                result
            },
            drive,
        )
    }

    fn drive(&self, line: &mut impl FnMut(bool)) {
        let level = self.raw() & self.mask.load(Ordering::Relaxed) != 0;
        if self.driven.swap(level, Ordering::Relaxed) != level {
            line(level);
        }
    }

    fn raw(&self) -> u32 {
        let waiting = self.received.waiting();
        let receive = if waiting >= FIFO / 2 { int::RX } else { 0 };
        let timeout = if waiting != 0 { int::RT } else { 0 };
        let transmit = if self.transmitted.load(Ordering::Relaxed) { int::TX } else { 0 };
        receive | timeout | transmit
    }

    fn register(&self, offset: u64) -> u32 {
        match offset {
            reg::FR => self.flags(),
            reg::IMSC => self.mask.load(Ordering::Relaxed),
            reg::RIS => self.raw(),
            reg::MIS => self.raw() & self.mask.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    fn write(&self, offset: u64, mask: u32, value: u32, out: &Stream) -> Outcome {
        match offset {
            reg::DR => {
                if out.put(value as u8).is_err() {
                    return Outcome::Retry;
                }
                self.transmitted.store(true, Ordering::Relaxed);
            }
            reg::IMSC => {
                let kept = self.mask.load(Ordering::Relaxed) & !mask;
                self.mask.store((kept | value & mask) & int::ALL, Ordering::Relaxed);
            }
            reg::ICR if value & mask & int::TX != 0 => self.transmitted.store(false, Ordering::Relaxed),
            _ => {}
        }
        Outcome::Done
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use core::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    struct Bench {
        uart: Vpl011,
        out: Stream,
        line: Cell<bool>,
    }

    impl Bench {
        fn new() -> Self {
            Self { uart: Vpl011::new().unwrap(), out: Stream::new().unwrap(), line: Cell::new(false) }
        }

        fn access(&self, offset: u64, width: Width, access: Access) -> Outcome {
            self.uart.access(offset, width, access, &self.out, |high| self.line.set(high))
        }

        fn read(&self, offset: u64) -> u64 {
            match self.access(offset, Width::Word, Access::Read) {
                Outcome::Value(value) => value,
                other => panic!("{other:?}"),
            }
        }

        fn write(&self, offset: u64, value: u64) {
            assert_eq!(self.access(offset, Width::Half, Access::Write(value)), Outcome::Done);
        }

        fn type_keys(&self, keys: &[u8]) {
            for key in keys {
                self.uart.receive(*key, |high| self.line.set(high));
            }
        }
    }

    #[test]
    fn a_peek_reads_what_a_load_does_and_nothing_that_has_an_effect() {
        let bench = Bench::new();
        bench.type_keys(b"a");
        bench.write(reg::IMSC, 0x50);
        for offset in (0..0x1000).step_by(4) {
            if let Some(value) = bench.uart.peek(offset) {
                assert_eq!(bench.read(offset), value.into(), "{offset:#x}");
            }
        }
        assert_eq!(bench.uart.peek(reg::DR), None);
    }

    #[test]
    fn after_reset_nothing_waits_and_the_transmitter_is_empty() {
        let bench = Bench::new();
        assert_eq!(bench.read(reg::FR), 0x90);
        assert_eq!([reg::IMSC, reg::RIS, reg::MIS, reg::DR].map(|offset| bench.read(offset)), [0; 4]);
    }

    #[test]
    fn what_is_written_reaches_the_console_and_the_transmitter_stays_empty() {
        let bench = Bench::new();
        for byte in b"hi\n" {
            assert_eq!(bench.access(reg::DR, Width::Byte, Access::Write((*byte).into())), Outcome::Done);
        }
        assert_eq!((bench.read(reg::FR), bench.read(reg::RIS)), (0x90, 0x20));
        assert_eq!(bench.out.write(&[b'x'; 5000]), 4096 - 3, "three bytes are on their way");
    }

    #[test]
    fn a_guest_waits_while_the_console_is_behind() {
        let bench = Bench::new();
        bench.out.write(&[b'x'; 5000]);
        assert_eq!(bench.access(reg::DR, Width::Byte, Access::Write(b'y'.into())), Outcome::Retry);
        assert_eq!(bench.read(reg::RIS), 0, "nothing happened");
    }

    #[test]
    fn the_transmit_interrupt_rises_after_a_byte_and_falls_when_cleared() {
        let bench = Bench::new();
        bench.write(reg::IMSC, 0x20);
        assert!(!bench.line.get());
        bench.write(reg::DR, b'a'.into());
        assert!(bench.line.get());
        bench.write(reg::ICR, 0x20);
        assert!(!bench.line.get());
    }

    #[test]
    fn received_bytes_hold_the_line_until_they_are_read() {
        let bench = Bench::new();
        bench.write(reg::IMSC, 0x50);
        bench.type_keys(b"ab");
        assert!(bench.line.get());
        assert_eq!((bench.read(reg::RIS), bench.read(reg::FR)), (0x40, 0x80));
        bench.write(reg::ICR, 0x7ff);
        assert!(bench.line.get(), "clearing does not lose the bytes that wait");
        assert_eq!((bench.read(reg::DR), bench.read(reg::DR)), (b'a'.into(), b'b'.into()));
        assert!(!bench.line.get());
        assert_eq!(bench.read(reg::DR), 0);
    }

    #[test]
    fn half_a_fifo_raises_rxi_and_a_full_one_says_so() {
        let bench = Bench::new();
        bench.type_keys(&[b'x'; 15]);
        assert_eq!(bench.read(reg::RIS), 0x40);
        bench.type_keys(b"x");
        assert_eq!(bench.read(reg::RIS), 0x50);
        bench.type_keys(&[b'x'; 16]);
        assert_eq!(bench.read(reg::FR), 0xc0);
    }

    #[test]
    fn a_page_pasted_arrives_whole_and_one_byte_more_is_counted() {
        let bench = Bench::new();
        let page: Vec<u8> = (0..4096_u32).map(|i| (i % 251) as u8).collect();
        bench.type_keys(&page);
        bench.type_keys(b"!");
        let read: Vec<u8> = page.iter().map(|_| bench.read(reg::DR) as u8).collect();
        assert_eq!((read, bench.uart.dropped()), (page, 1));
    }

    #[test]
    fn odd_accesses_are_refused_or_ignored() {
        let bench = Bench::new();
        assert_eq!(bench.access(reg::DR, Width::Double, Access::Read), Outcome::Refused);
        assert_eq!(bench.access(reg::ICR, Width::Word, Access::Read), Outcome::Refused);
        assert_eq!(bench.access(0x30, Width::Word, Access::Write(u64::MAX)), Outcome::Done);
        assert_eq!((bench.read(0x30), bench.read(0x04), bench.read(0xfe0)), (0, 0, 0));
        bench.write(reg::IMSC, u64::MAX);
        assert_eq!(bench.access(reg::IMSC, Width::Byte, Access::Write(0)), Outcome::Done);
        assert_eq!(bench.read(reg::IMSC), 0x700, "a byte store changes a byte");
    }

    #[test]
    fn while_another_vcpu_is_at_the_device_changes_are_retried_and_flags_are_read() {
        let bench = Bench::new();
        bench.type_keys(b"a");
        let entered = bench.uart.turn.try_enter(
            || {
                assert_eq!(bench.access(reg::DR, Width::Word, Access::Read), Outcome::Retry);
                assert_eq!(bench.access(reg::IMSC, Width::Word, Access::Write(0x50)), Outcome::Retry);
                assert_eq!(bench.read(reg::FR), 0x80);
            },
            || (),
        );
        assert!(entered.is_some());
        assert_eq!(bench.read(reg::DR), b'a'.into());
    }

    #[test]
    fn a_restarted_domain_finds_no_old_keys() {
        let bench = Bench::new();
        bench.write(reg::IMSC, 0x7ff);
        bench.type_keys(&[b'x'; 5000]);
        assert!(bench.line.get());
        assert_eq!(bench.uart.reset(|high| bench.line.set(high)), Ok(()));
        assert!(!bench.line.get(), "the interrupt controller is told");
        assert_eq!((bench.read(reg::FR), bench.read(reg::IMSC), bench.uart.dropped()), (0x90, 0, 0));
        assert_eq!([reg::RIS, reg::MIS, reg::DR].map(|offset| bench.read(offset)), [0; 3]);
    }

    #[test]
    fn a_reset_waits_for_a_key_on_its_way() {
        let bench = Bench::new();
        let entered =
            bench.uart.turn.try_enter(|| assert_eq!(bench.uart.reset(|_| unreachable!()), Err(Retry)), || ());
        assert!(entered.is_some());
    }

    proptest! {
        #[test]
        fn the_line_is_always_what_mis_says(
            steps in prop::collection::vec((0_u8..3, prop::sample::select(vec![0, 0x18, 0x38, 0x44_u64]), any::<u16>()), 0..100),
        ) {
            let bench = Bench::new();
            for (what, offset, value) in steps {
                match what {
                    0 => bench.type_keys(&[value as u8]),
                    1 => bench.write(offset, value.into()),
                    _ => drop(bench.access(offset, Width::Word, Access::Read)),
                }
                prop_assert_eq!(bench.line.get(), bench.read(reg::MIS) != 0);
            }
        }
    }
}
