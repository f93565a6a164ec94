//! The machine's interrupt controller, whichever version it has: the one place that asks which.
//!
//! The version is known when [`init`] returns and never changes, so each question is a branch that is always taken the
//! same way.

mod guest;

pub use guest::{Interface, VirtualCpu, guest_pages, guest_threshold, is_guest_device};

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};

use portunus::addr::{Affinity, IntId, PaSpan};
use portunus::mm::stage1::Kind;
use portunus::plan::Gic;
use spin::Once;

use super::gicv3::{Distributor, Redistributor};
use super::sysreg::MPIDR_EL1;
use super::{gicv2, gicv3, map, probe};

/// The distributor of a GICv3, once it is prepared.
static DISTRIBUTOR: Once<Distributor> = Once::new();

/// A CPU's own part of the controller: its SGIs and PPIs.
#[derive(Clone, Copy)]
pub enum Private {
    /// Banked registers, of which each CPU sees its own.
    V2(&'static gicv2::Frames),
    /// A redistributor.
    V3(Redistributor),
}

/// Maps and prepares the controller and the boot CPU's part of it.
///
/// # Errors
///
/// A sentence about what is missing.
pub fn init(controller: &Gic, boot: Affinity) -> Result<Private, String> {
    for frame in controller.frames() {
        map::add(frame, Kind::Device)
            .map_err(|why| format!("GIC frame {frame} cannot be mapped: {why:?}"))?;
        // SAFETY: mapped just now; CTLR, with which each frame begins (GICH: HCR), is read without an effect.
        if unsafe { probe::read32(frame.start().get()) }.is_none() {
            return Err(format!(
                "no interrupt controller answers at {frame}: is this the tree of this machine?"
            ));
        }
    }
    match controller {
        Gic::V2 { dist, cpu, hyp, vcpu, .. } => init_v2(*dist, *cpu, *hyp, *vcpu),
        Gic::V3 { dist, .. } => init_v3(controller, *dist, boot),
    }
}

fn init_v2(dist: PaSpan, cpu: PaSpan, hyp: PaSpan, vcpu: PaSpan) -> Result<Private, String> {
    // SAFETY: the tree says that these are the frames; mapped as Device memory by `init`, on the boot CPU.
    let frames = unsafe { gicv2::adopt(dist, cpu, hyp, vcpu) };
    let frames =
        frames.ok_or("a frame of the GICv2 is too small for its registers: GICC and GICV have two pages")?;
    frames.init();
    let private = Private::V2(frames);
    private.init()?;
    log::info!("GICv2 with {} interrupt lines, {} list registers", frames.lines(), frames.list_registers());
    Ok(private)
}

fn init_v3(controller: &Gic, dist: PaSpan, boot: Affinity) -> Result<Private, String> {
    // SAFETY: the tree says that the distributor is here; mapped as Device memory by `init`.
    let distributor = unsafe { Distributor::new(dist) };
    distributor.init();
    let private = private(controller, boot).ok_or(
        "the interrupt controller has no redistributor for the boot CPU: does `reg` list every region?",
    )?;
    private.init().map_err(|reason| format!("the boot CPU cannot be used: {reason}"))?;
    log::info!(
        "GICv3 with {} interrupt lines, {} list registers",
        distributor.lines(),
        gicv3::list_registers()
    );
    DISTRIBUTOR.call_once(|| distributor);
    Ok(private)
}

/// The part of the CPU with `affinity`, if the controller is mapped and has one.
#[must_use]
pub fn private(controller: &Gic, affinity: Affinity) -> Option<Private> {
    match controller {
        Gic::V2 { .. } => gicv2::frames().map(Private::V2),
        Gic::V3 { redist, stride, .. } => {
            // SAFETY: `init` mapped all regions as Device memory.
            let find = |region: &PaSpan| unsafe { Redistributor::find(*region, *stride, affinity) };
            redist.iter().find_map(find).map(Private::V3)
        }
    }
}

impl Private {
    /// Prepares it and the CPU interface, on the CPU itself.
    ///
    /// # Errors
    ///
    /// Why this CPU gets no interrupts.
    pub fn init(self) -> Result<(), &'static str> {
        let redistributor = match self {
            Self::V2(frames) => {
                frames.init_cpu();
                return Ok(());
            }
            Self::V3(redistributor) => redistributor,
        };
        if !gicv3::init_cpu() {
            return Err("it has no GICv3 interface, or firmware keeps its system registers from EL2 \
                        (ICC_SRE_EL3.Enable): is this the device tree of this machine?");
        }
        if redistributor.init() {
            Ok(())
        } else {
            Err("its redistributor does not wake: GICR_WAKER.ChildrenAsleep stays set")
        }
    }

    /// Enables the SGIs and PPIs in `mask`, bit `n` for INTID `n`, on the CPU itself.
    pub fn enable(self, mask: u32) {
        match self {
            Self::V2(frames) => frames.enable_private(mask),
            Self::V3(redistributor) => redistributor.enable(mask),
        }
    }
}

/// Lets SPI `intid` in, on the executing CPU.
pub fn enable_spi(intid: IntId) {
    if let Some(frames) = gicv2::frames() {
        frames.enable_spi(intid);
    } else if let Some(distributor) = DISTRIBUTOR.get() {
        distributor.enable(intid, Affinity::from_mpidr(MPIDR_EL1::read()));
    }
}

/// A physical interrupt that was acknowledged: what the controller wants back, on GICv2 with the sender of an SGI.
#[derive(Clone, Copy)]
pub struct Taken(u32);

impl Taken {
    /// Of a GICv3, which has no senders.
    #[inline(always)]
    #[must_use]
    pub const fn v3(intid: IntId) -> Self {
        Self(intid.get())
    }

    /// Of a GICv2: the value of GICC_IAR.
    #[inline(always)]
    #[must_use]
    pub const fn v2(iar: u32) -> Self {
        Self(iar)
    }

    /// Its number. (None above 1019 is ever enabled.)
    #[inline(always)]
    #[must_use]
    pub const fn intid(self) -> IntId {
        IntId::new(self.0 & 0x3ff)
    }
}

/// Takes the most urgent physical interrupt; `None` if there is none (any more).
#[inline(always)]
#[must_use]
pub fn acknowledge() -> Option<Taken> {
    match gicv2::frames() {
        None => gicv3::acknowledge().map(Taken::v3),
        Some(frames) => frames.acknowledge().map(Taken::v2),
    }
}

/// Lets other interrupts come; this one stays active.
#[inline(always)]
pub fn drop_priority(taken: Taken) {
    match gicv2::frames() {
        None => gicv3::drop_priority(taken.intid()),
        Some(frames) => frames.drop_priority(taken.0),
    }
}

/// Ends an interrupt whose priority was dropped.
#[inline(always)]
pub fn deactivate(taken: Taken) {
    match gicv2::frames() {
        None => gicv3::deactivate(taken.intid()),
        Some(frames) => frames.deactivate(taken.0),
    }
}

/// Both: drops the priority and ends it.
#[inline(always)]
pub fn end(taken: Taken) {
    match gicv2::frames() {
        None => {
            gicv3::drop_priority(taken.intid());
            gicv3::deactivate(taken.intid());
        }
        Some(frames) => {
            frames.drop_priority(taken.0);
            frames.deactivate(taken.0);
        }
    }
}

/// A CPU as the register that sends SGIs names it: worked out once, because every event to another pCPU needs it. For a
/// GICv2 [`IN_MEMORY`] is set, and the one word says all: that register's address in bits 47-0, and in bits 55-48 what to
/// write into its bits 23-16.
#[repr(transparent)]
pub struct SgiTarget(AtomicU64);

/// In an [`SgiTarget`]: SGIs are sent by a write to memory. Reserved in ICC_SGI1R_EL1 (IHI 0069).
const IN_MEMORY: u64 = 1 << 63;

impl SgiTarget {
    /// The CPU with affinity `target`. On GICv2 it is nobody before it has [learnt](Self::learn) its number.
    #[must_use]
    pub const fn new(target: Affinity) -> Self {
        Self(AtomicU64::new(gicv3::sgi_target(target)))
    }

    /// On the CPU itself: GICv2 numbers the CPU interfaces in its own way, and shows each CPU only its own number.
    pub fn learn(&self) {
        if let Some(frames) = gicv2::frames() {
            let word = IN_MEMORY | u64::from(frames.own_bit()) << 48 | frames.sgi_register();
            self.0.store(word, Ordering::Relaxed);
        }
    }
}

/// Sends SGI `sgi` to the CPU `target`. What was written before is visible to it.
#[inline(always)]
pub fn send_sgi(sgi: IntId, target: &SgiTarget) {
    const ADDRESS: u64 = (1 << 48) - 1;
    const TARGETS: u32 = 0xff << 16;
    let target = target.0.load(Ordering::Relaxed);
    if target & IN_MEMORY == 0 {
        gicv3::send_sgi(sgi, target);
    } else {
        // SAFETY: the address that `learn` noted.
        unsafe { gicv2::send_sgi(target & ADDRESS, sgi, (target >> 32) as u32 & TARGETS) };
    }
}

/// Sends SGI `sgi` to all CPUs but this one.
pub fn send_sgi_to_others(sgi: IntId) {
    match gicv2::frames() {
        None => gicv3::send_sgi_to_others(sgi),
        Some(frames) => frames.send_sgi_to_others(sgi),
    }
}
