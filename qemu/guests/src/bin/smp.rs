//! A domain with several vCPUs, and everything that they can do to each other.
//!
//! vCPU 0 conducts: it gives an order to one vCPU, waits until its effect is seen, and gives the next. Whatever does
//! not happen within some seconds is a panic that names it. Arguments: `seconds=10`, the patience.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use portunus_rt::{Machine, cpu, entry, event, gic, println, psci, smp, timer};

entry!(main);

/// What a vCPU is told to do.
const REST: u32 = 0;
const SEND_SGI: u32 = 1;
const SEND_EVENT: u32 = 2;
const START_TIMER: u32 = 3;
const END: u32 = 4;

/// The SGI that says "there is an order".
const ORDER: u32 = 15;
const ON: i64 = 0;
const OFF: i64 = 1;
const ALREADY_ON: i64 = -4;
const INVALID_PARAMETERS: i64 = -2;

struct Desk {
    order: AtomicU32,
    /// A vCPU or a port, and an SGI.
    arguments: [AtomicU32; 2],
    /// Interrupts taken, by number.
    taken: [AtomicU32; 32],
    /// How often this vCPU has come up.
    starts: AtomicUsize,
}

static DESKS: [Desk; cpu::MAX] = [const {
    Desk {
        order: AtomicU32::new(REST),
        arguments: [const { AtomicU32::new(0) }; 2],
        taken: [const { AtomicU32::new(0) }; 32],
        starts: AtomicUsize::new(0),
    }
}; cpu::MAX];

static PATIENCE: AtomicUsize = AtomicUsize::new(10);

fn main(machine: &'static Machine) {
    let count = machine.cpus().len();
    PATIENCE.store(machine.number("seconds", 10) as usize, Ordering::Relaxed);
    gic::set_handler(interrupt);
    event::init();
    event::register_vcpu_info();
    gic::enable(timer::INTID);
    println!("smp: {count} vCPUs");
    bring_up(machine);
    println!("smp: all are up");
    sgis(count);
    println!("smp: SGIs between every pair");
    let ports = event_ipis(count);
    println!("smp: event channel IPIs between every pair");
    rebound_port(count);
    println!("smp: a port rung on every vCPU in turn");
    timers(count);
    println!("smp: every vCPU's virtual timer");
    off_and_on(machine, &ports[..count]);
    println!("smp: {count} vCPUs: ok");
}

/// What every vCPU but the first does.
fn worker(number: usize) {
    event::register_vcpu_info();
    gic::enable(timer::INTID);
    let desk = &DESKS[number];
    desk.starts.fetch_add(1, Ordering::SeqCst);
    loop {
        cpu::wait_until(|| desk.order.load(Ordering::SeqCst) != REST);
        let order = desk.order.load(Ordering::SeqCst);
        obey(order, desk);
        desk.order.store(REST, Ordering::SeqCst);
        if order == END {
            return;
        }
    }
}

fn obey(order: u32, desk: &Desk) {
    let [first, second] = [0, 1].map(|n: usize| desk.arguments[n].load(Ordering::SeqCst));
    match order {
        SEND_SGI => gic::send_sgi(second, first as usize),
        SEND_EVENT => {
            let answer = event::send(first);
            assert!(answer == 0, "sending on port {first}: {answer}");
        }
        START_TIMER => timer::start(timer::microseconds(1000)),
        _ => {}
    }
}

fn interrupt(intid: u32) {
    if intid == timer::INTID {
        timer::stop();
    }
    DESKS[cpu::number()].taken[intid as usize % 32].fetch_add(1, Ordering::SeqCst);
}

/// Gives an order; vCPU 0 follows its own at once.
fn tell(number: usize, order: u32, arguments: [u32; 2]) {
    let desk = &DESKS[number];
    for (slot, argument) in desk.arguments.iter().zip(arguments) {
        slot.store(argument, Ordering::SeqCst);
    }
    if number == 0 {
        return obey(order, desk);
    }
    desk.order.store(order, Ordering::SeqCst);
    gic::send_sgi(ORDER, number);
}

/// Waits until the vCPU has done what it was told.
fn done(number: usize) {
    expect(|| DESKS[number].order.load(Ordering::SeqCst) == REST, "an order done by", 0, number);
}

fn expect(happened: impl FnMut() -> bool, what: &str, from: usize, to: usize) {
    let seconds = PATIENCE.load(Ordering::Relaxed) as u64;
    assert!(timer::spin_until(seconds, happened), "no {what}, from vCPU {from} to vCPU {to}, in {seconds} s");
}

fn bring_up(machine: &Machine) {
    for (number, affinity) in machine.cpus().iter().enumerate().skip(1) {
        assert!(psci::affinity_info(*affinity) == OFF, "vCPU {number} is on before it was started");
        let answer = smp::start(number, worker);
        assert!(answer == 0, "CPU_ON of vCPU {number}: {answer}");
        expect(|| DESKS[number].starts.load(Ordering::SeqCst) == 1, "start", 0, number);
        assert!(psci::affinity_info(*affinity) == ON, "vCPU {number} is said to be off");
        let context = smp::context(number);
        assert!(context == number as u64, "vCPU {number} was started with {context:#x} in x0");
        let again = psci::cpu_on(*affinity, 0x4000_0000, 0);
        assert!(again == ALREADY_ON, "a second CPU_ON of vCPU {number}: {again}");
    }
    let nobody = psci::cpu_on(0xff00, 0x4000_0000, 0);
    assert!(nobody == INVALID_PARAMETERS, "CPU_ON of nobody: {nobody}");
}

/// Every vCPU interrupts every vCPU, itself too, with every SGI but the one that brings orders.
fn sgis(count: usize) {
    for from in 0..count {
        for (to, desk) in DESKS.iter().enumerate().take(count) {
            for sgi in 0..ORDER {
                let taken = &desk.taken[sgi as usize];
                let before = taken.load(Ordering::SeqCst);
                tell(from, SEND_SGI, [to as u32, sgi]);
                expect(|| taken.load(Ordering::SeqCst) > before, "SGI", from, to);
                done(from);
                assert!(taken.load(Ordering::SeqCst) == before + 1, "SGI {sgi} came twice to vCPU {to}");
            }
        }
    }
}

/// Every vCPU has a port that rings on it, and everybody sends to it.
fn event_ipis(count: usize) -> [u32; cpu::MAX] {
    let mut ports = [0; cpu::MAX];
    for (to, port) in ports.iter_mut().enumerate().take(count) {
        *port = event::bind_ipi(to as u32).unwrap_or_else(|error| panic!("bind_ipi to vCPU {to}: {error}"));
        event::listen_on(*port, to);
        for from in 0..count {
            ring(from, *port, *port, to);
        }
    }
    ports
}

/// `from` sends on port `sender`; port `receiver` must ring on vCPU `to`, and only there.
fn ring(from: usize, sender: u32, receiver: u32, to: usize) {
    let (before, upcalls) = (event::count(receiver), event::upcalls(to));
    tell(from, SEND_EVENT, [sender, 0]);
    expect(|| event::count(receiver) > before, "event", from, to);
    done(from);
    assert!(event::count(receiver) == before + 1, "one event on port {receiver} was counted twice");
    assert!(event::upcalls(to) > upcalls, "port {receiver} was seen without an upcall on vCPU {to}");
}

/// One end of a channel inside the domain is bound to each vCPU in turn.
fn rebound_port(count: usize) {
    let (sender, receiver) = event::loopback().unwrap_or_else(|error| panic!("loopback: {error}"));
    event::forget(receiver);
    for to in 0..count {
        let answer = event::bind_vcpu(receiver, to as u32);
        assert!(answer == 0, "bind_vcpu of port {receiver} to vCPU {to}: {answer}");
        event::listen_on(receiver, to);
        for from in 0..count {
            ring(from, sender, receiver, to);
        }
    }
    let nobody = event::bind_vcpu(receiver, count as u32);
    const ENOENT: i64 = -2;
    assert!(nobody == ENOENT, "bind_vcpu to a vCPU that is not there: {nobody}");
    assert!(event::close(sender) == 0 && event::close(receiver) == 0, "the channel cannot be closed");
}

fn timers(count: usize) {
    for (number, desk) in DESKS.iter().enumerate().take(count) {
        let taken = &desk.taken[timer::INTID as usize];
        let before = taken.load(Ordering::SeqCst);
        tell(number, START_TIMER, [0; 2]);
        expect(|| taken.load(Ordering::SeqCst) > before, "timer interrupt", number, number);
        done(number);
    }
}

/// Each vCPU but the first goes off and comes back, twice; an event that was sent meanwhile waits for it.
fn off_and_on(machine: &Machine, ports: &[u32]) {
    for round in 2..4 {
        for (number, affinity) in machine.cpus().iter().enumerate().skip(1) {
            tell(number, END, [0; 2]);
            expect(|| psci::affinity_info(*affinity) == OFF, "CPU_OFF", 0, number);
            let port = ports[number];
            let before = event::count(port);
            assert!(event::send(port) == 0, "sending to a vCPU that is off");
            assert!(event::count(port) == before, "vCPU {number} counts events while it is off");
            let answer = smp::start(number, worker);
            assert!(answer == 0, "CPU_ON of vCPU {number} again: {answer}");
            expect(|| DESKS[number].starts.load(Ordering::SeqCst) == round, "start", 0, number);
            expect(|| event::count(port) == before + 1, "event from before the start", 0, number);
            ring(0, port, port, number);
        }
    }
    for number in 1..ports.len() {
        tell(number, END, [0; 2]);
        smp::wait_off(number);
    }
}
