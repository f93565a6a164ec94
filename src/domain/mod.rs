//! Domains: what their memory holds when they start, and what becomes of them when they stop.
//!
//! Decides where a kernel, a device tree and a ramdisk go in a guest's memory and what that device tree says. Trusts
//! the plan; does not trust the images, which are files that somebody put next to the hypervisor.
#![forbid(unsafe_code)]

pub mod guest_dtb;
pub mod gzip;
pub mod image;
pub mod layout;
pub mod life;
pub mod load;
pub mod map;
pub mod ram;
pub mod seed;
