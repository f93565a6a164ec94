//! Bare-metal domUs that exercise the hypervisor under QEMU, one per file in `src/bin`, and what they share.
#![no_std]
