//! The assembly of `boot/`, and the constants it shares with Rust.

use core::arch::global_asm;
use core::mem::{offset_of, size_of};

use portunus::mm::stage1::SCTLR_MMU_OFF;

use super::map::Regime;

/// A guest's general registers as `boot/vectors.S` spills them: x0 to x30, and padding to keep SP aligned.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct TrapFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    pad: u64,
}

const _: () = assert!(size_of::<TrapFrame>() == 256 && offset_of!(TrapFrame, x) == 0);
const _: () = assert!(offset_of!(Regime, ttbr) == 0 && offset_of!(Regime, tcr) == 8);
const _: () = assert!(offset_of!(Regime, mair) == 16 && offset_of!(Regime, sctlr) == 24);

global_asm!(include_str!("../../../boot/head.S"), SCTLR_EL2_MMU_OFF = const SCTLR_MMU_OFF);
global_asm!(include_str!("../../../boot/vectors.S"), FRAME_SIZE = const size_of::<TrapFrame>());
