//! From the linked ELF file to the flat arm64 Image that boot loaders take, checked on the way.

use std::fs;
use std::process::Command;

use crate::{errata, simd};

/// The one bare-metal target.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";
/// The linked hypervisor, with its symbols.
pub const ELF: &str = "target/aarch64-unknown-none-softfloat/release/portunus";
/// Where the bootable image is left.
pub const IMAGE: &str = "target/portunus/Image";

/// The largest image that is built, in bytes. Raising it is a decision, and the commit says why.
const LARGEST: usize = 307_200;

/// Builds the hypervisor and writes `target/portunus/Image`; answers a line that says what was built.
pub fn build() -> Result<String, String> {
    let cargo =
        ["build", "--release", "--package", "portunus-image", "--target", TARGET, "--config", errata::FLAGS];
    run(Command::new("cargo").args(cargo))?;
    let image = read(ELF)?;
    let elf = fs::read(ELF).map_err(|e| format!("{ELF}: {e}"))?;
    // `.fp` is not looked at: it is boot/switch.S, which moves the guests' registers and nothing else.
    let text = section(&elf, ".text").ok_or_else(|| format!("{ELF}: no section .text"))?;
    let offences = simd::offences(text);
    if let Some(first) = offences.first() {
        return Err(format!(
            "{ELF}: {} instructions use FP or SIMD registers, which are the guests'; the first is at {first:#x}",
            offences.len()
        ));
    }
    if let Some(first) = errata::offences(text).first() {
        return Err(format!(
            "{ELF}: a multiply-accumulate right behind a memory access, at {first:#x}: Cortex-A53 erratum 835769"
        ));
    }
    fs::create_dir_all("target/portunus").map_err(|e| e.to_string())?;
    fs::write(IMAGE, &image).map_err(|e| format!("{IMAGE}: {e}"))?;
    if image.len() > LARGEST {
        return Err(format!(
            "{IMAGE}: {} bytes; at most {LARGEST} are allowed (xtask/src/image.rs)",
            image.len()
        ));
    }
    Ok(format!("{IMAGE}: {} bytes, of at most {LARGEST}", image.len()))
}

/// What the ELF file at `path` has in memory, from address 0 on.
pub fn flat(path: &str) -> Result<Vec<u8>, String> {
    let elf = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    flatten(&elf).ok_or_else(|| format!("{path}: not a 64-bit little-endian ELF file"))
}

/// The flat Image in the ELF file at `path`.
pub fn read(path: &str) -> Result<Vec<u8>, String> {
    let image = flat(path)?;
    if image.get(56..60) != Some(b"ARM\x64") {
        return Err(format!("{path}: no arm64 Image header at its start"));
    }
    Ok(image)
}

/// The memory that the image takes, `.bss` and stack included, as its header says; 1 MiB if it is not built yet.
pub fn claimed() -> u64 {
    let image = fs::read(IMAGE).ok();
    image.and_then(|image| u64_at(&image, 16)).unwrap_or(1 << 20)
}

/// Runs a command to its end; its failure is an error that quotes the command.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

/// Lays the loadable segments out at their addresses, with zeros between. The image is linked at 0.
fn flatten(elf: &[u8]) -> Option<Vec<u8>> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let headers = usize::try_from(u64_at(elf, 32)?).ok()?;
    let size = usize::from(u16_at(elf, 54)?);
    let count = usize::from(u16_at(elf, 56)?);
    let mut image = Vec::new();
    for index in 0..count {
        let header = elf.get(headers + index * size..)?;
        const PT_LOAD: u32 = 1;
        if u32::from_le_bytes(header.get(..4)?.try_into().ok()?) != PT_LOAD {
            continue;
        }
        let offset = usize::try_from(u64_at(header, 8)?).ok()?;
        let address = usize::try_from(u64_at(header, 16)?).ok()?;
        let bytes = usize::try_from(u64_at(header, 32)?).ok()?;
        if image.len() < address + bytes {
            image.resize(address + bytes, 0);
        }
        image.get_mut(address..address + bytes)?.copy_from_slice(elf.get(offset..offset + bytes)?);
    }
    Some(image)
}

/// The bytes of the section called `name`.
fn section<'elf>(elf: &'elf [u8], name: &str) -> Option<&'elf [u8]> {
    let headers = usize::try_from(u64_at(elf, 40)?).ok()?;
    let size = usize::from(u16_at(elf, 58)?);
    let header = |index: usize| elf.get(headers + index * size..);
    let bytes = |header: &[u8]| -> Option<&'elf [u8]> {
        let offset = usize::try_from(u64_at(header, 24)?).ok()?;
        elf.get(offset..)?.get(..usize::try_from(u64_at(header, 32)?).ok()?)
    };
    let names = bytes(header(usize::from(u16_at(elf, 62)?))?)?;
    (0..usize::from(u16_at(elf, 60)?)).find_map(|index| {
        let header = header(index)?;
        let at = u32::from_le_bytes(header.get(..4)?.try_into().ok()?) as usize;
        let found = names.get(at..)?.split(|byte| *byte == 0).next()? == name.as_bytes();
        found.then(|| bytes(header)).flatten()
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
