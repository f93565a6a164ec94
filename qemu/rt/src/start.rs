//! From the first instruction to the guest's own `main`, on vCPU 0 and on every other.

use core::arch::global_asm;
use core::panic::PanicInfo;

use crate::{Machine, console, cpu, gic, machine, mmu, println, psci, smp};

/// Bytes of stack of each vCPU. Nothing guards their ends: what overflows runs into the variables of the image.
const STACK_SIZE: usize = 64 * 1024;

#[repr(C, align(16))]
struct Stacks(core::cell::UnsafeCell<[[u8; STACK_SIZE]; cpu::MAX]>);

// SAFETY: each vCPU uses its own part only, and only as its stack.
unsafe impl Sync for Stacks {}

static STACKS: Stacks = Stacks(core::cell::UnsafeCell::new([[0; STACK_SIZE]; cpu::MAX]));

global_asm!(
    include_str!("start.S"),
    stacks = sym STACKS,
    stack_size = const STACK_SIZE,
    regime = sym mmu::REGIME,
);
global_asm!(include_str!("vectors.S"));

unsafe extern "Rust" {
    /// Made by [`crate::entry!`].
    safe fn guest_main(machine: &'static Machine);
}

/// Entered by start.S on vCPU 0, MMU on.
#[unsafe(no_mangle)]
extern "C" fn rt_primary(tree: usize) -> ! {
    let machine = machine::learn(tree);
    console::init(machine);
    gic::init(machine);
    guest_main(machine);
    psci::system_off()
}

/// Entered by start.S on every other vCPU, MMU on.
#[unsafe(no_mangle)]
extern "C" fn rt_secondary(number: usize, context: u64) -> ! {
    gic::init_cpu(machine::get());
    smp::run(number, context);
    psci::cpu_off()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::no_more_turns();
    println!("panic on vCPU {}: {}", cpu::number(), info.message());
    if let Some(place) = info.location() {
        println!("  at {}:{}", place.file(), place.line());
    }
    psci::system_off()
}
