//! Boot modules for QEMU: from `MODULE(name)` in a tree's source to a file in the machine's memory.
//!
//! `reg = <MODULE(name)>;` becomes the address and the exact size of a file, in two cells each, and QEMU is told to load
//! the file there. The same name twice is the same file, loaded once; `MODULE(name@2)` is another copy of it (Xen
//! needs one per domain if it is compressed). Names with a prefix of [`crate::linux`] are files for Linux domains; any
//! other is a bare-metal guest.

use std::fs;
use std::path::PathBuf;

use crate::linux;

/// Above everything that QEMU itself puts into the RAM of `virt`, and above what the hypervisor claims behind its image.
const FIRST: u64 = 0x5000_0000;
const STEP: u64 = 2 << 20;
const GUESTS: &str = "target/portunus/guests";
const OPEN: &str = "MODULE(";

/// A file and where it is loaded.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed {
    name: String,
    path: PathBuf,
    address: u64,
    size: u64,
}

/// The file behind a module's name.
fn path_of(name: &str) -> Result<PathBuf, String> {
    let name = name.split('@').next().unwrap_or_default();
    match linux::module(name) {
        Some(path) => path,
        None => Ok([GUESTS, name].iter().collect()),
    }
}

/// Replaces every `MODULE(name)` in `source`; answers the source for dtc and the files to load.
///
/// # Errors
///
/// A name whose file is not there, or a parenthesis that is not closed.
pub fn place(source: &str) -> Result<(String, Vec<Placed>), String> {
    place_with(source, |name| {
        let path = path_of(name)?;
        let size = fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?.len();
        Ok((path, size))
    })
}

fn place_with(
    source: &str,
    mut find: impl FnMut(&str) -> Result<(PathBuf, u64), String>,
) -> Result<(String, Vec<Placed>), String> {
    let mut placed: Vec<Placed> = Vec::new();
    let mut parts = source.split(OPEN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut next = FIRST;
    for part in parts {
        let (name, rest) = part.split_once(')').ok_or("MODULE( without its closing parenthesis")?;
        if !placed.iter().any(|module| module.name == name) {
            let (path, size) = find(name)?;
            placed.push(Placed { name: name.into(), path, address: next, size });
            next += size.next_multiple_of(STEP);
        }
        for module in placed.iter().filter(|module| module.name == name) {
            text.push_str(&format!(
                "{:#x} {:#x} {:#x} {:#x}",
                module.address >> 32,
                module.address & 0xffff_ffff,
                module.size >> 32,
                module.size & 0xffff_ffff
            ));
        }
        text.push_str(rest);
    }
    Ok((text, placed))
}

/// QEMU's arguments that load the modules.
pub fn arguments(modules: &[Placed]) -> Vec<String> {
    let device = |module: &Placed| {
        format!("loader,file={},addr={:#x},force-raw=on", module.path.display(), module.address)
    };
    modules.iter().flat_map(|module| [String::from("-device"), device(module)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_address_and_size_and_is_loaded_once() {
        let source = "a <MODULE(x)> b <MODULE(y)> c <MODULE(x)> d <MODULE(x@2)>";
        let (text, placed) = place_with(source, |name| Ok((name.into(), 0x20_0001))).unwrap();
        assert_eq!(
            text,
            "a <0x0 0x50000000 0x0 0x200001> b <0x0 0x50400000 0x0 0x200001> \
             c <0x0 0x50000000 0x0 0x200001> d <0x0 0x50800000 0x0 0x200001>"
        );
        assert_eq!(placed.len(), 3);
        assert_eq!(arguments(&placed)[1], "loader,file=x,addr=0x50000000,force-raw=on");
        assert!(place_with("MODULE(x", |name| Ok((name.into(), 1))).is_err());
    }
}
