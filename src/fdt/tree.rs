//! Nodes with their paths, and the values of their properties.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fdt::node::FdtNode;

use super::validate::{Blocks, FdtError, validate};
use crate::addr::{Pa, PaSpan};

/// A validated device tree. It borrows the blob; nothing of it is copied.
pub struct Tree<'a> {
    fdt: fdt::Fdt<'a>,
    reservations: Vec<PaSpan>,
}

/// How many 32-bit cells an address and a size take in a node's children (`#address-cells`, `#size-cells`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// Cells of an address.
    pub address: usize,
    /// Cells of a size.
    pub size: usize,
}

/// A node and where it is.
#[derive(Clone)]
pub struct Node<'t, 'a> {
    node: FdtNode<'t, 'a>,
    path: String,
    /// In force for this node's own `reg`.
    cells: Cells,
    /// In force for its children.
    child_cells: Cells,
    /// How addresses of this node's own bus become physical.
    bus: Bus,
}

/// How the addresses on a bus become physical ones.
#[derive(Clone)]
enum Bus {
    /// They are physical: the root, or an empty `ranges` all the way.
    Physical,
    /// `ranges`: bus address, physical address, size.
    Windows(Vec<(u64, u64, u64)>),
    /// No `ranges`: addresses mean something else, such as a CPU number.
    Opaque,
}

impl Bus {
    fn translate(&self, address: u64, size: u64) -> Option<u64> {
        match self {
            Self::Physical => Some(address),
            Self::Opaque => None,
            Self::Windows(windows) => windows.iter().find_map(|(bus, physical, length)| {
                let offset = address.checked_sub(*bus)?;
                let left = length.checked_sub(offset)?;
                (size <= left).then(|| physical.checked_add(offset)).flatten()
            }),
        }
    }
}

impl<'a> Tree<'a> {
    /// Validates `blob`, removes NOP tokens from it, and reads it.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the blob.
    pub fn parse(blob: &'a mut [u8]) -> Result<Self, FdtError> {
        let blocks = validate(blob)?;
        let blob: &'a [u8] = blob;
        let fdt = fdt::Fdt::new(blob).map_err(|_| FdtError::BadSize(0))?;
        Ok(Self { fdt, reservations: reservations(blob, &blocks) })
    }

    /// The memory reservation block, empty entries left out.
    #[must_use]
    pub fn reservations(&self) -> &[PaSpan] {
        &self.reservations
    }

    /// The root node.
    #[must_use]
    pub fn root(&self) -> Option<Node<'_, 'a>> {
        // A validated tree has exactly one root, with an empty name.
        let node = self.fdt.find_node("/")?;
        let cells = Cells { address: 2, size: 1 };
        let mut root = Node { node, path: String::new(), cells, child_cells: cells, bus: Bus::Physical };
        root.child_cells = root.cells_or(cells);
        Some(root)
    }

    /// The node at an absolute path. A name without unit address matches one with it.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Node<'_, 'a>> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(self.root()?, |node, name| node.child(name))
    }

    /// The node that `reference` names: a path, or an alias; what follows a colon is an option and not looked at.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<Node<'_, 'a>> {
        let name = reference.split(':').next()?;
        if name.starts_with('/') {
            return self.find(name);
        }
        let path = self.find("/aliases")?.text(name)?;
        path.starts_with('/').then(|| self.find(path)).flatten()
    }
}

fn reservations(blob: &[u8], blocks: &Blocks) -> Vec<PaSpan> {
    let double = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    blob.get(blocks.reservations..)
        .unwrap_or_default()
        .chunks_exact(16)
        .map_while(|entry| {
            let (address, size) = entry.split_at_checked(8)?;
            let entry = (double(address)?, double(size)?);
            (entry != (0, 0)).then_some(entry)
        })
        .filter(|(_, size)| *size != 0)
        .filter_map(|(address, size)| PaSpan::new(Pa::new(address), size))
        .collect()
}

impl<'t, 'a> Node<'t, 'a> {
    /// Absolute path; "/" for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        if self.path.is_empty() { "/" } else { &self.path }
    }

    /// Name with unit address.
    #[must_use]
    pub fn name(&self) -> &str {
        self.node.name
    }

    /// Name without unit address.
    #[must_use]
    pub fn base_name(&self) -> &str {
        self.node.name.split('@').next().unwrap_or_default()
    }

    /// The nodes directly below, in tree order.
    pub fn children(&self) -> impl Iterator<Item = Node<'t, 'a>> + use<'t, 'a> {
        let (path, cells, bus) = (self.path.clone(), self.child_cells, self.child_bus());
        self.node.children().map(move |node| {
            let path = format!("{path}/{}", node.name);
            let mut child = Node { node, path, cells, child_cells: cells, bus: bus.clone() };
            // What a node does not say it inherits, as Xen has it.
            child.child_cells = child.cells_or(cells);
            child
        })
    }

    /// The first child with this name; a name without unit address matches one with it.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Node<'t, 'a>> {
        self.children().find(|child| child.name() == name || child.base_name() == name)
    }

    /// The bytes of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        self.node.property(name).map(|property| property.value)
    }

    /// A property as text: the first NUL-terminated string in it.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.property(name)?;
        core::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
    }

    /// The first cell of a property, if it has one.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        self.property(name)?.first_chunk().map(|cell| u32::from_be_bytes(*cell))
    }

    /// All cells of a property.
    #[must_use]
    pub fn cells(&self, name: &str) -> Option<Vec<u32>> {
        Some(self.property(name)?.chunks_exact(4).filter_map(|cell| super::validate::word(cell, 0)).collect())
    }

    /// Whether one of the `compatible` strings is `wanted`; case does not matter, as in Xen.
    #[must_use]
    pub fn is_compatible(&self, wanted: &str) -> bool {
        let strings = self.property("compatible").unwrap_or_default();
        strings.split(|byte| *byte == 0).any(|string| string.eq_ignore_ascii_case(wanted.as_bytes()))
    }

    /// Whether the node is in use: `status` is absent, "okay" or "ok".
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.property("status").is_none() || matches!(self.text("status"), Some("okay" | "ok"))
    }

    /// `reg` as physical ranges, translated through the `ranges` of every bus above. An entry that has no
    /// physical address is left out.
    #[must_use]
    pub fn reg(&self) -> Vec<PaSpan> {
        let entries = self.reg_entries();
        entries
            .into_iter()
            .filter_map(|(address, size)| PaSpan::new(Pa::new(self.bus.translate(address, size)?), size))
            .collect()
    }

    /// `reg` as it stands: address and size of every entry, on the node's own bus.
    #[must_use]
    pub fn reg_entries(&self) -> Vec<(u64, u64)> {
        let Cells { address, size } = self.cells;
        let cells = self.cells("reg").unwrap_or_default();
        let width = address + size;
        if width == 0 {
            return Vec::new();
        }
        cells
            .chunks_exact(width)
            .filter_map(|entry| {
                let (address, size) = entry.split_at_checked(address)?;
                Some((join(address)?, join(size)?))
            })
            .collect()
    }

    /// `#address-cells` and `#size-cells` of this node, where it has them.
    fn cells_or(&self, inherited: Cells) -> Cells {
        // More than four cells would be no address that anyone could read.
        let read = |name, inherited| self.number(name).map_or(inherited, |cells| cells.min(4) as usize);
        Cells {
            address: read("#address-cells", inherited.address),
            size: read("#size-cells", inherited.size),
        }
    }

    /// How the addresses of this node's children become physical.
    fn child_bus(&self) -> Bus {
        if self.path.is_empty() {
            return Bus::Physical;
        }
        let Some(ranges) = self.cells("ranges") else { return Bus::Opaque };
        if ranges.is_empty() {
            return self.bus.clone();
        }
        let (child, parent, size) = (self.child_cells.address, self.cells.address, self.child_cells.size);
        let windows = ranges.chunks_exact((child + parent + size).max(1)).filter_map(|window| {
            let (bus, rest) = window.split_at_checked(child)?;
            let (above, length) = rest.split_at_checked(parent)?;
            // PCI writes flags into the first of three cells: such a bus is not for us.
            let (bus, above, length) = (join(bus)?, join(above)?, join(length)?);
            Some((bus, self.bus.translate(above, length)?, length))
        });
        Bus::Windows(windows.collect())
    }

    /// Owned copy of [`Self::path`].
    #[must_use]
    pub fn path_string(&self) -> String {
        self.path().to_string()
    }
}

/// Cells as one number; `None` if they do not fit 64 bits.
fn join(cells: &[u32]) -> Option<u64> {
    cells.iter().try_fold(0u64, |number, cell| (number >> 32 == 0).then(|| number << 32 | u64::from(*cell)))
}
