//! A flood of events, and the proof that none is lost.
//!
//! Arguments: `role=send|receive`, `port=10` (this domain's own), `count=1000000`.
//!
//! An event is a bit, so two that meet before the receiver has looked are one. To lose none of a number, each must be
//! answered before the next is sent: the sender sends and waits for the answer on the same channel, so half of `count`
//! goes each way, and a single event lost on either side stops both for ever. Neither sleeps while the other is quick:
//! the sender looks at the count while it spins, and sleeps only now and then, so that both ways of receiving are used.
#![no_std]
#![no_main]

use portunus_rt::{Machine, cpu, entry, event, println};

entry!(main);

/// Looks at the count before the sender sleeps.
const SPINS: u32 = 200;

fn main(machine: &'static Machine) {
    let (port, rounds) = (machine.number("port", 10) as u32, machine.number("count", 1_000_000) as u32 / 2);
    event::init();
    match machine.argument("role") {
        Some("send") => send(port, rounds),
        Some("receive") => receive(port, rounds),
        _ => println!("flood: role=send or role=receive is needed"),
    }
}

fn send(port: u32, rounds: u32) {
    event::forget(port);
    event::listen(port);
    for round in 0..rounds {
        let answer = event::send(port);
        if answer != 0 {
            println!("flood: send {round} failed: {answer}");
            return;
        }
        await_more(port, round);
        if (round + 1).is_multiple_of(rounds.div_ceil(4)) && round + 1 != rounds {
            println!("flood: {} rounds", round + 1);
        }
    }
    println!("flood: {rounds} events sent, {} answered, {} upcalls", event::count(port), event::upcalls(0));
}

fn receive(port: u32, rounds: u32) {
    event::listen(port);
    for round in 0..rounds {
        await_more(port, round);
        event::send(port);
    }
    println!("flood: {} events received, {rounds} answered", event::count(port));
}

/// Waits until more than `seen` events came: awake at first, then asleep.
fn await_more(port: u32, seen: u32) {
    for _ in 0..SPINS {
        if event::count(port) > seen {
            return;
        }
        core::hint::spin_loop();
    }
    cpu::wait_until(|| event::count(port) > seen);
}
