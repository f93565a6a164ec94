//! A domain that signals without end to a vCPU of its own that lives on somebody else's CPU (`role=ring`, `how=asleep`,
//! `busy` or `off`), and the neighbour there, who counts what is left of it (`role=work least=PERCENT`).
//!
//! The neighbour compares how much it does in the same time before, when the domain rings for its first vCPU, and meanwhile. Both
//! give way again and again, so that the two take turns on a machine that has its CPUs take turns.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};

use portunus_rt::{Machine, cpu, entry, gic, println, smp, timer};

entry!(main);

/// Milliseconds of system time: the neighbour measures its work alone, then it is rung for, then it is over.
const QUIET: u64 = 300;
const LOUD: u64 = 400;
const END: u64 = 900;
/// Any that is not the upcall's.
const SGI: u32 = 3;
/// Steps of a piece of work.
const PIECE: u64 = 50;

static OVER: AtomicBool = AtomicBool::new(false);

fn main(machine: &'static Machine) {
    if machine.argument("role") == Some("work") { work(machine.number("least", 50)) } else { ring(machine) }
}

fn work(least: u64) {
    // What the machine needs for other things is missing from both.
    let before = pieces(QUIET - 200, QUIET) / 2;
    let meanwhile = pieces(LOUD, END) / 5;
    let left = meanwhile * 100 / before;
    println!("bully: {before} pieces of work in 100 ms, then {meanwhile}");
    assert!(left >= least, "only {left} % are left, not {least}");
    println!("bully: at least {least} % are left: ok");
}

/// How many pieces are done from `start` to `end`.
fn pieces(start: u64, end: u64) -> u64 {
    let mut done = 0;
    while milliseconds() < end {
        piece();
        done += u64::from(milliseconds() >= start);
    }
    done
}

fn piece() {
    (0..PIECE).for_each(|step| {
        black_box(step);
    });
    cpu::give_way();
}

fn milliseconds() -> u64 {
    timer::now() / (timer::frequency() / 1000)
}

fn ring(machine: &'static Machine) {
    gic::set_handler(|_| ());
    let how = machine.argument("how").unwrap_or("off");
    if how != "off" {
        let worker = if how == "busy" { busy } else { asleep };
        assert!(smp::start(1, worker) == 0, "vCPU 1 does not start");
    }
    let mut rings = 0_u64;
    while milliseconds() < END + 50 {
        let vcpu = usize::from(milliseconds() > LOUD - 50);
        gic::send_sgi(SGI, vcpu);
        cpu::give_way();
        rings += 1;
    }
    OVER.store(true, Ordering::SeqCst);
    gic::send_sgi(SGI, 1);
    if how != "off" {
        smp::wait_off(1);
    }
    println!("bully: rung {rings} times");
}

/// Takes each signal and sleeps again.
fn asleep(number: usize) {
    gic::enable(SGI);
    assert!(number == cpu::number(), "vCPU {number} is another");
    while !OVER.load(Ordering::SeqCst) {
        cpu::wait_for_interrupt();
    }
}

/// Never sleeps, and takes no signal.
fn busy(_: usize) {
    while !OVER.load(Ordering::SeqCst) {
        cpu::give_way();
    }
}
