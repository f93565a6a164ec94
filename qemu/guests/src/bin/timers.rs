//! Timers that change their mind, and how long a vCPU sleeps.
//!
//! A timer's interrupt is a level. If it is stopped before it is acknowledged, it must not be taken, nor read as pending;
//! a timer that is set to the end of time never fires; and while nothing is pending, WFI waits. With two vCPUs on one
//! CPU, WFI traps, and it is the hypervisor that waits.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use portunus_rt::{Machine, cpu, entry, event, gic, mmio, println, read_sysreg, smp, timer, write_sysreg};

entry!(main);

/// The physical timer.
const PHYSICAL: u32 = 30;
/// GICR_ISPENDR0, in the SGI frame.
const ISPENDR: usize = 0x1_0200;
/// WFIs that may end although nothing is pending. The console's interrupts may end some.
const TOLERATED: u32 = 20;

static TAKEN: AtomicU32 = AtomicU32::new(0);
static UP: AtomicBool = AtomicBool::new(false);
static OVER: AtomicBool = AtomicBool::new(false);

fn main(machine: &'static Machine) {
    let count = machine.cpus().len();
    gic::set_handler(interrupt);
    event::init();
    for number in 1..count {
        assert!(smp::start(number, sleeper) == 0, "vCPU {number} does not start");
    }
    assert!(count == 1 || timer::spin_until(10, || UP.load(Ordering::SeqCst)), "the sleeper is not up");
    gic::enable(timer::INTID);
    gic::enable(PHYSICAL);
    stopped_in_time();
    put_off();
    the_end_of_time();
    kept_out();
    // The sleepers wake once more.
    OVER.store(true, Ordering::SeqCst);
    (1..count).for_each(|number| gic::send_sgi(1, number));
    (1..count).for_each(smp::wait_off);
    println!("timers: {count} vCPUs: ok");
}

fn sleeper(_: usize) {
    UP.store(true, Ordering::SeqCst);
    cpu::wait_until(|| OVER.load(Ordering::SeqCst));
}

fn interrupt(intid: u32) {
    match intid {
        timer::INTID => timer::stop(),
        PHYSICAL => write_sysreg!("cntp_ctl_el0", 0),
        _ => return,
    }
    TAKEN.fetch_add(1, Ordering::SeqCst);
}

fn pending() -> bool {
    mmio::read32(gic::redistributor(ISPENDR)) & 1 << timer::INTID != 0
}

/// Lets the virtual timer fire while interrupts are masked.
fn fire() {
    timer::start(0);
    assert!(timer::spin_until(1, pending), "the timer is not seen as pending");
}

fn stopped_in_time() {
    cpu::without_irqs(|| {
        fire();
        timer::stop();
        assert!(!pending(), "a timer that was stopped is still pending");
    });
    timer::delay(timer::microseconds(1000));
    assert!(TAKEN.load(Ordering::SeqCst) == 0, "the interrupt of a timer that was stopped was taken");
    println!("timers: stopped in time");
}

fn put_off() {
    let rest = timer::microseconds(50_000);
    let woken = cpu::without_irqs(|| {
        fire();
        timer::start(rest);
        sleep_until(pending)
    });
    assert!(woken <= TOLERATED, "{woken} WFIs ended while the timer was put off");
    assert!(TAKEN.load(Ordering::SeqCst) == 1, "the timer that was put off came not once");
    println!("timers: put off");
}

fn the_end_of_time() {
    TAKEN.store(0, Ordering::SeqCst);
    write_sysreg!("cntv_cval_el0", u64::MAX);
    write_sysreg!("cntv_ctl_el0", 1);
    let end = read_sysreg!("cntpct_el0") + timer::microseconds(50_000);
    write_sysreg!("cntp_cval_el0", end);
    write_sysreg!("cntp_ctl_el0", 1);
    let woken = cpu::without_irqs(|| sleep_until(|| read_sysreg!("cntpct_el0") >= end));
    timer::stop();
    assert!(woken <= TOLERATED, "{woken} WFIs ended before the end of time");
    assert!(TAKEN.load(Ordering::SeqCst) == 1, "the physical timer came not once");
    println!("timers: the end of time");
}

/// A timer that fires while its interrupt is disabled wakes nobody.
fn kept_out() {
    TAKEN.store(0, Ordering::SeqCst);
    gic::disable(timer::INTID);
    timer::start(0);
    let end = read_sysreg!("cntpct_el0") + timer::microseconds(50_000);
    write_sysreg!("cntp_cval_el0", end);
    write_sysreg!("cntp_ctl_el0", 1);
    let woken = cpu::without_irqs(|| sleep_until(|| read_sysreg!("cntpct_el0") >= end));
    timer::stop();
    assert!(woken <= TOLERATED, "{woken} WFIs ended while the timer was kept out");
    assert!(TAKEN.load(Ordering::SeqCst) == 1, "the physical timer came not once");
    println!("timers: kept out");
}

/// How many WFIs it took.
fn sleep_until(mut done: impl FnMut() -> bool) -> u32 {
    let mut count = 0;
    while !done() {
        cpu::wait_for_interrupt();
        count += 1;
    }
    count
}
