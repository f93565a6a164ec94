//! The boards that QEMU models besides its own `virt`: their command lines, and their trees out of Debian's kernel
//! package, which is where a board's own tree comes from, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{self, Package};
use crate::firmware;

const TREES: Package = Package::Trees("6.12", "-arm64");

/// A board.
pub struct Board {
    /// QEMU's arguments; the console of its tree is on the last serial line.
    pub machine: &'static [&'static str],
    /// The file of its tree.
    pub tree: &'static str,
    /// Where modules go: RAM that neither QEMU nor the firmware uses.
    pub modules: u64,
}

/// Raspberry Pi 4: four Cortex-A72 that spin, a GIC-400, and for a console the mini UART, the second serial line.
pub const RPI4: Board = Board {
    machine: &["-M", "raspi4b", "-serial", "null"],
    tree: "bcm2711-rpi-4-b.dtb",
    modules: 0x1000_0000,
};

/// ZCU102: four Cortex-A53 behind PSCI, a GIC-400 whose pages are repeated, and a Cadence UART.
pub const ZCU102: Board = Board {
    machine: &["-M", "xlnx-zcu102,virtualization=on", "-audio", "none", "-smp", "4", "-m", "2G"],
    tree: "zynqmp-zcu102-rev1.0.dtb",
    modules: 0x1000_0000,
};

/// Downloads everything that boards need, and says what is there.
pub fn fetch() -> Result<(), String> {
    for board in [&RPI4, &ZCU102] {
        println!("tree: {}", board.base()?.display());
    }
    for (name, file) in [
        ("U-Boot for virt", firmware::uboot_virt as fn() -> _),
        ("U-Boot for rpi4", firmware::uboot_rpi4),
        ("TF-A for rpi4", firmware::bl31_rpi4),
    ] {
        println!("{name}: {}", file()?.display());
    }
    Ok(())
}

/// The board that QEMU is to model with these arguments, if it is one.
pub fn of(machine: &[&str]) -> Option<&'static Board> {
    let model = machine.iter().skip_while(|argument| **argument != "-M").nth(1)?.split(',').next()?;
    [&RPI4, &ZCU102].into_iter().find(|board| board.model() == model)
}

/// Whether the QEMU that is installed has a machine like `board`; if not, what is to be done.
///
/// # Errors
///
/// Which version there is, and which is needed.
pub fn possible(board: &Board) -> Result<(), String> {
    let model = board.model();
    let machines = debian::output(Command::new("qemu-system-aarch64").args(["-M", "help"]))?;
    if has(&machines, model) {
        return Ok(());
    }
    let version = debian::output(Command::new("qemu-system-aarch64").arg("--version"))?;
    Err(lacks(model, &version))
}

/// Whether a list of machines, one to a line, has `model`.
fn has(machines: &str, model: &str) -> bool {
    machines.lines().any(|line| line.split_whitespace().next() == Some(model))
}

fn lacks(model: &str, version: &str) -> String {
    let version = version.split_whitespace().nth(3).unwrap_or("of an unknown version");
    format!("QEMU {version} has no machine {model}: version 9 or newer is needed (`make setup` installs it)")
}

impl Board {
    /// QEMU's name of the machine.
    fn model(&self) -> &'static str {
        self.machine.get(1).and_then(|model| model.split(',').next()).unwrap_or_default()
    }

    /// Its tree, downloaded if it is not there.
    pub fn base(&self) -> Result<PathBuf, String> {
        let place = debian::unpacked(TREES, "boards")?;
        find(&place, self.tree).ok_or_else(|| format!("{} is not in {}", self.tree, place.display()))
    }
}

/// The file `name` anywhere below `place`.
fn find(place: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(place).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    entries.into_iter().find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.ends_with(name).then_some(path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_qemu_is_named_with_what_it_lacks() {
        let machines = "Supported machines are:\nraspi3b     Raspberry Pi 3B\nvirt    QEMU 7.2\n";
        assert!(has(machines, "virt") && !has(machines, "raspi4b"));
        let why = lacks("raspi4b", "QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright\n");
        assert!(why.starts_with("QEMU 7.2.22 has no machine raspi4b: version 9 or newer is needed"));
    }

    #[test]
    fn a_board_is_known_by_its_model() {
        let tree = |machine: &[&str]| of(machine).map(|board| board.tree);
        assert_eq!(tree(RPI4.machine), Some(RPI4.tree));
        assert_eq!(tree(&["-m", "2G", "-M", "xlnx-zcu102,secure=on"]), Some(ZCU102.tree));
        assert!(of(&["-M", "virt,gic-version=2"]).is_none());
        assert!(of(&["-m", "1G"]).is_none());
    }
}
