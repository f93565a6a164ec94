//! Sending SGIs by ICC_SGI1R_EL1.

use super::super::sync::bits;
use super::super::{SgiSource, VcpuSet, Vgic};
use crate::addr::{Affinity, IntId, VcpuId};

/// The SGI that `value`, written to ICC_SGI1R_EL1 by vCPU `sender`, sends to the sender and to nobody else. `None` if it
/// may be anything else.
#[inline]
#[must_use]
pub fn sgi_to_self(sender: VcpuId, value: u64) -> Option<IntId> {
    const INTID: u64 = 0xf << 24;
    let own = Affinity::of_vcpu(sender).get();
    let myself = 1 << (own & 0xf) | (own & 0xff00) << 8;
    (value & !INTID == myself).then(|| IntId::new((value >> 24 & 0xf) as u32))
}

impl Vgic {
    /// `sender` wrote `value` to ICC_SGI1R_EL1 (IHI 0069, "ICC_SGI1R_EL1"). Returns who needs attention.
    ///
    /// Targets that do not exist are left out, as on hardware. RS (the range selector) is not supported, as
    /// GICD_TYPER.RSS says, and a non-zero one names nobody: no cluster has more than 16 vCPUs.
    pub fn sgi1r(&self, sender: VcpuId, value: u64) -> VcpuSet {
        const TARGET_LIST: u64 = 0xffff;
        const ALL_BUT_SELF: u64 = 1 << 40;
        const RANGE: u64 = 0xf << 44;
        let sgi = IntId::new((value >> 24 & 0xf) as u32);
        let targets = if value & ALL_BUT_SELF != 0 {
            VcpuSet::first(self.vcpus()).without(sender)
        } else if value & RANGE != 0 {
            VcpuSet::EMPTY
        } else {
            // Aff1 in bits 23-16, Aff2 in bits 39-32, Aff3 in bits 55-48; as in MPIDR, but eight bits higher.
            let cluster = (value >> 16 & 0xff) << 8 | (value >> 32 & 0xff) << 16 | (value >> 48 & 0xff) << 32;
            bits((value & TARGET_LIST) as u32)
                .filter_map(|cpu| self.vcpu_at(Affinity::from_mpidr(cluster | u64::from(cpu))))
                .fold(VcpuSet::EMPTY, VcpuSet::with)
        };
        targets.iter().fold(VcpuSet::EMPTY, |woken, target| {
            woken.union(self.send_sgi(target, sgi, SgiSource::ANONYMOUS))
        })
    }
}
