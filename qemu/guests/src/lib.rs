//! Bare-metal domUs that exercise the hypervisor under QEMU, one per file or folder in `src/bin`, and what they share.
#![no_std]

pub mod random;
pub mod verdict;
