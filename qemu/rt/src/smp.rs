//! The other vCPUs.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::{cpu, machine, psci};

static WORK: [AtomicUsize; cpu::MAX] = [const { AtomicUsize::new(0) }; cpu::MAX];
static CONTEXT: [AtomicU64; cpu::MAX] = [const { AtomicU64::new(0) }; cpu::MAX];

unsafe extern "C" {
    /// start.S.
    safe fn secondary_entry();
}

/// Starts vCPU `number` with `work`; when that returns, the vCPU is switched off again. Answers what PSCI said: 0 if
/// it is on its way.
pub fn start(number: usize, work: fn(usize)) -> i64 {
    let Some(affinity) = machine::get().cpus().get(number) else { return -2 };
    WORK[number].store(work as usize, Ordering::SeqCst);
    psci::cpu_on(*affinity, secondary_entry as *const () as u64, number as u64)
}

/// What vCPU `number` found in x0 when it was last started: its number, as [`start`] asked for.
#[must_use]
pub fn context(number: usize) -> u64 {
    CONTEXT[number].load(Ordering::SeqCst)
}

/// Spins until vCPU `number` is off.
pub fn wait_off(number: usize) {
    let affinity = machine::get().cpus().get(number).copied().unwrap_or(0);
    while psci::affinity_info(affinity) != 1 {
        spin_loop();
    }
}

/// Runs on a vCPU that was started.
pub(crate) fn run(number: usize, context: u64) {
    CONTEXT[number].store(context, Ordering::SeqCst);
    let work = WORK[number].load(Ordering::SeqCst);
    assert!(work != 0, "vCPU {number} runs and nobody started it");
    // SAFETY: only `start` writes the slot, and it writes a function of this type.
    let work: fn(usize) = unsafe { core::mem::transmute::<usize, fn(usize)>(work) };
    work(number);
}
