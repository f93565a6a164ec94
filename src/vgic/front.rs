//! What a guest may have for a GIC: one of two front ends over the same core.

use super::{Refused, VcpuSet, Vgic, Width, v2, v3};
use crate::addr::{Ipa, VcpuId};

/// The architecture of a guest's GIC: that of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// GICv2 (IHI 0048).
    V2,
    /// GICv3 (IHI 0069).
    V3,
}

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
