//! The hypervisor binary: the order of the boot, readable in one screen.
//!
//! On a development host it only says how to build the real one.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod build;
#[cfg(target_os = "none")]
mod heap;

#[cfg(target_os = "none")]
use portunus_machine::{arch, platform, run};
#[cfg(target_os = "none")]
use portunus_trap as _;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("portunus runs at EL2: build it with `cargo xtask build`, try it with `make run`");
}
