//! This vCPU: its number, its interrupts, waiting, system registers.

use core::arch::asm;

/// Most vCPUs that the runtime has stacks for.
pub const MAX: usize = 8;

/// Reads a system register by its name or encoding.
#[macro_export]
macro_rules! read_sysreg {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading a system register changes nothing that Rust knows of; where it is UNDEFINED, the
        // exception handler decides.
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack)) };
        value
    }};
}

/// Writes a system register by its name or encoding, with an ISB behind it. The caller vouches for the value.
#[macro_export]
macro_rules! write_sysreg {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: whoever names a register vouches for the value; nothing the compiler relies on is in registers
        // that this crate writes.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value, options(nostack)) };
    }};
}

/// One of [`crate::marks`]: says to the tracer where we are, if there is one.
#[inline(always)]
pub fn mark<const NUMBER: u16>() {
    // SAFETY: a HINT without a meaning is a NOP (Arm ARM DDI 0487, HINT).
    unsafe { asm!("hint #{}", const NUMBER, options(nostack, preserves_flags)) };
}

/// Number of this vCPU: its place in `/cpus` of the device tree.
#[must_use]
pub fn number() -> usize {
    read_sysreg!("tpidr_el1") as usize
}

/// Lets IRQs in.
pub fn unmask_irqs() {
    // SAFETY: the vectors and the stack are set up before any Rust runs.
    unsafe { asm!("msr daifclr, #2", options(nostack)) };
}

/// Keeps IRQs out.
pub fn mask_irqs() {
    // SAFETY: masking interrupts is always sound.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
}

/// Runs `f` with IRQs masked.
pub fn without_irqs<R>(f: impl FnOnce() -> R) -> R {
    let daif = read_sysreg!("daif");
    mask_irqs();
    let result = f();
    write_sysreg!("daif", daif);
    result
}

/// A hint that others could run now (YIELD). QEMU, where it runs CPUs one after the other, goes on to the next.
pub fn give_way() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// Sleeps until an interrupt is pending, masked or not.
pub fn wait_for_interrupt() {
    // SAFETY: WFI only waits; DSB first, so that what others must see is out before.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) };
}

/// Sleeps until `done` answers true. It is asked again after each interrupt, with IRQs masked, so that none is lost
/// between the question and the sleep; IRQs are let in between.
pub fn wait_until(mut done: impl FnMut() -> bool) {
    loop {
        mask_irqs();
        if done() {
            unmask_irqs();
            return;
        }
        wait_for_interrupt();
        unmask_irqs();
        // SAFETY: an ISB has no effect but order: the pending interrupt is taken here.
        unsafe { asm!("isb", options(nostack)) };
    }
}
