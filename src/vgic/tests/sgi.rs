//! SGIs in the domain at work.

use super::super::v3::GICD_BASE;
use super::super::{Listed, Register, SgiSource, VcpuSet, Version};
use super::world::{World, vcpu};
use crate::addr::{Affinity, IntId, Ipa};

impl World {
    /// `from` sends SGI `sgi` to `to`; an even one by the short way.
    pub fn sgi(&mut self, from: usize, to: usize, sgi: u32) {
        if from == to && sgi.is_multiple_of(2) && self.is_loaded(from) {
            return self.sgi_to_self(from, sgi);
        }
        if self.is_v2() {
            let value = 1 << (16 + to) | u64::from(sgi);
            let register = Register::at(Version::V2, vcpu(from), Ipa::new(GICD_BASE.get() + 0xf00)).unwrap();
            let woken = register.send_sgi(&self.vgic, value).unwrap();
            self.wake_by_sgi(woken, to, sgi);
            self.model.irq(to, sgi).latch |= 1 << from;
            return;
        }
        let affinity = Affinity::of_vcpu(vcpu(to)).get();
        let value = 1 << (affinity & 0xf) | (affinity >> 8 & 0xff) << 16 | u64::from(sgi) << 24;
        let woken = self.vgic.sgi1r(vcpu(from), value);
        self.wake_by_sgi(woken, to, sgi);
        self.model.irq(to, sgi).latch |= 1;
    }

    fn wake_by_sgi(&mut self, woken: VcpuSet, to: usize, sgi: u32) {
        if !woken.contains(vcpu(to)) || !sgi.is_multiple_of(2) || !self.is_loaded(to) {
            return self.wake(woken);
        }
        let cpu = &mut self.cpus[to];
        if self.vgic.sgis_arrived(&mut cpu.local, &mut cpu.hw) == Listed::Resync {
            self.wake(woken);
        }
    }

    fn sgi_to_self(&mut self, v: usize, sgi: u32) {
        let source = if self.is_v2() { v as u8 } else { 0 };
        let cpu = &mut self.cpus[v];
        let (id, source) = (IntId::new(sgi), SgiSource::new(source).unwrap());
        if !self.vgic.sgi_again(&cpu.local, &mut cpu.hw, id, source)
            && self.vgic.sgi_to_self(&mut cpu.local, &mut cpu.hw, id, source) == Listed::Resync
        {
            self.wake(VcpuSet::one(vcpu(v)));
        }
        self.model.irq(v, sgi).latch |= if self.is_v2() { 1 << v } else { 1 };
    }

    pub fn sgi_from(&mut self, source: u8, to: usize, sgi: u32) {
        let woken = self.vgic.send_sgi(vcpu(to), IntId::new(sgi), SgiSource::new(source).unwrap());
        self.wake(woken);
    }
}
