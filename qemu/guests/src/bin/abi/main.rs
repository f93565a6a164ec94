//! Checks the answers of the hypervisor's interfaces one by one.
//!
//! Arguments: `xen=4.17` under Xen 4.17, whose answers differ here and there; `other=2`, the number of another domain;
//! `port=10`, a static port of this domain, and `peer=11`, its other end in the other domain.
//!
//! Prints what is wrong, and the count. The tables hold what needs nothing before it; what has a history is code.
#![no_std]
#![no_main]

mod calls;
mod event;
mod event_table;
mod memory;
mod power;
mod sched;
mod table;
mod uart;
mod version;

use portunus_guests::verdict::Verdict;
use portunus_rt::{Machine, entry, gic, println, timer};

entry!(main);

fn main(machine: &'static Machine) {
    gic::set_handler(|intid| {
        if intid == timer::INTID {
            timer::stop();
        }
    });
    gic::enable(timer::INTID);
    let mut verdict = Verdict::new(machine);
    println!("abi: as under {}", if verdict.is_xen_4_17() { "Xen 4.17" } else { "Portunus" });
    let v = &mut verdict;
    let other = machine.number("other", 2) as u32;
    let channel = (machine.number("port", 10) as u32, machine.number("peer", 11) as u32);
    calls::numbers(v);
    calls::immediates(v);
    version::check(v, machine);
    power::check(v);
    calls::check(v, other);
    uart::check(v, machine);
    memory::check(v, other);
    portunus_rt::event::init();
    sched::check(v, other);
    event::check(v, other, channel);
    let (checked, wrong) = verdict.counts();
    println!("abi: {checked} answers checked, {wrong} wrong");
}
