//! What the executing CPU does at each entry so that a guest's branches do not steer EL2: see `portunus::prediction`.

use core::arch::asm;

use portunus::prediction::{Core, Entry, Firmware, Offer, Verdict, WORKAROUND_1, WORKAROUND_3};
use spin::Once;

use super::psci;
use super::sysreg::{ID_AA64ISAR2_EL1, ID_AA64MMFR1_EL1, ID_AA64PFR0_EL1, MIDR_EL1, VBAR_EL2};
use crate::run::Pcpu;

/// Firmware to ask, on a machine that has any that can be reached from the vectors.
static FIRMWARE: Once<psci::Firmware> = Once::new();

/// Rounds of the loop that `vectors_loop` has built in.
const BUILT_IN: u8 = 8;
/// The word of boot/vectors.S for CLRBHB.
const CLEAR: u32 = 1 << 30;

unsafe extern "C" {
    static vectors: u8;
    static vectors_loop: u8;
    static vectors_other: u8;
}

/// Says whom to ask. On the boot CPU, before any CPU calls [`protect`].
pub fn adopt(firmware: psci::Firmware) {
    if firmware.is_called_by_smc() {
        FIRMWARE.call_once(|| firmware);
    }
}

/// Gives the executing CPU, whose block is `pcpu`, the vectors that it needs. Before its first guest.
pub fn protect(pcpu: &Pcpu) -> Verdict {
    let core = Core {
        midr: MIDR_EL1::read(),
        pfr0: ID_AA64PFR0_EL1::read(),
        isar2: ID_AA64ISAR2_EL1::read(),
        mmfr1: ID_AA64MMFR1_EL1::read(),
    };
    let verdict = core.decide(ask());
    let (table, word) = match verdict.entry {
        Entry::Plain => (&raw const vectors, 0),
        Entry::Loop(BUILT_IN) => (&raw const vectors_loop, 0),
        Entry::Loop(rounds) => (&raw const vectors_other, u32::from(rounds)),
        Entry::Clear => (&raw const vectors_other, CLEAR),
        Entry::Call(function) => (&raw const vectors_other, function),
    };
    pcpu.protect(word);
    VBAR_EL2::write(table as u64);
    // SAFETY: a context synchronisation: the next trap takes the new vectors.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    verdict
}

/// What firmware offers the executing CPU.
fn ask() -> Firmware {
    let Some(firmware) = FIRMWARE.get() else { return Firmware::default() };
    let offer = |function| firmware.workaround(function).map_or(Offer::Unknown, Offer::of);
    Firmware { targets: offer(WORKAROUND_1), history: offer(WORKAROUND_3) }
}
