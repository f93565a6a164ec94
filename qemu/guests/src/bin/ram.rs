//! Whether all RAM of the domain is there, once, and was empty: it finds each MiB of it zero, writes another word into each,
//! and reads them back.
#![no_std]
#![no_main]

use portunus_rt::{Machine, entry, println};

const MIB: usize = 1 << 20;
/// The image, the tree and what else the hypervisor puts there.
const OCCUPIED: usize = 64 * MIB;

/// What a device tree begins with: its own is somewhere in RAM, and not needed any more.
const TREE: u32 = 0xd00d_feed;

entry!(main);

fn main(machine: &'static Machine) {
    let words = || {
        let banks = machine.ram().enumerate();
        banks.flat_map(|(index, bank)| {
            let first = if index == 0 { bank.start + OCCUPIED } else { bank.start };
            (first..bank.end()).step_by(MIB).map(|address| address as *mut u64)
        })
    };
    let banks = machine.ram().count();
    for bank in machine.ram() {
        println!("ram: {:#x}-{:#x}", bank.start, bank.end());
    }
    let mut dirty = 0;
    for word in words() {
        // SAFETY: the domain's own RAM, behind everything that is in it; this vCPU is the only one.
        unsafe {
            dirty +=
                usize::from(word.read_volatile() != 0 && (word.read_volatile() as u32).swap_bytes() != TREE);
            word.write_volatile(word as u64);
        }
    }
    // SAFETY: as above.
    let wrong = words().filter(|word| unsafe { word.read_volatile() } != *word as u64).count();
    let verdict = if dirty == 0 && wrong == 0 { "ok" } else { "WRONG" };
    println!("ram: {} MiB in {banks} banks, {dirty} not empty, {wrong} wrong: {verdict}", words().count());
}
