//! A small runtime for bare-metal AArch64 domUs.
#![no_std]
