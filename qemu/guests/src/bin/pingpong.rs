//! Two domains play ping-pong with events.
//!
//! Arguments: `role=ping|pong`, `ports=10,12` (this domain's own), `rounds=1000`.
//!
//! For each port in turn, ping sends an event and sleeps until the answer is there; pong answers every event. Neither
//! needs to start first: an event is a bit that waits until its receiver has unmasked the port. Xen leaves such a bit
//! set on one end of every channel at the start. Ping forgets it; pong cannot tell it from ping's first event and
//! answers it, so one answer more than asked for may be under way. It makes ping faster than it should be by one round,
//! and may be lost by coalescing, so pong goes on answering for a while after it has seen as many events as rounds.
#![no_std]
#![no_main]

use portunus_rt::{Machine, cpu, entry, event, gic, println, timer};

entry!(main);

/// How long pong waits for stragglers, in microseconds.
const PATIENCE: u64 = 200_000;

fn main(machine: &'static Machine) {
    let rounds = machine.number("rounds", 1000) as u32;
    event::init();
    gic::set_handler(|_| timer::stop());
    gic::enable(timer::INTID);
    match machine.argument("role") {
        Some("ping") => {
            machine.numbers("ports").for_each(|port| ping(port as u32, rounds));
        }
        Some("pong") => pong(machine, rounds),
        _ => println!("pingpong: role=ping or role=pong is needed"),
    }
}

fn ping(port: u32, rounds: u32) {
    event::forget(port);
    event::listen(port);
    let (mut sent, mut received) = (0, 0);
    for round in 1..=rounds {
        let answer = event::send(port);
        if answer != 0 {
            println!("pingpong: port {port}: send failed: {answer}");
            return;
        }
        sent += 1;
        received = event::wait(port, received);
        if round.is_multiple_of(rounds.div_ceil(4)) && round != rounds {
            println!("pingpong: port {port}: {round} rounds");
        }
    }
    println!("pingpong: port {port}: {rounds} rounds, {sent} sent, {received} received");
}

fn pong(machine: &Machine, rounds: u32) {
    const NO_PORT: (u32, u32) = (0, 0);
    let mut ports = [NO_PORT; 16];
    let mut used = 0;
    for (slot, port) in ports.iter_mut().zip(machine.numbers("ports")) {
        *slot = (port as u32, 0);
        event::listen(port as u32);
        used += 1;
    }
    let ports = &mut ports[..used];
    while ports.iter().any(|(_, answered)| *answered < rounds) {
        cpu::wait_until(|| news(ports));
        answer(ports, rounds);
    }
    loop {
        // First the end, then the timer: it must not fire (once, for good) before the end has come.
        let end = timer::now() + timer::microseconds(PATIENCE);
        timer::start(timer::microseconds(PATIENCE));
        cpu::wait_until(|| news(ports) || timer::now() >= end);
        if !news(ports) {
            return;
        }
        answer(ports, rounds);
    }
}

fn news(ports: &[(u32, u32)]) -> bool {
    ports.iter().any(|(port, answered)| event::count(*port) != *answered)
}

fn answer(ports: &mut [(u32, u32)], rounds: u32) {
    for (port, answered) in ports {
        while event::count(*port) != *answered {
            event::send(*port);
            *answered += 1;
            if *answered == rounds {
                println!("pingpong: port {port}: {rounds} rounds, {rounds} received, {rounds} answered");
            }
        }
    }
}
