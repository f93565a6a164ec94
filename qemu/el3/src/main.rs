//! What stands in for firmware on QEMU's ZCU102: EL3 code in the on-chip memory, where the board has TF-A.
//!
//! QEMU has no power-management unit, which TF-A and U-Boot for this chip wait for; so neither can be run as it is. This
//! makes the state that they leave: EL3 is really there, the interrupt controller belongs to it and shows EL2 its
//! non-secure side, and PSCI is answered by SMC, with the chip's own reset registers. It enters what comes next at EL2.
//!
//! It trusts whoever calls it: it is a test's scenery, not firmware.
#![no_std]
#![no_main]

core::arch::global_asm!(include_str!("el3.S"), options(raw));

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
