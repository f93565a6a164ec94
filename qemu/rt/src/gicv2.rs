//! GICv2 as a domU sees it: one group, one priority (Arm IHI 0048). [`crate::gic`] asks here where the tree describes
//! one.

use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::{Machine, cpu, event, gic, machine, mmio};

const GICD_CTLR: usize = 0x000;
const GICD_ISENABLER: usize = 0x100;
const GICD_ICENABLER: usize = 0x180;
const GICD_IPRIORITYR: usize = 0x400;
const GICD_ITARGETSR: usize = 0x800;
const GICD_SGIR: usize = 0xf00;
const GICC_CTLR: usize = 0x000;
const GICC_PMR: usize = 0x004;
const GICC_BPR: usize = 0x008;
const GICC_IAR: usize = 0x00c;
const GICC_EOIR: usize = 0x010;

/// The only priority in use, and a mask that lets it through.
const PRIORITY: u8 = 0x80;
const PRIORITY_MASK: u32 = 0xf0;
/// Acknowledged when nothing is pending; this and the three above are no interrupts.
const SPURIOUS: u32 = 1020;

/// The CPU interface; 0 on a GICv3. Asked at each interrupt, so it is one load.
static INTERFACE: AtomicUsize = AtomicUsize::new(0);

/// Whether this domain has a GICv2.
#[inline(always)]
pub(crate) fn is_used() -> bool {
    INTERFACE.load(Ordering::Relaxed) != 0
}

fn distributor(offset: usize) -> usize {
    machine::get().gicd.start + offset
}

pub(crate) fn init(machine: &Machine) {
    INTERFACE.store(machine.gicc.start, Ordering::Relaxed);
    mmio::write32(machine.gicd.start + GICD_CTLR, 1);
    init_cpu(machine);
}

/// The private interrupts and the CPU interface of this vCPU.
pub(crate) fn init_cpu(machine: &Machine) {
    for intid in 0..32 {
        mmio::write8(machine.gicd.start + GICD_IPRIORITYR + intid, PRIORITY);
    }
    mmio::write32(machine.gicd.start + GICD_ISENABLER, 0xffff);
    let interface = machine.gicc.start;
    mmio::write32(interface + GICC_PMR, PRIORITY_MASK);
    mmio::write32(interface + GICC_BPR, 0);
    mmio::write32(interface + GICC_CTLR, 1);
    cpu::unmask_irqs();
}

/// A shared interrupt goes to this vCPU, whose bit is all that the targets of a private one show.
pub(crate) fn enable(intid: u32) {
    let n = intid as usize;
    if intid >= 32 {
        let mine = mmio::read32(distributor(GICD_ITARGETSR)) as u8;
        mmio::write8(distributor(GICD_ITARGETSR + n), mine);
        mmio::write8(distributor(GICD_IPRIORITYR + n), PRIORITY);
    }
    mmio::write32(distributor(GICD_ISENABLER + n / 32 * 4), 1 << (n % 32));
}

pub(crate) fn disable(intid: u32) {
    let n = intid as usize;
    mmio::write32(distributor(GICD_ICENABLER + n / 32 * 4), 1 << (n % 32));
}

pub(crate) fn send_sgi(intid: u32, vcpu: usize) {
    // SAFETY: DSB: what was written before is seen by whoever takes the interrupt.
    unsafe { asm!("dsb ishst", options(nostack)) };
    mmio::write32(distributor(GICD_SGIR), 1 << (16 + vcpu % 8) | intid & 0xf);
}

/// Takes interrupts until none is pending. An SGI is ended with its sender beside its number.
pub(crate) fn interrupt() {
    let interface = INTERFACE.load(Ordering::Relaxed);
    loop {
        let taken = mmio::read32(interface + GICC_IAR);
        let intid = taken & 0x3ff;
        if intid >= SPURIOUS {
            return;
        }
        if intid == event::UPCALL {
            event::upcall();
        } else {
            gic::handle(intid);
        }
        mmio::write32(interface + GICC_EOIR, taken);
    }
}
