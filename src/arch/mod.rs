//! What the silicon must be told. Nothing here decides anything that a guest or a tree could influence beyond
//! carrying out what the library decided.

pub mod aarch64;
