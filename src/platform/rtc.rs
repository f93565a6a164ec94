//! The machine's clock, which is read once: from then on the counter tells the time.

use portunus::addr::PaSpan;
use portunus::mm::stage1::Kind;

use crate::arch::aarch64::{map, probe};

/// The seconds of UTC in the word of a clock, if something answers there. For the boot CPU, before others run.
pub fn seconds(word: PaSpan) -> Option<u32> {
    map::add(word, Kind::Device).ok()?;
    // SAFETY: mapped as Device memory just now, and aligned, as the plan promises; a clock does not mind being read.
    unsafe { probe::read32(word.start().get()) }
}
