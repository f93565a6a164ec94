//! vCPUs of one domain that get in each other's way: they start and stop each other, change the address space and the
//! interrupt controller under each other, move ports and send on them, all at once and without agreement. In the midst of
//! it the domain is switched off. Arguments: `milliseconds=3000`.
//!
//! What becomes of this domain does not matter. The hypervisor must not fault, its neighbours must go on, and it must end.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use portunus_guests::random::Random;
use portunus_rt::hypercall::{self, call};
use portunus_rt::{
    Machine, cpu, entry, event, exception, gic, machine, mmio, mmu, println, psci, smp, timer, write_sysreg,
};

entry!(main);

const PAGE: u64 = 4096;
/// RAM that nothing stands on: from this offset on, this many bytes. (The tree lies at the end.)
const FREE: u64 = 8 << 20;
const FREE_SIZE: u64 = 16 << 20;
const GICR_STRIDE: usize = 0x2_0000;
const GICR_SGI: usize = 0x1_0000;
const PHYSICAL: u32 = 30;

static DEEDS: AtomicU32 = AtomicU32::new(0);

fn main(machine: &'static Machine) {
    gic::set_handler(interrupt);
    event::init();
    gic::enable(timer::INTID);
    gic::enable(PHYSICAL);
    let mut random = Random::new(0x30b);
    for port in 1..16 {
        let _ = event::bind_ipi(port % machine.cpus().len() as u32);
    }
    println!("mob: {} vCPUs", machine.cpus().len());
    let end = timer::now() + timer::microseconds(1000 * machine.number("milliseconds", 3000));
    while timer::now() < end {
        wake_somebody(&mut random);
        call_somebody(&mut random);
        let _ = exception::catch(|| change_memory(&mut random));
        if random.below(8) == 0 {
            timer::delay(timer::microseconds(random.below(500)));
        }
    }
    println!("mob: {} deeds, enough", DEEDS.load(Ordering::Relaxed));
    wake_somebody(&mut random);
    psci::system_off()
}

/// What the others do until chance switches them off; somebody will start them again.
fn worker(number: usize) {
    event::register_vcpu_info();
    let mut random = Random::new(timer::now() ^ (number as u64) << 40);
    for _ in 0..random.below(300) {
        let _ = exception::catch(|| deed(&mut random));
        DEEDS.fetch_add(1, Ordering::Relaxed);
    }
}

fn interrupt(_: u32) {
    timer::stop();
    write_sysreg!("cntp_ctl_el0", 0);
}

fn deed(random: &mut Random) {
    match random.below(10) {
        0 => wake_somebody(random),
        1 => call_somebody(random),
        2 => change_memory(random),
        3 => change_ports(random),
        4 | 5 => change_interrupts(random),
        6 => set_timers(random),
        7 => pause(random),
        _ => {
            let _ = event::send(random.below(20) as u32);
        }
    }
}

fn somebody(random: &mut Random) -> usize {
    random.below(machine::get().cpus().len() as u64) as usize
}

fn wake_somebody(random: &mut Random) {
    let number = somebody(random);
    if number != 0 {
        let _ = smp::start(number, worker);
    }
    let _ = psci::affinity_info(machine::get().cpus().get(number).copied().unwrap_or(0));
}

fn call_somebody(random: &mut Random) {
    let (intid, number) = (random.below(16) as u32, somebody(random));
    gic::send_sgi(intid, number);
    if random.below(4) == 0 {
        write_sysreg!("icc_sgi1r_el1", 1 << 40 | u64::from(intid) << 24);
    }
}

/// Some place in RAM that nobody needs.
fn anywhere(random: &mut Random) -> u64 {
    let start = machine::get().ram().next().map_or(0, |bank| bank.start as u64);
    start + FREE + random.below(FREE_SIZE / PAGE) * PAGE
}

fn change_memory(random: &mut Random) {
    let frame = match random.below(4) {
        // Over the interrupt controller, which must go on answering wherever this does not cover it.
        0 => 0x0300_1000 / PAGE + random.below(0x100),
        1 => mmu::window().start as u64 / PAGE + 1 + random.below(500),
        _ => anywhere(random) / PAGE,
    };
    let _ = match random.below(4) {
        0 => hypercall::remove_from_physmap(frame),
        1 => hypercall::add_to_physmap(0, 0, frame),
        _ => hypercall::add_to_physmap(1, random.below(5), frame),
    };
    let address = anywhere(random) as usize;
    mmio::write32(address, mmio::read32(address));
}

fn change_ports(random: &mut Random) {
    let port = random.below(20) as u32;
    match random.below(5) {
        0 => {
            let _ = event::bind_ipi(somebody(random) as u32);
        }
        1 => {
            let _ = event::close(port);
        }
        2 => {
            let _ = event::bind_vcpu(port, somebody(random) as u32);
        }
        3 => event::mask(port),
        _ => {
            let _ = event::unmask(port);
        }
    }
}

/// A register of the distributor or of somebody's redistributor. The upcall's, PPI 31, is left on.
fn change_interrupts(random: &mut Random) {
    const ARRAYS: [usize; 8] = [0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0xc00];
    let array = ARRAYS[random.below(8) as usize];
    let value = random.word() as u32 & !(1 << 31);
    if random.below(2) == 0 {
        let frame = machine::get().gicr.start + somebody(random) * GICR_STRIDE + GICR_SGI;
        mmio::write32(frame + array, value);
        mmio::write8(frame + 0x400 + random.below(31) as usize, value as u8);
        let _ = mmio::read32(frame + array);
    } else {
        mmio::write32(gic::distributor(array + 4), value);
        let target = machine::get().cpus().get(somebody(random)).copied().unwrap_or(0);
        mmio::write64(gic::distributor(0x6000 + 8 * (32 + random.below(32) as usize)), target);
    }
    if random.below(50) == 0 {
        mmio::write32(gic::distributor(0), 0);
        mmio::write32(gic::distributor(0), 0x12);
    }
}

fn set_timers(random: &mut Random) {
    timer::start(timer::microseconds(random.below(2000)));
    write_sysreg!("cntp_tval_el0", random.below(100_000));
    write_sysreg!("cntp_ctl_el0", random.below(4));
}

/// Ways to wait; each ends, because the timer was set before.
fn pause(random: &mut Random) {
    const SCHED_OP: u64 = 29;
    timer::start(timer::microseconds(random.below(500)));
    match random.below(4) {
        0 => cpu::wait_for_interrupt(),
        1 => {
            let _ = call(SCHED_OP, [0; 5]);
        }
        2 => {
            let _ = call(SCHED_OP, [1, 0, 0, 0, 0]);
        }
        _ => {
            // ports@0(8) nr_ports@8(4) timeout@16(8)
            let record = [0_u64, 0, timer::now() / 64];
            let _ = call(SCHED_OP, [3, record.as_ptr() as u64, 0, 0, 0]);
        }
    }
}
