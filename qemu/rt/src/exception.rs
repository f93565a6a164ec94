//! Exceptions: interrupts go to [`crate::gic`], everything else to whoever expects it, or to a report.
//!
//! A guest that provokes exceptions on purpose wraps what it does in [`catch`]. Anything that nobody expects is
//! printed in words, and the domain is switched off.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{console, cpu, gic, println, psci, read_sysreg};

/// The interrupted state, as vectors.S saves it.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Where to go on.
    pub elr: u64,
    /// The PSTATE to go on with.
    pub spsr: u64,
    pad: u64,
}

const _: () = assert!(size_of::<Frame>() == 272, "vectors.S reserves this");

/// A synchronous exception or an SError that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
    /// Where it happened.
    pub elr: u64,
}

impl Caught {
    /// The exception class: ESR_EL1.EC.
    #[must_use]
    pub const fn class(&self) -> u64 {
        self.esr >> 26
    }

    /// What happened, in words.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        words(self.class())
    }
}

/// Exception classes (Arm ARM DDI 0487, ESR_EL1.EC).
#[must_use]
pub const fn words(class: u64) -> &'static str {
    match class {
        0x00 => "undefined instruction",
        0x07 => "FP or SIMD instruction",
        0x0e => "illegal execution state",
        0x15 => "SVC",
        0x18 => "trapped system register",
        0x20 | 0x21 => "instruction abort",
        0x22 => "unaligned PC",
        0x24 | 0x25 => "data abort",
        0x26 => "unaligned SP",
        0x2f => "SError",
        0x3c => "BRK",
        _ => "exception",
    }
}

/// One per vCPU: whether exceptions are expected, how many came, and the first of them.
struct Slot {
    expected: AtomicU64,
    count: AtomicU64,
    first: [AtomicU64; 3],
}

static SLOTS: [Slot; cpu::MAX] = [const {
    Slot {
        expected: AtomicU64::new(0),
        count: AtomicU64::new(0),
        first: [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)],
    }
}; cpu::MAX];

/// Runs `f` and answers the first exception that it caused on this vCPU, if any. An instruction that faults is left
/// out; a jump to where nothing can be executed returns to the caller of the jump, by the link register.
pub fn catch(f: impl FnOnce()) -> Option<Caught> {
    let slot = &SLOTS[cpu::number()];
    slot.count.store(0, Ordering::Relaxed);
    slot.expected.store(1, Ordering::SeqCst);
    f();
    slot.expected.store(0, Ordering::SeqCst);
    if slot.count.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let [esr, far, elr] = &slot.first;
    let value = |word: &AtomicU64| word.load(Ordering::Relaxed);
    Some(Caught { esr: value(esr), far: value(far), elr: value(elr) })
}

/// Entered by vectors.S with the frame and the number of the vector, 0 to 15.
#[unsafe(no_mangle)]
extern "C" fn rt_exception(frame: &mut Frame, vector: u64) {
    const SYNCHRONOUS: u64 = 4;
    const IRQ: u64 = 5;
    const SERROR: u64 = 7;
    match vector {
        IRQ => gic::interrupt(),
        SYNCHRONOUS | SERROR if expected(frame) => {}
        _ => report(frame, vector),
    }
}

fn expected(frame: &mut Frame) -> bool {
    let slot = &SLOTS[cpu::number()];
    if slot.expected.load(Ordering::SeqCst) == 0 {
        return false;
    }
    let caught = Caught { esr: read_sysreg!("esr_el1"), far: read_sysreg!("far_el1"), elr: frame.elr };
    if slot.count.fetch_add(1, Ordering::Relaxed) == 0 {
        for (word, value) in slot.first.iter().zip([caught.esr, caught.far, caught.elr]) {
            word.store(value, Ordering::Relaxed);
        }
    }
    const ILLEGAL_STATE: u64 = 1 << 20;
    frame.spsr &= !ILLEGAL_STATE;
    match caught.class() {
        0x20..=0x22 => frame.elr = frame.x[30],
        0x2f => {}
        _ => frame.elr += 4,
    }
    true
}

fn report(frame: &Frame, vector: u64) -> ! {
    console::no_more_turns();
    let caught = Caught { esr: read_sysreg!("esr_el1"), far: read_sysreg!("far_el1"), elr: frame.elr };
    println!("exception on vCPU {} (vector {vector}): {}", cpu::number(), caught.words());
    println!("  ESR {:#010x} ELR {:#x} FAR {:#x} SPSR {:#x}", caught.esr, caught.elr, caught.far, frame.spsr);
    println!("  the image begins at {:#x}", image_start());
    for (n, four) in frame.x.chunks(4).enumerate() {
        println!("  x{:<2} {four:#018x?}", n * 4);
    }
    psci::system_off()
}

/// Where the image was loaded: subtract it from an address to look that up in the ELF file.
#[must_use]
pub fn image_start() -> usize {
    unsafe extern "C" {
        static __image_start: u8;
    }
    (&raw const __image_start) as usize
}
