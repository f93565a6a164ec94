//! The hardware side of a pCPU: list registers as a guest's CPU interface sees them, and physical PPIs.

use super::super::{ListRegisters, Lr, Maintenance, PhysicalGic};
use crate::addr::IntId;

/// One pCPU's virtual interface control and redistributor.
pub struct FakeHw {
    pub lrs: Vec<Lr>,
    pub wanted: Maintenance,
    pub eoi_count: u32,
    /// Physical PPIs that are active.
    pub active_ppis: u32,
}

impl FakeHw {
    pub fn new(count: usize) -> Self {
        Self { lrs: vec![Lr::EMPTY; count], wanted: Maintenance::default(), eoi_count: 0, active_ppis: 0 }
    }

    /// What the guest would acknowledge, were nothing running: the most urgent in state "pending" (0b01).
    pub fn highest_pending(&self) -> Option<Lr> {
        let pending = self.lrs.iter().filter(|lr| lr.pending && !lr.active);
        pending.min_by_key(|lr| lr.priority).copied()
    }

    pub fn holds(&self, intid: u32) -> Option<Lr> {
        self.lrs.iter().find(|lr| lr.is_valid() && lr.vintid.get() == intid).copied()
    }

    /// The guest acknowledges if something is more urgent than what it runs.
    pub fn acknowledge(&mut self, running: u16) -> Option<Lr> {
        let best = self.highest_pending().filter(|lr| u16::from(lr.priority) < running)?;
        let lr = self.lrs.iter_mut().find(|lr| lr.is_valid() && lr.vintid == best.vintid).unwrap();
        lr.pending = false;
        lr.active = true;
        Some(*lr)
    }

    /// The guest deactivates. Whether a list register matched.
    pub fn deactivate_virtual(&mut self, intid: u32) -> bool {
        let Some(lr) = self.lrs.iter_mut().find(|lr| lr.active && lr.vintid.get() == intid) else {
            self.eoi_count = (self.eoi_count + 1) % 32;
            return false;
        };
        lr.active = false;
        if let Some(physical) = lr.hw {
            assert_ne!(self.active_ppis & 1 << physical.get(), 0, "the physical interrupt was not active");
            self.active_ppis &= !(1 << physical.get());
        }
        true
    }

    /// Whether the maintenance interrupt is asserted.
    #[cfg(not(loom))]
    pub fn calls(&self) -> bool {
        let ended = self.lrs.iter().any(|lr| !lr.is_valid() && lr.eoi);
        let starved = self.wanted.none_pending && !self.lrs.iter().any(|lr| lr.pending && !lr.active);
        let unlisted = self.wanted.unlisted_eoi && self.eoi_count > 0;
        ended || starved || unlisted
    }

    fn check(&self) {
        let valid: Vec<_> = self.lrs.iter().filter(|lr| lr.is_valid()).collect();
        for (i, lr) in valid.iter().enumerate() {
            assert!(!(lr.hw.is_some() && lr.pending && lr.active), "linked and pending and active");
            assert!(!(lr.hw.is_some() && lr.eoi), "bit 41 belongs to pINTID");
            if let Some(physical) = lr.hw {
                assert_ne!(self.active_ppis & 1 << physical.get(), 0, "linked to an inactive interrupt");
            }
            assert!(valid.iter().skip(i + 1).all(|other| other.vintid != lr.vintid), "listed twice");
        }
        assert!(self.lrs.iter().skip(1).all(|lr| !lr.is_valid() || lr.vintid.get() != 31));
        assert!(!self.lrs[0].is_valid() || self.lrs[0].vintid.get() == 31, "register 0 is the upcall's");
    }
}

impl ListRegisters for FakeHw {
    fn count(&self) -> usize {
        self.lrs.len()
    }
    fn read(&mut self, index: usize) -> Lr {
        self.lrs[index]
    }
    fn write(&mut self, index: usize, lr: Lr) {
        self.lrs[index] = lr;
        if lr.is_valid() {
            self.check();
        }
    }
    fn request(&mut self, wanted: Maintenance) {
        self.wanted = wanted;
    }
    fn take_eoi_count(&mut self) -> u32 {
        core::mem::take(&mut self.eoi_count)
    }
}

impl PhysicalGic for FakeHw {
    fn deactivate(&mut self, intid: IntId) {
        assert_ne!(self.active_ppis & 1 << intid.get(), 0, "deactivated twice");
        self.active_ppis &= !(1 << intid.get());
    }
    fn set_active(&mut self, intid: IntId, active: bool) {
        if active {
            self.active_ppis |= 1 << intid.get();
        } else {
            self.active_ppis &= !(1 << intid.get());
        }
    }
}
