//! The virtual GIC: what a guest believes its interrupt controller to be.
//!
//! It *decides* which interrupt sits in which list register and what every distributor and redistributor
//! register reads as. It *trusts* nothing that a guest writes: every number is looked up, every size checked.
//! It *refuses* accesses that the architecture calls unpredictable; the caller injects an abort.
//!
//! # The pieces
//!
//! * [`Vgic`] is the shared half, one per domain, allocated at boot: the state of every interrupt in atomic
//!   words, 32 interrupts to a bank. Any pCPU may call its methods at any time.
//! * [`LrBank`] is the private half, one per vCPU, owned by the vCPU's home pCPU: which interrupt sits in which
//!   list register.
//! * [`ListRegisters`] and [`PhysicalGic`] are the hardware, as far as this room needs it.
//! * [`v2`] and [`v3`] are the front ends: what the guest finds in memory and, on GICv3, in system registers.
//!   [`Register`] is a register of either.
//!
//! # Who needs attention
//!
//! A change to an interrupt matters only when the home pCPU of the vCPU in question looks at it. Methods
//! therefore return a [`VcpuSet`]: the vCPUs that need a [`Vgic::resync`]. The caller publishes the change by
//! setting those vCPUs' attention bits; a home pCPU *clears* the bit first and resyncs after, so a change made
//! meanwhile sets the bit again and is seen by the next resync. Nothing is lost, no lock is held.
//!
//! # What a home pCPU does
//!
//! | When | It calls |
//! |---|---|
//! | the vCPU is about to run | [`Vgic::load_at_once`]; [`Vgic::load`] if that says so, *before* its timer registers are restored |
//! | the vCPU's attention bit was set | clears the bit, reads `evtchn_upcall_pending`, [`Vgic::resync`] |
//! | a maintenance interrupt came | [`Vgic::resync`] |
//! | an event was sent to the vCPU it runs | [`Vgic::upcall`]; [`Vgic::resync`] if that says so |
//! | a linked PPI came (priority dropped only) | [`Vgic::taken_again`], else [`Vgic::taken_at_once`]; [`Vgic::resync`] if that says so |
//! | the timer is seen to have dropped its line | [`Vgic::set_line`], then [`Vgic::resync`] |
//! | the guest accesses a register of its GIC | [`Vgic::fold`], [`Register::read`] or [`Register::write`] |
//! | the guest sends itself an SGI | [`Vgic::sgi_again`], else [`Vgic::sgi_to_self`]; [`Vgic::resync`] if that says so |
//! | the guest sends SGIs otherwise | [`Vgic::sgi1r`], [`Register::send_sgi`] |
//! | others sent SGIs to the vCPU it runs | [`Vgic::sgis_arrived`]; [`Vgic::resync`] if that says so |
//! | the guest executes a trapped WFI | [`Vgic::is_idle`]; [`Vgic::fold`], [`Vgic::deliverable`] if it is not |
//! | the vCPU stops running here | [`Vgic::unload_at_once`]; [`Vgic::unload`] if that says so, *after* its timer is stopped |
//! | an event was sent to a vCPU that sleeps | [`Vgic::upcall_wakes`] |
//! | the attention bit of a vCPU that is not loaded was set | [`Vgic::settle`], [`Vgic::deliverable`] |
//! | PSCI CPU_ON or CPU_OFF | [`Vgic::reset_cpu`] while it is not loaded |
//!
//! Each returns a set of vCPUs that need attention, and every set is to be published.
//!
//! # Memory ordering
//!
//! Every access is `SeqCst`. On AArch64 it compiles to the same LDAR/STLR and LDAXR/STLXR as acquire and
//! release, and a few hand-overs (see `spi`) are of the store-then-load kind that needs it.
//!
//! # Sources
//!
//! GICv3: Arm IHI 0069. GICv2: Arm IHI 0048. The places in the guest's address space and the INTIDs are those
//! of Xen's `arch-arm.h`.
#![forbid(unsafe_code)]

mod bank;
mod bits;
mod fold;
mod front;
mod inject;
mod local;
mod lr;
mod refill;
mod reset;
mod set;
mod sgi;
mod short;
mod spi;
mod state;
mod switch;
mod sync;
pub mod v2;
pub mod v3;

#[cfg(test)]
mod tests;

pub use front::{Register, Version};
pub use inject::Upcall;
pub use local::LrBank;
pub use lr::{ListRegisters, Lr, MAX_LRS, Maintenance, PhysicalGic};
pub use set::VcpuSet;
pub use short::Listed;
pub use state::{MAX_SPIS, MAX_VCPUS, SgiSource, Vgic};

use crate::addr::IntId;

/// The event-channel upcall of every domU: PPI INTID 31, level-sensitive. It owns list register 0.
pub const UPCALL: IntId = IntId::new(31);

/// Width of an access to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
    /// 64 bits.
    Double,
}

impl Width {
    /// Bytes accessed.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Double => 8,
        }
    }
}

/// An access that the architecture does not define: the caller injects a synchronous external abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;
