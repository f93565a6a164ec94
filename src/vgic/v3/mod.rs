//! The GICv3 front end: registers of the distributor and the redistributors, and SGIs.
//!
//! What the guest finds (IHI 0069):
//!
//! * affinity routing always on (GICD_CTLR.ARE), one security state (GICD_CTLR.DS), no LPIs, no message-based
//!   SPIs, no 1-of-N routing, no extended ranges;
//! * Group 1 only: EnableGrp0 cannot be set, so a Group 0 interrupt stays pending;
//! * every write takes effect before the access ends, as far as this vCPU can see: RWP is always 0;
//! * registers of 32 bits are accessed as 32 bits, priorities as bytes too, IROUTER and GICR_TYPER as 64 or
//!   32 bits. Any other access to them is refused. Reserved places read as zero and ignore writes.
//!
//! The caller folds ([`Vgic::fold`]) before each access, so that the state of the accessing vCPU is exact; that
//! of others is as of their last exit.
//!
//! ICC_SGI0R_EL1 and ICC_ASGI1R_EL1 are ignored by the caller: they send Group 0 SGIs, or SGIs to a security
//! state that does not exist.

mod dist;
mod redist;
mod sgi;

pub use sgi::sgi_to_self;

use super::{Refused, VcpuSet, Vgic, Width};
use crate::addr::{Ipa, VcpuId};

/// Where the guest finds the distributor: the place Xen gives it.
pub const GICD_BASE: Ipa = Ipa::new(0x0300_1000);
/// Size of the distributor's frame in bytes.
pub const GICD_SIZE: u64 = 0x1_0000;
/// Where the guest finds the redistributors, one after the other by vCPU number.
pub const GICR_BASE: Ipa = Ipa::new(0x0302_0000);
/// Size of one redistributor in bytes: its RD_base and SGI_base frames.
pub const GICR_STRIDE: u64 = 0x2_0000;
/// Size of the window in which they lie, as the guest's tree gives it.
pub const GICR_WINDOW: u64 = 0x0100_0000;

const _: () = assert!(GICR_STRIDE * super::MAX_VCPUS as u64 == GICR_WINDOW);

/// A register of the virtual GIC, by frame and byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// In the distributor.
    Distributor(u64),
    /// In a redistributor; the offset counts through both frames.
    Redistributor(VcpuId, u64),
}

impl Register {
    /// The register at `ipa`, if it lies in a frame of the virtual GIC. Whether the vCPU of a redistributor
    /// exists is not checked here.
    #[must_use]
    pub const fn at(ipa: Ipa) -> Option<Self> {
        if let Some(offset) = ipa.checked_sub(GICD_BASE)
            && offset < GICD_SIZE
        {
            return Some(Self::Distributor(offset));
        }
        match ipa.checked_sub(GICR_BASE) {
            Some(offset) if offset < GICR_WINDOW => {
                let vcpu = VcpuId::new((offset / GICR_STRIDE) as u16);
                Some(Self::Redistributor(vcpu, offset % GICR_STRIDE))
            }
            _ => None,
        }
    }

    /// The offset among the registers that exist for each of many interrupts: those of SGI_base are where the distributor's
    /// are.
    pub(super) const fn place(self) -> u64 {
        match self {
            Self::Distributor(offset) => offset,
            Self::Redistributor(_, offset) => offset & 0xffff,
        }
    }

    const fn offset(self) -> u64 {
        match self {
            Self::Distributor(offset) | Self::Redistributor(_, offset) => offset,
        }
    }
}

impl Vgic {
    /// Reads a register.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the access is not aligned, not of a width the register has, or hits a redistributor
    /// that does not exist.
    pub fn read(&self, register: Register, width: Width) -> Result<u64, Refused> {
        if !register.offset().is_multiple_of(width.bytes()) {
            return Err(Refused);
        }
        match register {
            Register::Distributor(offset) => self.read_distributor(offset, width),
            Register::Redistributor(vcpu, offset) => self.read_redistributor(vcpu, offset, width),
        }
    }

    /// Writes a register. Bits of `value` above `width` are ignored. Returns who needs attention.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read); then nothing has changed.
    pub fn write(&self, register: Register, width: Width, value: u64) -> Result<VcpuSet, Refused> {
        if !register.offset().is_multiple_of(width.bytes()) {
            return Err(Refused);
        }
        match register {
            Register::Distributor(offset) => self.write_distributor(offset, width, value),
            Register::Redistributor(vcpu, offset) => self.write_redistributor(vcpu, offset, width, value),
        }
    }
}
