//! A domain that does what it must not, and whatever else comes to mind.
//!
//! Every attempt must end in an exception here, or in an answer that the interface allows, and in nothing else: that
//! the neighbours go on is for them to show, and that the hypervisor goes on shows in this guest's own last line. The
//! attempts are the same in every run. Arguments: `storm=100000`, attempts of each kind of storm.
#![no_std]
#![no_main]

mod memory;
mod registers;
mod storms;

use portunus_rt::exception::{Caught, catch, words};
use portunus_rt::{Machine, cpu, entry, gic, println, timer};

entry!(main);

/// What was tried, and what came of it.
#[derive(Default)]
pub struct Tally {
    attempts: u32,
    escaped: u32,
}

impl Tally {
    /// Tries something that must end in an exception of class `want` with FAR `far`.
    fn must_fault(
        &mut self,
        what: core::fmt::Arguments<'_>,
        want: u64,
        far: Option<u64>,
        attempt: impl FnOnce(),
    ) {
        self.attempts += 1;
        let caught = catch(attempt);
        let right = |caught: &Caught| caught.class() == want && far.is_none_or(|far| caught.far == far);
        match caught {
            Some(caught) if right(&caught) => {}
            Some(Caught { esr, far, .. }) => {
                self.complain(what, format_args!("ESR {esr:#x} FAR {far:#x} is no {}", words(want)));
            }
            None => self.complain(what, format_args!("nothing happened")),
        }
    }

    /// Tries something that may end in an exception of one of the classes `allowed`, or in nothing.
    fn may_fault(&mut self, what: core::fmt::Arguments<'_>, allowed: &[u64], attempt: impl FnOnce()) {
        self.attempts += 1;
        if let Some(caught) = catch(attempt)
            && !allowed.contains(&caught.class())
        {
            self.complain(what, format_args!("{} (ESR {:#x})", caught.words(), caught.esr));
        }
    }

    /// Something that must be true after an attempt.
    fn must(&mut self, what: core::fmt::Arguments<'_>, so: bool) {
        self.attempts += 1;
        if !so {
            self.complain(what, format_args!("it is not so"));
        }
    }

    fn complain(&mut self, what: core::fmt::Arguments<'_>, why: core::fmt::Arguments<'_>) {
        self.escaped += 1;
        const ENOUGH: u32 = 20;
        if self.escaped <= ENOUGH {
            println!("intruder: {what}: {why}");
        }
    }
}

fn main(machine: &'static Machine) {
    gic::set_handler(|intid| {
        if intid == timer::INTID {
            timer::stop();
        }
    });
    cpu::mask_irqs();
    let storm = machine.number("storm", 100_000) as u32;
    let mut tally = Tally::default();
    memory::foreign(&mut tally, machine);
    memory::devices(&mut tally, machine);
    memory::buffers(&mut tally, machine);
    memory::tables(&mut tally);
    println!("intruder: memory tried");
    registers::read_all(&mut tally);
    registers::write_all(&mut tally);
    registers::calls(&mut tally);
    println!("intruder: registers tried");
    storms::hypercalls(&mut tally, machine, storm);
    storms::firmware(&mut tally, storm / 10);
    println!("intruder: calls tried");
    storms::devices(&mut tally, machine, storm);
    storms::sgis(&mut tally, machine, storm / 10);
    println!("intruder: devices tried");
    storms::aftermath(&mut tally);
    match tally.escaped {
        0 => println!("intruder: {} attempts, all contained", tally.attempts),
        escaped => println!("intruder: {} attempts, {escaped} not contained", tally.attempts),
    }
}
