//! The structure block of a checked blob, token by token.
//!
//! [`super::check`] has seen every token, length and offset, so what does not fit here cannot come up; it ends the walk.
//! Places are counted in cells, which is what tokens, names and values begin at.
//!
//! A walk copies nothing, and of what it steps over it reads no more than it must: a boot steps over ten thousand tokens.

use super::Tree;
use super::check::{BEGIN_NODE, END_NODE, NOP, PROP};
use super::prop::{Prop, text};

// Tokens as they stand in the tree.
const BEGIN: u32 = BEGIN_NODE.to_be();
const END: u32 = END_NODE.to_be();
const PROPERTY: u32 = PROP.to_be();
const NOTHING: u32 = NOP.to_be();

impl<'a> Tree<'a> {
    /// The structure block from `at` on.
    #[inline(always)]
    fn cells(&self, at: usize) -> &'a [u32] {
        self.structs.get(at..).unwrap_or_default()
    }

    /// The same in bytes.
    fn bytes(&self, at: usize) -> &'a [u8] {
        bytemuck::cast_slice(self.cells(at))
    }

    /// The next node that begins at `at` or behind, `depth` levels above: past the ends of so many nodes, but not of one
    /// more. Moves `at` into it; or, if there is none, to the end of the node that it is looked for in.
    pub(super) fn next_node(&self, at: &mut usize, mut depth: usize) -> Option<Bare<'_>> {
        let mut here = *at;
        let found = loop {
            // Most tokens are properties.
            while let [PROPERTY, size, _, ..] = self.cells(here) {
                here += property(*size);
            }
            match self.cells(here) {
                [NOTHING, ..] => here += 1,
                [BEGIN, ..] => {
                    let node = self.node_named(here + 1);
                    here = node.inside();
                    if depth == 0 {
                        break Some(node);
                    }
                    depth += 1;
                }
                [END, ..] if depth > 0 => {
                    here += 1;
                    depth -= 1;
                }
                _ => break None,
            }
        };
        *at = here;
        found
    }

    /// Whether the node whose name begins at `at` is called `name`, with or without its own unit address.
    pub(super) fn is_called(&self, at: u32, name: &str) -> bool {
        let own = self.bytes(at as usize);
        begins(own, name)
            && match own.get(name.len()) {
                Some(0) => true,
                Some(b'@') => !name.contains('@'),
                _ => false,
            }
    }

    /// The node whose name begins at `name`.
    #[inline(always)]
    pub(super) fn node_named(&self, name: usize) -> Bare<'_> {
        let mut inside = name;
        while let Some(word) = self.structs.get(inside) {
            inside += 1;
            if ends(*word) {
                break;
            }
        }
        self.node_at(Place { name: name as u32, inside: inside as u32 })
    }

    /// The node that was found there.
    pub(super) fn node_at(&self, place: Place) -> Bare<'_> {
        Bare { tree: self, place }
    }

    /// Behind the end of a node, if `at` is one.
    pub(super) fn behind_end(&self, at: usize) -> Option<usize> {
        matches!(self.cells(at), [END, ..]).then_some(at + 1)
    }
}

/// How many cells a property takes, by the cell with its length.
#[inline(always)]
const fn property(size: u32) -> usize {
    (u32::from_be(size) as usize + 15) / 4
}

/// Whether `own` begins with `name`. Most differ in the first byte already.
fn begins(own: &[u8], name: &str) -> bool {
    own.first() == name.as_bytes().first() && own.starts_with(name.as_bytes())
}

/// Whether one of the four bytes is 0: what is borrowed from their highest bits, which ASCII has not.
const fn ends(word: u32) -> bool {
    word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080 != 0
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
        self.tree.is_called(self.place.name, name)
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
        loop {
            match tree.cells(self.at) {
                [PROPERTY, size, name, ..] => {
                    let at = self.at;
                    self.at += property(*size);
                    return Some(BareProp { tree, at, size: *size, name: *name });
                }
                [NOTHING, ..] => self.at += 1,
                _ => return None,
            }
        }
    }
}

/// A property at whose name and value nobody has looked.
#[derive(Clone, Copy)]
pub(super) struct BareProp<'t> {
    tree: &'t Tree<'t>,
    at: usize,
    /// The length of its value, and where its name is, as they stand there.
    size: u32,
    name: u32,
}

impl<'t> BareProp<'t> {
    /// The strings block from its name on.
    #[inline(always)]
    fn bytes(self) -> &'t [u8] {
        self.tree.names.get(u32::from_be(self.name) as usize..).unwrap_or_default()
    }

    /// Whether this is its name.
    pub(super) fn is_called(self, name: &str) -> bool {
        let own = self.bytes();
        own.get(name.len()) == Some(&0) && begins(own, name)
    }

    /// The first cell of its value.
    pub(super) fn cell(self) -> Option<u32> {
        let cell = *self.tree.structs.get(self.at + 3)?;
        (u32::from_be(self.size) >= 4).then_some(u32::from_be(cell))
    }

    /// Its value.
    pub(super) fn value(self) -> &'t [u8] {
        self.tree.bytes(self.at + 3).get(..u32::from_be(self.size) as usize).unwrap_or_default()
    }

    /// The property with its name.
    pub(super) fn prop(self) -> Prop<'t> {
        Prop { name: text(self.bytes()).unwrap_or_default(), value: self.value() }
    }
}
