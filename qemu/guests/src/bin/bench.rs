//! Does what `cargo xtask bench` counts, each thing `rounds` times, between two marks (`portunus_rt::marks`).
//!
//! Arguments: `role=measure|echo|idle|first|relay|sleep`, `port=10`, `next=11`, `rounds=200`, `only=events`,
//! `after=0`: milliseconds in which others may fall asleep first.
//!
//! QEMU's plugin `qemu/tracer` records what is executed between the marks; this program measures nothing and knows no
//! number. It is the same under any hypervisor with Xen's interface.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use portunus_rt::{Machine, cpu, entry, event, gic, hypercall, marks, mmio, println, psci, timer};

entry!(main);

const PSCI_VERSION: u64 = 0x8400_0000;
const GICD_TYPER: usize = 4;
/// Offset of the flag register of the UART.
const UARTFR: usize = 0x18;
/// The SGI that a vCPU sends to itself.
const SGI: u32 = 3;
/// Ticks until a timer that is measured runs out: enough to be waiting for it by then.
const SOON: u64 = 1000;

/// Interrupts other than the upcall that reached their handler.
static TAKEN: AtomicU32 = AtomicU32::new(0);

fn main(machine: &'static Machine) {
    let rounds = machine.number("rounds", 200);
    let port = machine.number("port", 10) as u32;
    event::init();
    match machine.argument("role") {
        Some("measure") => measure(machine, port, rounds),
        Some("echo") => echo(port),
        Some("idle") => idle(port),
        Some("first") => first(port, machine.number("next", 11) as u32, rounds),
        Some("relay") => relay(port, machine.number("next", 11) as u32),
        Some("sleep") => cpu::wait_until(|| false),
        _ => println!("bench: role=measure, echo, idle, first, relay or sleep is needed"),
    }
}

/// Does `what` so often, each time between the mark `MARK` and the end.
fn repeat<const MARK: u16>(rounds: u64, mut what: impl FnMut()) {
    for _ in 0..rounds {
        cpu::mark::<MARK>();
        what();
        cpu::mark::<{ marks::END }>();
    }
}

/// Answers every event, for ever.
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

/// Sends an event around a ring of domains: out by `next`, in by `port`.
fn first(port: u32, next: u32, rounds: u64) {
    event::listen(port);
    let mut seen = event::count(port);
    // Not all may be listening yet: what is recorded for them is found when they do.
    event::send(next);
    seen = event::wait(port, seen);
    timer::delay(timer::microseconds(100));
    repeat::<{ marks::RING }>(rounds, || {
        event::send(next);
        seen = event::wait(port, seen);
    });
    cpu::mark::<{ marks::DONE }>();
    println!("bench: done");
}

/// Passes every event on, for ever.
fn relay(port: u32, next: u32) {
    event::listen(port);
    let mut seen = 0;
    loop {
        seen = event::wait(port, seen);
        event::send(next);
    }
}

/// Sleeps for ever, without a timer. A hypercall before shows where the hypervisor's vectors are.
fn idle(port: u32) {
    repeat::<{ marks::HYPERCALL }>(1, || {
        hypercall::version();
    });
    event::listen(port);
    println!("bench: port {port}: asleep");
    // The hypervisor's console may have to be waited for.
    timer::delay(timer::microseconds(100_000));
    cpu::mark::<{ marks::IDLE }>();
    cpu::wait_until(|| false);
}

fn measure(machine: &Machine, port: u32, rounds: u64) {
    timer::delay(timer::microseconds(1000 * machine.number("after", 0)));
    if machine.argument("only") != Some("events") {
        traps(machine, rounds);
        interrupts(rounds);
        local_events(rounds);
    }
    round_trips(port, rounds);
    cpu::mark::<{ marks::DONE }>();
    println!("bench: done");
}

/// What traps and returns at once.
fn traps(machine: &Machine, rounds: u64) {
    repeat::<{ marks::HYPERCALL }>(rounds, || {
        hypercall::version();
    });
    repeat::<{ marks::PSCI }>(rounds, || {
        psci::smccc([PSCI_VERSION, 0, 0, 0]);
    });
    if let Some(uart) = machine.uart {
        repeat::<{ marks::UART_READ }>(rounds, || {
            let _ = mmio::read32(uart + UARTFR);
        });
    }
    let typer = gic::distributor(GICD_TYPER);
    repeat::<{ marks::GIC_READ }>(rounds, || {
        let _ = mmio::read32(typer);
    });
}

/// From what causes an interrupt to the first thing that its handler does, the guest awake.
fn interrupts(rounds: u64) {
    gic::set_handler(|intid| {
        cpu::mark::<{ marks::END }>();
        if intid == timer::INTID {
            timer::stop();
        }
        TAKEN.fetch_add(1, Ordering::Release);
    });
    gic::enable(timer::INTID);
    let await_one_more = |taken| while TAKEN.load(Ordering::Acquire) == taken {};
    for _ in 0..rounds {
        let taken = TAKEN.load(Ordering::Acquire);
        cpu::mark::<{ marks::SGI }>();
        gic::send_sgi(SGI, 0);
        await_one_more(taken);
    }
    for _ in 0..rounds {
        let taken = TAKEN.load(Ordering::Acquire);
        timer::start(SOON);
        cpu::mark::<{ marks::TIMER }>();
        await_one_more(taken);
    }
}

/// A port to itself: masked, so that nothing is announced, and pending already from the second send on.
fn local_events(rounds: u64) {
    let Ok((near, far)) = event::loopback() else { return println!("bench: no loopback") };
    event::mask(far);
    for _ in 0..rounds {
        repeat::<{ marks::SEND_MASKED }>(1, || {
            event::send(near);
        });
        event::forget(far);
    }
    event::send(near);
    repeat::<{ marks::SEND_PENDING }>(rounds, || {
        event::send(near);
    });
    event::listen(far);
    repeat::<{ marks::SEND_SELF }>(rounds, || {
        let seen = event::count(far);
        event::send(near);
        while event::count(far) == seen {}
    });
}

/// To the other domain and back, both asleep in WFI meanwhile.
fn round_trips(port: u32, rounds: u64) {
    event::listen(port);
    let mut seen = event::count(port);
    // The first wakes the other side, which may not be listening yet.
    event::send(port);
    seen = event::wait(port, seen);
    for _ in 0..rounds {
        repeat::<{ marks::SEND_WOKEN }>(1, || {
            event::send(port);
        });
        seen = event::wait(port, seen);
        // The answer means that the other side is about to sleep again; give it the time.
        timer::delay(timer::microseconds(100));
    }
    repeat::<{ marks::ROUND_TRIP }>(rounds, || {
        event::send(port);
        seen = event::wait(port, seen);
    });
}
