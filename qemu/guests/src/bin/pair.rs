//! Two vCPUs that interrupt each other, `rounds` times, between two marks (`portunus_rt::marks`): what `cargo xtask bench`
//! counts of SGIs from one to another. As `bench`, it measures nothing and runs under any hypervisor.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use portunus_rt::{Machine, cpu, entry, gic, marks, println, smp, timer};

entry!(main);

/// The SGI that either sends.
const SGI: u32 = 3;

/// SGIs that reached each of them.
static ARRIVED: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];

/// To the other vCPU and back, both asleep in WFI meanwhile: what `bench` does with events, by SGIs.
fn main(machine: &'static Machine) {
    let rounds = machine.number("rounds", 200);
    gic::set_handler(|_| {
        ARRIVED[cpu::number()].fetch_add(1, Ordering::Release);
    });
    assert!(smp::start(1, answer) == 0, "vCPU 1 does not start");
    let mut seen = arrived(0, 0);
    for _ in 0..rounds {
        timer::delay(timer::microseconds(100));
        cpu::mark::<{ marks::SGI_SENT }>();
        gic::send_sgi(SGI, 1);
        cpu::mark::<{ marks::END }>();
        seen = arrived(0, seen);
    }
    timer::delay(timer::microseconds(100));
    for _ in 0..rounds {
        cpu::mark::<{ marks::SGI_TRIP }>();
        gic::send_sgi(SGI, 1);
        seen = arrived(0, seen);
        cpu::mark::<{ marks::END }>();
    }
    cpu::mark::<{ marks::DONE }>();
    println!("bench: done");
}

/// Says that it is there, then answers every SGI, for ever.
fn answer(vcpu: usize) {
    let mut seen = 0;
    loop {
        gic::send_sgi(SGI, 0);
        seen = arrived(vcpu, seen);
    }
}

/// Waits until more SGIs than `seen` have reached this vCPU; answers how many.
fn arrived(vcpu: usize, seen: u32) -> u32 {
    let count = || ARRIVED[vcpu].load(Ordering::Acquire);
    cpu::wait_until(|| count() != seen);
    count()
}
