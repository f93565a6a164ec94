//! A domain that starts again and again, and must find everything as at its first start; and one that counts.
//!
//! Arguments: `role=phoenix|nest|loop|hang|dog`, `ports=alive,enough,noise` (this domain's own), `lives=50`.
//!
//! In each life the *phoenix* looks whether anything of an earlier life is left, then says "alive" to the nest. It is
//! answered on the same port if it shall live again, on the second if that was enough. Then it leaves everything in
//! disorder, and restarts: by PSCI or by hypercall, from either vCPU, in or outside of an interrupt. Nothing tells it how
//! often it has lived: its memory is new. The *nest* counts lives, and signals on the third port all the time.
//!
//! The *loop* crashes as soon as it can, and the *hang* starts a watchdog and feeds it only a few times. The *dog* starts one
//! and restarts before it runs out, for some seconds; then it must not be bitten by those of its former lives.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use portunus_rt::machine::Span;
use portunus_rt::{
    Machine, cpu, entry, event, gic, hypercall, mmio, mmu, println, psci, read_sysreg, smp, timer,
};

entry!(main);

/// What the kernel may use at the start of RAM, and the hypervisor for the tree at its end.
const KEPT: usize = 2 << 20;
const PAGE: usize = 4096;
const RUBBISH: u64 = 0x5ca1_ab1e_0ddb_a11d;
/// `GICD_ISPENDR1`, `GICD_ISENABLER1`: the first SPIs.
const ISENABLER: usize = 0x104;
const ISPENDR: usize = 0x204;
const SPI: u32 = 1 << 9;
const REBOOT: u32 = 1;
const CRASH: u32 = 3;
const ENOENT: i64 = -2;

static DYING: AtomicBool = AtomicBool::new(false);
static UNEXPECTED: AtomicU32 = AtomicU32::new(0);

fn main(machine: &'static Machine) {
    let mut ports = machine.numbers("ports").map(|port| port as u32);
    let mut port = || ports.next().unwrap_or(0);
    let ports = [port(), port(), port()];
    match machine.argument("role") {
        Some("phoenix") => phoenix(machine, ports),
        Some("nest") => nest(ports, machine.number("lives", 50) as u32),
        Some("loop") => {
            println!("phoenix: here again");
            hypercall::shutdown(CRASH);
        }
        Some("hang") => hang(),
        Some("dog") => dog(),
        _ => println!("phoenix: role= is needed"),
    }
}

/// RAM that nobody has used: behind the kernel, before the tree.
fn free(machine: &Machine) -> Span {
    let ram = machine.ram().next().unwrap_or_default();
    Span { start: ram.start + KEPT, size: ram.size.saturating_sub(2 * KEPT) }
}

/// The first word of each free page.
fn words(machine: &Machine) -> impl Iterator<Item = *mut u64> {
    let free = free(machine);
    (free.start..free.end()).step_by(PAGE).map(|at| at as *mut u64)
}

fn phoenix(machine: &'static Machine, [alive, enough, noise]: [u32; 3]) {
    gic::set_handler(|_| {
        UNEXPECTED.fetch_add(1, Ordering::SeqCst);
    });
    nothing_is_left(machine);
    event::init();
    event::register_vcpu_info();
    for port in [alive, enough, noise] {
        event::listen(port);
    }
    assert!(event::count(alive) == 0 && event::count(enough) == 0, "an answer before the question");
    assert!(event::send(alive) == 0, "the channel is gone");
    cpu::wait_until(|| event::count(alive) + event::count(enough) != 0);
    assert!(UNEXPECTED.load(Ordering::SeqCst) == 0, "an interrupt of a former life");
    if event::count(enough) != 0 {
        return println!("phoenix: nothing was ever left: ok");
    }
    disorder(machine);
    let chance = timer::now() >> 3;
    if chance & 1 != 0 {
        assert!(smp::start(1, |_| die(timer::now() >> 3)) == 0, "vCPU 1 does not start");
        cpu::wait_until(|| false);
    }
    die(chance >> 1);
}

/// Looks for traces of a former life.
fn nothing_is_left(machine: &Machine) {
    for word in words(machine) {
        // SAFETY: RAM that nothing else uses.
        let value = unsafe { word.read_volatile() };
        assert!(value == 0, "{word:p} holds {value:#x}");
    }
    assert!(read_sysreg!("cntv_ctl_el0") == 0 && read_sysreg!("cntp_ctl_el0") == 0, "a timer runs");
    let read = |offset| mmio::read32(gic::distributor(offset));
    assert!(read(ISENABLER) & SPI == 0 && read(ISPENDR) & SPI == 0, "an SPI is left");
    for affinity in machine.cpus().iter().skip(1) {
        assert!(psci::affinity_info(*affinity) == 1, "vCPU {affinity:#x} is not off");
    }
    // It would be 2 if the watchdog of a former life were still there.
    assert!(hypercall::watchdog(0, 1000) == 1 && hypercall::watchdog(1, 0) == 0, "a watchdog is left");
    let page = mmu::window().start + PAGE;
    assert!(hypercall::remove_from_physmap((page / PAGE) as u64) == ENOENT, "a page is mapped behind RAM");
}

/// Leaves as much as possible behind.
fn disorder(machine: &Machine) {
    let free = free(machine);
    for word in words(machine) {
        // SAFETY: RAM that nothing else uses.
        unsafe { word.write_volatile(RUBBISH) };
    }
    let frame = |page: usize| (free.start / PAGE + page) as u64;
    // Two grant frames: over RAM, and behind it; both written to. And a hole in RAM.
    let behind = mmu::window().start / PAGE + 1;
    for (index, frame) in [(0, frame(1)), (1, behind as u64)] {
        let answer = hypercall::add_to_physmap(1, index, frame);
        assert!(answer == 0, "grant frame {index} cannot be mapped: {answer}");
        let word = (frame as usize * PAGE) as *mut u64;
        // SAFETY: a page of the hypervisor's for this domain, which nothing else uses.
        unsafe {
            assert!(word.read_volatile() == 0, "grant frame {index} is not new");
            word.write_volatile(RUBBISH);
        }
    }
    assert!(hypercall::remove_from_physmap(frame(2)) == 0, "RAM cannot be removed");
    assert!(hypercall::watchdog(0, 1000) == 1, "there is no watchdog");
    let port = event::bind_ipi(0).unwrap_or(0);
    assert!(port == 1, "the first free port is {port}: one of a former life is still bound");
    event::mask(port);
    assert!(event::send(port) == 0, "the IPI cannot be sent");
    mmio::write32(gic::distributor(ISENABLER), SPI);
    mmio::write32(gic::distributor(ISPENDR), SPI);
}

/// The end of this life.
fn die(chance: u64) {
    match chance % 3 {
        0 => psci::system_reset(),
        1 => {
            hypercall::shutdown(REBOOT);
        }
        _ => {
            // In the middle of an interrupt whose timer still asserts it.
            gic::set_handler(|intid| {
                if intid == timer::INTID && !DYING.swap(true, Ordering::SeqCst) {
                    psci::system_reset();
                }
            });
            gic::enable(timer::INTID);
            timer::start(0);
            cpu::wait_until(|| false);
        }
    }
}

fn nest([alive, enough, noise]: [u32; 3], lives: u32) {
    event::init();
    event::listen(alive);
    for life in 1..=lives {
        while event::count(alive) != life {
            // Whoever is there or not, and however often: it must do no harm.
            assert!(event::send(noise) == 0, "the channel is gone");
        }
        assert!(event::send(if life < lives { alive } else { enough }) == 0, "the channel is gone");
    }
    println!("phoenix: {lives} lives counted");
}

fn dog() {
    // The counter goes on from life to life.
    if timer::now() < 3 * timer::frequency() {
        assert!(hypercall::watchdog(0, 2) == 1, "there is no watchdog");
        timer::delay(timer::microseconds(200_000));
        psci::system_reset();
    }
    // How fast it runs before one of them could run out, and after all have.
    let early = spins(300);
    timer::delay(2 * timer::frequency());
    let late = spins(300);
    assert!(late > early / 20, "{early} spins in 300 ms, then {late}: somebody takes the CPU away");
    println!("phoenix: outlived the watchdogs of former lives");
}

/// How often it goes round in so many milliseconds.
fn spins(milliseconds: u64) -> u64 {
    let end = timer::now() + timer::microseconds(milliseconds * 1000);
    (0..).take_while(|_| timer::now() < end).count() as u64
}

fn hang() {
    assert!(hypercall::watchdog(0, 1) == 1, "there is no watchdog");
    let end = timer::now() + 5 * timer::frequency() / 2;
    while timer::now() < end {
        timer::delay(timer::microseconds(100_000));
        assert!(hypercall::watchdog(1, 1) == 0, "the watchdog cannot be fed");
    }
    println!("phoenix: fed a watchdog of 1 s for 2.5 s, and hangs now");
    cpu::mask_irqs();
    loop {
        cpu::wait_for_interrupt();
    }
}
