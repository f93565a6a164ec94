//! FP and SIMD registers of a vCPU, moved by `boot/fp.S`.

/// q0 to q31, FPCR and FPSR, as `boot/fp.S` lays them out.
#[repr(C, align(16))]
pub struct FpRegisters {
    q: [[u64; 2]; 32],
    fpcr: u64,
    fpsr: u64,
}

const _: () = assert!(core::mem::offset_of!(FpRegisters, fpcr) == 512);

unsafe extern "C" {
    fn fp_save(to: *mut FpRegisters);
    fn fp_restore(from: *const FpRegisters);
}

impl FpRegisters {
    /// All zero: what a vCPU starts with, so that it learns nothing about whoever ran before.
    #[must_use]
    pub const fn new() -> Self {
        Self { q: [[0; 2]; 32], fpcr: 0, fpsr: 0 }
    }

    /// Takes the registers of this pCPU.
    pub fn save(&mut self) {
        // SAFETY: writes exactly this structure; EL2 traps no FP access of its own (CPTR_EL2.TFP = 0).
        unsafe { fp_save(self) };
    }

    /// Gives them back. EL2 code never holds anything in them (soft-float target).
    pub fn restore(&self) {
        // SAFETY: reads exactly this structure.
        unsafe { fp_restore(self) };
    }
}
