//! The end of the hypervisor: what a person needs to know about a fault at EL2.
//!
//! Every fault at EL2 is our own broken invariant. The report is printed without locks, allocation or trust in
//! the stack that was in use; then this CPU stops.

use core::fmt::Write;
use core::sync::atomic::AtomicU32;

use portunus::addr::{IntId, Pa};
use portunus::vdev::esr::Esr;

use super::start::TrapFrame;
use super::sysreg::{ELR_EL2, ESR_EL2, FAR_EL2, MPIDR_EL1, SPSR_EL2};
use super::{gic, park, percpu};
use crate::platform::console;

/// Which of the vectors the CPU took (Arm ARM DDI 0487, D1.3.1).
const VECTORS: [&str; 8] = [
    "synchronous exception on SP_EL0",
    "IRQ on SP_EL0",
    "FIQ on SP_EL0",
    "SError on SP_EL0",
    "synchronous exception",
    "IRQ",
    "FIQ",
    "SError",
];

/// Whether a CPU is reporting; boot/vectors.S sets it and parks whoever finds it set.
#[unsafe(no_mangle)]
static REPORTING: AtomicU32 = AtomicU32::new(0);

/// Stops the other CPUs: whatever is wrong, a person should find the machine as it is now.
pub fn stop_others() {
    gic::send_sgi_to_others(STOP);
}

/// The SGI by which a CPU that reports a fault stops the others.
pub const STOP: IntId = IntId::new(2);

/// Called by boot/vectors.S on the report stack.
#[unsafe(no_mangle)]
extern "C" fn hypervisor_fault(frame: &TrapFrame, vector: usize, sp: u64) -> ! {
    if percpu::is_known() {
        stop_others();
    }
    let esr = Esr::new(ESR_EL2::read());
    let mut out = console::emergency();
    let what = VECTORS.get(vector).copied().unwrap_or("exception from a lower level");
    let _ = writeln!(
        out,
        "\n(portunus) fault in the hypervisor, CPU {:#x}: {what}",
        MPIDR_EL1::read() & 0xff_00ff_ffff
    );
    let _ = write!(out, "  {esr}");
    if matches!(esr.class(), 0x21 | 0x25) {
        let _ = write!(out, ", FAR_EL2 {:#x}", FAR_EL2::read());
    }
    let elr = ELR_EL2::read();
    let base = super::map::image().map_or(0, |image| image.start().get());
    let _ = writeln!(
        out,
        "\n  ELR_EL2 {elr:#x} (image + {:#x}), SPSR_EL2 {:#x}, SP {sp:#x}",
        elr.wrapping_sub(base),
        SPSR_EL2::read()
    );
    for (number, value) in frame.x.iter().enumerate() {
        let end = if number % 4 == 3 { "\n" } else { "" };
        let _ = write!(out, "  x{number:<2} {value:#018x}{end}");
    }
    let _ = writeln!(out);
    backtrace(&mut out, frame.x.get(29).copied().unwrap_or(0), base);
    let _ = writeln!(out, "(portunus) this CPU stops here");
    park()
}

/// Follows the frame pointers (AAPCS64, 6.4.6) through mapped stack only: a bounded number of records, each
/// probed before it is believed.
fn backtrace(out: &mut impl Write, mut record: u64, base: u64) {
    let stack = if percpu::is_known() { Some(percpu::this().stack()) } else { super::map::boot_stack() };
    let Some(stack) = stack else { return };
    for _ in 0..16 {
        if !record.is_multiple_of(16) || !stack.contains(Pa::new(record)) {
            return;
        }
        // SAFETY: aligned, inside this CPU's stack; an unmapped guard page makes the probe answer None.
        let words = unsafe { [0, 4, 8, 12].map(|offset| super::probe::read32(record + offset)) };
        let [Some(next), Some(next_high), Some(lr), Some(lr_high)] = words else { return };
        let caller = u64::from(lr) | u64::from(lr_high) << 32;
        let _ = writeln!(out, "  called from {caller:#x} (image + {:#x})", caller.wrapping_sub(base));
        record = u64::from(next) | u64::from(next_high) << 32;
    }
}
