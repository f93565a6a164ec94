//! Where a UART usually is, for the one line that must be said when the device tree cannot say it.
//!
//! A candidate is believed only if it identifies itself: the PL011 has PrimeCell identification registers at
//! the end of its page (DDI 0183, 3.3.14 onwards). Reading an address where nothing is must be survivable, so
//! this works at EL2 only, where a failed probe comes back.

use portunus::addr::{PAGE_SIZE, Pa, PaSpan};
use portunus::mm::stage1::Kind;
use portunus::plan::UartKind;

use super::uart::Uart;
use crate::arch::aarch64::{map, probe};

/// PL011s of the machines this hypervisor is flashed to: QEMU virt, Raspberry Pi 4.
const CANDIDATES: [u64; 2] = [0x0900_0000, 0xfe20_1000];
/// UARTPeriphID0, 1 and UARTPCellID0, 1: the part number 0x011 and the PrimeCell's 0xb105f00d.
const IDENTITY: [(u64, u32); 4] = [(0xfe0, 0x11), (0xfe4, 0x10), (0xff0, 0x0d), (0xff4, 0xf0)];

/// The first candidate that answers as a PL011 should.
#[must_use]
pub fn find() -> Option<Uart> {
    CANDIDATES.into_iter().find_map(|base| {
        let regs = PaSpan::new(Pa::new(base), PAGE_SIZE)?;
        map::add(regs, Kind::Device).ok()?;
        // SAFETY: mapped as Device memory just now; identification registers have no side effects.
        let is_pl011 =
            IDENTITY.iter().all(|(offset, value)| unsafe { probe::read32(base + offset) } == Some(*value));
        // SAFETY: it says that it is a PL011, and nobody else runs.
        is_pl011.then(|| unsafe { Uart::new(UartKind::Pl011, regs) })
    })
}
