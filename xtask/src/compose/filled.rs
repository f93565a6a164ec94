//! A board's tree as its firmware hands it over: with what firmware fills in.
//!
//! The Raspberry Pi's tree comes without memory, and says nothing useful about how CPUs are started. Its firmware fills
//! that in; QEMU does the same for the tree that it is given. The ZCU102's tree is complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::Machine;
use super::partition::At;
use crate::debian;

/// `tree` filled in, in a file in `place`; `memory` is the Raspberry Pi's RAM, if it is known.
pub fn tree(
    machine: &Machine,
    qemu: &[String],
    tree: &Path,
    memory: Option<&At<u64>>,
    place: &Path,
) -> Result<PathBuf, String> {
    if machine.name != "rpi4" {
        return Ok(tree.to_path_buf());
    }
    let filled = place.join("tree.filled.dtb");
    let mut arguments = qemu.to_vec();
    if let Some(model) =
        arguments.iter().position(|word| word == "-M").and_then(|at| arguments.get_mut(at + 1))
    {
        model.push_str(&format!(",dumpdtb={}", filled.display()));
    }
    let mut command = Command::new("qemu-system-aarch64");
    // It fills in a tree only for something that it boots; whatever that is, it never runs.
    command.args(arguments).args(["-display", "none", "-net", "none", "-serial", "null"]);
    debian::output(command.arg("-kernel").arg(tree).arg("-dtb").arg(tree))?;
    if let Some(memory) = memory {
        let source = debian::output(Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts"]).arg(&filled))?;
        let text = place.join("tree.filled.dts");
        let banks = format!("{source}\n/ {{ memory@0 {{ reg = {}; }}; }};\n", banks(memory.value));
        fs::write(&text, banks).map_err(|e| format!("{}: {e}", text.display()))?;
        debian::output(
            Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(&filled).arg(text),
        )?;
    }
    Ok(filled)
}

/// The RAM of a Raspberry Pi 4 as its firmware describes it: up to where the VideoCore's begins, from 1 GiB up to the
/// peripherals, and from 4 GiB on. A size has one cell, so a bank is smaller than 4 GiB.
fn banks(memory: u64) -> String {
    const GIB: u64 = 1 << 30;
    const VIDEOCORE: u64 = 0x3b40_0000;
    const PERIPHERALS: u64 = 0xfc00_0000;
    let mut banks = vec![(0, VIDEOCORE), (GIB, memory.min(PERIPHERALS))];
    banks.extend((4..8).map(|gib| (gib * GIB, memory.min((gib + 1) * GIB))));
    let banks = banks.into_iter().filter(|(start, end)| start < end);
    let cells = banks
        .map(|(start, end)| format!("<{:#x} {:#x} {:#x}>", start >> 32, start & 0xffff_ffff, end - start));
    cells.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_holes_for_the_videocore_and_the_peripherals() {
        assert_eq!(banks(1 << 30), "<0x0 0x0 0x3b400000>");
        assert_eq!(banks(2 << 30), "<0x0 0x0 0x3b400000>, <0x0 0x40000000 0x40000000>");
        assert_eq!(banks(4 << 30), "<0x0 0x0 0x3b400000>, <0x0 0x40000000 0xbc000000>");
        assert!(banks(8 << 30).ends_with(
            "<0x0 0x40000000 0xbc000000>, <0x1 0x0 0x40000000>, <0x1 0x40000000 0x40000000>, \
            <0x1 0x80000000 0x40000000>, <0x1 0xc0000000 0x40000000>"
        ));
    }
}
