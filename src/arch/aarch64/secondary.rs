//! Bringing up the other CPUs, one at a time, each with a reason if it does not come.
//!
//! The boot CPU fills [`SECONDARY_START`], starts a CPU by the method its node names, and waits. One at a time:
//! the log, the numbering and the memory used do not depend on who is faster.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};

use portunus::addr::{Pa, PaSpan};
use portunus::mm::stage1::SCTLR_MMU_OFF;
use portunus::plan::{Cpu, EnableMethod};

use super::map::{self, Regime};
use super::psci::{Firmware, PsciError};
use super::sysreg::{CNTFRQ_EL0, CNTPCT_EL0};
use super::{cache, harden, ids, park, percpu};
use crate::run::{self, Pcpu};

/// What a starting CPU is told. Read with its MMU off, so it is cleaned to the point of coherency.
#[repr(C, align(128))]
struct Start {
    regime: *const Regime,
    stack_top: u64,
    percpu: u64,
    /// Whom it is for: the complement of MPIDR_EL1's affinity fields. Somebody else who comes, late or by mistake, parks.
    whom: u64,
}

/// The complement of what no CPU has. It is 0, so that all of this takes no room in the image.
const NOBODY: u64 = 0;

/// What a CPU answers that woke at another level than EL2: written past the cache, hence in lines of its own.
#[repr(C, align(2048))]
struct WrongLevel(UnsafeCell<u64>);

#[repr(C)]
struct Exchange {
    start: UnsafeCell<Start>,
    wrong_level: WrongLevel,
}

// SAFETY: the boot CPU writes `start` while no other CPU is starting; a starting CPU only reads it.
unsafe impl Sync for Exchange {}

#[unsafe(no_mangle)]
static SECONDARY_START: Exchange = Exchange {
    start: UnsafeCell::new(Start { regime: core::ptr::null(), stack_top: 0, percpu: 0, whom: NOBODY }),
    wrong_level: WrongLevel(UnsafeCell::new(0)),
};

const _: () = assert!(offset_of!(Start, percpu) == offset_of!(Start, stack_top) + 8);

global_asm!(
    include_str!("../../../boot/secondary.S"),
    SCTLR_EL2_MMU_OFF = const SCTLR_MMU_OFF,
    START_REGIME = const offset_of!(Exchange, start) + offset_of!(Start, regime),
    START_STACK = const offset_of!(Exchange, start) + offset_of!(Start, stack_top),
    START_WHOM = const offset_of!(Exchange, start) + offset_of!(Start, whom),
    START_WRONG_LEVEL = const offset_of!(Exchange, wrong_level),
);

unsafe extern "C" {
    fn secondary_entry();
}

/// Why a CPU did not come up.
#[derive(Debug)]
pub enum Absent {
    /// Its node names no way to start it that is known.
    NoMethod,
    /// Its node says PSCI, and the tree has no PSCI node.
    NoFirmware,
    /// The word at which it spins is not in reserved RAM.
    Mailbox(Pa),
    /// Firmware refused.
    Refused(PsciError),
    /// It was started and never said anything.
    Silent,
    /// It woke at an exception level other than 2.
    WrongLevel(u64),
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMethod => write!(f, "its node has no `enable-method` that is known (psci, spin-table)"),
            Self::NoFirmware => write!(f, "its `enable-method` is psci and the tree has no psci node"),
            Self::Mailbox(at) => write!(f, "its `cpu-release-addr`, {at}, is not in reserved memory"),
            Self::Refused(error) => write!(f, "firmware refused to start it: {error}"),
            Self::Silent => write!(f, "it was started and did not arrive within a second"),
            Self::WrongLevel(level) => write!(f, "it woke at EL{level}, not EL2"),
        }
    }
}

/// Starts `cpu` on a stack that ends at `stack_top`, with `percpu` as its block, and waits until it has arrived.
///
/// # Errors
///
/// Why it did not. If it arrives late all the same, it parks.
///
/// # Safety
///
/// `stack_top` ends a mapped stack that is this CPU's alone and for good. The mailbox of a CPU that spins is mapped, in
/// RAM that nobody uses otherwise.
pub unsafe fn bring_up(
    cpu: &Cpu,
    firmware: Option<Firmware>,
    stack_top: u64,
    percpu: &'static Pcpu,
) -> Result<(), Absent> {
    let whom = !cpu.affinity.get();
    let start = Start { regime: map::regime(), stack_top, percpu: &raw const *percpu as u64, whom };
    // SAFETY: nobody is starting, see `Exchange`; who was given up on finds `NOBODY` there.
    unsafe { *SECONDARY_START.start.get() = start };
    // SAFETY: as above.
    unsafe { *SECONDARY_START.wrong_level.0.get() = 0 };
    clean(&raw const SECONDARY_START, size_of::<Exchange>());
    clean(map::regime(), size_of::<Regime>());
    let outcome = call(cpu, firmware).and_then(|()| wait_for(percpu));
    // SAFETY: one aligned word, which a CPU that is late may read; it then parks.
    unsafe { (&raw mut (*SECONDARY_START.start.get()).whom).write_volatile(NOBODY) };
    clean(SECONDARY_START.start.get(), size_of::<Start>());
    outcome
}

/// Makes `cpu` run from `secondary_entry` on.
fn call(cpu: &Cpu, firmware: Option<Firmware>) -> Result<(), Absent> {
    let entry = secondary_entry as *const () as u64;
    match cpu.enable {
        EnableMethod::Psci => {
            firmware.ok_or(Absent::NoFirmware)?.cpu_on(cpu.affinity, entry).map_err(Absent::Refused)?;
        }
        EnableMethod::SpinTable(release) => release_spinning(release, entry),
        EnableMethod::Unknown => return Err(Absent::NoMethod),
    }
    Ok(())
}

/// Writes the entry point where a parked CPU looks for it, and wakes it. The caller of [`bring_up`] has mapped the word;
/// the CPU reads it with its cache off.
fn release_spinning(release: Pa, entry: u64) {
    let slot = release.get() as *mut u64;
    // SAFETY: the tree says that this CPU's release word is here, and the caller mapped it.
    unsafe { slot.write_volatile(entry) };
    clean(slot, 8);
    aarch64_cpu::asm::sev();
}

/// Gives a started CPU one second.
fn wait_for(percpu: &Pcpu) -> Result<(), Absent> {
    let deadline = CNTPCT_EL0::read().wrapping_add(CNTFRQ_EL0::read());
    loop {
        // The last thing it does, published by the `Once`: what it did before is visible.
        if percpu.ids.is_completed() {
            return Ok(());
        }
        let wrong = SECONDARY_START.wrong_level.0.get();
        // Written past the cache: our copy, if any, is clean and must go.
        clean(wrong, size_of::<WrongLevel>());
        // SAFETY: a plain word that only this exchange uses.
        match unsafe { wrong.read_volatile() } {
            0 if CNTPCT_EL0::read().wrapping_sub(deadline) as i64 > 0 => return Err(Absent::Silent),
            0 => core::hint::spin_loop(),
            level => return Err(Absent::WrongLevel(level)),
        }
    }
}

fn clean<T>(start: *const T, size: usize) {
    if let Some(span) = PaSpan::new(Pa::new(start as u64), size as u64) {
        cache::clean_and_invalidate(span);
    }
}

/// First Rust code of a secondary CPU, called by boot/secondary.S on its own stack, MMU on.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(percpu: &'static Pcpu) -> ! {
    percpu::adopt(percpu);
    if let Err(reason) = percpu.gic.init() {
        log::warn!("CPU {} ({}) cannot be used: {reason}", percpu.cpu, percpu.affinity);
        park();
    }
    percpu.doorbell.sgi.learn();
    percpu.verdict.call_once(|| harden::protect(percpu));
    percpu.ids.call_once(ids::gather);
    while !RELEASED.load(Ordering::Acquire) {
        aarch64_cpu::asm::wfe();
    }
    run::start(percpu)
}

/// Whether the world is built.
static RELEASED: AtomicBool = AtomicBool::new(false);

/// Lets every CPU that has arrived run its vCPUs.
pub fn release() {
    RELEASED.store(true, Ordering::Release);
    // SAFETY: a barrier: the store is visible before the event wakes anyone (Arm ARM D1.6.1).
    unsafe { core::arch::asm!("dsb ishst", options(nostack, preserves_flags)) };
    aarch64_cpu::asm::sev();
}
