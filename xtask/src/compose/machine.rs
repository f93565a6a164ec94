//! The three machines that a partition can be composed for: their trees, and where things go in their memory.

use std::ops::Range;
use std::path::PathBuf;

use crate::boards::{self, Board};
use crate::trees;

use super::partition::Virt;

/// A machine.
pub struct Machine {
    /// Its name on the command line.
    pub name: &'static str,
    /// The board, if it is one.
    pub board: Option<&'static Board>,
    /// Where images of domains go: RAM that neither firmware, QEMU nor U-Boot uses, in direct boot and through U-Boot.
    pub modules: Range<u64>,
    /// Where U-Boot loads the hypervisor: at a multiple of 2 MiB, so that `booti` leaves it there.
    pub image: u64,
    /// Where U-Boot works on the tree.
    pub tree: u64,
    /// The most that its own tree claims.
    pub tree_size: u64,
    /// The file on the card that has its tree, where U-Boot has none to hand over.
    pub tree_file: Option<&'static str>,
}

const VIRT: Machine = Machine {
    name: "virt",
    board: None,
    // Up to the end of RAM, which depends on the partition; U-Boot is at its top.
    modules: 0x5000_0000..0x5000_0000,
    image: 0x4040_0000,
    tree: 0x4300_0000,
    // QEMU makes its tree 1 MiB large.
    tree_size: 0x10_0000,
    tree_file: None,
};

/// RAM ends at 948 MiB or below, where the VideoCore's begins; U-Boot is at the top of it.
const RPI4: Machine = Machine {
    name: "rpi4",
    board: Some(&boards::RPI4),
    modules: 0x1000_0000..0x3800_0000,
    image: 0x0040_0000,
    tree: 0x0a00_0000,
    tree_size: 0x4_0000,
    tree_file: None,
};

/// The low bank of RAM has 2 GiB; U-Boot is at its top, and itself begins at 0x800_0000.
const ZCU102: Machine = Machine {
    name: "zcu102",
    board: Some(&boards::ZCU102),
    modules: 0x5000_0000..0x7000_0000,
    image: 0x1800_0000,
    tree: 0x4000_0000,
    tree_size: 0x4_0000,
    tree_file: Some(boards::ZCU102.tree),
};

/// What U-Boot takes at the top of RAM: itself, its heap and its stack.
const UBOOT: u64 = 96 << 20;
const RAM_OF_VIRT: u64 = 0x4000_0000;

impl Machine {
    /// The machine called `name`.
    pub fn named(name: &str) -> Option<Self> {
        [VIRT, RPI4, ZCU102].into_iter().find(|machine| machine.name == name)
    }

    /// Where images may go, if virt is like this.
    pub fn room(&self, virt: &Virt) -> Range<u64> {
        match self.board {
            Some(_) => self.modules.clone(),
            None => self.modules.start..(RAM_OF_VIRT + virt.memory).saturating_sub(UBOOT),
        }
    }

    /// QEMU's arguments for it.
    pub fn qemu(&self, virt: &Virt, gic: u32) -> Vec<String> {
        if let Some(board) = self.board {
            return board.machine.iter().map(ToString::to_string).collect();
        }
        let model = format!("virt,virtualization=on,gic-version={gic},dtb-randomness=off");
        let (cpus, memory) = (virt.cpus.to_string(), format!("{}M", virt.memory >> 20));
        ["-M", &model, "-cpu", &virt.cpu, "-smp", &cpus, "-m", &memory].map(String::from).to_vec()
    }

    /// The file of its own tree: the board's as Debian has it, or the one that QEMU makes with these arguments.
    pub fn base(&self, qemu: &[String], name: &str) -> Result<PathBuf, String> {
        match self.board {
            Some(board) => board.base(),
            None => {
                let qemu: Vec<&str> = qemu.iter().map(String::as_str).collect();
                trees::dump(&qemu, name).map(PathBuf::from)
            }
        }
    }
}
