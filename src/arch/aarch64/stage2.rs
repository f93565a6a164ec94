//! Stage 2 as hardware sees it: table pages, their entries, and how translations are forgotten.

use core::arch::asm;

use portunus::addr::{Ipa, PAGE_SHIFT, Pa};
use portunus::mm::TableMemory;
use portunus::mm::stage2::Invalidate;

use super::context::stop_walks;
use super::sysreg::VTTBR_EL2;

/// Tables in RAM that EL2 maps (VA = PA), in zeroed pages that `A` hands out.
pub struct Tables<A>(pub A);

impl<A: FnMut() -> Option<Pa>> TableMemory for Tables<A> {
    fn allocate(&mut self) -> Option<Pa> {
        (self.0)()
    }

    fn read(&self, table: Pa, index: usize) -> u64 {
        // SAFETY: `table` came from `allocate` (or was the root), `index` is below 512 (TableMemory's contract).
        unsafe { (table.get() as *const u64).add(index).read_volatile() }
    }

    fn write(&mut self, table: Pa, index: usize, entry: u64) {
        // SAFETY: as for `read`. One 64-bit store: a walker on another CPU sees the old entry or the new one.
        unsafe { (table.get() as *mut u64).add(index).write_volatile(entry) }
        // SAFETY: a barrier: the entry is observable to all table walkers before what follows (Arm ARM D8.2.6).
        // Walks are Write-Back cacheable (VTCR_EL2), so no cache maintenance.
        unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
    }
}

/// Tables that are only read.
#[must_use]
pub fn read_only() -> Tables<impl FnMut() -> Option<Pa>> {
    Tables(|| None)
}

/// Forgets translations of the domain that is loaded on this pCPU, on all CPUs.
pub struct ByVmid;

impl Invalidate for ByVmid {
    /// The sequence of Arm ARM D8.16.3: stage 2 entries by IPA first, then, because TLBs may hold stage 1 and 2
    /// combined, everything of the VMID.
    fn forget(&mut self, ipa: Ipa) {
        let page = ipa.get() >> PAGE_SHIFT;
        // SAFETY: invalidation changes no translation, it only makes CPUs walk again.
        unsafe {
            asm!(
                "dsb ishst",
                "tlbi ipas2e1is, {page}",
                "dsb ish",
                "tlbi vmalle1is",
                "dsb ish",
                "isb",
                page = in(reg) page,
                options(nostack, preserves_flags)
            )
        };
    }
}

/// Forgets everything that any CPU remembers of the domain whose tables and VMID are `vttbr`: they are about to be written
/// anew, and none of its vCPUs runs. For a pCPU on which no vCPU is loaded; the domain's VMID stays in place, its walks
/// stopped.
pub fn forget_all(vttbr: u64) {
    // No walk of a former regime may come between the VMID and its invalidation.
    stop_walks();
    VTTBR_EL2::write(vttbr);
    // SAFETY: invalidation changes no translation. The first ISB: the VMID is the one that is meant (Arm ARM D8.14.5); the
    // rest is the sequence of D8.16.3.
    unsafe {
        asm!("isb", "dsb ishst", "tlbi vmalls12e1is", "dsb ish", "isb", options(nostack, preserves_flags))
    };
}

/// Forgets what this CPU alone remembers of stage 1 under the loaded VMID, and the instructions that it has fetched: two
/// vCPUs of one domain take turns here, or one of them starts anew. They may use one ASID for different tables, and a guest
/// that maintains its TLBs for "this CPU" means its vCPU (Arm ARM D8.16.4: without the Inner Shareable suffix, TLBI acts on
/// the executing PE). One with its MMU off fetches from the point of coherency, what another has cleaned to the point of
/// unification only (B2.7.4).
pub fn forget_local() {
    // SAFETY: as above. The last ISB is left to the entry of the guest.
    unsafe { asm!("isb", "tlbi vmalle1", "ic iallu", "dsb nsh", options(nostack, preserves_flags)) };
}
