//! One vCPU changes the domain's address space while the others use the RAM around it.
//!
//! The first page that is mapped inside a block of RAM makes the hypervisor replace the block by a table, and for a moment
//! nothing of the block is mapped (break-before-make: Arm ARM DDI 0487, D8.16.1). Nobody may notice: the other vCPUs read,
//! write and make hypercalls with arguments in each block while vCPU 0 maps `shared_info` at its end.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use portunus_rt::{Machine, entry, hypercall, println, smp, timer};

entry!(main);

/// What the hypervisor maps RAM in.
const BLOCK: usize = 2 << 20;
/// Blocks at the start of RAM that this image, its tree and its stacks may lie in.
const SPARED: usize = 4;

static WHERE: AtomicUsize = AtomicUsize::new(0);
static ROUNDS: [AtomicU64; portunus_rt::cpu::MAX] = [const { AtomicU64::new(0) }; portunus_rt::cpu::MAX];
static OVER: AtomicBool = AtomicBool::new(false);

fn main(machine: &'static Machine) {
    let count = machine.cpus().len();
    let Some(ram) = machine.ram().next() else { return };
    let blocks = ram.size / BLOCK;
    WHERE.store(ram.start + SPARED * BLOCK, Ordering::SeqCst);
    for number in 1..count {
        assert!(smp::start(number, worker) == 0, "vCPU {number} does not start");
    }
    // The last block may hold the tree.
    for block in SPARED..blocks - 1 {
        let start = ram.start + block * BLOCK;
        WHERE.store(start, Ordering::SeqCst);
        (1..count).for_each(at_work);
        let frame = ((start + BLOCK) / 4096 - 1) as u64;
        let answer = hypercall::add_to_physmap(0, 0, frame);
        assert!(answer == 0, "shared_info at frame {frame:#x}: {answer}");
        (1..count).for_each(at_work);
        let answer = hypercall::remove_from_physmap(frame);
        assert!(answer == 0, "removing frame {frame:#x}: {answer}");
    }
    OVER.store(true, Ordering::SeqCst);
    (1..count).for_each(smp::wait_off);
    println!("remap: {} blocks of RAM replaced under {} vCPUs: ok", blocks - 1 - SPARED, count - 1);
}

/// Waits until vCPU `number` has gone round twice: once of these it began after this call did.
fn at_work(number: usize) {
    let before = ROUNDS[number].load(Ordering::SeqCst);
    let moved = timer::spin_until(10, || ROUNDS[number].load(Ordering::SeqCst) > before + 1);
    assert!(moved, "vCPU {number} is stuck at {before} rounds");
}

fn worker(number: usize) {
    while !OVER.load(Ordering::SeqCst) {
        let start = WHERE.load(Ordering::SeqCst);
        for offset in (0..BLOCK / 2).step_by(4096) {
            // SAFETY: RAM that nothing else uses; each vCPU has words of its own.
            let word = unsafe { &*((start + offset + number * 64) as *const AtomicU64) };
            word.store(offset as u64, Ordering::Relaxed);
            assert!(
                word.load(Ordering::Relaxed) == offset as u64,
                "vCPU {number} lost a word at {offset:#x}"
            );
        }
        // XENVER_get_features with its argument in the block: submap 0 is answered, and -EFAULT is not.
        let argument = start + BLOCK / 2 + number * 64;
        // SAFETY: as above.
        unsafe { (argument as *mut [u32; 2]).write_volatile([0; 2]) };
        let answer = hypercall::call(hypercall::XEN_VERSION, [6, argument as u64, 0, 0, 0]);
        assert!(answer == 0, "vCPU {number}: a hypercall with its argument in RAM: {answer}");
        ROUNDS[number].fetch_add(1, Ordering::SeqCst);
    }
}
