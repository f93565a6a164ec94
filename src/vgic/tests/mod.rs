//! Tests of the virtual GIC: against fake list registers, and against a reference model that has no limit.
//! Under `--cfg loom`, the races between pCPUs instead.

mod fake;

#[cfg(not(loom))]
mod beats;
#[cfg(not(loom))]
mod cases;
#[cfg(not(loom))]
mod late;
#[cfg(not(loom))]
mod linux;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod named;
#[cfg(not(loom))]
mod properties;
#[cfg(not(loom))]
mod registers;
#[cfg(not(loom))]
mod sgi;
#[cfg(not(loom))]
mod short;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod v2;
#[cfg(not(loom))]
mod world;

#[cfg(loom)]
mod races;
