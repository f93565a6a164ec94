//! What the hypervisor costs, in instructions.
//!
//! Arguments: `role=measure|echo`, `port=10`, `rounds=1000`.
//!
//! The counter counts instructions under `-icount shift=4,sleep=off` where it runs at 62.5 MHz (16 ns a tick, 2^4 ns
//! an instruction): the difference of two reads is what was executed between them, on all CPUs together, exactly and
//! repeatably. Reading it costs two instructions (ISB, MRS), which are measured first and taken off.
//!
//! Each line gives the least, the median and the most of `rounds` measurements:
//! `bench: empty hypercall: 90 90 92 instructions`.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use portunus_rt::{Machine, cpu, entry, event, gic, hypercall, mmio, println, psci, timer};

entry!(main);

const PSCI_VERSION: u64 = 0x8400_0000;
const GICD_TYPER: usize = 4;
/// Offset of the flag register of the UART.
const UARTFR: usize = 0x18;
/// The SGI that a vCPU sends to itself.
const SGI: u32 = 3;
/// Ticks until a timer that is measured runs out: enough to be waiting for it by then.
const SOON: u64 = 5000;
/// Most measurements of one kind.
const MOST: usize = 1000;

/// When the last interrupt but the upcall reached its handler; 0 while it is awaited.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Measurements of one thing, in ticks.
struct Series {
    values: [u32; MOST],
    used: usize,
}

impl Series {
    const fn new() -> Self {
        Self { values: [0; MOST], used: 0 }
    }

    fn add(&mut self, value: u64) {
        if let Some(slot) = self.values.get_mut(self.used) {
            *slot = u32::try_from(value).unwrap_or(u32::MAX);
            self.used += 1;
        }
    }

    /// Prints least, median and most under `name`, unless that is empty; answers the median.
    fn print(&mut self, name: &str) -> u64 {
        let values = &mut self.values[..self.used];
        values.sort_unstable();
        let at = |index: usize| values.get(index).copied().unwrap_or(0);
        let median = at(values.len() / 2);
        if !name.is_empty() {
            let (least, most) = (at(0), at(values.len().saturating_sub(1)));
            println!("bench: {name}: {least} {median} {most} instructions");
        }
        u64::from(median)
    }
}

fn main(machine: &'static Machine) {
    let rounds = (machine.number("rounds", MOST as u64) as usize).min(MOST);
    let port = machine.number("port", 10) as u32;
    event::init();
    match machine.argument("role") {
        Some("measure") => measure(machine, port, rounds),
        Some("echo") => echo(port),
        _ => println!("bench: role=measure or role=echo is needed"),
    }
}

/// Answers every event until it has been quiet for a long time.
fn echo(port: u32) {
    event::listen(port);
    let mut seen = 0;
    loop {
        let answered = seen;
        cpu::wait_until(|| event::count(port) != answered);
        seen = event::count(port);
        event::send(port);
    }
}

fn measure(machine: &Machine, port: u32, rounds: usize) {
    let overhead = series("", rounds, 0, || {});
    series("empty hypercall", rounds, overhead, || {
        hypercall::version();
    });
    series("PSCI_VERSION", rounds, overhead, || {
        psci::smccc([PSCI_VERSION, 0, 0, 0]);
    });
    if let Some(uart) = machine.uart {
        series("vPL011 register read", rounds, overhead, || {
            let _ = mmio::read32(uart + UARTFR);
        });
    }
    series("vGIC distributor read", rounds, overhead, || {
        let _ = mmio::read32(gic::distributor(GICD_TYPER));
    });
    interrupts(rounds, overhead);
    local_events(rounds, overhead);
    round_trips(port, rounds, overhead);
    println!("bench: done");
}

/// From what causes an interrupt to the first thing that its handler does, the guest awake.
fn interrupts(rounds: usize, overhead: u64) {
    gic::set_handler(|intid| {
        TAKEN.store(timer::now(), Ordering::SeqCst);
        if intid == timer::INTID {
            timer::stop();
        }
    });
    gic::enable(timer::INTID);
    let taken = |since: u64| {
        while TAKEN.load(Ordering::SeqCst) == 0 {}
        TAKEN.swap(0, Ordering::SeqCst).saturating_sub(since)
    };
    let (mut sgi, mut expiry) = (Series::new(), Series::new());
    for _ in 0..rounds {
        let before = timer::now();
        gic::send_sgi(SGI, 0);
        sgi.add(taken(before).saturating_sub(overhead));
        let due = timer::now() + SOON;
        timer::start_at(due);
        expiry.add(taken(due));
    }
    sgi.print("SGI to self, until its handler");
    expiry.print("timer expiry, until its handler");
}

/// A port to itself: masked, so that nothing is announced, and pending already from the second send on.
fn local_events(rounds: usize, overhead: u64) {
    let Ok((near, far)) = event::loopback() else { return println!("bench: no loopback") };
    event::mask(far);
    series("send, receiver masked", rounds, overhead, || {
        event::send(near);
        event::forget(far);
    });
    event::send(near);
    series("send, already pending", rounds, overhead, || {
        event::send(near);
    });
    event::listen(far);
    series("event to self, until counted", rounds, overhead, || {
        let seen = event::count(far);
        event::send(near);
        while event::count(far) == seen {}
    });
}

/// To the other domain and back, both asleep in WFI meanwhile.
fn round_trips(port: u32, rounds: usize, overhead: u64) {
    event::listen(port);
    let mut seen = event::count(port);
    // The first wakes the other side, which may not be listening yet.
    event::send(port);
    seen = event::wait(port, seen);
    let mut woken = Series::new();
    for _ in 0..rounds {
        let before = timer::now();
        event::send(port);
        let after = timer::now();
        woken.add((after - before).saturating_sub(overhead));
        // The answer means that the other side is about to sleep again; give it the time.
        seen = event::wait(port, seen);
        timer::delay(timer::microseconds(100));
    }
    woken.print("send, peer woken");
    series("event round trip", rounds, overhead, || {
        event::send(port);
        seen = event::wait(port, seen);
    });
}

/// Measures `what`, prints the summary under `name` unless that is empty; answers the median.
fn series(name: &str, rounds: usize, overhead: u64, mut what: impl FnMut()) -> u64 {
    let mut series = Series::new();
    for _ in 0..rounds {
        let before = timer::now();
        what();
        let after = timer::now();
        series.add((after - before).saturating_sub(overhead));
    }
    series.print(name)
}
