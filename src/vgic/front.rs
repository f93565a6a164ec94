//! What a guest may have for a GIC: one of two front ends over the same core.

use super::{Refused, SgiSource, VcpuSet, Vgic, Width, v2, v3};
use crate::addr::{IntId, Ipa, VcpuId};

/// The architecture of a guest's GIC: that of the machine.
pub use crate::plan::GicVersion as Version;

/// A memory-mapped register of a guest's GIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// Of a GICv2.
    V2(v2::Register),
    /// Of a GICv3.
    V3(v3::Register),
}

impl Register {
    /// The register that `vcpu` finds at `ipa`, if it lies in an emulated frame.
    #[inline(always)]
    #[must_use]
    pub fn at(version: Version, vcpu: VcpuId, ipa: Ipa) -> Option<Self> {
        match version {
            Version::V2 => v2::Register::at(vcpu, ipa).map(Self::V2),
            Version::V3 => v3::Register::at(ipa).map(Self::V3),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the access is not aligned, not of a width that the register has, or hits a redistributor that
    /// does not exist.
    pub fn read(self, vgic: &Vgic, width: Width) -> Result<u64, Refused> {
        match self {
            Self::V2(register) => vgic.read_v2(register, width),
            Self::V3(register) => vgic.read(register, width),
        }
    }

    /// Reads a word of it, if it is one of the few at the beginning of the distributor: its enable, which is polled after
    /// changes (RWP), its type and its implementer. `None` of others.
    #[inline(always)]
    #[must_use]
    pub fn head(self, vgic: &Vgic) -> Option<u64> {
        match self {
            Self::V2(register) => vgic.head_v2(register),
            Self::V3(v3::Register::Distributor(offset)) => vgic.head(offset),
            Self::V3(v3::Register::Redistributor(..)) => None,
        }
    }

    /// Reads a word of it, where that shows nothing that the guest changes without a trap: enables, priorities, routes and
    /// identification, but not what is pending or active. So no [`fold`](Vgic::fold) is needed before. `None` of others,
    /// which may all the same be [read](Self::read).
    #[must_use]
    pub fn peek(self, vgic: &Vgic) -> Option<u64> {
        let offset = match self {
            Self::V2(register) => register.offset(),
            Self::V3(register) => register.place(),
        };
        /// From GICD_ISPENDR to GICD_ICACTIVER, and where GICv2 has the SGIs' pending bits.
        const STATE: core::ops::Range<u64> = 0x200..0x400;
        const SGI_STATE: core::ops::Range<u64> = 0xf00..0x1000;
        if STATE.contains(&offset) || SGI_STATE.contains(&offset) {
            return None;
        }
        self.read(vgic, Width::Word).ok()
    }

    /// The SGI that storing the word `value` here sends to the vCPU that stores it and to nobody else, with its sender. `None`
    /// if it may be anything else. (On GICv3 SGIs are sent by a system register.)
    #[inline]
    #[must_use]
    pub fn sgi_to_self(self, value: u64) -> Option<(IntId, SgiSource)> {
        match self {
            Self::V2(register) => register.sgi_to_self(value),
            Self::V3(_) => None,
        }
    }

    /// Stores the word `value` here if that sends an SGI, and changes nothing that is pending otherwise: so no
    /// [`fold`](Vgic::fold) is needed before. Returns who needs attention; `None` if something else is here, and then nothing
    /// has changed.
    #[must_use]
    pub fn send_sgi(self, vgic: &Vgic, value: u64) -> Option<VcpuSet> {
        match self {
            Self::V2(register) => vgic.sgi_stored(register, value),
            Self::V3(_) => None,
        }
    }

    /// Writes it. Bits of `value` above `width` are ignored. Returns who needs attention.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read); then nothing has changed.
    pub fn write(self, vgic: &Vgic, width: Width, value: u64) -> Result<VcpuSet, Refused> {
        match self {
            Self::V2(register) => vgic.write_v2(register, width, value),
            Self::V3(register) => vgic.write(register, width, value),
        }
    }
}
