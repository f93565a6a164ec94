//! The GICv2 of the machine, as far as a hypervisor drives it (Arm IHI 0048).
//!
//! Three differences between machines are absorbed here, and nowhere else:
//!
//! * Security Extensions or not. Without them interrupts are in whatever group firmware left them in, so all are put
//!   into Group 0; with them EL2 is the non-secure side, for which IGROUPR ignores writes and its own group is the
//!   only one there is. In both views bit 0 of GICD_CTLR and of GICC_CTLR is then the enable, and bit 9 of GICC_CTLR
//!   is EOImode. Priorities are not compared: their low bits differ with the view.
//! * Where the second page of GICC and GICV is, the one with DIR. Some SoCs show every 4 KiB page of a GIC-400
//!   sixteen times over 64 KiB; the last copy of the first page and the first copy of the second are neighbours.
//! * GICC_IIDR, which is not looked at beyond telling such a machine.
//!
//! EOImode is 1: EL2 drops the priority, and a guest deactivates hardware-linked interrupts itself.

mod cpu;
mod lists;

pub use cpu::send_sgi;
pub use lists::{Ahead, Interface, VirtualCpu};

use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::{AtomicPtr, Ordering};

use portunus::addr::{IntId, PaSpan};

use super::mmio::Block;
use super::probe;

// Distributor registers, byte offsets (IHI 0048, 4.1.2). Those about INTIDs below 32 are banked for each CPU.
const GICD_CTLR: u64 = 0x000;
const GICD_TYPER: u64 = 0x004;
const GICD_IGROUPR: u64 = 0x080;
const GICD_ISENABLER: u64 = 0x100;
const GICD_ICENABLER: u64 = 0x180;
const GICD_ICPENDR: u64 = 0x280;
const GICD_ISACTIVER: u64 = 0x300;
const GICD_ICACTIVER: u64 = 0x380;
const GICD_IPRIORITYR: u64 = 0x400;
const GICD_ITARGETSR: u64 = 0x800;
const GICD_ICFGR: u64 = 0xc00;
const GICD_SGIR: u64 = 0xf00;
const GICD_CPENDSGIR: u64 = 0xf10;
/// CPU interface identification (IHI 0048, 4.4.15).
const GICC_IIDR: u64 = 0x0fc;
/// Distance between copies of a page where a GIC-400's pages are repeated, and the size of what is repeated.
const REPEATED: u64 = 0x1_0000;
/// The last copy of the first page.
const LAST_COPY: u64 = 0xf000;
/// The registers of the distributor.
const PAGE: u64 = 0x1000;
/// What the first two pages of a CPU interface take.
const TWO_PAGES: u64 = 0x2000;
/// The registers of the virtual interface control, up to the last list register (IHI 0048, 5.3.1).
const HYP: u64 = 0x200;
/// One priority for all that EL2 takes: nothing at EL2 preempts anything.
const PRIORITY: u32 = 0xa0a0_a0a0;
/// But SGIs come last: guests have them sent, without end if they like, and which of two that are as urgent comes first is not
/// said (IHI 0048, 3.3). An alarm or the console must not wait for a gap between them.
const SGI_PRIORITY: u32 = 0xc0c0_c0c0;
/// SGIs are the INTIDs below.
const SGIS: u64 = 16;

/// The frames of the machine's GICv2.
pub struct Frames {
    dist: Block<PAGE>,
    /// The CPU interface: its first page, and behind it the page with DIR.
    cpu: Block<TWO_PAGES>,
    hyp: Block<HYP>,
    /// The virtual CPU interface, likewise.
    guest: PaSpan,
}

/// Null on a machine with a GICv3.
static FRAMES: AtomicPtr<Frames> = AtomicPtr::new(core::ptr::null_mut());

/// The frames, if this machine has a GICv2.
#[inline(always)]
#[must_use]
pub fn frames() -> Option<&'static Frames> {
    // Relaxed: written before any other CPU is started, and that is a synchronisation.
    let frames = FRAMES.load(Ordering::Relaxed);
    // SAFETY: null, or leaked by `adopt`.
    unsafe { frames.as_ref() }
}

/// Finds the pages in the frames that the tree gives, and says that this is the machine's controller from here on.
/// `None` if the frames are too small.
///
/// # Safety
///
/// `dist`, `cpu` and `hyp` are those of a GICv2 and mapped as Device memory; the boot CPU runs alone.
pub unsafe fn adopt(dist: PaSpan, cpu: PaSpan, hyp: PaSpan, vcpu: PaSpan) -> Option<&'static Frames> {
    // SAFETY: the caller's promise.
    let repeats = unsafe { is_repeated(cpu) };
    let pages = |span: PaSpan| {
        let offset = if repeats && span.size() >= 2 * REPEATED { LAST_COPY } else { 0 };
        PaSpan::new(span.start().checked_add(offset)?, TWO_PAGES).filter(|pages| span.covers(pages))
    };
    let (pages_of_cpu, guest) = (pages(cpu)?, pages(vcpu)?);
    // SAFETY: the caller's promise.
    let (dist, cpu, hyp) = unsafe { (Block::new(dist)?, Block::new(pages_of_cpu)?, Block::new(hyp)?) };
    let frames = Box::leak(Box::new(Frames { dist, cpu, hyp, guest }));
    FRAMES.store(frames, Ordering::Relaxed);
    Some(frames)
}

/// Whether the first page of the CPU interface is there sixteen times: the frame is large enough, and the last copy
/// identifies itself like the first. Where nothing is, the probe comes back.
///
/// # Safety
///
/// `cpu` is the CPU interface, mapped as Device memory.
unsafe fn is_repeated(cpu: PaSpan) -> bool {
    // SAFETY: the caller's promise; identification registers have no side effects.
    let identity = |offset| unsafe { probe::read32(cpu.start().get() + offset + GICC_IIDR) };
    cpu.size() >= 2 * REPEATED && identity(0).is_some() && identity(0) == identity(LAST_COPY)
}

impl Frames {
    /// Number of interrupt lines, SGIs and PPIs included (GICD_TYPER.ITLinesNumber).
    #[must_use]
    pub fn lines(&self) -> u32 {
        (((self.dist.read32(GICD_TYPER) & 0x1f) + 1) * 32).min(1020)
    }

    /// The pages that are a guest's CPU interface: the registers, and the page with DIR.
    #[must_use]
    pub fn guest(&self) -> PaSpan {
        self.guest
    }

    /// Brings the distributor into a known state: every SPI disabled, inactive, in Group 0, a level.
    pub fn init(&self) {
        self.dist.write32(GICD_CTLR, 0);
        for word in 1..u64::from(self.lines().div_ceil(32)) {
            self.reset_word(word);
        }
        for spi in (32..u64::from(self.lines())).step_by(4) {
            self.dist.write32(GICD_IPRIORITYR + spi, PRIORITY);
        }
        // Level-sensitive, as all that EL2 drives is; what firmware or reset left is IMPLEMENTATION DEFINED.
        for spi in (32..u64::from(self.lines())).step_by(16) {
            self.dist.write32(GICD_ICFGR + spi / 4, 0);
        }
        self.dist.write32(GICD_CTLR, 1);
    }

    /// The same for the SGIs and PPIs of the executing CPU, and its CPU interface.
    pub fn init_cpu(&self) {
        self.reset_word(0);
        // An SGI that somebody sent before us must not be taken for one of ours.
        for word in 0..4 {
            self.dist.write32(GICD_CPENDSGIR + 4 * word, !0);
        }
        for intid in (0..32).step_by(4) {
            let priority = if intid < SGIS { SGI_PRIORITY } else { PRIORITY };
            self.dist.write32(GICD_IPRIORITYR + intid, priority);
        }
        self.init_interface();
    }

    fn reset_word(&self, word: u64) {
        self.dist.write32(GICD_ICENABLER + 4 * word, !0);
        self.dist.write32(GICD_ICPENDR + 4 * word, !0);
        self.dist.write32(GICD_ICACTIVER + 4 * word, !0);
        self.dist.write32(GICD_IGROUPR + 4 * word, 0);
    }

    /// The bit of the executing CPU's interface: the banked target registers hold nothing else (IHI 0048, 4.3.12),
    /// and with a single CPU not even that.
    #[must_use]
    pub fn own_bit(&self) -> u8 {
        let seen = (0..32).step_by(4).fold(0, |seen, word| seen | self.dist.read32(GICD_ITARGETSR + word));
        match seen.to_le_bytes().iter().fold(0, |seen, byte| seen | byte) {
            0 => 1,
            bit => bit,
        }
    }

    /// Enables the SGIs and PPIs in `mask` on the executing CPU, bit `n` for INTID `n`.
    pub fn enable_private(&self, mask: u32) {
        self.dist.write32(GICD_ISENABLER, mask);
    }

    /// Enables SPI `intid` and sends it to the executing CPU. Numbers that are no SPI are ignored.
    pub fn enable_spi(&self, intid: IntId) {
        if !intid.is_spi() || intid.get() >= self.lines() {
            return;
        }
        let n = u64::from(intid.get());
        let (word, shift) = (GICD_ITARGETSR + n / 4 * 4, n % 4 * 8);
        let others = self.dist.read32(word) & !(0xff << shift);
        self.dist.write32(word, others | u32::from(self.own_bit()) << shift);
        self.dist.write32(GICD_ISENABLER + n / 32 * 4, 1 << (n % 32));
    }

    /// Sets or clears the active state of PPI `intid` of the executing CPU.
    fn set_active(&self, intid: IntId, active: bool) {
        let register = if active { GICD_ISACTIVER } else { GICD_ICACTIVER };
        self.dist.write32(register, 1 << (intid.get() % 32));
        if active {
            // As on a GICv3: the guest's end of the interrupt, in another frame, must not overtake this.
            let _ = self.dist.read32(register);
            // SAFETY: a barrier: the read is complete before the guest is entered.
            unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
        }
    }
}
