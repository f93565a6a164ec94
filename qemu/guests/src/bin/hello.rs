//! The example of docs/quick-start.md: a domain that waits for events (`wait=NAMES` of channels), then sends some
//! (`ring=NAMES`).
#![no_std]
#![no_main]

use portunus_rt::{Machine, entry, event, println};

entry!(main);

fn main(machine: &'static Machine) {
    println!("hello: {} vCPUs, told: {}", machine.cpus().len(), machine.bootargs);
    event::init();
    for name in machine.words("wait") {
        let channel = machine.channel(name).expect("a channel of that name");
        event::listen(channel.port);
        event::wait(channel.port, 0);
        println!("hello: {} rang at the {name}, port {}", channel.peer, channel.port);
    }
    for name in machine.words("ring") {
        let channel = machine.channel(name).expect("a channel of that name");
        println!("hello: ringing at the {name}: answer {}", event::send(channel.port));
    }
}
