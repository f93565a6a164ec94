//! The boards that QEMU models besides its own `virt`: their command lines, and their trees out of Debian's kernel
//! package, which is where a board's own tree comes from, too.

use std::fs;
use std::path::{Path, PathBuf};

use crate::debian::{self, Package};

const TREES: Package = Package::Trees("6.12", "-arm64");

/// A board.
pub struct Board {
    /// QEMU's arguments; the console of its tree is on the last serial line.
    pub machine: &'static [&'static str],
    /// The file of its tree.
    tree: &'static str,
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

/// The board that QEMU is to model with these arguments, if it is one.
pub fn of(machine: &[&str]) -> Option<&'static Board> {
    let model = machine.iter().skip_while(|argument| **argument != "-M").nth(1)?.split(',').next()?;
    [&RPI4, &ZCU102]
        .into_iter()
        .find(|board| board.machine.get(1).is_some_and(|own| own.split(',').next() == Some(model)))
}

impl Board {
    /// Its tree, downloaded if it is not there.
    pub fn tree(&self) -> Result<PathBuf, String> {
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
    fn a_board_is_known_by_its_model() {
        let tree = |machine: &[&str]| of(machine).map(|board| board.tree);
        assert_eq!(tree(RPI4.machine), Some(RPI4.tree));
        assert_eq!(tree(&["-m", "2G", "-M", "xlnx-zcu102,secure=on"]), Some(ZCU102.tree));
        assert!(of(&["-M", "virt,gic-version=2"]).is_none());
        assert!(of(&["-m", "1G"]).is_none());
    }
}
