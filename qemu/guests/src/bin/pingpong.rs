//! Two domains play ping-pong with events.
//!
//! Arguments: `role=ping|pong`, `channels=domU2.0,request` (by name; or `ports=10,12`, this domain's own), `rounds=1000`.
//!
//! For each port in turn, ping sends an event and sleeps until the answer is there; pong answers every event. Neither
//! needs to start first: an event is a bit that waits until its receiver has unmasked the port. Xen leaves such a bit
//! set on one end of every channel at the start. Ping forgets it; pong cannot tell it from ping's first event and
//! answers it, so one answer more than asked for may be under way. It makes ping faster than it should be by one round,
//! and may be lost by coalescing, so pong goes on answering for a while after it has seen as many events as rounds.
#![no_std]
#![no_main]

use portunus_rt::machine::Channel;
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
            ports(machine).for_each(|port| ping(port, rounds));
        }
        Some("pong") => pong(machine, rounds),
        _ => println!("pingpong: role=ping or role=pong is needed"),
    }
}

/// This domain's ends of the channels that it was told to use, by name or by number.
fn ports(machine: &'static Machine) -> impl Iterator<Item = u32> {
    let named = machine.words("channels").filter_map(|name| {
        let Some(channel) = machine.channel(name) else {
            println!("pingpong: there is no channel called {name}");
            return None;
        };
        let Channel { port, peer, direction, .. } = channel;
        println!("pingpong: {name} is port {port}, to {peer}, direction {direction}");
        Some(port)
    });
    named.chain(machine.numbers("ports").map(|port| port as u32))
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

fn pong(machine: &'static Machine, rounds: u32) {
    const NO_PORT: (u32, u32) = (0, 0);
    let mut slots = [NO_PORT; 16];
    let mut used = 0;
    for (slot, port) in slots.iter_mut().zip(ports(machine)) {
        *slot = (port, 0);
        event::listen(port);
        used += 1;
    }
    let ports = &mut slots[..used];
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
