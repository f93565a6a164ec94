//! Addresses that are not this domain's, ways of access that no device takes, tables that lead nowhere.

use portunus_rt::hypercall::call;
use portunus_rt::mmu::{self, Tampered};
use portunus_rt::probe::{ACCESSES, Access, access};
use portunus_rt::{Machine, cpu};

use crate::Tally;

const UNDEFINED: u64 = 0x00;
const INSTRUCTION_ABORT: u64 = 0x21;
const UNALIGNED_PC: u64 = 0x22;
const DATA_ABORT: u64 = 0x25;
/// Cache maintenance by address may be done without asking whether anything is there.
const MAINTENANCE: [Access; 2] = [Access::Clean, Access::Invalidate];

/// Where this domain has nothing: below and above its RAM, the host's devices, the host's RAM with the hypervisor, its
/// tree and the modules, the end of the map.
pub fn foreign(tally: &mut Tally, machine: &Machine) {
    let ram_end = machine.ram().next().map_or(0, |bank| bank.end() as u64);
    let addresses = [
        0,
        0x1000,
        0x0800_0000,
        0x0801_0000,
        0x080a_0000,
        0x0900_0000,
        0x1000_0000,
        0x2200_1000,
        0x3800_0000,
        0x3900_1000,
        0x3fff_fff0,
        ram_end,
        mmu::window().start as u64 + 0x1000,
        0x4800_0000,
        0x5000_0000,
        0x5020_0000,
        0x7fff_f000,
        0xffff_fff0,
        0x1_0000_0000,
        0x2_0000_0000,
        0x7f_bfff_f000,
    ];
    for address in addresses {
        for how in ACCESSES {
            let what = format_args!("{how:?} at {address:#x}");
            match how {
                Access::Execute => {
                    tally.must_fault(what, INSTRUCTION_ABORT, Some(address), || access(how, address));
                }
                how if MAINTENANCE.contains(&how) => {
                    tally.may_fault(what, &[DATA_ABORT], || access(how, address));
                }
                how => tally.must_fault(what, DATA_ABORT, None, || access(how, address)),
            }
        }
    }
    for address in [0x4000_0001, 0x4000_0002, 0x4000_1003] {
        let what = format_args!("jump to {address:#x}");
        tally.must_fault(what, UNALIGNED_PC, Some(address), || access(Access::Execute, address));
    }
    // Output addresses beyond what the machine has.
    for gib in [0x80_0000_0000, 0x100_0000_0000, 0xfff_c000_0000, 0xffff_c000_0000] {
        mmu::tamper(Tampered::Block(gib));
        for how in [Access::Load32, Access::Store64, Access::LoadPair] {
            tally.must_fault(
                format_args!("{how:?} through to {gib:#x}"),
                DATA_ABORT,
                Some(mmu::SPARE),
                || {
                    access(how, mmu::SPARE);
                },
            );
        }
        tally.must_fault(
            format_args!("jump through to {gib:#x}"),
            INSTRUCTION_ABORT,
            Some(mmu::SPARE),
            || {
                access(Access::Execute, mmu::SPARE);
            },
        );
    }
    mmu::tamper(Tampered::Invalid);
}

/// This domain's own devices, in ways that they are not made for, and what lies between them.
pub fn devices(tally: &mut Tally, machine: &Machine) {
    let gicd = machine.gicd.start as u64;
    // On a GICv2 the CPU interface instead: not its first register, which could make interrupts FIQs.
    let (gicr, last) = match machine.gicr.size {
        0 => (machine.gicc.start as u64 + 4, machine.gicc.start as u64 + 0x1000),
        _ => (machine.gicr.start as u64, machine.gicr.end() as u64 - 0x1_0000),
    };
    let uart = machine.uart.unwrap_or(machine.gicd.start) as u64;
    let places = [
        gicd,
        gicd + 4,
        gicd + 0x0c,
        gicd + 0x400,
        gicd + 0x6100,
        gicd + 0xfff8,
        gicd + 0x1_0000,
        gicr,
        gicr + 8,
        gicr + 0x1_0080,
        gicr + 0x1_0400,
        gicr + 0x2_0000,
        last,
        last + 0xfffc,
        uart + 4,
        uart + 0x18,
        uart + 0x3c,
        uart + 0xffc,
    ];
    for place in places {
        for how in ACCESSES {
            for shift in [0, 1, 2, 4] {
                let address = place + shift;
                // Anything but a hang will do; a device may even take it.
                let allowed = [DATA_ABORT, INSTRUCTION_ABORT, UNALIGNED_PC, UNDEFINED];
                tally.may_fault(format_args!("{how:?} at {address:#x}"), &allowed, || access(how, address));
            }
        }
    }
    cpu::mask_irqs();
}

/// Devices where a hypercall wants memory: one is read, one written.
pub fn buffers(tally: &mut Tally, machine: &Machine) {
    const EFAULT: i64 = -14;
    const XEN_VERSION: u64 = 17;
    const EVENT_CHANNEL_OP: u64 = 32;
    let interface = machine.gicc.start;
    let devices =
        [machine.gicd.start, machine.gicr.start, machine.uart.unwrap_or(0), interface, interface + 0x1000];
    for device in devices.into_iter().filter(|device| *device != 0) {
        for address in [device as u64, device as u64 + 0xc, device as u64 - 4] {
            for (name, number, command) in
                [("EVTCHNOP_send", EVENT_CHANNEL_OP, 4), ("extraversion", XEN_VERSION, 1)]
            {
                let answer = call(number, [command, address, 0, 0, 0]);
                let what = format_args!("{name} at {address:#x} answers {answer}");
                tally.must(what, answer == EFAULT);
            }
        }
    }
}

/// Translation tables where no tables are, where no memory is, and where there cannot be any.
pub fn tables(tally: &mut Tally) {
    let nowhere =
        [0, 0x1000, 0x0300_1000, 0x0302_0000, 0x0900_0000, 0x2200_0000, 0x5000_0000, 0xffff_ffff_f000];
    for table in nowhere {
        mmu::tamper(Tampered::Table(table));
        mmu::second_root(Some(table));
        for (way, base) in [("table", mmu::SPARE), ("root", mmu::UPPER)] {
            for how in [Access::Load32, Access::Store32, Access::LoadPair] {
                let what = format_args!("{how:?} by a {way} at {table:#x}");
                tally.must_fault(what, DATA_ABORT, Some(base), || access(how, base));
            }
            let what = format_args!("jump by a {way} at {table:#x}");
            tally.must_fault(what, INSTRUCTION_ABORT, Some(base), || access(Access::Execute, base));
        }
    }
    mmu::second_root(None);
    mmu::tamper(Tampered::Invalid);
}
