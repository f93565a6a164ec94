//! The structure block of a checked blob, token by token.
//!
//! [`super::check`] has seen every token, length and offset, so what does not fit here cannot come up; it ends the walk.
//! A walk copies nothing and looks at a name only where it is asked for: a boot looks up a thousand properties.

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

/// The rest of the structure block.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'t> {
    rest: &'t [u8],
    names: &'t [u8],
}

impl<'t> Tokens<'t> {
    /// The structure block, and the strings block with the names of the properties.
    pub(super) fn new(structs: &'t [u8], names: &'t [u8]) -> Self {
        Self { rest: structs, names }
    }

    /// Takes `size` bytes and what pads them.
    #[inline(always)]
    fn take(&mut self, size: usize) -> Option<&'t [u8]> {
        let taken = self.rest.get(..size)?;
        self.rest = self.rest.get(align4(size)..)?;
        Some(taken)
    }

    // A boot reads a hundred thousand cells: too many for a call each.
    #[inline(always)]
    fn cell(&mut self) -> Option<u32> {
        let (cell, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*cell))
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
                    let length = self.rest.iter().position(|byte| *byte == 0)?;
                    let name = self.take(length.checked_add(1)?)?;
                    return Some(Token::Begin(Bare { name, inside: *self }));
                }
                PROP => {
                    let length = self.cell()? as usize;
                    let name = self.names.get(self.cell()? as usize..)?;
                    return Some(Token::Prop(BareProp { name, value: self.take(length)? }));
                }
                _ => return None,
            }
        }
    }
}

/// A node that knows nothing above itself.
#[derive(Clone, Copy)]
pub(super) struct Bare<'t> {
    /// Its name with the NUL behind.
    name: &'t [u8],
    inside: Tokens<'t>,
}

impl<'t> Bare<'t> {
    /// Its name with the unit address; the root's is empty.
    pub(super) fn name(self) -> &'t str {
        text(self.name)
    }

    /// Whether it is called `name`, with or without its own unit address.
    pub(super) fn is_called(self, name: &str) -> bool {
        match self.name.strip_prefix(name.as_bytes()).and_then(<[u8]>::first) {
            Some(0) => true,
            Some(b'@') => !name.contains('@'),
            _ => false,
        }
    }

    /// Its properties.
    pub(super) fn props(self) -> impl Iterator<Item = BareProp<'t>> + use<'t> {
        let mut tokens = self.inside;
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
        let mut tokens = self.inside;
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
        cell_at(own.value, 0).filter(|phandle| *phandle != 0 && *phandle != u32::MAX)
    }
}

/// A property whose name nobody has looked at.
#[derive(Clone, Copy)]
pub(super) struct BareProp<'t> {
    /// The strings block from its name on.
    name: &'t [u8],
    value: &'t [u8],
}

impl<'t> BareProp<'t> {
    /// Whether this is its name.
    fn is_called(self, name: &str) -> bool {
        self.name.get(name.len()) == Some(&0) && self.name.starts_with(name.as_bytes())
    }

    /// The property with its name.
    pub(super) fn prop(self) -> Prop<'t> {
        Prop { name: text(self.name), value: self.value }
    }
}

/// The string at the start of `bytes`, which [`super::check`] has found printable.
fn text(bytes: &[u8]) -> &str {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    core::str::from_utf8(text).unwrap_or_default()
}
