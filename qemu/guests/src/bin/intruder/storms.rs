//! Many calls and accesses with arguments that make no sense.

use portunus_guests::random::Random;
use portunus_rt::hypercall::{self, DOMID_SELF, call};
use portunus_rt::{Machine, cpu, gic, mmio, mmu, probe, psci, timer, write_sysreg};

use crate::Tally;

const DATA_ABORT: u64 = 0x25;
const PAGE: u64 = 4096;

/// Words that come near to making sense.
fn word(random: &mut Random, scratch: u64) -> u32 {
    match random.below(10) {
        0 => DOMID_SELF.into(),
        1 => random.below(3) as u32,
        2 | 3 => random.below(64) as u32,
        4 => mmu::window().start as u32 / PAGE as u32 + random.below(16) as u32,
        5 => (scratch / PAGE) as u32,
        6 => 0,
        // Large enough to be no address in RAM.
        _ => random.word() as u32 | 1 << 31,
    }
}

/// Hypercalls with rubbish in numbers, commands, pointers and structures. Left out is what would rightly end or stop
/// this domain, or print: shutdown and its reason, block, poll, watchdogs, console output.
pub fn hypercalls(tally: &mut Tally, machine: &Machine, count: u32) {
    let mut random = Random::new(0x5eed);
    // The last page of RAM: whatever runs beyond it runs into nothing.
    let scratch = machine.ram().next().map_or(0, |bank| bank.end() as u64) - PAGE;
    let (mut done, mut answered) = (0, 0);
    while done < count {
        let number = if random.below(50) == 0 { random.word() } else { random.below(48) };
        let command = random.below(34);
        const SCHED_OP: u64 = 29;
        if (number == SCHED_OP && matches!(command, 1..=3 | 5 | 6))
            || (number == hypercall::CONSOLE_IO && command == 0)
        {
            continue;
        }
        let within = random.below(PAGE);
        for at in (0..64).step_by(4) {
            let address = (scratch + (within & !7) + at).min(scratch + PAGE - 4);
            mmio::write32(address as usize, word(&mut random, scratch));
        }
        let pointer = match random.below(8) {
            0 => random.word(),
            1 => random.below(1 << 40) | 1 << 32,
            2 => 0x0300_1000 + within,
            3 => scratch + within,
            _ => scratch + (within & !7),
        };
        let third = u64::from(word(&mut random, scratch));
        call(number, [command, pointer, third, pointer, random.word()]);
        done += 1;
        // The hypervisor must still make sense itself.
        if done.is_multiple_of(1000) {
            answered += u32::from(hypercall::version() >> 16 == 4);
        }
    }
    tally.attempts += done;
    tally.must(format_args!("the hypervisor says its version"), answered == count / 1000);
}

/// Firmware calls: all but those that rightly end or stop this vCPU.
pub fn firmware(tally: &mut Tally, count: u32) {
    let mut random = Random::new(0xf1a7);
    for _ in 0..count {
        let base = [0x8400_0000, 0xc400_0000, 0x8000_0000, 0xc000_0000, 0x8500_ff00, 0xbf00_0000];
        let function = base[random.below(6) as usize] | random.below(64);
        let stops = matches!(function & 0xffff, 1 | 2 | 8 | 9 | 14) && function & 0xbfff_0000 == 0x8400_0000;
        if !stops {
            psci::smccc([function, random.word(), random.word(), random.word()]);
        }
        tally.attempts += 1;
    }
    tally.must(format_args!("firmware says its version"), psci::smccc([0x8400_0000, 0, 0, 0])[0] == 0x1_0001);
}

/// Writes to the distributor, the redistributor and the UART; not to its data register, which would print.
pub fn devices(tally: &mut Tally, machine: &Machine, count: u32) {
    let mut random = Random::new(0xdeb1ce);
    let uart = machine.uart.unwrap_or(0);
    // On a GICv2 the CPU interface; not its first register, which could make interrupts FIQs.
    let gicc = machine.gicc.start;
    let ([first, second], whole) = match machine.gicr.size {
        0 => ([(gicc + 4, 0xffc), (gicc + 0x1000, 0x1000)], 0x1000),
        _ => ([(gic::redistributor(0), 0x1_0000), (gic::redistributor(0x1_0000), 0x1000)], 0x1_0000),
    };
    let places = [
        (machine.gicd.start, whole),
        (machine.gicd.start, 0x1000),
        first,
        second,
        (uart + 4, if uart == 0 { 0 } else { 0xff0 }),
    ];
    for _ in 0..count {
        let (base, size) = places[random.below(5) as usize];
        if size == 0 {
            continue;
        }
        let address = base + (random.below(size) as usize & !3);
        let value = random.word() as u32;
        let size = random.below(16);
        tally.may_fault(format_args!("write of {value:#x} at {address:#x}"), &[DATA_ABORT], || match size {
            0 => mmio::write8(address, value as u8),
            1 => mmio::write64(address & !7, u64::from(value) << 13),
            2 => probe::access(probe::Access::Load32, address as u64),
            _ => mmio::write32(address, value),
        });
    }
}

/// SGIs to vCPUs that are there and to many that are not.
pub fn sgis(tally: &mut Tally, machine: &Machine, count: u32) {
    let mut random = Random::new(0x5619);
    for _ in 0..count {
        let value = random.word();
        tally.attempts += 1;
        if machine.gicr.size == 0 {
            const GICD_SGIR: usize = 0xf00;
            mmio::write32(gic::distributor(GICD_SGIR), value as u32);
            continue;
        }
        write_sysreg!("icc_sgi1r_el1", value);
        if value & 1 == 0 {
            write_sysreg!("icc_asgi1r_el1", value);
            write_sysreg!("icc_sgi0r_el1", value);
        }
    }
}

/// After all that, this domain's own devices still work.
pub fn aftermath(tally: &mut Tally) {
    if let Some(uart) = portunus_rt::machine::get().uart {
        mmio::write32(uart + 0x38, 0);
        mmio::write32(uart + 0x44, 0x7ff);
    }
    gic::reset();
    gic::enable(timer::INTID);
    timer::start(timer::microseconds(1000));
    let rang = timer::spin_until(5, || portunus_rt::read_sysreg!("cntv_ctl_el0") & 1 == 0);
    tally.must(format_args!("the timer interrupts"), rang);
    cpu::mask_irqs();
}
