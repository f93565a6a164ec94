//! `cargo xtask`: build, run and test Portunus.
fn main() {}
