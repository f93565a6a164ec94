//! The GICv2 front end: registers of the distributor, and SGIs with their senders.
//!
//! What the guest finds (IHI 0048):
//!
//! * no Security Extensions (GICD_TYPER), and one group: all interrupts are in Group 0, IGROUPR reads as zero and
//!   ignores writes, as on Xen. EnableGrp0 is the enable of GICD_CTLR and of the guest's GICC_CTLR, which is what a
//!   driver for either security state takes for *the* enable;
//! * the first 32 interrupts are banked: the registers about them are about those of the vCPU that reads or writes;
//! * an SPI goes to one vCPU: of several in GICD_ITARGETSR the lowest-numbered counts and is read back, as on Xen;
//! * GICD_SGIR with all its filters, and GICD_SPENDSGIR and GICD_CPENDSGIR with a bit for each sender;
//! * priorities, targets and the pending bits of SGIs are accessed as bytes or words, everything else as words
//!   (IHI 0048, 4.1.4). Any other access is refused. Reserved places read as zero and ignore writes.
//!
//! The CPU interface is not here: the guest has the hardware's own (GICV). The caller folds ([`Vgic::fold`](super::Vgic::fold)) before
//! each access, as for [`v3`](super::v3).

mod dist;
mod lr;
mod sgi;

use crate::addr::{Ipa, VcpuId};

/// Where the guest finds the distributor: the place Xen gives it.
pub const GICD_BASE: Ipa = Ipa::new(0x0300_1000);
/// Size of the distributor's frame in bytes.
pub const GICD_SIZE: u64 = 0x1000;
/// Most vCPUs of a domain: a CPU is a bit in a byte.
pub const MAX_VCPUS: usize = 8;

/// A register of the distributor, and who looks at it: the registers about SGIs and PPIs are banked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    vcpu: VcpuId,
    offset: u64,
}

impl Register {
    /// The register that `vcpu` finds at `ipa`, if it lies in the distributor.
    #[must_use]
    pub const fn at(vcpu: VcpuId, ipa: Ipa) -> Option<Self> {
        match ipa.checked_sub(GICD_BASE) {
            Some(offset) if offset < GICD_SIZE => Some(Self { vcpu, offset }),
            _ => None,
        }
    }

    /// The offset in the distributor.
    pub(super) const fn offset(self) -> u64 {
        self.offset
    }
}

/// The bit of a vCPU in a byte of targets or senders; none above the eighth.
const fn bit(vcpu: VcpuId) -> u8 {
    if vcpu.index() < MAX_VCPUS { 1 << vcpu.index() } else { 0 }
}
