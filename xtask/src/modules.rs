//! Which file a module's name in a tree stands for.
//!
//! `linux-6.12`, `linux-6.12.gz` and `initramfs-6.12` are files for Linux domains; any other name is a bare-metal
//! guest. `NAME@2` is another copy of NAME: Xen needs one per domain if it is compressed.

use crate::{guests, linux};

/// The file behind `name`, made or downloaded if it is one for Linux.
pub fn path(name: &str) -> Result<String, String> {
    let name = name.split('@').next().unwrap_or_default();
    match linux::module(name) {
        Some(path) => Ok(path?.display().to_string()),
        None => Ok(guests::path(name)),
    }
}
