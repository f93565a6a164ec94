//! Fills every register that it may write, sleeps while a neighbour on the same CPU does so with others, and looks whether
//! they are as it left them. Before the first time all are to be zero: nothing of whoever ran before is left in them.
#![no_std]
#![no_main]

use core::arch::asm;

use portunus_rt::cpu::{mask_irqs, unmask_irqs, wait_for_interrupt, without_irqs};
use portunus_rt::{Machine, entry, gic, println, read_sysreg, timer, write_sysreg};

entry!(main);

/// How often.
const ROUNDS: u64 = 200;

macro_rules! registers {
    ($($name:literal $mask:literal,)*) => {
        const NAMES: &[&str] = &[$($name),*];

        /// What all of them hold.
        fn read() -> [u64; NAMES.len()] {
            [$(read_sysreg!($name)),*]
        }

        /// Writes numbers made of `seed`, as far as each register takes them.
        fn write(seed: u64) {
            let mut value = seed;
            $(
                value = next(value);
                write_sysreg!($name, value & $mask);
            )*
            let _ = value;
        }
    };
}

// Those that the guest's own translation hangs on are not among them: every guest shows that they are kept.
registers! {
    "tpidr_el0" 0xffff_ffff_ffff_ffff,
    "tpidrro_el0" 0xffff_ffff_ffff_ffff,
    "tpidr_el1" 0xffff_ffff_ffff_ffff,
    "contextidr_el1" 0xffff_ffff,
    "esr_el1" 0xffff_ffff,
    "far_el1" 0xffff_ffff_ffff_ffff,
    "afsr0_el1" 0xffff_ffff,
    "afsr1_el1" 0xffff_ffff,
    "amair_el1" 0xffff_ffff_ffff_ffff,
    "elr_el1" 0xffff_ffff_ffff_ffff,
    "spsr_el1" 0xf000_03c5,
    "sp_el0" 0xffff_ffff_ffff_fff0,
    "csselr_el1" 0x3,
    "cntkctl_el1" 0x3ff,
    "cntp_cval_el0" 0xffff_ffff_ffff_ffff,
    "S3_3_C4_C4_0" 0x07c0_0000, // FPCR
    "S3_3_C4_C4_1" 0xf800_009f, // FPSR
}

/// The SIMD registers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(align(16))]
struct Vectors([u64; 64]);

impl Vectors {
    fn new(seed: u64) -> Self {
        let mut value = seed;
        Self(core::array::from_fn(|_| {
            value = next(value);
            value
        }))
    }

    fn read() -> Self {
        let mut vectors = Self([0; 64]);
        // SAFETY: writes 512 bytes from where the structure lies; the compiler uses none of these registers (soft float).
        unsafe {
            asm!(
                ".arch_extension fp",
                ".arch_extension simd",
                ".irp n, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30",
                "str q\\n, [{at}, #16 * \\n]",
                ".endr",
                ".irp n, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31",
                "str q\\n, [{at}, #16 * \\n]",
                ".endr",
                at = in(reg) vectors.0.as_mut_ptr(),
                options(nostack)
            );
        }
        vectors
    }

    fn write(&self) {
        // SAFETY: reads 512 bytes from where the structure lies, into registers that the compiler does not use.
        unsafe {
            asm!(
                ".arch_extension fp",
                ".arch_extension simd",
                ".irp n, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30",
                "ldr q\\n, [{at}, #16 * \\n]",
                ".endr",
                ".irp n, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31",
                "ldr q\\n, [{at}, #16 * \\n]",
                ".endr",
                at = in(reg) self.0.as_ptr(),
                options(nostack, readonly)
            );
        }
    }
}

/// A step of a generator of numbers that look random (Marsaglia's xorshift).
fn next(value: u64) -> u64 {
    let value = value ^ value << 13;
    let value = value ^ value >> 7;
    value ^ value << 17
}

fn main(machine: &'static Machine) {
    let seed = machine.number("seed", 1);
    gic::set_handler(|_| timer::stop());
    gic::enable(timer::INTID);
    let kept = without_irqs(|| {
        // CPACR_EL1.FPEN: FP and SIMD registers do not trap.
        write_sysreg!("cpacr_el1", 3 << 20);
        let at_first =
            [read_sysreg!("cntkctl_el1"), read_sysreg!("contextidr_el1"), read_sysreg!("S3_3_C4_C4_1")];
        if at_first != [0; 3] || Vectors::read() != Vectors([0; 64]) {
            return Err("something was left in the registers of a vCPU that starts");
        }
        (0..ROUNDS).try_for_each(|round| sleep((seed << 32) + round + 1))
    });
    match kept {
        Ok(()) => println!("registers: {ROUNDS} sleeps beside a neighbour: ok"),
        Err(what) => panic!("{what}"),
    }
}

/// Fills the registers, sleeps, and says which one is another.
fn sleep(seed: u64) -> Result<(), &'static str> {
    let number = read_sysreg!("tpidr_el1");
    let vectors = Vectors::new(seed);
    vectors.write();
    write(seed);
    // A register need not hold all that was written to it.
    let before = read();
    // Not the same time for both, so that they meet each other in every state.
    timer::start(timer::microseconds(200 + seed % 97));
    wait_for_interrupt();
    let after = read();
    let kept = Vectors::read() == vectors;
    write_sysreg!("tpidr_el1", number);
    // The timer's interrupt.
    unmask_irqs();
    mask_irqs();
    let other = before.iter().zip(&after).position(|(before, after)| before != after);
    match other.and_then(|at| NAMES.get(at).copied()) {
        Some(name) => Err(name),
        None if kept => Ok(()),
        None => Err("q0 to q31"),
    }
}
