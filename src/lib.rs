//! Portunus: the keeper of the ports between domains that were all laid out before power-on.
//!
//! This library holds everything that *decides*; the packages above it (`machine.rs`, `trap/`, `main.rs`, with `boot/`)
//! hold everything that *touches* the machine. The library is `no_std`, knows no register and no MMIO
//! address, and is tested on the host. `cargo xtask layers` keeps it so.
//!
//! # Principles
//!
//! * **One way through the house.** Device-tree bytes become nodes ([`fdt`]), nodes become a typed [`plan`],
//!   the plan is built ([`domain`], [`mm`]), then everything freezes and the domains run.
//! * **No panic that a guest or a tree can reach.** A guest's mistake is an error code or an injected fault,
//!   a tree's mistake is a diagnostic of [`plan`].
//! * **Domains never come and go.** What describes them is immutable after freeze; what changes is in atomics
//!   or owned by one physical CPU. So there is nothing to reference-count and no lock on a guest's path.
//! * **Simple algorithms.** Clever ones need `unsafe`; bounded scans over small tables do not.
//! * **Addresses and numbers are types** ([`addr`]): what cannot be confused need not be checked.
#![cfg_attr(not(test), no_std)]
#![warn(missing_docs)]

extern crate alloc;

#[doc(inline)]
pub use portunus_cold::{addr, domain, fdt, mm, plan, prediction};

pub mod console;
pub mod evtchn;
pub mod hypercall;
pub mod sched;
pub mod sync;
pub mod vdev;
pub mod vgic;
