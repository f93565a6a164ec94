//! GICv3 as a domU sees it: Group 1 interrupts, one priority (Arm IHI 0069). Where the domain has a GICv2, `gicv2` does
//! the same.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::{Machine, cpu, event, gicv2, machine, mmio, read_sysreg, write_sysreg};

const GICD_CTLR: usize = 0x0000;
const GICD_TYPER: usize = 0x0004;
const GICD_IGROUPR: usize = 0x0080;
const GICD_ISENABLER: usize = 0x0100;
const GICD_ICENABLER: usize = 0x0180;
const GICD_ICPENDR: usize = 0x0280;
const GICD_ICACTIVER: usize = 0x0380;
const GICD_IPRIORITYR: usize = 0x0400;
const GICD_IROUTER: usize = 0x6000;
/// ARE, both enables of Group 1 (the views with one and with two security states have different bits).
const CTLR_ON: u32 = 1 << 4 | 0b11;

/// A redistributor is two frames of 64 KiB; the second is for SGIs and PPIs.
const GICR_FRAMES: usize = 0x2_0000;
const GICR_SGI: usize = 0x1_0000;
const GICR_TYPER: usize = 0x0008;
const GICR_WAKER: usize = 0x0014;
const TYPER_LAST: u64 = 1 << 4;

/// The only priority in use, and a mask that lets it through.
const PRIORITY: u8 = 0x80;
const PRIORITY_MASK: u64 = 0xf0;
/// Acknowledged when nothing is pending; this and the three below are no interrupts.
const SPURIOUS: u32 = 1020;

static HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Names the function that gets every interrupt but the upcall, on the vCPU that takes it. It is called before the end
/// of interrupt.
pub fn set_handler(handler: fn(u32)) {
    HANDLER.store(handler as usize, Ordering::Release);
}

/// Address of a distributor register.
#[must_use]
pub fn distributor(offset: usize) -> usize {
    machine::get().gicd.start + offset
}

/// Address of a register of this vCPU's redistributor; the SGI frame begins at 0x10000.
#[must_use]
pub fn redistributor(offset: usize) -> usize {
    let machine = machine::get();
    let mine = affinity(read_sysreg!("mpidr_el1"));
    let mut frame = machine.gicr.start;
    while frame < machine.gicr.end() {
        let typer = mmio::read64(frame + GICR_TYPER);
        if typer >> 32 == mine {
            return frame + offset;
        }
        if typer & TYPER_LAST != 0 {
            break;
        }
        frame += GICR_FRAMES;
    }
    panic!("no redistributor has affinity {mine:#x}")
}

/// MPIDR_EL1 packed as in GICR_TYPER: Aff3 in bits 31:24.
const fn affinity(mpidr: u64) -> u64 {
    mpidr & 0xff_ffff | (mpidr >> 32 & 0xff) << 24
}

/// Puts the distributor and this vCPU's part of the controller into the state that the runtime starts with, whatever
/// was written to them before: nothing pending, active or enabled but SGIs.
pub fn reset() {
    let machine = machine::get();
    cpu::mask_irqs();
    let shared = machine.gicd.start;
    let lines = (mmio::read32(shared + GICD_TYPER) & 0x1f) as usize;
    clear(redistributor(GICR_SGI), 0);
    (1..=lines).for_each(|word| clear(shared, word));
    // End whatever is still running: its priority would keep all others out.
    for _ in 0..32 {
        let intid = read_sysreg!("icc_iar1_el1");
        if intid >= u64::from(SPURIOUS) {
            break;
        }
        write_sysreg!("icc_eoir1_el1", intid);
    }
    // Nothing is running any more, in neither group; group 0 stays off.
    write_sysreg!("icc_ap0r0_el1", 0);
    write_sysreg!("icc_ap1r0_el1", 0);
    write_sysreg!("icc_igrpen0_el1", 0);
    init(machine);
}

fn clear(base: usize, word: usize) {
    for register in [GICD_ICENABLER, GICD_ICPENDR, GICD_ICACTIVER] {
        mmio::write32(base + register + 4 * word, u32::MAX);
    }
}

pub(crate) fn init(machine: &Machine) {
    if machine.gicc.size != 0 {
        return gicv2::init(machine);
    }
    mmio::write32(machine.gicd.start + GICD_CTLR, CTLR_ON);
    init_cpu(machine);
}

/// The redistributor and the CPU interface of this vCPU. SGIs, the upcall and the virtual timer come in from here on.
pub(crate) fn init_cpu(machine: &Machine) {
    if gicv2::is_used() {
        return gicv2::init_cpu(machine);
    }
    let frame = redistributor(0);
    const ASLEEP: u32 = 1 << 2;
    mmio::write32(frame + GICR_WAKER, 0);
    while mmio::read32(frame + GICR_WAKER) & ASLEEP != 0 {}
    let private = frame + GICR_SGI;
    mmio::write32(private + GICD_IGROUPR, u32::MAX);
    for intid in 0..32 {
        mmio::write8(private + GICD_IPRIORITYR + intid, PRIORITY);
    }
    mmio::write32(private + GICD_ISENABLER, 0xffff);
    write_sysreg!("icc_sre_el1", read_sysreg!("icc_sre_el1") | 1);
    write_sysreg!("icc_pmr_el1", PRIORITY_MASK);
    write_sysreg!("icc_bpr1_el1", 0);
    write_sysreg!("icc_ctlr_el1", 0);
    write_sysreg!("icc_igrpen1_el1", 1);
    cpu::unmask_irqs();
}

/// Lets an interrupt in: a private one on this vCPU, a shared one to this vCPU.
pub fn enable(intid: u32) {
    if gicv2::is_used() {
        return gicv2::enable(intid);
    }
    let n = intid as usize;
    if intid < 32 {
        mmio::write32(redistributor(GICR_SGI + GICD_ISENABLER), 1 << intid);
        return;
    }
    let base = machine::get().gicd.start;
    let group = base + GICD_IGROUPR + n / 32 * 4;
    mmio::write32(group, mmio::read32(group) | 1 << (n % 32));
    mmio::write8(base + GICD_IPRIORITYR + n, PRIORITY);
    let mine = read_sysreg!("mpidr_el1") & 0xff_00ff_ffff;
    mmio::write64(base + GICD_IROUTER + 8 * n, mine);
    mmio::write32(base + GICD_ISENABLER + n / 32 * 4, 1 << (n % 32));
}

/// Keeps an interrupt out.
pub fn disable(intid: u32) {
    if gicv2::is_used() {
        return gicv2::disable(intid);
    }
    let (word, bit) = (intid as usize / 32 * 4, 1 << (intid % 32));
    if intid < 32 {
        mmio::write32(redistributor(GICR_SGI + GICD_ICENABLER), bit);
    } else {
        mmio::write32(machine::get().gicd.start + GICD_ICENABLER + word, bit);
    }
}

/// Sends SGI `intid` to the vCPU with this number.
pub fn send_sgi(intid: u32, vcpu: usize) {
    if gicv2::is_used() {
        return gicv2::send_sgi(intid, vcpu);
    }
    let affinity = machine::get().cpus().get(vcpu).copied().unwrap_or(0);
    let (aff0, higher) = (affinity & 0xff, affinity >> 8 & 0xffff);
    // ICC_SGI1R_EL1: target list 15:0 of range RS 47:44, Aff1 23:16, INTID 27:24, Aff2 39:32.
    let value = 1 << (aff0 % 16)
        | (aff0 / 16) << 44
        | (higher & 0xff) << 16
        | u64::from(intid & 0xf) << 24
        | (higher >> 8) << 32;
    // SAFETY: DSB: what was written before is seen by whoever takes the interrupt.
    unsafe { core::arch::asm!("dsb ishst", options(nostack)) };
    write_sysreg!("icc_sgi1r_el1", value);
}

/// Takes interrupts until none is pending.
pub(crate) fn interrupt() {
    if gicv2::is_used() {
        return gicv2::interrupt();
    }
    loop {
        let intid = read_sysreg!("icc_iar1_el1") as u32 & 0xff_ffff;
        if intid >= SPURIOUS {
            return;
        }
        if intid == event::UPCALL {
            event::upcall();
        } else {
            handle(intid);
        }
        write_sysreg!("icc_eoir1_el1", intid.into());
    }
}

pub(crate) fn handle(intid: u32) {
    let handler = HANDLER.load(Ordering::Acquire);
    if handler == 0 {
        panic!("interrupt {intid}, and nobody to take it");
    }
    // SAFETY: only `set_handler` writes the slot, and it writes a function of this type.
    let handler: fn(u32) = unsafe { core::mem::transmute::<usize, fn(u32)>(handler) };
    handler(intid);
}
