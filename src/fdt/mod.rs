//! Reading a device tree that nobody has vouched for.
//!
//! Decides what the bytes from the boot loader mean: nodes with paths, properties with typed values, registers
//! as the CPU addresses them, interrupts as the GIC numbers them. It trusts nothing: [`Tree::parse`] checks the
//! blob once and strictly, and from then on walking it cannot fail. It refuses blobs that are damaged, deeper
//! than 32 nodes or larger than 2 MiB.
//!
//! A tree lives in the blob it was read from: neither checking nor walking needs a heap. A [`Node`] borrows its
//! parent, so it always knows its path and what it inherits (cell sizes, interrupt parent). Walking costs time
//! proportional to the number of nodes times their depth.
#![forbid(unsafe_code)]

mod check;
mod irq;
mod node;
mod prop;
mod reg;
#[cfg(test)]
mod tests;

pub use check::{FdtError, MAX_DEPTH, MAX_NAME, MAX_SIZE};
pub use irq::{GIC_V2, GIC_V3, IrqError};
pub use node::{Cells, Node};
pub use prop::{Prop, ValueError};
pub use reg::{RegEntry, RegError};

/// A checked device tree.
#[derive(Debug)]
pub struct Tree<'a> {
    blob: &'a [u8],
    layout: check::Layout,
    fdt: ::fdt::Fdt<'a>,
}

impl<'a> Tree<'a> {
    /// Checks a blob without changing it and returns the length it claims. Needs no heap.
    ///
    /// # Errors
    /// Whatever keeps it from being a usable device tree.
    pub fn validate(blob: &[u8]) -> Result<usize, FdtError> {
        check::check(blob).map(|layout| layout.total)
    }

    /// Checks a blob and takes it over. NOP tokens are removed in place, so the blob must be a private copy.
    /// Bytes behind the length in its header are ignored.
    ///
    /// # Errors
    /// Whatever keeps it from being a usable device tree; the blob is unchanged then.
    pub fn parse(blob: &'a mut [u8]) -> Result<Self, FdtError> {
        let layout = check::check(blob)?;
        let layout = check::squeeze(blob, layout);
        let length = blob.len();
        let blob: &'a [u8] =
            blob.get(..layout.total).ok_or(FdtError::Truncated { wanted: layout.total, got: length })?;
        let fdt = ::fdt::Fdt::new(blob).map_err(|_| FdtError::Block("structure"))?;
        Ok(Self { blob, layout, fdt })
    }

    /// The blob, with its NOP tokens removed.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.blob
    }

    /// The entries of the memory reservation block: address and size as they stand there.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let entries = self.blob.get(self.layout.reservations.clone()).unwrap_or(&[]);
        entries.chunks_exact(16).filter_map(|entry| {
            let (address, size) = entry.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*address), u64::from_be_bytes(size.try_into().ok()?)))
        })
    }

    /// The root node. A checked tree has one.
    #[must_use]
    pub fn root(&self) -> Option<Node<'_, '_>> {
        Some(Node::root(self, self.fdt.all_nodes().next()?))
    }

    /// Offers every node to `visit`, parents before children, in tree order, until it answers with something.
    pub fn find_map<R>(&self, mut visit: impl FnMut(&Node<'_, '_>) -> Option<R>) -> Option<R> {
        node::search(&self.root()?, &mut visit)
    }

    /// Hands the node at `path` to `visit`. The path is absolute or an alias; a component without unit address
    /// stands for the first node of that name.
    pub fn at<R>(&self, path: &str, visit: impl FnOnce(&Node<'_, '_>) -> R) -> Option<R> {
        let path = if path.starts_with('/') { path } else { self.alias(path)? };
        node::descend(&self.root()?, path.strip_prefix('/')?, visit)
    }

    /// What an alias stands for.
    #[must_use]
    pub fn alias(&self, name: &str) -> Option<&str> {
        self.root()?.child("aliases")?.prop(name)?.str().ok()
    }

    /// The node with this phandle, without its ancestors.
    pub(crate) fn by_phandle(&self, phandle: u32) -> Option<::fdt::node::FdtNode<'_, '_>> {
        self.fdt.all_nodes().find(|raw| node::phandle(*raw) == Some(phandle))
    }

    /// The name of the node with this phandle.
    #[must_use]
    pub fn name_of_phandle(&self, phandle: u32) -> Option<&str> {
        self.by_phandle(phandle).map(|raw| raw.name)
    }
}
