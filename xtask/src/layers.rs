//! The first law of the house: the library decides, the binary touches.
//!
//! Registers, MMIO and assembly live in `boot/`, `src/arch/` and `src/platform/`. The rest of what is bare metal
//! (`src/main.rs`, `src/boot.rs`, `src/heap.rs`, `src/build/`, `src/machine.rs`, `src/run/`, `src/trap/`) may call them;
//! the library may not. A file has one idea, so it stays below 500 lines. Text matching is crude and therefore hard to
//! argue with.

use std::fs;
use std::path::{Path, PathBuf};

const TOUCHING: [&str; 5] = ["core::arch", "asm!(", "read_volatile", "write_volatile", "aarch64_cpu::"];
const CALLING: [&str; 4] = ["crate::arch", "crate::platform", "portunus_machine", "portunus_trap"];
const LONGEST_FILE: usize = 500;

/// Checks every Rust file below `src/`; answers how many there are, or all offences.
pub fn check() -> Result<usize, String> {
    let mut files = Vec::new();
    collect(Path::new("src"), &mut files).map_err(|e| format!("src: {e}"))?;
    let mut offences = Vec::new();
    for path in &files {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        inspect(path, &text, &mut offences);
    }
    if offences.is_empty() { Ok(files.len()) } else { Err(offences.join("\n")) }
}

fn inspect(path: &Path, text: &str, offences: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        offences.push(format!("{}: {lines} lines, more than {LONGEST_FILE}: split it", path.display()));
    }
    unsafe_without_argument(path, text, offences);
    if may_touch(path) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let calling = if is_bare_metal(path) { &[][..] } else { &CALLING[..] };
        for word in TOUCHING.iter().chain(calling).filter(|word| code.contains(**word)) {
            offences.push(format!("{}:{}: `{word}` outside arch/ and platform/", path.display(), number + 1));
        }
    }
}

/// Every `unsafe` block and implementation is argued in the lines just above it.
fn unsafe_without_argument(path: &Path, text: &str, offences: &mut Vec<String>) {
    const NEAR: usize = 6;
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let is_block = ["unsafe {", "unsafe impl"].iter().any(|word| code.contains(word));
        let above = lines.get(number.saturating_sub(NEAR)..=number).unwrap_or_default();
        if is_block && !above.iter().any(|line| line.contains("SAFETY")) {
            offences.push(format!("{}:{}: `unsafe` without a SAFETY comment", path.display(), number + 1));
        }
    }
}

fn may_touch(path: &Path) -> bool {
    ["src/arch", "src/platform"].iter().any(|room| path.starts_with(room))
}

fn is_bare_metal(path: &Path) -> bool {
    let rooms =
        ["src/main.rs", "src/boot.rs", "src/heap.rs", "src/build", "src/machine.rs", "src/run", "src/trap"];
    rooms.iter().any(|room| path.starts_with(room))
}

fn collect(room: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(room)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assembly_in_the_library_is_an_offence_and_in_arch_is_not() {
        let mut offences = Vec::new();
        inspect(Path::new("src/vgic/mod.rs"), "fn f() { core::arch::asm!(\"nop\") }", &mut offences);
        assert_eq!(offences.len(), 2);
        offences.clear();
        inspect(Path::new("src/arch/aarch64/mod.rs"), "core::arch::asm!(\"nop\")", &mut offences);
        assert!(offences.is_empty());
    }

    #[test]
    fn unsafe_is_argued() {
        let mut offences = Vec::new();
        inspect(Path::new("src/a.rs"), "// SAFETY: it is.\nunsafe { f() };", &mut offences);
        assert!(offences.is_empty());
        inspect(Path::new("src/a.rs"), "unsafe { f() };", &mut offences);
        assert_eq!(offences.len(), 1);
    }

    #[test]
    fn a_comment_may_speak_of_assembly() {
        let mut offences = Vec::new();
        inspect(Path::new("src/lib.rs"), "// asm!( lives elsewhere", &mut offences);
        assert!(offences.is_empty());
    }
}
