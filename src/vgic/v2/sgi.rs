//! Sending SGIs, and their pending bits: one for each sender.

use super::super::{SgiSource, VcpuSet, Vgic};
use super::dist::SGIR;
use super::{Register, bit};
use crate::addr::{IntId, VcpuId};

impl Register {
    /// The SGI that `value`, stored here, sends to the vCPU that stores it and to nobody else; see
    /// [`sgir`](Vgic::sgir).
    #[inline]
    pub(in super::super) fn sgi_to_self(self, value: u64) -> Option<(IntId, SgiSource)> {
        const SELF: u64 = 0b10 << 24;
        let listed = u64::from(bit(self.vcpu)) << 16;
        let to_self = match value & 0x3ff_0000 {
            whom if whom & 0b11 << 24 == SELF => true,
            whom => whom == listed && listed != 0,
        };
        let sgi = IntId::new((value & 0xf) as u32);
        if self.offset == SGIR && to_self {
            Some((sgi, SgiSource::new(self.vcpu.get() as u8)?))
        } else {
            None
        }
    }
}

impl Vgic {
    /// `sender` wrote `value` to GICD_SGIR (IHI 0048, 4.3.15). Returns who needs attention. Targets that do not exist
    /// are left out, and so is everybody with the reserved filter. NSATT means nothing without Security Extensions.
    pub(super) fn sgir(&self, sender: VcpuId, value: u64) -> VcpuSet {
        let everybody = VcpuSet::first(self.vcpus());
        let listed = (value >> 16) as u8;
        let targets = match value >> 24 & 0b11 {
            0b00 => {
                everybody.iter().filter(|vcpu| bit(*vcpu) & listed != 0).fold(VcpuSet::EMPTY, VcpuSet::with)
            }
            0b01 => everybody.without(sender),
            0b10 => VcpuSet::one(sender),
            _ => VcpuSet::EMPTY,
        };
        let Some(source) = SgiSource::new(sender.get() as u8) else { return VcpuSet::EMPTY };
        let sgi = IntId::new((value & 0xf) as u32);
        targets.iter().fold(VcpuSet::EMPTY, |woken, target| woken.union(self.send_sgi(target, sgi, source)))
    }

    /// The word `value` was stored to `register`. `None` if that sends no SGI.
    pub(in super::super) fn sgi_stored(&self, register: Register, value: u64) -> Option<VcpuSet> {
        (register.offset == SGIR).then(|| self.sgir(register.vcpu, value))
    }

    /// Who has SGI `sgi` pending at `vcpu`.
    pub(super) fn sgi_senders(&self, vcpu: VcpuId, sgi: u64) -> u8 {
        let senders = self.private(vcpu).and_then(|private| private.senders(sgi as usize));
        senders.map_or(0, |senders| senders.pending())
    }

    /// Makes SGI `sgi` pending at `vcpu` as if each of `senders` had sent it, or not pending from them. Whether that
    /// may be a change.
    pub(super) fn pend_sgi(&self, vcpu: VcpuId, sgi: u64, senders: u8, set: bool) -> bool {
        let Some(private) = self.private(vcpu) else { return false };
        let Some(tokens) = private.senders(sgi as usize) else { return false };
        let mask = senders & VcpuSet::first(self.vcpus()).iter().fold(0, |mask, vcpu| mask | bit(vcpu));
        if set {
            for source in (0..8).filter(|source| mask >> source & 1 != 0).filter_map(SgiSource::new) {
                private.latch(1 << sgi, source);
            }
        } else {
            tokens.withdraw_from(mask);
        }
        mask != 0
    }
}
