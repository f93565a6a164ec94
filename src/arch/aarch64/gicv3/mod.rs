//! The GICv3 of the machine, as far as a hypervisor drives it (Arm IHI 0069).
//!
//! All interrupts are Group 1 as seen from EL2. EOImode is 1: EL2 will drop the priority, and a guest deactivate
//! hardware-linked interrupts itself. Works with one security state and with the non-secure view of two: nothing is
//! compared that differs between them.

mod cpu;
mod lists;

pub use cpu::{
    acknowledge, acknowledge_any, deactivate, drop_priority, init_cpu, is_interrupt, send_sgi,
    send_sgi_to_others, sgi_target,
};
pub use lists::{Interface, VirtualCpu, guest_threshold, list_registers};

use core::arch::asm;

use portunus::addr::{Affinity, IntId, PaSpan};

use super::mmio::Mmio;

// Distributor (IHI 0069, 12.9) and redistributor (12.11) registers, byte offsets.
const GICD_CTLR: u64 = 0x0000;
const GICD_TYPER: u64 = 0x0004;
const GICD_IGROUPR: u64 = 0x0080;
const GICD_ISENABLER: u64 = 0x0100;
const GICD_ICENABLER: u64 = 0x0180;
const GICD_ICPENDR: u64 = 0x0280;
const GICD_ISACTIVER: u64 = 0x0300;
const GICD_ICACTIVER: u64 = 0x0380;
const GICD_IPRIORITYR: u64 = 0x0400;
const GICD_ICFGR: u64 = 0x0c00;
const GICD_IROUTER: u64 = 0x6000;
const GICR_CTLR: u64 = 0x0000;
const GICR_TYPER: u64 = 0x0008;
const GICR_WAKER: u64 = 0x0014;
/// The second 64 KiB frame of a redistributor: SGIs and PPIs, laid out like the distributor's first word.
const SGI_FRAME: u64 = 0x1_0000;

/// GICD_CTLR: ARE and EnableGrp1, at the bit positions that both security views share (IHI 0069, GICD_CTLR).
const CTLR_ARE_GRP1: u32 = 1 << 4 | 1 << 1;
/// RWP, "register write pending": bit 31 of GICD_CTLR, bit 3 of GICR_CTLR.
const GICD_RWP: u32 = 1 << 31;
const GICR_RWP: u32 = 1 << 3;
/// One priority for all that EL2 takes: nothing at EL2 preempts anything.
const PRIORITY: u32 = 0xa0a0_a0a0;
/// But SGIs come last: guests have them sent, without end if they like, and which of two that are as urgent comes first is not
/// said (IHI 0069, 4.8). An alarm or the console must not wait for a gap between them.
const SGI_PRIORITY: u32 = 0xc0c0_c0c0;
/// SGIs are the INTIDs below.
const SGIS: u64 = 16;
/// How often a status bit is looked at before the hardware is given up on.
const PATIENCE: u32 = 1_000_000;

/// The distributor.
#[derive(Clone, Copy)]
pub struct Distributor(Mmio);

impl Distributor {
    /// # Safety
    ///
    /// As for [`Mmio::new`]; `regs` is a GICv3 distributor.
    #[must_use]
    pub const unsafe fn new(regs: PaSpan) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { Mmio::new(regs) })
    }

    /// Number of interrupt lines, SGIs and PPIs included (GICD_TYPER.ITLinesNumber).
    #[must_use]
    pub fn lines(self) -> u32 {
        (((self.0.read32(GICD_TYPER) & 0x1f) + 1) * 32).min(1020)
    }

    /// Brings the distributor into a known state: every SPI disabled, idle, Group 1, a level; affinity routing on.
    pub fn init(self) {
        self.0.write32(GICD_CTLR, 0);
        self.settle();
        for word in 1..u64::from(self.lines().div_ceil(32)) {
            self.0.write32(GICD_ICENABLER + 4 * word, !0);
            self.0.write32(GICD_ICPENDR + 4 * word, !0);
            self.0.write32(GICD_ICACTIVER + 4 * word, !0);
            self.0.write32(GICD_IGROUPR + 4 * word, !0);
        }
        for spi in (32..u64::from(self.lines())).step_by(4) {
            self.0.write32(GICD_IPRIORITYR + spi, PRIORITY);
        }
        // Level-sensitive, as all that EL2 drives is; what firmware or reset left is IMPLEMENTATION DEFINED.
        for spi in (32..u64::from(self.lines())).step_by(16) {
            self.0.write32(GICD_ICFGR + spi / 4, 0);
        }
        self.settle();
        self.0.write32(GICD_CTLR, CTLR_ARE_GRP1);
        self.settle();
    }

    /// Enables SPI `intid` and routes it to the CPU with `affinity`. Numbers that are no SPI are ignored.
    pub fn enable(self, intid: IntId, affinity: Affinity) {
        if !intid.is_spi() || intid.get() >= self.lines() {
            return;
        }
        self.0.write64(GICD_IROUTER + 8 * u64::from(intid.get()), affinity.get());
        self.0.write32(GICD_ISENABLER + 4 * u64::from(intid.get() / 32), 1 << (intid.get() % 32));
    }

    fn settle(self) {
        for _ in 0..PATIENCE {
            if self.0.read32(GICD_CTLR) & GICD_RWP == 0 {
                return;
            }
        }
    }
}

/// One CPU's redistributor.
#[derive(Clone, Copy)]
pub struct Redistributor(Mmio);

impl Redistributor {
    /// The redistributor of the CPU with `affinity`, searched in `region` by GICR_TYPER, the only authority on
    /// which frame belongs to whom (IHI 0069, GICR_TYPER). `stride` is the tree's, where it overrides the frame
    /// size that TYPER.VLPIS implies.
    ///
    /// # Safety
    ///
    /// `region` holds GICv3 redistributors and is mapped as Device memory.
    #[must_use]
    pub unsafe fn find(region: PaSpan, stride: Option<u64>, affinity: Affinity) -> Option<Self> {
        const VLPIS: u64 = 1 << 1;
        const LAST: u64 = 1 << 4;
        let mut start = region.start();
        loop {
            let frame = PaSpan::new(start, 2 * SGI_FRAME).filter(|frame| region.covers(frame))?;
            // SAFETY: the caller's promise.
            let registers = unsafe { Mmio::new(frame) };
            let kind = registers.read64(GICR_TYPER);
            if kind >> 32 == u64::from(affinity.packed()) {
                return Some(Self(registers));
            }
            if kind & LAST != 0 {
                return None;
            }
            let size = stride.unwrap_or(if kind & VLPIS != 0 { 4 * SGI_FRAME } else { 2 * SGI_FRAME });
            start = start.checked_add(size.max(SGI_FRAME))?;
        }
    }

    /// Enables the SGIs and PPIs in `mask`, bit `n` for INTID `n`.
    pub fn enable(self, mask: u32) {
        self.0.write32(SGI_FRAME + GICD_ISENABLER, mask);
    }

    /// Sets or clears the active state of PPI `intid`.
    pub fn set_active(self, intid: IntId, active: bool) {
        let register = if active { GICD_ISACTIVER } else { GICD_ICACTIVER };
        self.0.write32(SGI_FRAME + register, 1 << (intid.get() % 32));
        if active {
            // The guest may end the interrupt as soon as it is entered, by way of the CPU interface, which is not ordered
            // with this write. Overtaken by that end, the write would leave the interrupt active with nobody to end it.
            // Reading back says that it has arrived: accesses to one device stay in order (Arm ARM B2.3.3).
            let _ = self.0.read32(SGI_FRAME + register);
            // SAFETY: a barrier: the read is complete before the guest is entered.
            unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
        }
    }

    /// Wakes the redistributor; all SGIs and PPIs disabled, idle, Group 1. Answers whether it woke.
    pub fn init(self) -> bool {
        const PROCESSOR_SLEEP: u32 = 1 << 1;
        const CHILDREN_ASLEEP: u32 = 1 << 2;
        self.0.write32(GICR_WAKER, self.0.read32(GICR_WAKER) & !PROCESSOR_SLEEP);
        let awake = (0..PATIENCE).any(|_| self.0.read32(GICR_WAKER) & CHILDREN_ASLEEP == 0);
        self.0.write32(SGI_FRAME + GICD_ICENABLER, !0);
        // An SGI that somebody sent before us must not be taken for one of ours.
        self.0.write32(SGI_FRAME + GICD_ICPENDR, !0);
        self.0.write32(SGI_FRAME + GICD_ICACTIVER, !0);
        self.0.write32(SGI_FRAME + GICD_IGROUPR, !0);
        for intid in (0..32).step_by(4) {
            let priority = if intid < SGIS { SGI_PRIORITY } else { PRIORITY };
            self.0.write32(SGI_FRAME + GICD_IPRIORITYR + intid, priority);
        }
        for _ in 0..PATIENCE {
            if self.0.read32(GICR_CTLR) & GICR_RWP == 0 {
                break;
            }
        }
        awake
    }
}
