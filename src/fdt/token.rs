//! The structure block of a checked blob, token by token.
//!
//! [`super::check`] has seen every token, length and offset, so what does not fit here cannot come up; it ends the walk.
//! A walk copies nothing and looks at a name only where it is asked for: a boot looks up a thousand properties.

use super::Tree;
use super::check::{BEGIN_NODE, END_NODE, NOP, PROP, align4, cell_at};
use super::prop::Prop;

/// Something in the structure block.
pub(super) enum Token<'t> {
    /// A node begins; what is inside follows.
    Begin(Bare<'t>),
    /// The node ends that was begun last.
    End,
    /// A property of that node.
    Prop(BareProp<'t>),
}

/// The tokens from some place on. (Places are offsets, which take a quarter of what slices take: nodes are moved a lot.)
#[derive(Clone, Copy)]
pub(super) struct Tokens<'t> {
    tree: &'t Tree<'t>,
    at: usize,
}

impl<'t> Tokens<'t> {
    /// The whole structure block.
    pub(super) fn of(tree: &'t Tree<'t>) -> Self {
        Self { tree, at: 0 }
    }

    // A boot reads a hundred thousand cells: too many for a call each.
    #[inline(always)]
    fn cell(&mut self) -> Option<u32> {
        let cell = cell_at(self.tree.structs, self.at)?;
        self.at = self.at.saturating_add(4);
        Some(cell)
    }

    /// Goes behind the end of the node whose properties and children come next.
    fn leave(&mut self) {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next() {
                Some(Token::Begin(_)) => depth = depth.saturating_add(1),
                Some(Token::End) => depth = depth.saturating_sub(1),
                Some(Token::Prop(_)) => {}
                None => return,
            }
        }
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        loop {
            match self.cell()? {
                NOP => {}
                END_NODE => return Some(Token::End),
                BEGIN_NODE => {
                    let name = self.at;
                    let length = self.tree.structs.get(name..)?.iter().position(|byte| *byte == 0)?;
                    self.at = align4(name.saturating_add(length).saturating_add(1));
                    let [name, inside] = [name, self.at].map(|at| at as u32);
                    return Some(Token::Begin(Bare { tree: self.tree, name, inside }));
                }
                PROP => {
                    let (length, name) = (self.cell()?, self.cell()?);
                    let value = self.at;
                    self.at = align4(value.saturating_add(length as usize));
                    return Some(Token::Prop(BareProp {
                        tree: self.tree,
                        name,
                        value: value as u32,
                        length,
                    }));
                }
                _ => return None,
            }
        }
    }
}

/// A node that knows nothing above itself.
#[derive(Clone, Copy)]
pub(super) struct Bare<'t> {
    tree: &'t Tree<'t>,
    name: u32,
    /// What comes behind the name.
    inside: u32,
}

impl<'t> Bare<'t> {
    /// The tree it belongs to.
    pub(super) fn tree(self) -> &'t Tree<'t> {
        self.tree
    }

    /// The structure block from its name on.
    fn bytes(self) -> &'t [u8] {
        self.tree.structs.get(self.name as usize..).unwrap_or_default()
    }

    /// Its name with the unit address; the root's is empty.
    pub(super) fn name(self) -> &'t str {
        text(self.bytes())
    }

    /// Whether it is called `name`, with or without its own unit address.
    pub(super) fn is_called(self, name: &str) -> bool {
        match self.bytes().strip_prefix(name.as_bytes()).and_then(<[u8]>::first) {
            Some(0) => true,
            Some(b'@') => !name.contains('@'),
            _ => false,
        }
    }

    fn tokens(self) -> Tokens<'t> {
        Tokens { tree: self.tree, at: self.inside as usize }
    }

    /// Its properties.
    pub(super) fn props(self) -> impl Iterator<Item = BareProp<'t>> + use<'t> {
        let mut tokens = self.tokens();
        core::iter::from_fn(move || match tokens.next()? {
            Token::Prop(prop) => Some(prop),
            _ => None,
        })
    }

    /// The property of this name.
    pub(super) fn prop(self, name: &str) -> Option<Prop<'t>> {
        self.props().find(|prop| prop.is_called(name)).map(BareProp::prop)
    }

    /// Its children.
    pub(super) fn children(self) -> impl Iterator<Item = Bare<'t>> + use<'t> {
        let mut tokens = self.tokens();
        core::iter::from_fn(move || {
            loop {
                match tokens.next()? {
                    Token::Prop(_) => {}
                    Token::End => return None,
                    Token::Begin(child) => {
                        tokens.leave();
                        return Some(child);
                    }
                }
            }
        })
    }

    /// Its phandle (`phandle`, or the older `linux,phandle`). 0 and 0xffffffff name nothing.
    pub(super) fn phandle(self) -> Option<u32> {
        let own = self.props().find(|prop| prop.is_called("phandle") || prop.is_called("linux,phandle"))?;
        cell_at(own.prop().value, 0).filter(|phandle| *phandle != 0 && *phandle != u32::MAX)
    }
}

/// A property at whose name and value nobody has looked.
#[derive(Clone, Copy)]
pub(super) struct BareProp<'t> {
    tree: &'t Tree<'t>,
    name: u32,
    value: u32,
    length: u32,
}

impl<'t> BareProp<'t> {
    /// The strings block from its name on.
    fn bytes(self) -> &'t [u8] {
        self.tree.names.get(self.name as usize..).unwrap_or_default()
    }

    /// Whether this is its name.
    fn is_called(self, name: &str) -> bool {
        let bytes = self.bytes();
        bytes.get(name.len()) == Some(&0) && bytes.starts_with(name.as_bytes())
    }

    /// The property with its name.
    pub(super) fn prop(self) -> Prop<'t> {
        let value = self.tree.structs.get(self.value as usize..);
        let value = value.and_then(|value| value.get(..self.length as usize)).unwrap_or_default();
        Prop { name: text(self.bytes()), value }
    }
}

/// The string at the start of `bytes`, which [`super::check`] has found printable.
fn text(bytes: &[u8]) -> &str {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    core::str::from_utf8(text).unwrap_or_default()
}
