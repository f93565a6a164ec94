//! A small runtime for bare-metal AArch64 domUs, on Portunus or on Xen.
//!
//! Decides how a domU starts and what it stands on: one flat arm64 `Image`, position independent, MMU and caches on,
//! an identity map made from the device tree, a console, a GICv2 or GICv3, timers, other vCPUs, hypercalls, event channels.
//! It trusts the hypervisor and its device tree; it has no heap, no FP, and needs no allocation.
//!
//! # A domU in ten lines
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! use portunus_rt::{Machine, entry, println};
//!
//! entry!(main);
//!
//! fn main(machine: &'static Machine) {
//!     println!("{} vCPUs, told: {}", machine.cpus().len(), machine.bootargs);
//! } // returning switches the domain off
//! ```
//!
//! The crate's `build.rs` passes these arguments to the linker: `-pie`, `-z text`, `--no-dynamic-linker`, `-Bsymbolic`,
//! `-Tguest.ld`; the loadable parts of the ELF file, laid out from address 0, are the `Image`.
#![no_std]

pub mod console;
pub mod cpu;
pub mod event;
pub mod exception;
pub mod gic;
mod gicv2;
pub mod hypercall;
pub mod machine;
pub mod marks;
pub mod mmio;
pub mod mmu;
pub mod probe;
pub mod psci;
pub mod smp;
mod start;
pub mod timer;

pub use machine::Machine;

/// Names the function where the domU begins: `fn(&'static Machine)`. When it returns, the domain is switched off.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        fn guest_main(machine: &'static $crate::Machine) {
            let main: fn(&'static $crate::Machine) = $main;
            main(machine)
        }
    };
}
