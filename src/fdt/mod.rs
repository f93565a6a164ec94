//! Reading a device tree that nobody has vouched for.
//!
//! Decides what the bytes from the boot loader mean: nodes with paths, properties with typed values, registers
//! as the CPU addresses them, interrupts as the GIC numbers them. It trusts nothing: [`Tree::parse`] checks the
//! blob once and strictly, and from then on walking it cannot fail. It refuses blobs that are damaged, deeper
//! than 32 nodes or larger than 2 MiB.
//!
//! A tree lives in the blob it was read from: neither checking nor walking needs a heap. A [`Node`] borrows its
//! parent, so it always knows its path and what it inherits (cell sizes, interrupt parent). A search is one pass over
//! the tree, and so is going from a node to its child, at worst: what lies between is stepped over. The first children of the
//! root are noted while the tree is checked, and the node that a phandle led to last is remembered.
#![forbid(unsafe_code)]

use core::cell::Cell;

mod check;
mod irq;
mod node;
mod prop;
mod reg;
#[cfg(test)]
mod tests;
mod token;
pub mod write;

use check::Top;
pub use check::{FdtError, HEADER, MAX_DEPTH, MAX_NAME, MAX_SIZE, claimed_size};
pub use irq::{GIC_V2, GIC_V3, IrqError};
pub use node::{Cells, Node};
pub use prop::{Prop, ValueError};
pub use reg::{RegEntry, RegError};
use token::{Bare, Place};

/// A checked device tree.
#[derive(Clone)]
pub struct Tree<'a> {
    /// In cells, big-endian, at which everything in it begins.
    structs: &'a [u32],
    names: &'a [u8],
    reservations: &'a [u8],
    top: Top,
    /// The phandle that was looked for last, and its node. Nearly always it is the interrupt controller's.
    controller: Cell<Option<(u32, Place)>>,
}

impl<'a> Tree<'a> {
    /// Checks a blob without reading it and returns the length it claims. Needs no heap.
    ///
    /// # Errors
    /// Whatever keeps it from being a usable device tree.
    pub fn validate(blob: &[u8]) -> Result<usize, FdtError> {
        check::check(blob).map(|layout| layout.total)
    }

    /// Checks a blob and reads it from then on. Bytes behind the length in its header are ignored. The blob lies at a
    /// multiple of 4, as boot loaders and allocators have it.
    ///
    /// # Errors
    /// Whatever keeps it from being a usable device tree.
    pub fn parse(blob: &'a [u8]) -> Result<Self, FdtError> {
        let layout = check::check(blob)?;
        let part = |range| blob.get(range).unwrap_or_default();
        Ok(Self {
            structs: check::cells(part(layout.structs)).unwrap_or_default(),
            names: part(layout.strings),
            reservations: part(layout.reservations),
            top: layout.top,
            controller: Cell::new(None),
        })
    }

    /// The entries of the memory reservation block: address and size as they stand there.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.reservations.chunks_exact(16).filter_map(|entry| {
            let (address, size) = entry.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*address), u64::from_be_bytes(size.try_into().ok()?)))
        })
    }

    /// The root node. A checked tree has one.
    #[must_use]
    pub fn root(&self) -> Option<Node<'_, '_>> {
        Some(Node::root(self.next_node(&mut 0, 0)?))
    }

    /// Offers every node to `visit`, parents before children, in tree order, until it answers with something.
    pub fn find_map<R>(&self, mut visit: impl FnMut(&Node<'_, '_>) -> Option<R>) -> Option<R> {
        let mut found = None;
        let _ = node::search(&self.root()?, &mut |node| {
            found = visit(node);
            found.is_some()
        });
        found
    }

    /// Hands the node at `path` to `visit`. The path is absolute or an alias; a component without unit address
    /// stands for the first node of that name.
    pub fn at<R>(&self, path: &str, visit: impl FnOnce(&Node<'_, '_>) -> R) -> Option<R> {
        let path = if path.starts_with('/') { path } else { self.alias(path)? };
        let (mut visit, mut answer) = (Some(visit), None);
        node::descend(&self.root()?, path.strip_prefix('/')?, &mut |node| {
            answer = visit.take().map(|visit| visit(node));
        });
        answer
    }

    /// What an alias stands for.
    #[must_use]
    pub fn alias(&self, name: &str) -> Option<&str> {
        self.root()?.child("aliases")?.prop(name)?.str().ok()
    }

    /// Where the names of the first children of the root are, in cells.
    fn top(&self) -> &[u32] {
        self.top.names.get(..self.top.count).unwrap_or_default()
    }

    /// The node with this phandle, without its ancestors.
    fn by_phandle(&self, phandle: u32) -> Option<Bare<'_>> {
        if let Some((known, place)) = self.controller.get()
            && known == phandle
        {
            return Some(self.node_at(place));
        }
        let mut at = 0;
        loop {
            match self.next_node(&mut at, 0) {
                Some(node) if node.has_phandle(phandle) => {
                    self.controller.set(Some((phandle, node.place())));
                    return Some(node);
                }
                Some(_) => {}
                None => at = self.behind_end(at)?,
            }
        }
    }

    /// The name of the node with this phandle.
    #[must_use]
    pub fn name_of_phandle(&self, phandle: u32) -> Option<&str> {
        self.by_phandle(phandle).map(Bare::name)
    }
}
