//! Nodes: names, paths, children and what is inherited from above.

use core::fmt::{self, Write};
use core::iter;
use core::ops::ControlFlow;

use super::prop::parts;
use super::token::{Bare, BareProp};
use super::{MAX_DEPTH, Prop, Tree};

/// How many cells an address and a size take in the `reg` of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// `#address-cells`.
    pub address: u32,
    /// `#size-cells`.
    pub size: u32,
}

impl Cells {
    /// In force where no node says otherwise (Devicetree Specification v0.4, section 2.3.5).
    pub const DEFAULT: Self = Self { address: 2, size: 1 };
}

/// A node of a checked tree. It borrows its parent, so the path up to the root is always at hand; it displays
/// as its path.
#[derive(Clone, Copy)]
pub struct Node<'p, 't> {
    bare: Bare<'t>,
    parent: Option<&'p Node<'p, 't>>,
    cells: Cells,
}

impl<'p, 't> Node<'p, 't> {
    pub(super) fn root(bare: Bare<'t>) -> Self {
        Self { bare, parent: None, cells: Cells::DEFAULT }
    }

    /// The node without what is above it.
    pub(super) fn bare(&self) -> Bare<'t> {
        self.bare
    }

    /// The tree it belongs to.
    pub(super) fn tree(&self) -> &'t Tree<'t> {
        self.bare.tree()
    }

    /// Its name with the unit address; "/" for the root.
    #[must_use]
    pub fn name(&self) -> &'t str {
        if self.parent.is_some() { self.bare.name() } else { "/" }
    }

    /// Its name without the unit address.
    #[must_use]
    pub fn base_name(&self) -> &'t str {
        let name = self.name();
        name.split_once('@').map_or(name, |(base, _)| base)
    }

    /// Whether `name` is its name, with the unit address or without it.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.bare.is_called(name)
    }

    /// The node above; the root has none.
    #[must_use]
    pub fn parent(&self) -> Option<&'p Node<'p, 't>> {
        self.parent
    }

    /// The cell sizes that its own `reg` is written in: those of the nearest ancestor that sets them. This is
    /// what Xen does; the specification knows no inheritance, but trees written for Xen rely on it.
    #[must_use]
    pub fn cells(&self) -> Cells {
        self.cells
    }

    /// The cell sizes that its children's `reg` is written in. A malformed property counts as absent.
    #[must_use]
    pub fn child_cells(&self) -> Cells {
        let own = |name| self.bare.prop(name).and_then(BareProp::cell);
        Cells {
            address: own("#address-cells").unwrap_or(self.cells.address),
            size: own("#size-cells").unwrap_or(self.cells.size),
        }
    }

    /// Its children in tree order.
    pub fn children<'s>(&'s self) -> impl Iterator<Item = Node<'s, 't>> + use<'s, 'p, 't> {
        self.children_from(self.noted())
    }

    /// The same from the first of `noted` on: the last of the children that are noted.
    fn children_from<'s>(&'s self, noted: &'t [u32]) -> impl Iterator<Item = Node<'s, 't>> + use<'s, 'p, 't> {
        let (cells, mut noted) = (self.child_cells(), noted.iter());
        let (mut at, mut depth) = (self.bare.inside(), 0);
        iter::from_fn(move || {
            let bare = match noted.next() {
                Some(name) => {
                    let bare = self.tree().node_named(*name as usize);
                    at = bare.inside();
                    Some(bare)
                }
                None => self.tree().next_node(&mut at, depth),
            };
            depth = usize::from(bare.is_some());
            Some(Node { bare: bare?, parent: Some(self), cells })
        })
    }

    /// The first child of this name; without a unit address, the first one whose name fits without its own.
    #[must_use]
    pub fn child<'s>(&'s self, name: &str) -> Option<Node<'s, 't>> {
        // The last one of those noted leads to those that are not.
        let (tree, mut noted) = (self.tree(), self.noted());
        while let [first, rest @ ..] = noted
            && !rest.is_empty()
            && !tree.is_called(*first, name)
        {
            noted = rest;
        }
        self.children_from(noted).find(|child| child.is_called(name))
    }

    /// Where the names of its first children are, if they are noted.
    fn noted(&self) -> &'t [u32] {
        if self.parent.is_none() { self.tree().top() } else { &[] }
    }

    /// Its properties in tree order.
    pub fn props(&self) -> impl Iterator<Item = Prop<'t>> + use<'t> {
        self.bare.props().map(BareProp::prop)
    }

    /// The property of this name.
    #[must_use]
    pub fn prop(&self, name: &str) -> Option<Prop<'t>> {
        self.bare.prop(name).map(BareProp::prop)
    }

    /// Whether the property exists, whatever its value: how the bindings write a boolean.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.bare.prop(name).is_some()
    }

    /// Whether `compatible` lists this string. Case does not matter, as in Linux and Xen.
    #[must_use]
    pub fn is_compatible(&self, with: &str) -> bool {
        self.is_one_of(&[with])
    }

    /// Whether `compatible` lists one of these strings.
    #[must_use]
    pub fn is_one_of(&self, with: &[&str]) -> bool {
        self.which_of(with).is_some()
    }

    /// Which of these strings comes first in `compatible`.
    #[must_use]
    pub fn which_of(&self, with: &[&str]) -> Option<usize> {
        let list = self.bare.prop("compatible")?;
        let place = |part: &[u8]| with.iter().position(|name| part.eq_ignore_ascii_case(name.as_bytes()));
        parts(list.value()).find_map(place)
    }

    /// The strings of `compatible`, most specific first.
    pub fn compatible(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.prop("compatible").into_iter().flat_map(Prop::strings)
    }

    /// Whether `status` lets the node be used: absent, "okay" or "ok".
    #[must_use]
    pub fn is_okay(&self) -> bool {
        let Some(status) = self.bare.prop("status") else { return true };
        status.value().starts_with(b"okay\0") || status.value().starts_with(b"ok\0")
    }

    /// Its phandle (`phandle`, or the older `linux,phandle`). 0 and 0xffffffff name nothing.
    #[must_use]
    pub fn phandle(&self) -> Option<u32> {
        self.bare.phandle()
    }
}

/// The path of the node.
impl fmt::Display for Node<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A list, not recursion: paths are shown while a search has the stack full of nodes.
        let mut names = [""; MAX_DEPTH];
        let mut depth = 0_usize;
        let mut node = *self;
        while let (Some(parent), Some(name)) = (node.parent, names.get_mut(depth)) {
            *name = node.name();
            depth = depth.saturating_add(1);
            node = *parent;
        }
        if depth == 0 {
            return f.write_str("/");
        }
        names.iter().take(depth).rev().try_for_each(|name| f.write_char('/').and_then(|()| f.write_str(name)))
    }
}

impl fmt::Debug for Node<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Depth-first search in one pass, until `visit` answers with true; otherwise answers the place behind the node. It recurses
/// as deep as the tree, which `check` bounds. What is done with a node is behind a pointer, because what the compiler draws
/// in would be on the stack once for each level.
pub(super) fn search<'t>(
    node: &Node<'_, 't>,
    visit: &mut dyn FnMut(&Node<'_, 't>) -> bool,
) -> ControlFlow<(), usize> {
    if visit(node) {
        return ControlFlow::Break(());
    }
    let (tree, parent, mut known) = (node.tree(), Some(node), None);
    let mut at = node.bare.inside();
    while let Some(bare) = tree.next_node(&mut at, 0) {
        // Most nodes have no children.
        let cells = *known.get_or_insert_with(|| node.child_cells());
        at = search(&Node { bare, parent, cells }, visit)?;
    }
    ControlFlow::Continue(tree.behind_end(at).unwrap_or(at))
}

/// Goes down along the components of `path`; an empty rest is the node itself.
pub(super) fn descend<'t>(node: &Node<'_, 't>, path: &str, visit: &mut dyn FnMut(&Node<'_, 't>)) {
    if path.is_empty() {
        return visit(node);
    }
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    if let Some(child) = node.child(name) {
        descend(&child, rest, visit);
    }
}
