//! From the linked ELF file to the arm64 Image that boot loaders take, checked and packed on the way.

use std::fs;
use std::process::Command;

use crate::{errata, simd};

/// The one bare-metal target.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";
/// The linked hypervisor, with its symbols.
pub const ELF: &str = "target/aarch64-unknown-none-softfloat/release/portunus";
/// Where the bootable image is left.
pub const IMAGE: &str = "target/portunus/Image";

/// What unpacks the hypervisor, linked.
const FRONT: &str = "target/aarch64-unknown-none-softfloat/release/portunus-unpack";

/// What the compiler is asked for, beside what `.cargo/config.toml` says. These have no stable names in rustc, which would
/// warn of that in each crate; warnings of the code itself are clippy's, which runs without this.
///
/// First, what mends a processor's [erratum](errata). Then, what makes the same source the same instructions wherever it stands, of
/// which the packed image is a tenth smaller: they stay in the order in which they were written (no scheduling, before or after
/// registers are given out), constants stay in loops, registers are taken as they come, and nothing is moved into functions
/// of its own, which the packer does better.
const FLAGS: &str = "target.aarch64-unknown-none-softfloat.rustflags = [
    '-C', 'target-feature=+fix-cortex-a53-835769,-use-postra-scheduler',
    '-C', 'llvm-args=-enable-misched=false -disable-machine-licm -regalloc=basic -enable-machine-outliner=never',
    '-A', 'warnings',
]";

/// What [`IMAGE`] was made of.
const ORIGIN: &str = "target/portunus/Image.of";

/// The largest image that is built, in bytes. Raising it is a decision, and the commit says why.
const LARGEST: u64 = 131_072;

/// Builds the hypervisor and writes `target/portunus/Image`; answers a line that says what was built.
pub fn build() -> Result<String, String> {
    let packages = ["--package", "portunus-image", "--package", "portunus-unpack"];
    let cargo = ["build", "--release", "--target", TARGET, "--config", FLAGS];
    run(Command::new("cargo").args(cargo).args(packages))?;
    write()?;
    let size = fs::metadata(IMAGE).map_err(|e| format!("{IMAGE}: {e}"))?.len();
    if size > LARGEST {
        return Err(format!("{IMAGE}: {size} bytes; at most {LARGEST} are allowed (xtask/src/image.rs)"));
    }
    Ok(format!("{IMAGE}: {size} bytes, of at most {LARGEST}, and {} unpacked", read(ELF)?.len()))
}

/// Writes the Image of what is linked, if the one that is there is not of that.
fn write() -> Result<(), String> {
    let (elf, front) = (open(ELF)?, open(FRONT)?);
    if fs::read_to_string(ORIGIN)
        .is_ok_and(|known| fs::read(IMAGE).is_ok_and(|is| known == origin(&elf, &front, &is)))
    {
        return Ok(());
    }
    check(ELF, &elf)?;
    check(FRONT, &front)?;
    // The constants begin where the first segment that is not code does.
    let constants = segments(&elf).filter(|segment| !segment.code).map(|segment| segment.address).min();
    let code = constants.ok_or_else(|| format!("{ELF}: no segment of constants"))?;
    let packed = pack(&read(ELF)?, code).map_err(|why| format!("{ELF}: {why}"))?;
    fs::create_dir_all("target/portunus").map_err(|e| e.to_string())?;
    fs::write(IMAGE, &packed).map_err(|e| format!("{IMAGE}: {e}"))?;
    fs::write(ORIGIN, origin(&elf, &front, &packed)).map_err(|e| format!("{ORIGIN}: {e}"))
}

/// What tells whether an Image is of these: packing takes seconds, and Cargo may link an older file again.
fn origin(elf: &[u8], front: &[u8], image: &[u8]) -> String {
    let program = std::env::current_exe().and_then(fs::metadata).ok();
    let program = program.map(|file| (file.len(), file.modified().ok()));
    format!("{:x?} {program:?}", [elf, front, image].map(crc32fast::hash))
}

fn open(path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{path}: {e}"))
}

/// The Image that unpacks itself to `image`, whose first `code` bytes are instructions.
pub fn pack(image: &[u8], code: usize) -> Result<Vec<u8>, String> {
    portunus_pack::image(&read(FRONT)?, image, code)
}

/// Refuses code that uses what is the guests', or that a CPU would get wrong.
fn check(path: &str, elf: &[u8]) -> Result<(), String> {
    // `.fp` is not looked at: it is boot/switch.S, which moves the guests' registers and nothing else.
    let text = section(elf, ".text").ok_or_else(|| format!("{path}: no section .text"))?;
    let offences = simd::offences(text);
    if let Some(first) = offences.first() {
        return Err(format!(
            "{path}: {} instructions use FP or SIMD registers, which are the guests'; the first is at {first:#x}",
            offences.len()
        ));
    }
    if let Some(first) = errata::offences(text).first() {
        return Err(format!(
            "{path}: a multiply-accumulate right behind a memory access, at {first:#x}: Cortex-A53 erratum 835769"
        ));
    }
    Ok(())
}

/// What the ELF file at `path` has in memory, from address 0 on.
pub fn flat(path: &str) -> Result<Vec<u8>, String> {
    let elf = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    flatten(&elf).ok_or_else(|| format!("{path}: not a 64-bit little-endian ELF file"))
}

/// The flat Image in the ELF file at `path`.
pub fn read(path: &str) -> Result<Vec<u8>, String> {
    let image = flat(path)?;
    if !is_image(&image) {
        return Err(format!("{path}: no arm64 Image header at its start"));
    }
    Ok(image)
}

/// The memory that the image takes, `.bss` and stack included, as its header says; 1 MiB if it is not built yet.
pub fn claimed() -> u64 {
    let image = fs::read(IMAGE).ok();
    image.and_then(|image| claim(&image)).unwrap_or(1 << 20)
}

/// The same of the arm64 Image in `image`, if it is one (Linux, Documentation/arch/arm64/booting.rst).
pub fn claim(image: &[u8]) -> Option<u64> {
    u64_at(image, 16).filter(|_| is_image(image))
}

fn is_image(image: &[u8]) -> bool {
    image.get(56..60) == Some(b"ARM\x64")
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
    let mut image = Vec::new();
    for segment in segments(elf) {
        let end = segment.address + segment.bytes.len();
        if image.len() < end {
            image.resize(end, 0);
        }
        image.get_mut(segment.address..end)?.copy_from_slice(segment.bytes);
    }
    Some(image)
}

/// What is loaded of an ELF file.
struct Segment<'elf> {
    address: usize,
    bytes: &'elf [u8],
    code: bool,
}

/// The loadable segments.
fn segments(elf: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    const PT_LOAD: u32 = 1;
    const PF_X: u32 = 1;
    let number = |at| u64_at(elf, at).and_then(|number| usize::try_from(number).ok());
    let headers = number(32).unwrap_or(usize::MAX);
    let size = u16_at(elf, 54).map_or(0, usize::from);
    let count = u16_at(elf, 56).map_or(0, usize::from);
    (0..count).filter_map(move |index| {
        let header = headers.checked_add(index * size)?;
        let word =
            |at: usize| Some(u32::from_le_bytes(elf.get(header + at..header + at + 4)?.try_into().ok()?));
        let bytes = elf.get(number(header + 8)?..)?.get(..number(header + 32)?)?;
        let segment = Segment { address: number(header + 16)?, bytes, code: word(4)? & PF_X != 0 };
        (word(0)? == PT_LOAD).then_some(segment)
    })
}

/// The bytes of the section called `name`.
fn section<'elf>(elf: &'elf [u8], name: &str) -> Option<&'elf [u8]> {
    contents(elf, header(elf, name)?)
}

/// The address of the section called `name`.
pub fn address(elf: &[u8], name: &str) -> Option<usize> {
    usize::try_from(u64_at(header(elf, name)?, 16)?).ok()
}

/// The header of the section called `name`.
fn header<'elf>(elf: &'elf [u8], name: &str) -> Option<&'elf [u8]> {
    let headers = usize::try_from(u64_at(elf, 40)?).ok()?;
    let size = usize::from(u16_at(elf, 58)?);
    let header = |index: usize| elf.get(headers + index * size..);
    let names = contents(elf, header(usize::from(u16_at(elf, 62)?))?)?;
    (0..usize::from(u16_at(elf, 60)?)).filter_map(header).find(|header| {
        let at = header
            .get(..4)
            .and_then(|at| at.try_into().ok())
            .map_or(usize::MAX, |at| u32::from_le_bytes(at) as usize);
        names.get(at..).and_then(|names| names.split(|byte| *byte == 0).next()) == Some(name.as_bytes())
    })
}

fn contents<'elf>(elf: &'elf [u8], header: &[u8]) -> Option<&'elf [u8]> {
    let offset = usize::try_from(u64_at(header, 24)?).ok()?;
    elf.get(offset..)?.get(..usize::try_from(u64_at(header, 32)?).ok()?)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
