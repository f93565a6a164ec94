//! The virtual interface control (IHI 0048, 5.3): list registers, and what a vCPU that is not loaded keeps of it. The
//! frame shows each CPU its own.

use core::arch::asm;

use portunus::addr::IntId;
use portunus::vgic::{ListRegisters, Lr, Maintenance, PhysicalGic};

use super::Frames;

const GICH_HCR: u64 = 0x000;
const GICH_VTR: u64 = 0x004;
const GICH_VMCR: u64 = 0x008;
const GICH_APR: u64 = 0x0f0;
const GICH_LR: u64 = 0x100;

// GICH_HCR.
const EN: u32 = 1;
const LRENPIE: u32 = 1 << 2;
const NPIE: u32 = 1 << 3;
const EOI_COUNT_SHIFT: u32 = 27;
const EOI_COUNT: u32 = 0x1f << EOI_COUNT_SHIFT;

/// The priority that an interrupt must be more urgent than to end a WFI of a vCPU: its GICC_PMR, or 0 (nothing is more
/// urgent) while it has Group 0, in which its interrupts are, disabled. `vmcr` is GICH_VMCR.
#[inline]
const fn threshold(vmcr: u32) -> u8 {
    const VM_GRP0_EN: u32 = 1;
    const VM_PRI_MASK_SHIFT: u32 = 27;
    if vmcr & VM_GRP0_EN == 0 { 0 } else { ((vmcr >> VM_PRI_MASK_SHIFT) << 3) as u8 }
}

impl Frames {
    /// Number of list registers (GICH_VTR.ListRegs).
    #[must_use]
    pub fn list_registers(&self) -> u32 {
        (self.hyp.read32(GICH_VTR) & 0x3f) + 1
    }

    /// What an interrupt has to be more urgent than to end a WFI of the loaded vCPU.
    #[must_use]
    pub fn guest_threshold(&self) -> u8 {
        threshold(self.hyp.read32(GICH_VMCR))
    }
}

/// The list registers and the private physical interrupts of this pCPU.
pub struct Interface {
    frames: &'static Frames,
    count: usize,
    /// What the virtual CPU interface had in it when a vCPU left it.
    left: VirtualCpu,
}

/// What no interface has in it: GICH_VMCR has reserved bits.
const UNKNOWN: VirtualCpu = VirtualCpu { vmcr: !0, active: !0 };

impl Interface {
    /// Those of whichever CPU executes; there are no list registers before [`switch_on`](Self::switch_on).
    #[must_use]
    pub const fn new(frames: &'static Frames) -> Self {
        Self { frames, count: 0, left: UNKNOWN }
    }

    /// Switches the virtual interface of the executing CPU on, with empty list registers.
    pub fn switch_on(&mut self) {
        self.count = self.frames.list_registers() as usize;
        for index in 0..self.count {
            self.write(index, Lr::EMPTY);
        }
        self.frames.hyp.write32(GICH_HCR, EN);
    }

    /// Takes the registers of the virtual CPU interface of this pCPU.
    #[inline(always)]
    pub fn save(&mut self, cpu: &mut VirtualCpu) {
        let hyp = self.frames.hyp;
        *cpu = VirtualCpu { vmcr: hyp.read32(GICH_VMCR), active: hyp.read32(GICH_APR) };
        self.left = *cpu;
    }

    /// Gives them back, unless they are there: most guests run with the same, and a write takes long.
    #[inline(always)]
    pub fn restore(&self, cpu: &VirtualCpu) {
        if self.left != *cpu {
            self.frames.hyp.write32(GICH_VMCR, cpu.vmcr);
            self.frames.hyp.write32(GICH_APR, cpu.active);
        }
    }

    #[inline(always)]
    fn read_raw(&self, index: usize) -> u32 {
        self.frames.hyp.read32(GICH_LR + 4 * index as u64)
    }

    /// Makes list register `index`, which reads as `raw`, pending if it is not.
    #[inline(always)]
    fn pend_if(&self, index: usize, raw: u32) -> (bool, bool) {
        let (pended, before) = Lr::pended_gich(raw);
        if !before.0 {
            self.frames.hyp.write32(GICH_LR + 4 * index as u64, pended);
        }
        before
    }

    /// Makes list register `index`, which reads as `raw`, pending if it is neither pending nor active.
    #[inline(always)]
    fn again_if(&self, index: usize, raw: u32) -> bool {
        let pending = Lr::again_gich(raw);
        if let Some(pending) = pending {
            self.frames.hyp.write32(GICH_LR + 4 * index as u64, pending);
        }
        pending.is_some()
    }
}

impl ListRegisters for Interface {
    #[inline]
    fn count(&self) -> usize {
        self.count
    }

    #[inline]
    fn read(&mut self, index: usize) -> Lr {
        Lr::from_gich(self.read_raw(index))
    }

    #[inline(always)]
    fn write(&mut self, index: usize, lr: Lr) {
        self.frames.hyp.write32(GICH_LR + 4 * index as u64, lr.to_gich());
    }

    #[inline(always)]
    fn pend(&mut self, index: usize) -> (bool, bool) {
        let raw = self.read_raw(index);
        self.pend_if(index, raw)
    }

    #[inline(always)]
    fn again(&mut self, index: usize) -> bool {
        let raw = self.read_raw(index);
        self.again_if(index, raw)
    }

    fn request(&mut self, wanted: Maintenance) {
        let mut hcr = self.frames.hyp.read32(GICH_HCR) & !(NPIE | LRENPIE);
        if wanted.none_pending {
            hcr |= NPIE;
        }
        if wanted.unlisted_eoi {
            hcr |= LRENPIE;
        }
        self.frames.hyp.write32(GICH_HCR, hcr);
    }

    fn take_eoi_count(&mut self) -> u32 {
        let hcr = self.frames.hyp.read32(GICH_HCR);
        self.frames.hyp.write32(GICH_HCR, hcr & !EOI_COUNT);
        hcr >> EOI_COUNT_SHIFT
    }
}

impl PhysicalGic for Interface {
    fn deactivate(&mut self, intid: IntId) {
        // A PPI: there is no sender to name.
        self.frames.deactivate(intid.get());
    }

    fn set_active(&mut self, intid: IntId, active: bool) {
        self.frames.set_active(intid, active);
    }
}

/// List registers of which the first was read ahead, because what follows relies on what was written before.
/// For [`Vgic::upcall`](portunus::vgic::Vgic::upcall), which writes it at most once.
pub struct Ahead<'a> {
    lists: &'a mut Interface,
    /// What the first reads as.
    first: u32,
}

impl<'a> Ahead<'a> {
    /// Reads the first list register. Accesses to one device are made in program order, and the read has its answer:
    /// whatever was written to the controller before has arrived there, and later accesses to memory come after (Arm
    /// ARM B2.3.10, Device-nR; DSB).
    #[inline(always)]
    #[must_use]
    pub fn new(lists: &'a mut Interface) -> Self {
        let first = lists.read_raw(0);
        // SAFETY: a barrier.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
        Self { lists, first }
    }
}

impl ListRegisters for Ahead<'_> {
    fn count(&self) -> usize {
        self.lists.count()
    }

    fn read(&mut self, index: usize) -> Lr {
        self.lists.read(index)
    }

    #[inline(always)]
    fn pend(&mut self, index: usize) -> (bool, bool) {
        if index == 0 { self.lists.pend_if(0, self.first) } else { self.lists.pend(index) }
    }

    #[inline(always)]
    fn again(&mut self, index: usize) -> bool {
        if index == 0 { self.lists.again_if(0, self.first) } else { self.lists.again(index) }
    }

    #[inline(always)]
    fn write(&mut self, index: usize, lr: Lr) {
        self.lists.write(index, lr);
    }

    fn request(&mut self, wanted: Maintenance) {
        self.lists.request(wanted);
    }

    fn take_eoi_count(&mut self) -> u32 {
        self.lists.take_eoi_count()
    }
}

/// The virtual CPU interface of a vCPU that is not loaded: its priority mask, enables and active priorities.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct VirtualCpu {
    vmcr: u32,
    active: u32,
}

impl VirtualCpu {
    /// See [`Frames::guest_threshold`].
    #[inline]
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        threshold(self.vmcr)
    }
}
