//! vPL011: the registers that a domU can read without input.

use portunus_guests::verdict::{Verdict, both, split};
use portunus_rt::exception::catch;
use portunus_rt::{Machine, mmio};

const DATA_ABORT: i64 = 0x25;

pub fn check(v: &mut Verdict, machine: &Machine) {
    let Some(uart) = machine.uart else { return };
    let fr = i64::from(mmio::read32(uart + 0x18));
    v.check(format_args!("UART FR after output"), fr, split(0x90, 0x10));
    for (name, offset, want) in [("RSR", 0x04, 0), ("IMSC", 0x38, 0), ("RIS", 0x3c, 0x20), ("MIS", 0x40, 0)] {
        let got = i64::from(mmio::read32(uart + offset));
        v.check(format_args!("UART {name}"), got, both(want));
    }
    v.check(format_args!("UART DR without input"), i64::from(mmio::read32(uart) & 0xff), both(0));
    mmio::write32(uart + 0x38, 0x50);
    v.check(format_args!("UART IMSC is kept"), mmio::read32(uart + 0x38).into(), both(0x50));
    mmio::write32(uart + 0x38, 0);
    mmio::write32(uart + 0x44, 0x20);
    v.check(format_args!("UART RIS after ICR"), mmio::read32(uart + 0x3c).into(), both(0));
    type Access = (&'static str, fn(usize));
    let faults: [Access; 2] = [
        ("64-bit read", |uart| _ = mmio::read64(uart + 0x18)),
        ("read of ICR", |uart| _ = mmio::read32(uart + 0x44)),
    ];
    for (name, access) in faults {
        let class = catch(|| access(uart)).map_or(-1, |caught| caught.class() as i64);
        v.check(format_args!("UART: exception class of a {name}"), class, both(DATA_ABORT));
    }
}
