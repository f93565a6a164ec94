//! `sched_op`.

use portunus_guests::verdict::{Verdict, both, split};
use portunus_rt::hypercall::{self, call, halves};
use portunus_rt::{cpu, event, read_sysreg, timer};

use crate::table::*;

const SCHED_OP: u64 = 29;

const ROWS: [Row; 20] = [
    row("poll of 129 ports", 3, &[0, 0, 129, 0, 1, 0], both(EINVAL)),
    row("poll of ports nowhere", 3, &[0, 0x80, 2, 0, 1, 0], both(EFAULT)),
    row("poll of nothing, long past", 3, &[0, 0, 0, 0, 1, 0], both(0)),
    row("remote shutdown of nobody", 4, &[NOBODY, 0], both(ESRCH)),
    row("remote shutdown of self", 4, &[OWN, 0], both(ESRCH)),
    row("remote shutdown of another", 4, &[OTHER, 0], both(EPERM)),
    row("shutdown code", 5, &[0], both(0)),
    row("watchdog", 6, &[0, 300], both(1)),
    row("second watchdog", 6, &[0, 300], both(2)),
    row("third watchdog", 6, &[0, 300], split(ENOSPC, ENOSPC & 0xffff_ffff)),
    row("watchdog 1 fed", 6, &[1, 300], both(0)),
    row("watchdog 3", 6, &[3, 300], both(EINVAL)),
    row("watchdog 1 stopped", 6, &[1, 0], both(0)),
    row("watchdog 1 stopped again", 6, &[1, 0], both(EINVAL)),
    row("watchdog again", 6, &[0, 300], both(1)),
    row("watchdog 1 stopped", 6, &[1, 0], both(0)),
    row("watchdog 2 stopped", 6, &[2, 0], both(0)),
    row("pin override", 7, &[0], both(EPERM)),
    row("no operation", 8, &[0], both(ENOSYS)),
    row("no operation", 99, &[0], both(ENOSYS)),
];

pub fn check(v: &mut Verdict, other: u32) {
    run(v, "sched_op", SCHED_OP, &ROWS, other);
    unreadable(v, "sched_op", SCHED_OP, 2..7);
    v.check(format_args!("yield"), call(SCHED_OP, [0; 5]), both(0));
    block(v);
    poll(v);
}

/// Block opens the interrupt mask and ends with an interrupt.
fn block(v: &mut Verdict) {
    cpu::mask_irqs();
    timer::start(timer::microseconds(500));
    v.check(format_args!("block"), call(SCHED_OP, [1, 0, 0, 0, 0]), both(0));
    const IRQS: u64 = 1 << 7;
    v.holds(format_args!("block lets interrupts in"), read_sysreg!("daif") & IRQS == 0);
    v.holds(format_args!("block ends with the interrupt"), read_sysreg!("cntv_ctl_el0") & 1 == 0);
}

/// Poll ends at once if a port is pending, masked or not.
fn poll(v: &mut Verdict) {
    let poll = |ports: &[u32], timeout: u32| {
        let (low, high) = halves(ports.as_ptr() as u64);
        hypercall::with(SCHED_OP, 3, &mut [low, high, ports.len() as u32, 0, timeout, 0])
    };
    v.check(format_args!("poll of a free port"), poll(&[40], 1), both(EINVAL));
    v.check(format_args!("poll of no port"), poll(&[70_000], 1), both(EINVAL));
    let Ok(port) = event::bind_ipi(0) else { return v.holds(format_args!("a port to poll"), false) };
    v.check(format_args!("poll of an idle port, long past"), poll(&[port], 1), both(0));
    v.check(format_args!("a send to poll for"), event::send(port), both(0));
    v.check(format_args!("poll of a pending port, no end"), poll(&[port], 0), both(0));
    v.check(format_args!("closed after the poll"), event::close(port), both(0));
}
