//! A domain at work: the virtual GIC on fake hardware, in step with the reference model.

use super::super::v3::{GICD_BASE, GICR_BASE, GICR_STRIDE};
use super::super::{Listed, LrBank, Refused, Register, Upcall, VcpuSet, Version, Vgic, Width};
use super::fake::FakeHw;
use super::model::Model;
use crate::addr::{Affinity, IntId, Ipa, VcpuId};

pub const TIMER: u32 = 27;
pub const UPCALL: u32 = 31;
pub const IDLE: u16 = 0x100;

pub fn vcpu(v: usize) -> VcpuId {
    VcpuId::new(v as u16)
}

/// One vCPU on its home pCPU.
pub struct Cpu {
    pub local: LrBank,
    pub hw: FakeHw,
    /// What the guest has acknowledged and not ended, innermost last: INTID and priority.
    pub running: Vec<(u32, u8)>,
    /// Interrupts whose priority was dropped and that are still active (EOImode 1).
    pub dropped: Vec<u32>,
    /// `evtchn_upcall_pending`.
    pub upcall: bool,
    /// The timer's output.
    pub timer: bool,
}

impl Cpu {
    pub fn running_priority(&self) -> u16 {
        self.running.last().map_or(IDLE, |&(_, priority)| u16::from(priority))
    }
}

pub struct World {
    pub version: Version,
    pub vgic: Vgic,
    pub cpus: Vec<Cpu>,
    pub model: Model,
    pub attention: VcpuSet,
    /// Whether the timer was taken by the short way last.
    pub shortly: bool,
}

impl World {
    pub fn new(vcpus: usize, spis: u32, lrs: usize) -> Self {
        Self::with(Version::V3, vcpus, spis, lrs)
    }

    pub fn with(version: Version, vcpus: usize, spis: u32, lrs: usize) -> Self {
        let vgic = Vgic::new(vcpus, spis, &[IntId::new(TIMER), IntId::new(30)]).unwrap();
        let cpu = |v| Cpu {
            local: LrBank::new(vcpu(v)),
            hw: FakeHw::new(lrs),
            running: vec![],
            dropped: vec![],
            upcall: false,
            timer: false,
        };
        let mut world = Self {
            version,
            vgic,
            cpus: (0..vcpus).map(cpu).collect(),
            model: Model::new(vcpus, spis),
            attention: VcpuSet::first(vcpus),
            shortly: false,
        };
        world.load_all();
        world
    }

    /// The domain starts again: its vCPUs are taken out, then everything is reset. The model and the devices are new.
    pub fn restart(&mut self) {
        for v in 0..self.cpus.len() {
            if self.is_loaded(v) {
                self.unload(v);
            }
            let cpu = &mut self.cpus[v];
            cpu.local = LrBank::new(vcpu(v));
            (cpu.running, cpu.dropped) = (vec![], vec![]);
            (cpu.upcall, cpu.timer) = (false, false);
        }
        self.vgic.reset();
        self.model = Model::new(self.cpus.len(), 64);
        self.attention = VcpuSet::first(self.cpus.len());
        self.load_all();
    }

    /// Every register that the guest can read as a word, and what it reads.
    pub fn registers(&self) -> Vec<(usize, u64, Result<u64, Refused>)> {
        let all = (0..self.cpus.len()).flat_map(|v| (0..0x8_0000).step_by(4).map(move |at| (v, at)));
        let read = |(v, at)| {
            let ipa = GICD_BASE.get() + at;
            let register = Register::at(self.version, vcpu(v), Ipa::new(ipa))?;
            Some((v, ipa, register.read(&self.vgic, Width::Word)))
        };
        all.filter_map(read).collect()
    }

    fn load_all(&mut self) {
        for v in 0..self.cpus.len() {
            self.load(v);
        }
    }

    /// A world in which the distributor and all of `intids` are enabled, at priority 0xa0.
    pub fn ready(vcpus: usize, lrs: usize, intids: &[u32]) -> Self {
        Self::ready_with(Version::V3, vcpus, lrs, intids)
    }

    pub fn ready_with(version: Version, vcpus: usize, lrs: usize, intids: &[u32]) -> Self {
        let mut world = Self::with(version, vcpus, 64, lrs);
        world.enable_distributor(true);
        for v in 0..vcpus {
            for &intid in intids {
                world.enable(v, intid, true);
                world.priority(v, intid, 0xa0);
            }
        }
        world.service();
        world
    }

    pub fn wake(&mut self, woken: VcpuSet) {
        self.attention = self.attention.union(woken);
    }

    pub fn write(&mut self, ipa: u64, width: Width, value: u64) {
        self.write_as(0, ipa, width, value);
    }

    pub fn read(&self, ipa: u64, width: Width) -> u64 {
        self.read_as(0, ipa, width)
    }

    /// A write by vCPU `v`, which matters where registers are banked.
    pub fn write_as(&mut self, v: usize, ipa: u64, width: Width, value: u64) {
        let register = Register::at(self.version, vcpu(v), Ipa::new(ipa)).unwrap();
        let woken = register.write(&self.vgic, width, value).unwrap();
        self.wake(woken);
    }

    pub fn read_as(&self, v: usize, ipa: u64, width: Width) -> u64 {
        Register::at(self.version, vcpu(v), Ipa::new(ipa)).unwrap().read(&self.vgic, width).unwrap()
    }

    pub fn is_v2(&self) -> bool {
        self.version == Version::V2
    }

    /// [`array`](Self::array) of this world's GIC: on GICv2 all are in the distributor.
    fn place(&self, v: usize, intid: u32, offset: u64, bits: u64) -> u64 {
        if self.is_v2() {
            GICD_BASE.get() + offset + u64::from(intid) * bits / 32 * 4
        } else {
            Self::array(v, intid, offset, bits)
        }
    }

    /// Address of the array register of a GICv3 at `offset` with `bits` bits for each interrupt.
    pub fn array(v: usize, intid: u32, offset: u64, bits: u64) -> u64 {
        let base =
            if intid < 32 { GICR_BASE.get() + GICR_STRIDE * v as u64 + 0x1_0000 } else { GICD_BASE.get() };
        base + offset + u64::from(intid) * bits / 32 * 4
    }

    fn write_bit(&mut self, v: usize, intid: u32, offset: u64) {
        self.write_as(v, self.place(v, intid, offset, 1), Width::Word, 1 << (intid % 32));
    }

    pub fn read_bit(&self, v: usize, intid: u32, offset: u64) -> bool {
        self.read_as(v, self.place(v, intid, offset, 1), Width::Word) >> (intid % 32) & 1 != 0
    }

    pub fn enable_distributor(&mut self, on: bool) {
        let value = if self.is_v2() { u64::from(on) } else { 0x10 | u64::from(on) << 1 };
        self.write(GICD_BASE.get(), Width::Word, value);
        self.model.enabled = on;
    }

    pub fn enable(&mut self, v: usize, intid: u32, on: bool) {
        self.write_bit(v, intid, if on { 0x100 } else { 0x180 });
        self.model.irq(v, intid).enabled = on;
    }

    /// ISPENDR or ICPENDR; for SGIs of a GICv2, SPENDSGIR from the vCPU itself or CPENDSGIR from all.
    pub fn pend(&mut self, v: usize, intid: u32, on: bool) {
        let mut senders = u8::from(on);
        if self.is_v2() && intid < 16 {
            let (offset, mask) = if on { (0xf20, 1 << v) } else { (0xf10, 0xff) };
            let ipa = GICD_BASE.get() + offset + u64::from(intid);
            self.write_as(v, ipa, Width::Byte, mask);
            senders <<= v;
        } else {
            self.write_bit(v, intid, if on { 0x200 } else { 0x280 });
        }
        let irq = self.model.irq(v, intid);
        irq.latch = if on { irq.latch | senders } else { 0 };
    }

    pub fn priority(&mut self, v: usize, intid: u32, priority: u8) {
        let ipa = self.place(v, intid, 0x400, 0) + u64::from(intid);
        self.write_as(v, ipa, Width::Byte, priority.into());
        self.model.irq(v, intid).priority = priority;
    }

    pub fn route(&mut self, intid: u32, target: usize) {
        if self.is_v2() {
            self.write(GICD_BASE.get() + 0x800 + u64::from(intid), Width::Byte, 1 << target);
        } else {
            let affinity = Affinity::of_vcpu(vcpu(target)).get();
            self.write(GICD_BASE.get() + 0x6000 + 8 * u64::from(intid), Width::Double, affinity);
        }
        self.model.irq(0, intid).target = target;
    }

    pub fn configure(&mut self, intid: u32, edge: bool) {
        let ipa = Self::array(0, intid, 0xc00, 2);
        let shift = intid % 16 * 2 + 1;
        let word = self.read(ipa, Width::Word) & !(1 << shift) | u64::from(edge) << shift;
        self.write(ipa, Width::Word, word);
        self.model.irq(0, intid).edge = edge;
    }

    pub fn raise(&mut self, v: usize, intid: u32) {
        let woken = self.vgic.raise_edge(vcpu(v), IntId::new(intid));
        self.wake(woken);
        self.model.irq(v, intid).latch |= 1;
    }

    pub fn line(&mut self, v: usize, intid: u32, high: bool) {
        let woken = self.vgic.set_line(vcpu(v), IntId::new(intid), high);
        self.wake(woken);
        self.model.drive(v, intid, high);
    }

    pub fn set_timer(&mut self, v: usize, high: bool) {
        self.cpus[v].timer = high;
        self.model.drive(v, TIMER, high);
        self.wake(VcpuSet::one(vcpu(v)));
    }

    /// An event is sent; `fast`: on the target's pCPU, by the short way.
    pub fn event(&mut self, v: usize, fast: bool) {
        let cpu = &mut self.cpus[v];
        cpu.upcall = true;
        self.model.drive(v, UPCALL, true);
        if !fast || self.vgic.upcall(&mut cpu.local, &mut cpu.hw) == Upcall::Resync {
            self.wake(VcpuSet::one(vcpu(v)));
        }
    }

    /// The guest clears `evtchn_upcall_pending`, then exits for some reason of its own.
    pub fn clear_upcall(&mut self, v: usize) {
        self.cpus[v].upcall = false;
        self.model.drive(v, UPCALL, false);
        self.wake(VcpuSet::one(vcpu(v)));
    }

    pub fn load(&mut self, v: usize) {
        if self.is_loaded(v) {
            return self.resync(v);
        }
        let cpu = &mut self.cpus[v];
        if !cpu.timer {
            let _ = self.vgic.set_line(vcpu(v), IntId::new(TIMER), false);
        }
        if self.vgic.load_at_once(&mut cpu.local, &mut cpu.hw, cpu.upcall) {
            return;
        }
        let woken = self.vgic.load(&mut cpu.local, &mut cpu.hw, cpu.upcall);
        assert!(!woken.contains(vcpu(v)));
        self.wake(woken);
    }

    pub fn unload(&mut self, v: usize) {
        let cpu = &mut self.cpus[v];
        let mut woken = VcpuSet::EMPTY;
        if !self.vgic.unload_at_once(&mut cpu.local, &mut cpu.hw) {
            woken = self.vgic.unload(&mut cpu.local, &mut cpu.hw);
        }
        assert!(cpu.hw.lrs.iter().all(|lr| !lr.is_valid()), "a list register was left behind");
        assert_eq!(cpu.hw.active_ppis, 0, "the next vCPU's timer could not fire");
        assert!(!cpu.hw.calls());
        self.wake(woken);
    }

    pub fn is_loaded(&self, v: usize) -> bool {
        self.cpus[v].local.is_loaded()
    }

    /// The guest takes an interrupt, if there is one.
    pub fn acknowledge(&mut self, v: usize) -> Option<u32> {
        let cpu = &mut self.cpus[v];
        let running = cpu.running_priority();
        let lr = cpu.hw.acknowledge(running)?;
        let intid = lr.vintid.get();
        assert!(self.model.best(v, running).contains(&intid), "INTID {intid} should not have been delivered");
        self.model.acknowledge(v, intid, lr.source);
        cpu.running.push((intid, lr.priority));
        Some(intid)
    }

    /// The guest ends the interrupt it acknowledged last (EOImode 0).
    pub fn end(&mut self, v: usize) -> Option<u32> {
        let (intid, _) = self.cpus[v].running.pop()?;
        self.cpus[v].hw.deactivate_virtual(intid);
        self.ended(v, intid);
        Some(intid)
    }

    /// The same without another exit, if the handler has dealt with the cause or the interrupt is pending once more.
    pub fn end_quietly(&mut self, v: usize) {
        let Some((intid, _)) = self.cpus[v].running.pop() else { return };
        self.cpus[v].hw.deactivate_virtual(intid);
        let cpu = &self.cpus[v];
        if cpu.upcall && cpu.hw.holds(intid).is_none() {
            return self.ended(v, intid);
        }
        self.model.irq(v, intid).active = false;
    }

    /// An upcall whose line is still up comes again with the next exit, so here is one.
    fn ended(&mut self, v: usize, intid: u32) {
        self.model.irq(v, intid).active = false;
        if intid == UPCALL {
            self.wake(VcpuSet::one(vcpu(v)));
        }
    }

    /// The guest drops the priority of what it acknowledged last (EOImode 1).
    pub fn drop_priority(&mut self, v: usize) {
        let cpu = &mut self.cpus[v];
        cpu.dropped.extend(cpu.running.pop().map(|(intid, _)| intid));
    }

    /// The guest deactivates an interrupt whose priority it dropped, in any order.
    pub fn deactivate(&mut self, v: usize, which: usize) {
        let cpu = &mut self.cpus[v];
        if cpu.dropped.is_empty() {
            return;
        }
        let intid = cpu.dropped.remove(which % cpu.dropped.len());
        assert!(cpu.hw.deactivate_virtual(intid), "INTID {intid} was in no list register");
        self.ended(v, intid);
    }

    pub fn resync(&mut self, v: usize) {
        let cpu = &mut self.cpus[v];
        if !cpu.timer {
            let _ = self.vgic.set_line(vcpu(v), IntId::new(TIMER), false);
        }
        let woken = self.vgic.resync(&mut cpu.local, &mut cpu.hw, cpu.upcall);
        assert!(!woken.contains(vcpu(v)));
        self.wake(woken);
    }

    /// The guest exits for an access to its GIC, which folds.
    pub fn fold(&mut self, v: usize) {
        let cpu = &mut self.cpus[v];
        let woken = self.vgic.fold(&mut cpu.local, &mut cpu.hw);
        self.wake(woken);
    }

    /// The timer's physical interrupt, if it fires: every other one by the short way. What follows, if it did.
    pub fn physical(&mut self, v: usize) -> Option<Listed> {
        let cpu = &mut self.cpus[v];
        if !cpu.timer || cpu.hw.active_ppis & 1 << TIMER != 0 || !cpu.local.is_loaded() {
            return None;
        }
        cpu.hw.active_ppis |= 1 << TIMER;
        self.shortly = !self.shortly;
        if self.shortly && self.vgic.taken_again(&cpu.local, &mut cpu.hw, IntId::new(TIMER)) {
            return Some(Listed::Done);
        }
        if self.shortly {
            let listed = self.vgic.taken_at_once(&mut cpu.local, &mut cpu.hw, IntId::new(TIMER)).unwrap();
            return Some(listed);
        }
        let woken = self.vgic.taken(&mut cpu.local, &mut cpu.hw, IntId::new(TIMER)).unwrap();
        self.wake(woken);
        Some(Listed::Resync)
    }

    /// All pCPUs do what they were asked to, and take their physical interrupts, until there is nothing to do.
    pub fn service(&mut self) {
        for _ in 0..64 {
            let mut quiet = self.attention.is_empty();
            for v in core::mem::take(&mut self.attention).iter() {
                let v = v.index();
                if self.is_loaded(v) {
                    self.resync(v);
                } else {
                    if !self.cpus[v].timer {
                        let _ = self.vgic.set_line(vcpu(v), IntId::new(TIMER), false);
                    }
                    let woken = self.vgic.settle(&mut self.cpus[v].local);
                    self.wake(woken);
                }
            }
            for v in 0..self.cpus.len() {
                if !self.is_loaded(v) {
                    continue;
                }
                let fired = self.physical(v);
                quiet &= fired.is_none();
                if fired == Some(Listed::Resync) || self.cpus[v].hw.calls() {
                    quiet = false;
                    self.resync(v);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the pCPUs never come to rest");
    }

    /// What the guest could acknowledge is what the model has to offer.
    pub fn compare_offer(&self, v: usize) {
        let cpu = &self.cpus[v];
        let running = cpu.running_priority();
        let best = self.model.best(v, running);
        match cpu.hw.highest_pending().filter(|lr| u16::from(lr.priority) < running) {
            Some(lr) => assert!(best.contains(&lr.vintid.get()), "v{v}: {lr:?} offered, not {best:?}"),
            None => assert!(best.is_empty(), "v{v}: nothing offered, {best:?} expected; {:?}", cpu.hw.lrs),
        }
    }

    /// Everything the guest can see is as in the model.
    pub fn compare(&mut self) {
        for v in 0..self.cpus.len() {
            let loaded = self.is_loaded(v);
            let cpu = &mut self.cpus[v];
            // Before anything else has looked at the list registers.
            let idle = loaded && self.vgic.is_idle(&mut cpu.local, &mut cpu.hw, cpu.upcall);
            if loaded {
                let woken = self.vgic.fold(&mut cpu.local, &mut cpu.hw);
                assert!(woken.is_empty(), "nothing was left to do");
                self.compare_offer(v);
            }
            let cpu = &mut self.cpus[v];
            let ready: Vec<_> = self.model.ready(v).map(|(intid, _)| intid).collect();
            let deliverable = self.vgic.deliverable(&cpu.local, cpu.upcall, 0xff);
            // The timer of a vCPU that is not loaded is watched by its home pCPU, not by the virtual GIC.
            let unknown = !loaded && ready == [TIMER];
            assert!(unknown || deliverable != ready.is_empty(), "v{v}: deliverable: {ready:?}");
            assert!(!(idle && deliverable), "v{v}: idle with {ready:?}");
            let wakes = !loaded && cpu.upcall && self.vgic.upcall_wakes(&cpu.local, 0xff);
            assert!(!wakes || deliverable, "v{v}: woken for nothing");
        }
        for (&(v, intid), irq) in &self.model.irqs {
            // While the physical interrupt is active the line cannot be seen to rise again.
            let unseen = intid == TIMER && (!self.is_loaded(v) || irq.active);
            assert_eq!(self.read_bit(v, intid, 0x100), irq.enabled, "v{v}: INTID {intid} enabled");
            assert_eq!(self.read_bit(v, intid, 0x300), irq.active, "v{v}: INTID {intid} active");
            assert!(unseen || self.read_bit(v, intid, 0x200) == irq.pending(), "v{v}: INTID {intid} pending");
        }
    }
}
