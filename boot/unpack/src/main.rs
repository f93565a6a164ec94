//! The front of the image, all of it assembly: makes room, unpacks the hypervisor, and goes on there.
//!
//! On a development host it only says how to build the real one.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("entry.S"), include_str!("unpack.S"), options(raw));

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this runs at the front of the image: build it with `cargo xtask build`");
}
