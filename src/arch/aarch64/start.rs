//! The assembly of `boot/`, and the constants it shares with Rust.

use core::arch::global_asm;
use core::mem::{offset_of, size_of};

use portunus::hypercall;
use portunus::mm::stage1::SCTLR_MMU_OFF;
use portunus::vdev::esr::Esr;

use super::map::Regime;
use crate::run::Pcpu;

/// ESR_EL2 of `HVC #0xEA1` from AArch64: the class, IL, and the immediate.
const HYPERCALL: u64 = (Esr::HVC as u64) << 26 | 1 << 25 | hypercall::HVC_IMMEDIATE as u64;
/// ESR_EL2 of `HVC #0`.
pub const FIRMWARE: u64 = (Esr::HVC as u64) << 26 | 1 << 25;

/// The last register that is in the frame before the rest of it is filled: x0 to x18.
pub const SPILLED: u8 = 18;

/// A guest's general registers as `boot/vectors.S` spills them: x0 to x30, and padding to keep SP aligned.
#[repr(C, align(16))]
#[derive(Clone, Copy, Default)]
pub struct TrapFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    pad: u64,
}

impl TrapFrame {
    /// General register `number`; 31 is XZR and reads as zero.
    #[inline]
    #[must_use]
    pub fn register(&self, number: u8) -> u64 {
        self.x.get(usize::from(number)).copied().unwrap_or(0)
    }

    /// Writes general register `number`; 31 is XZR and ignores it.
    #[inline]
    pub fn set_register(&mut self, number: u8, value: u64) {
        if let Some(register) = self.x.get_mut(usize::from(number)) {
            *register = value;
        }
    }
}

const _: () = assert!(size_of::<TrapFrame>() == 256 && offset_of!(TrapFrame, x) == 0);
const _: () = assert!(offset_of!(Regime, ttbr) == 0 && offset_of!(Regime, tcr) == 8);
const _: () = assert!(offset_of!(Regime, mair) == 16 && offset_of!(Regime, sctlr) == 24);

global_asm!(include_str!("../../../boot/head.S"), SCTLR_EL2_MMU_OFF = const SCTLR_MMU_OFF);
global_asm!(include_str!("../../../boot/switch.S"));
global_asm!(
    include_str!("../../../boot/vectors.S"),
    FRAME_SIZE = const size_of::<TrapFrame>(),
    HYPERCALL = const HYPERCALL,
    EVENT_CHANNEL_OP = const hypercall::EVENT_CHANNEL_OP,
    SEND = const hypercall::SEND,
    EC_HVC = const Esr::HVC,
    EC_SYSREG = const Esr::SYSREG,
    SPILLED = const SPILLED,
    PROTECTION = const Pcpu::PROTECTION,
);

unsafe extern "C" {
    /// In boot/vectors.S: makes `stack_top` the top of the stack and enters the first guest that can run.
    pub fn guest_enter(stack_top: u64) -> !;
}
