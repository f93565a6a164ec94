//! The CPU interface of the executing CPU: what EL2 itself takes and sends.

use core::arch::asm;

use portunus::addr::{Affinity, IntId};

use super::super::sysreg::{
    ICC_AP1R0_EL1, ICC_AP1R1_EL1, ICC_AP1R2_EL1, ICC_AP1R3_EL1, ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_DIR_EL1,
    ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_SGI1R_EL1, ICC_SRE_EL1, ICC_SRE_EL2,
    ICH_HCR_EL2, ID_AA64PFR0_EL1,
};

/// Prepares the CPU interface of the executing CPU and its virtual side. `false` if it has none, or firmware keeps EL2
/// from it (ICC_SRE_EL3.Enable): then its registers are UNDEFINED.
#[must_use]
pub fn init_cpu() -> bool {
    // SRE, DFB, DIB; not Enable: a guest's access to ICC_SRE_EL1 traps, so that it cannot switch to the memory-mapped
    // interface, which nobody virtualises here (IHI 0069, ICC_SRE_EL2).
    const SYSTEM_REGISTERS: u64 = 0x7;
    const EOIMODE: u64 = 1 << 1;
    if ID_AA64PFR0_EL1::read() >> 24 & 0xf == 0 {
        return false;
    }
    ICC_SRE_EL2::write(SYSTEM_REGISTERS);
    synchronise();
    if ICC_SRE_EL2::read() & 1 == 0 {
        return false;
    }
    ICC_SRE_EL1::write(SYSTEM_REGISTERS);
    ICC_CTLR_EL1::write(EOIMODE);
    ICC_PMR_EL1::write(0xff);
    ICC_BPR1_EL1::write(0);
    forget_active_priorities();
    ICC_IGRPEN1_EL1::write(1);
    ICH_HCR_EL2::write(0);
    synchronise();
    true
}

/// An interrupt that whoever ran before took and did not end would keep all others out. How many registers there are
/// follows from the bits of priority (IHI 0069, `ICC_AP1R<n>_EL1`).
fn forget_active_priorities() {
    let bits = (ICC_CTLR_EL1::read() >> 8 & 7) + 1;
    ICC_AP1R0_EL1::write(0);
    if bits >= 6 {
        ICC_AP1R1_EL1::write(0);
    }
    if bits >= 7 {
        ICC_AP1R2_EL1::write(0);
        ICC_AP1R3_EL1::write(0);
    }
}

/// Takes the most urgent physical interrupt; `None` if there is none (any more).
#[inline(always)]
#[must_use]
pub fn acknowledge() -> Option<IntId> {
    let taken = acknowledge_any();
    is_interrupt(taken).then_some(taken)
}

/// The same; whether there was one, [`is_interrupt`] says.
#[inline(always)]
#[must_use]
pub fn acknowledge_any() -> IntId {
    let intid = ICC_IAR1_EL1::read() as u32;
    // SAFETY: a barrier: what the sender of the interrupt wrote before is read after (IHI 0069, 4.1.1; ICC_IAR1_EL1
    // is not ordered with memory accesses otherwise).
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    IntId::new(intid)
}

/// Whether what was acknowledged is an interrupt: 1020 to 1023 are none (IHI 0069, 2.2.1). (Bits 31-24 of ICC_IAR1_EL1
/// are RES0.)
#[must_use]
pub fn is_interrupt(taken: IntId) -> bool {
    const SPECIAL: u32 = 1020;
    taken.get() < SPECIAL
}

/// Lets other interrupts come; this one stays active (EOImode 1).
#[inline(always)]
pub fn drop_priority(intid: IntId) {
    ICC_EOIR1_EL1::write(u64::from(intid.get()));
}

/// Ends an interrupt whose priority was dropped.
#[inline(always)]
pub fn deactivate(intid: IntId) {
    ICC_DIR_EL1::write(u64::from(intid.get()));
    synchronise();
}

/// The CPU with affinity `target` as ICC_SGI1R_EL1 names it (IHI 0069): the target list names 16 CPUs of a range (RS)
/// of a cluster.
#[must_use]
pub const fn sgi_target(target: Affinity) -> u64 {
    let affinity = target.get();
    let (aff0, aff1) = (affinity & 0xff, affinity >> 8 & 0xff);
    let (aff2, aff3) = (affinity >> 16 & 0xff, affinity >> 32 & 0xff);
    aff3 << 48 | (aff0 >> 4) << 44 | aff2 << 32 | aff1 << 16 | 1 << (aff0 & 0xf)
}

/// Sends SGI `sgi` to the CPU that [`sgi_target`] says. What was written before is visible to it. It is on its way no later
/// than at the next context synchronisation, which the return to the guest is.
#[inline(always)]
pub fn send_sgi(sgi: IntId, target: u64) {
    // SAFETY: a barrier: the generation of an SGI is not ordered with memory accesses by itself (IHI 0069, 8.1).
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
    ICC_SGI1R_EL1::write(target | u64::from(sgi.get() & 0xf) << 24);
}

/// Sends SGI `sgi` to all CPUs but this one.
pub fn send_sgi_to_others(sgi: IntId) {
    /// Interrupt routing mode: all but the sender.
    const ALL_BUT_SELF: u64 = 1 << 40;
    // SAFETY: a barrier, as in `send_sgi`.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
    ICC_SGI1R_EL1::write(ALL_BUT_SELF | u64::from(sgi.get() & 0xf) << 24);
    synchronise();
}

#[inline(always)]
fn synchronise() {
    // SAFETY: a context synchronisation; changes nothing.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}
