//! The registers that a guest keeps its state in, while it does not have the CPU. `boot/switch.S` moves them.

use core::arch::asm;

use super::start::TrapFrame;
use super::sysreg::{SCTLR_EL1, TCR_EL1};

/// General, FP, SIMD and system registers, in the order of boot/switch.S.
#[repr(C, align(16))]
pub struct Context {
    q: [[u64; 2]; 32],
    frame: TrapFrame,
    pc: u64,
    pstate: u64,
    /// What nobody asks for by name.
    kernel: [u64; 20],
    fpcr: u64,
    fpsr: u64,
    tcr: u64,
    sctlr: u64,
}

const _: () = assert!(core::mem::offset_of!(Context, frame) == 512);
const _: () = assert!(core::mem::offset_of!(Context, pc) == 768);
const _: () = assert!(size_of::<Context>() == 768 + 2 * 13 * 8);

unsafe extern "C" {
    fn vcpu_save(to: *mut Context, frame: *const TrapFrame);
    fn vcpu_restore(from: *const Context, frame: *mut TrapFrame);
}

/// PSTATE of a vCPU that starts: EL1h, DAIF masked (boot protocol of Linux; PSCI, DEN 0022, 6.4).
const PSTATE_START: u64 = 0x3c5;
/// SCTLR_EL1 of a vCPU that starts: MMU, caches and alignment checks off; bits 29, 28, 23, 22, 20 and 11 are RES1
/// on Armv8.0 and mean the behaviour of Armv8.0 where they have come to mean something (Arm ARM, SCTLR_EL1).
const SCTLR_RESET: u64 = 0x30d0_0800;
const SCTLR_M: u64 = 1;
/// TCR_EL1.EPD0 and EPD1: no table walks.
const TCR_NO_WALKS: u64 = 1 << 7 | 1 << 23;

impl Context {
    /// A vCPU that starts at `entry` with `argument` in x0, MMU off, everything else zero: so that it learns nothing about
    /// whoever ran before.
    #[must_use]
    pub fn new(entry: u64, argument: u64) -> Self {
        let mut frame = TrapFrame::default();
        frame.set_register(0, argument);
        Self {
            q: [[0; 2]; 32],
            frame,
            pc: entry,
            pstate: PSTATE_START,
            kernel: [0; 20],
            fpcr: 0,
            fpsr: 0,
            tcr: 0,
            sctlr: SCTLR_RESET,
        }
    }

    /// Takes the registers of this CPU, and the general ones from `frame`.
    pub fn save(&mut self, frame: &TrapFrame) {
        // SAFETY: writes exactly this structure and reads exactly the frame; EL2 holds nothing in the FP registers that it
        // goes through (soft-float target), and CPTR_EL2 traps none of its accesses.
        unsafe { vcpu_save(self, frame) };
    }

    /// Gives them back; stage 2 is that of the vCPU already, and [`stop_walks`] was called before it changed.
    pub fn restore(&self, frame: &mut TrapFrame) {
        // SAFETY: as above, the other way round.
        unsafe { vcpu_restore(self, frame) };
    }
}

/// Leaves a regime of EL1 that walks no tables: between two guests a speculative address translation must not fill
/// a TLB from the tables of one under the VMID of the other (Cortex-A53 erratum 1530924, Cortex-A57 1319537,
/// Cortex-A72 1319367).
#[inline]
pub fn stop_walks() {
    TCR_EL1::write(TCR_NO_WALKS);
    synchronise();
    SCTLR_EL1::write(SCTLR_RESET | SCTLR_M);
    synchronise();
}

#[inline(always)]
fn synchronise() {
    // SAFETY: a context synchronisation; changes nothing.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}
