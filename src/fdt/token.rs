//! The structure block of a checked blob, token by token.
//!
//! [`super::check`] has seen every token, length and offset, so what does not fit here cannot come up; it ends the walk.
//! Places are counted in cells, which is what tokens, names and values begin at.
//!
//! A walk copies nothing, and of what it steps over it reads no more than it must: a boot steps over ten thousand tokens.

use super::Tree;
use super::check::{BEGIN_NODE, END_NODE, NOP, PROP, cell_at};
use super::prop::{Prop, text};

// Of a token, a walk looks at the last byte: `check` has seen that the others are 0.
const BEGIN: u8 = BEGIN_NODE as u8;
const END: u8 = END_NODE as u8;
const PROPERTY: u8 = PROP as u8;
const NOTHING: u8 = NOP as u8;

impl<'a> Tree<'a> {
    /// The token at `at`; 0, which is none, where there is none.
    #[inline(always)]
    fn token(&self, at: usize) -> u8 {
        if let Some([.., token]) = self.structs.get(at) { *token } else { 0 }
    }

    /// The length or offset at `at`. Its first byte is 0: trees are smaller than 16 MiB.
    #[inline(always)]
    fn size(&self, at: usize) -> usize {
        let Some([_, high, middle, low]) = self.structs.get(at) else { return 0 };
        (*high as usize) << 16 | (*middle as usize) << 8 | *low as usize
    }

    /// Where the property at `at` ends.
    #[inline(always)]
    fn behind_property(&self, at: usize) -> usize {
        at + 3 + self.size(at + 1).div_ceil(4)
    }

    /// The structure block from `at` on.
    fn bytes(&self, at: usize) -> &'a [u8] {
        self.structs.get(at..).unwrap_or_default().as_flattened()
    }

    /// The next node that begins at `at` or behind, `depth` levels above: past the ends of so many nodes, but not of one
    /// more. Moves `at` into it; or, if there is none, to the end of the node that it is looked for in.
    pub(super) fn next_node(&self, at: &mut usize, mut depth: usize) -> Option<Bare<'_>> {
        let mut here = *at;
        let found = loop {
            match self.token(here) {
                PROPERTY => here = self.behind_property(here),
                NOTHING => here += 1,
                BEGIN => {
                    let name = here + 1;
                    let words = self.structs.get(name..).unwrap_or_default();
                    let ends = |word: &[u8; 4]| matches!(word, [.., 0] | [0, ..] | [_, 0, ..] | [_, _, 0, _]);
                    here = name + 1 + words.iter().position(ends).unwrap_or_default();
                    if depth == 0 {
                        break Some(self.node_at(Place { name: name as u32, inside: here as u32 }));
                    }
                    depth += 1;
                }
                END if depth > 0 => {
                    here += 1;
                    depth -= 1;
                }
                _ => break None,
            }
        };
        *at = here;
        found
    }

    /// The node that was found there.
    pub(super) fn node_at(&self, place: Place) -> Bare<'_> {
        Bare { tree: self, place }
    }

    /// Behind the end of a node, if `at` is one.
    pub(super) fn behind_end(&self, at: usize) -> Option<usize> {
        (self.token(at) == END).then_some(at + 1)
    }
}

/// A node that knows nothing above itself.
#[derive(Clone, Copy)]
pub(super) struct Bare<'t> {
    tree: &'t Tree<'t>,
    place: Place,
}

/// Where in its tree a node is. (Two places take a quarter of what two slices take: nodes are moved a lot.)
#[derive(Clone, Copy)]
pub(super) struct Place {
    name: u32,
    /// What comes behind the name.
    inside: u32,
}

impl<'t> Bare<'t> {
    /// The tree it belongs to.
    pub(super) fn tree(self) -> &'t Tree<'t> {
        self.tree
    }

    /// Where it is.
    pub(super) fn place(self) -> Place {
        self.place
    }

    /// Its name with the unit address; the root's is empty.
    pub(super) fn name(self) -> &'t str {
        text(self.tree.bytes(self.place.name as usize)).unwrap_or_default()
    }

    /// Whether it is called `name`, with or without its own unit address.
    pub(super) fn is_called(self, name: &str) -> bool {
        let own = self.tree.bytes(self.place.name as usize);
        match own.strip_prefix(name.as_bytes()).and_then(<[u8]>::first) {
            Some(0) => true,
            Some(b'@') => !name.contains('@'),
            _ => false,
        }
    }

    /// Where its properties begin, and then its children.
    pub(super) fn inside(self) -> usize {
        self.place.inside as usize
    }

    /// Its properties.
    pub(super) fn props(self) -> Props<'t> {
        Props { tree: self.tree, at: self.inside() }
    }

    /// The property of this name.
    pub(super) fn prop(self, name: &str) -> Option<BareProp<'t>> {
        self.props().find(|prop| prop.is_called(name))
    }

    /// Its phandle (`phandle`, or the older `linux,phandle`). 0 and 0xffffffff name nothing.
    pub(super) fn phandle(self) -> Option<u32> {
        let (new, old) = (self.prop("phandle"), self.prop("linux,phandle"));
        let old_is_first = old.is_some_and(|old| new.is_none_or(|new| old.at < new.at));
        (if old_is_first { old } else { new })?.cell().filter(|phandle| *phandle != 0 && *phandle != u32::MAX)
    }

    /// Whether this is its phandle. Few properties have the value that is looked for, and fewer the name.
    pub(super) fn has_phandle(self, phandle: u32) -> bool {
        self.props().any(|prop| prop.cell() == Some(phandle)) && self.phandle() == Some(phandle)
    }
}

/// The properties of a node.
pub(super) struct Props<'t> {
    tree: &'t Tree<'t>,
    at: usize,
}

impl<'t> Iterator for Props<'t> {
    type Item = BareProp<'t>;

    #[inline(always)]
    fn next(&mut self) -> Option<BareProp<'t>> {
        let tree = self.tree;
        while tree.token(self.at) == NOTHING {
            self.at += 1;
        }
        let at = self.at;
        if tree.token(at) != PROPERTY {
            return None;
        }
        self.at = tree.behind_property(at);
        Some(BareProp { tree, at })
    }
}

/// A property at whose name and value nobody has looked.
#[derive(Clone, Copy)]
pub(super) struct BareProp<'t> {
    tree: &'t Tree<'t>,
    at: usize,
}

impl<'t> BareProp<'t> {
    /// The strings block from its name on.
    #[inline(always)]
    fn bytes(self) -> &'t [u8] {
        self.tree.names.get(self.tree.size(self.at + 2)..).unwrap_or_default()
    }

    /// Whether this is its name.
    pub(super) fn is_called(self, name: &str) -> bool {
        let own = self.bytes();
        own.get(name.len()) == Some(&0) && own.starts_with(name.as_bytes())
    }

    /// The first cell of its value.
    pub(super) fn cell(self) -> Option<u32> {
        cell_at(self.value(), 0)
    }

    /// Its value.
    pub(super) fn value(self) -> &'t [u8] {
        self.tree.bytes(self.at + 3).get(..self.tree.size(self.at + 1)).unwrap_or_default()
    }

    /// The property with its name.
    pub(super) fn prop(self) -> Prop<'t> {
        Prop { name: text(self.bytes()).unwrap_or_default(), value: self.value() }
    }
}
