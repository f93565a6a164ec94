//! The example of docs/quick-start.md: a domain that waits for events (`wait=PORTS`), then sends some (`ring=PORTS`).
#![no_std]
#![no_main]

use portunus_rt::{Machine, entry, event, println};

entry!(main);

fn main(machine: &'static Machine) {
    println!("hello: {} vCPUs, told: {}", machine.cpus().len(), machine.bootargs);
    event::init();
    for port in machine.numbers("wait") {
        event::listen(port as u32);
        event::wait(port as u32, 0);
        println!("hello: port {port} rang");
    }
    for port in machine.numbers("ring") {
        println!("hello: ringing on port {port}: answer {}", event::send(port as u32));
    }
}
