//! More interrupts at once than there are list registers: each vCPU keeps its interrupts masked while 16 SGIs, its timer and
//! a dozen shared ones become pending, then lets them all in, and counts. Each must come once. Argument: `rounds=200`.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use portunus_rt::{Machine, cpu, entry, event, gic, mmio, println, smp, timer};

entry!(main);

/// GICD registers (Arm IHI 0048 and 0069).
const GICD_ISPENDR: usize = 0x200;
const GICD_ICFGR: usize = 0xc00;
const SGIS: u32 = 16;
/// Each vCPU's shared interrupts, behind those that may be devices'.
const FIRST_SPI: u32 = 40;
const SPIS: u32 = 12;
const VCPUS: usize = 4;
const INTIDS: usize = (FIRST_SPI + SPIS * VCPUS as u32) as usize;
/// Seconds until a round has failed.
const PATIENCE: u64 = 20;

static TAKEN: [[AtomicU32; INTIDS]; VCPUS] = [const { [const { AtomicU32::new(0) }; INTIDS] }; VCPUS];
static ROUNDS: AtomicU32 = AtomicU32::new(0);
static READY: AtomicUsize = AtomicUsize::new(0);

fn main(machine: &'static Machine) {
    let count = machine.cpus().len().min(VCPUS);
    ROUNDS.store(machine.number("rounds", 200) as u32, Ordering::SeqCst);
    gic::set_handler(interrupt);
    event::init();
    // Each is a pulse: it is pending once, not for as long as a line is high.
    for intid in FIRST_SPI..INTIDS as u32 {
        let register = gic::distributor(GICD_ICFGR + intid as usize / 16 * 4);
        mmio::write32(register, mmio::read32(register) | 2 << (intid % 16 * 2));
    }
    for number in 1..count {
        assert!(smp::start(number, play) == 0, "vCPU {number} does not start");
    }
    play(0);
    for number in 1..count {
        smp::wait_off(number);
    }
    println!(
        "crowd: {count} vCPUs, {} interrupts at once, {} times: ok",
        SGIS + SPIS + 1,
        ROUNDS.load(Ordering::SeqCst)
    );
}

fn spis(number: usize) -> core::ops::Range<u32> {
    let first = FIRST_SPI + SPIS * number as u32;
    first..first + SPIS
}

fn play(number: usize) {
    // Where a shared interrupt goes is written by read-modify-write of registers that vCPUs share: one after the other.
    assert!(
        timer::spin_until(PATIENCE, || READY.load(Ordering::SeqCst) == number),
        "vCPU {number} has no turn"
    );
    gic::enable(timer::INTID);
    spis(number).for_each(gic::enable);
    READY.store(number + 1, Ordering::SeqCst);
    for round in 1..=ROUNDS.load(Ordering::SeqCst) {
        cpu::mask_irqs();
        (0..SGIS).for_each(|sgi| gic::send_sgi(sgi, number));
        for intid in spis(number) {
            mmio::write32(gic::distributor(GICD_ISPENDR + intid as usize / 32 * 4), 1 << (intid % 32));
        }
        timer::start(0);
        cpu::unmask_irqs();
        let taken = |intid: u32| TAKEN[number][intid as usize].load(Ordering::SeqCst);
        let all = || (0..SGIS).chain([timer::INTID]).chain(spis(number));
        for intid in all() {
            let came = timer::spin_until(PATIENCE, || taken(intid) >= round);
            assert!(came, "vCPU {number}, round {round}: interrupt {intid} did not come");
        }
        for intid in all() {
            assert!(taken(intid) == round, "vCPU {number}, round {round}: interrupt {intid} came twice");
        }
    }
}

fn interrupt(intid: u32) {
    if intid == timer::INTID {
        timer::stop();
    }
    TAKEN[cpu::number()][intid as usize].fetch_add(1, Ordering::SeqCst);
}
