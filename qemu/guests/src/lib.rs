//! Bare-metal domUs that exercise the hypervisor under QEMU, one per file in `src/bin`.
#![no_std]
