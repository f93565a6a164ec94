//! Where the files of domains go in memory, and what they are called on a card.

use std::ops::Range;
use std::path::PathBuf;

use super::partition::File;

/// The distance between two files is a multiple of it, so that an address tells them apart at a glance.
const STEP: u64 = 0x20_0000;

/// A file with its place.
pub struct Module {
    /// Where it is here.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// Where it goes in memory.
    pub address: u64,
    /// Its name on a card.
    pub name: String,
}

/// All files of a partition, each once.
pub struct Layout {
    /// In the order in which they were named.
    pub modules: Vec<Module>,
    next: u64,
    end: u64,
}

impl Layout {
    /// Nothing yet; files go into `room`.
    pub fn new(room: &Range<u64>) -> Self {
        Self { modules: Vec::new(), next: room.start, end: room.end }
    }

    /// The number of a file: a new one, if it is not there yet.
    pub fn add(&mut self, file: &File) -> usize {
        if let Some(number) = self.modules.iter().position(|module| module.path == file.path) {
            return number;
        }
        let name = file.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        // Card names are compared without regard to case.
        let is_taken = |name: &str| self.modules.iter().any(|module| module.name.eq_ignore_ascii_case(name));
        let numbered = (1..).map(|n| if n == 1 { name.clone() } else { format!("{n}-{name}") });
        let name =
            numbered.map(|name| format!("guests/{name}")).find(|name| !is_taken(name)).unwrap_or_default();
        let module = Module { path: file.path.clone(), size: file.size, address: self.next, name };
        self.next += file.size.next_multiple_of(STEP).max(STEP);
        self.modules.push(module);
        self.modules.len() - 1
    }

    /// Address and size of a file.
    pub fn module(&self, number: usize) -> (u64, u64) {
        self.modules.get(number).map_or((0, 0), |module| (module.address, module.size))
    }

    /// By how many bytes the files are too many for their room.
    pub fn excess(&self) -> u64 {
        self.next.saturating_sub(self.end)
    }
}
