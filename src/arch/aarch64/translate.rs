//! Guest virtual addresses, translated as the guest's own access would be.
//!
//! The CPU does it (AT S12E1R, S12E1W): stage 1 of the loaded vCPU with its permissions, then stage 2.

use core::arch::asm;

use portunus::addr::{Gva, Ipa, Pa};

use super::gic;
use super::sysreg::PAR_EL1;

/// PAR_EL1.F: the translation failed.
const FAILED: u64 = 1;
/// PAR_EL1.PA, bits 47:12.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Physical address of `address` for a load (or a store) of the loaded vCPU at EL1; `None` if it would fault, or reach a
/// device: stage 2 maps one, the CPU interface of a GICv2, and EL2 accesses memory only on behalf of guests.
#[inline(always)]
#[must_use]
pub fn both_stages(address: Gva, write: bool) -> Option<Pa> {
    let result = with_par(|| {
        // SAFETY: AT changes PAR_EL1 only, which `with_par` preserves.
        unsafe {
            if write {
                asm!("at s12e1w, {}", "isb", in(reg) address.get(), options(nostack, preserves_flags));
            } else {
                asm!("at s12e1r, {}", "isb", in(reg) address.get(), options(nostack, preserves_flags));
            }
        }
    })?;
    let address = Pa::new(result & ADDRESS | address.page_offset());
    if result >> ATTRIBUTES_SHIFT & 0xf0 == 0 && gic::is_guest_device(address) {
        return None;
    }
    Some(address)
}

/// The same for a load, if it is of ordinary memory; `None` too where that has to be looked at more closely.
#[inline(always)]
#[must_use]
pub fn ordinary(address: Gva) -> Option<Pa> {
    let result = with_par(|| {
        // SAFETY: as above.
        unsafe { asm!("at s12e1r, {}", "isb", in(reg) address.get(), options(nostack, preserves_flags)) };
    })?;
    (result >> ATTRIBUTES_SHIFT & 0xf0 != 0).then(|| Pa::new(result & ADDRESS | address.page_offset()))
}

/// IPA of `address` for an access of the loaded vCPU at EL1: stage 1 alone.
#[must_use]
pub fn stage1(address: Gva) -> Option<Ipa> {
    let result = with_par(|| {
        // SAFETY: as above.
        unsafe { asm!("at s1e1r, {}", "isb", in(reg) address.get(), options(nostack, preserves_flags)) };
    })?;
    Some(Ipa::new(result & ADDRESS | address.page_offset()))
}

/// PAR_EL1.ATTR of a translation that did not fail, as in MAIR_EL1: the upper half is zero for Device memory, which
/// stage 1 alone makes of RAM, too.
const ATTRIBUTES_SHIFT: u32 = 56;

/// Runs a translation and takes its result; PAR_EL1 is the guest's and keeps its value.
#[inline(always)]
fn with_par(translate: impl FnOnce()) -> Option<u64> {
    let guests = PAR_EL1::read();
    translate();
    let par = PAR_EL1::read();
    PAR_EL1::write(guests);
    (par & FAILED == 0).then_some(par)
}
