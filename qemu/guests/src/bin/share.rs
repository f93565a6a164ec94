//! Keeps its vCPU busy and reads how its time went (`expect=PERCENT` of a CPU), from the run-state record that the
//! hypervisor writes.
#![no_std]
#![no_main]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use portunus_rt::hypercall::{self, VCPU_OP};
use portunus_rt::{Machine, entry, println, timer};

entry!(main);

/// Set in the second word while the record is being changed.
const UPDATING: u64 = 1 << 63;
/// When the account is opened, closed, and when the work ends, in ms since the domains were unpaused: all domains are
/// busy from the first to the last.
const OPEN: u64 = 300;
const CLOSE: u64 = 1300;
const END: u64 = 1500;

/// `vcpu_runstate_info`: state, when it was entered, and the time in each of the four states, in ns.
static RECORD: [AtomicU64; 6] = [const { AtomicU64::new(u64::MAX) }; 6];

fn main(machine: &'static Machine) {
    let expected = machine.number("expect", 100);
    assert!(hypercall::call(21, [0, 5, 0, 0, 0]) == 0, "updates are not marked");
    let area = NonNull::from(&RECORD).as_ptr() as u64;
    let answer = hypercall::call(VCPU_OP, [5, 0, &raw const area as u64, 0, 0]);
    assert!(answer == 0, "the record is not accepted: {answer}");
    let [state, ..] = read();
    assert!(state == 0, "the record does not say at once that the vCPU runs, but {state}");

    work_until(OPEN);
    let before = times();
    work_until(CLOSE);
    let after = times();
    let [ran, waited, slept, off, whole] = core::array::from_fn(|at| (after[at] - before[at]) / 1000);
    let sum = ran + waited + slept + off;
    println!("share: {ran} us running, {waited} waiting, {slept} asleep, {off} off");
    assert!(sum.abs_diff(whole) <= 3, "the times add up to {sum} us of {whole}");
    // In percents of a percent, both: the part that it had may be 5 % off the part that it should have.
    let (part, fair) = (ran * 10_000 / sum, expected * 100);
    assert!(part.abs_diff(fair) * 100 <= fair * 5, "{part} of 10000 parts of a CPU, not {fair}");
    work_until(END);
    println!("share: {expected} % of a CPU: ok");
}

/// The record, none of it from during a change.
fn read() -> [u64; 6] {
    loop {
        let [_, entered, ..] = &RECORD;
        let first = entered.load(Ordering::Acquire);
        let record = core::array::from_fn(|word| RECORD[word].load(Ordering::Acquire));
        if first & UPDATING == 0 && entered.load(Ordering::Acquire) == first {
            return record;
        }
    }
}

/// The time in each state until now, with that of the present one (this vCPU runs), and the time that it is now.
fn times() -> [u64; 5] {
    loop {
        let record @ [_, entered, ran, waited, slept, off] = read();
        let now = nanoseconds();
        if read() == record {
            return [ran + (now - entered), waited, slept, off, now];
        }
    }
}

fn nanoseconds() -> u64 {
    let second = timer::frequency();
    let now = timer::now();
    now / second * 1_000_000_000 + now % second * 1_000_000_000 / second
}

/// Works until system time `end`, in ms.
fn work_until(end: u64) {
    while nanoseconds() < end * 1_000_000 {
        (0..1000).for_each(|step| {
            core::hint::black_box(step);
        });
    }
}
