//! AArch64 at EL2, Armv8.0 and later, without VHE.

pub mod bytes;
pub mod cache;
pub mod context;
pub mod gic;
pub mod gicv2;
pub mod gicv3;
pub mod guest;
pub mod harden;
pub mod ids;
pub mod map;
pub mod mmio;
pub mod percpu;
pub mod probe;
pub mod psci;
pub mod report;
pub mod secondary;
pub mod stage2;
pub mod start;
pub mod sysreg;
pub mod timer;
pub mod translate;
pub mod vcpu;

/// Parks this CPU for good: interrupts masked, low power.
pub fn park() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}
