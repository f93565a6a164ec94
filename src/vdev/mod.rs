//! The devices and registers that a guest believes to have, other than its interrupt controller.
//!
//! This room *decides* what a trapped access means: [`pl011`] is the guest's UART, [`smccc`] and [`psci`] its
//! firmware, [`idregs`] what it may know of the CPU, [`sysreg`] the other system registers that trap. [`esr`]
//! and [`abort`] read the syndrome of a trap, and [`inject`] works out the exception that a guest takes instead.
//! It *trusts* the syndrome registers, which hardware wrote, and nothing that the guest wrote. It *refuses* what
//! the architecture does not define; the guest then takes an undefined instruction or an external abort.
#![forbid(unsafe_code)]

pub mod abort;
pub mod esr;
pub mod idregs;
pub mod inject;
pub mod pl011;
pub mod power;
pub mod psci;
pub mod smccc;
pub mod sysreg;
