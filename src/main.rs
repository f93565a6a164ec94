//! The hypervisor binary. On a development host it only says how to build the real one.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("portunus runs at EL2: build it with `cargo xtask build`, try it with `make run`");
}
