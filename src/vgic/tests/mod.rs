//! Tests of the virtual GIC: against fake list registers, and against a reference model that has no limit.

mod fake;
mod linux;
mod model;
mod named;
mod properties;
mod registers;
mod world;
