//! A domain that signals without end to a vCPU of its own that lives on somebody else's CPU (`role=ring`, `how=asleep`,
//! `busy` or `off`), and the neighbour there, who counts what is left of it (`role=work least=PERCENT`), or how late its own
//! interrupts come (`role=hear most=PERCENT`).
//!
//! The neighbour compares what it sees in some time before, when the domain rings for its first vCPU, and meanwhile. All
//! give way again and again, so that they take turns on a machine that has its CPUs take turns.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portunus_rt::{Machine, cpu, entry, gic, mmio, println, smp, timer};

entry!(main);

/// Milliseconds of system time: the neighbour measures its work alone, then it is rung for, then it is over.
const QUIET: u64 = 300;
const LOUD: u64 = 400;
const END: u64 = 900;
/// Any that is not the upcall's.
const SGI: u32 = 3;
/// An interrupt without a device, which the neighbour's other vCPU makes pending: for its home that is a bit of the doorbell.
const LINE: u32 = 40;
const GICD_ISPENDR: usize = 0x200;
/// Steps of a piece of work.
const PIECE: u64 = 50;

static OVER: AtomicBool = AtomicBool::new(false);

fn main(machine: &'static Machine) {
    match machine.argument("role") {
        Some("work") => work(machine.number("least", 50)),
        Some("hear") => hear(machine.number("most", 150)),
        _ => ring(machine),
    }
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

/// When vCPU 1 last interrupted vCPU 0, and how long all that were taken were on their way.
static SENT: AtomicU64 = AtomicU64::new(0);
static TAKEN: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);
static WORST: AtomicU64 = AtomicU64::new(0);

/// Works on vCPU 0, while vCPU 1, on another CPU, interrupts it.
fn hear(most: u64) {
    gic::set_handler(|_| {
        let ticks = timer::now() - SENT.load(Ordering::SeqCst);
        WORST.fetch_max(ticks, Ordering::SeqCst);
        TICKS.fetch_add(ticks, Ordering::SeqCst);
        TAKEN.fetch_add(1, Ordering::SeqCst);
    });
    gic::enable(LINE);
    assert!(smp::start(1, interrupt) == 0, "vCPU 1 does not start");
    let before = latency(QUIET - 200, QUIET);
    let meanwhile = latency(LOUD, END);
    OVER.store(true, Ordering::SeqCst);
    smp::wait_off(1);
    println!("bully: interrupts take {before} us, then {meanwhile}");
    let longer = meanwhile * 100 / before;
    assert!(longer <= most, "they take {longer} % of that, not {most}");
    println!("bully: at most {most} % of that: ok");
}

/// How many microseconds the interrupts of the time from `start` to `end` were on their way, on average.
fn latency(start: u64, end: u64) -> u64 {
    pieces(start, start);
    [&TAKEN, &TICKS, &WORST].iter().for_each(|count| count.store(0, Ordering::SeqCst));
    pieces(end, end);
    let [taken, ticks, worst] = [&TAKEN, &TICKS, &WORST].map(|count| count.load(Ordering::SeqCst));
    let micro = |ticks: u64| ticks * 1_000_000 / timer::frequency();
    println!("bully: {taken} interrupts, the last of them to come after {} us", micro(worst));
    micro(ticks / taken.max(1))
}

/// Interrupts vCPU 0 again and again, each time after the interrupt before was taken, and a while of varying length.
fn interrupt(_: usize) {
    let mut rest = 0;
    while !OVER.load(Ordering::SeqCst) {
        let taken = TAKEN.load(Ordering::SeqCst);
        SENT.store(timer::now(), Ordering::SeqCst);
        mmio::write32(gic::distributor(GICD_ISPENDR + LINE as usize / 32 * 4), 1 << (LINE % 32));
        while TAKEN.load(Ordering::SeqCst) == taken && !OVER.load(Ordering::SeqCst) {
            cpu::give_way();
        }
        rest = (rest + 37) % 200;
        let end = timer::now() + timer::microseconds(50 + rest);
        while timer::now() < end {
            cpu::give_way();
        }
    }
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
