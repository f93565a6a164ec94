//! The reference: a GIC without list registers, written down as IHI 0069 describes the states of an interrupt.

use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Irq {
    /// Pending until acknowledged, from each sender: bit 0 for what has no sender.
    pub latch: u8,
    pub line: bool,
    pub edge: bool,
    pub enabled: bool,
    pub active: bool,
    pub priority: u8,
    pub target: usize,
}

impl Irq {
    pub fn pending(&self) -> bool {
        self.latch != 0 || self.line && !self.edge
    }
}

/// The interrupts of a domain: private ones by (vCPU, INTID), shared ones by (0, INTID).
pub struct Model {
    pub irqs: BTreeMap<(usize, u32), Irq>,
    pub enabled: bool,
}

impl Model {
    pub fn new(vcpus: usize, spis: u32) -> Self {
        let fresh = |target, edge| Irq {
            latch: 0,
            line: false,
            edge,
            enabled: false,
            active: false,
            priority: 0,
            target,
        };
        let private = (0..vcpus).flat_map(|v| (0..32).map(move |n| ((v, n), fresh(v, n < 16))));
        let shared = (32..32 + spis).map(|n| ((0, n), fresh(0, false)));
        Self { irqs: private.chain(shared).collect(), enabled: false }
    }

    pub fn irq(&mut self, vcpu: usize, intid: u32) -> &mut Irq {
        self.irqs.get_mut(&(if intid < 32 { vcpu } else { 0 }, intid)).unwrap()
    }

    pub fn drive(&mut self, vcpu: usize, intid: u32, high: bool) {
        let irq = self.irq(vcpu, intid);
        if high && !irq.line && irq.edge {
            irq.latch |= 1;
        }
        irq.line = high;
    }

    /// Interrupts that could be signalled to `vcpu`.
    pub fn ready(&self, vcpu: usize) -> impl Iterator<Item = (u32, &Irq)> {
        let on = self.enabled;
        self.irqs
            .iter()
            .map(|((_, intid), irq)| (*intid, irq))
            .filter(move |(_, irq)| on && irq.target == vcpu && irq.enabled && irq.pending() && !irq.active)
    }

    /// The INTIDs of which `vcpu` may acknowledge one: equally urgent, and more so than what runs.
    pub fn best(&self, vcpu: usize, running: u16) -> Vec<u32> {
        let ready = || self.ready(vcpu).filter(|(_, irq)| u16::from(irq.priority) < running);
        let Some(best) = ready().map(|(_, irq)| irq.priority).min() else { return vec![] };
        ready().filter(|(_, irq)| irq.priority == best).map(|(intid, _)| intid).collect()
    }

    pub fn acknowledge(&mut self, vcpu: usize, intid: u32, source: u8) {
        let irq = self.irq(vcpu, intid);
        assert!(irq.latch & 1 << source != 0 || intid >= 16, "CPU {source} did not send SGI {intid}");
        irq.latch &= !(1 << source);
        irq.active = true;
    }
}
