//! A device tree that can be changed: what a U-Boot script works on, and where the values that are shown come from.
//!
//! It follows libfdt, which U-Boot uses: how paths are looked up, and that a new node comes before its siblings.

use portunus::fdt::{self, FdtError};

/// A tree.
pub struct Devtree {
    /// The reservation block.
    pub reservations: Vec<(u64, u64)>,
    /// The root.
    pub root: Node,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name with unit address; empty for the root.
    pub name: String,
    /// Its properties in tree order.
    pub props: Vec<(String, Vec<u8>)>,
    /// Its children in tree order.
    pub children: Vec<Self>,
}

impl Node {
    fn of(node: &fdt::Node<'_, '_>) -> Self {
        Self {
            name: if node.parent().is_none() { String::new() } else { node.name().to_owned() },
            props: node.props().map(|prop| (prop.name.to_owned(), prop.value.to_vec())).collect(),
            children: node.children().map(|child| Self::of(&child)).collect(),
        }
    }

    /// The value of a property.
    pub fn prop(&self, name: &str) -> Option<&[u8]> {
        self.props.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// The first string of a property.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.prop(name)?.split(|byte| *byte == 0).next()?).ok()
    }

    /// The first cell of a property.
    pub fn cell(&self, name: &str) -> Option<u32> {
        self.prop(name)?.first_chunk().copied().map(u32::from_be_bytes)
    }

    /// Sets a property; a new one comes before the others.
    pub fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.props.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.props.insert(0, (name.to_owned(), value)),
        }
    }

    /// The first child that a component of a path means: without unit address, any will do.
    fn child_index(&self, component: &str) -> Option<usize> {
        self.children.iter().position(|child| {
            child.name == component
                || (!component.contains('@') && child.name.split('@').next() == Some(component))
        })
    }
}

impl Devtree {
    /// Reads a blob.
    pub fn parse(blob: &[u8]) -> Result<Self, FdtError> {
        let tree = fdt::Tree::parse(blob)?;
        let reservations = tree.reservations().collect();
        let root = tree.root().map(|root| Node::of(&root)).unwrap_or_default();
        Ok(Self { reservations, root })
    }

    /// The names along a path, as they stand in the tree; `None` if there is no such node.
    pub fn resolve(&self, path: &str) -> Option<Vec<String>> {
        let path = match path.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => {
                let (alias, rest) = path.split_once('/').unwrap_or((path, ""));
                let aliases = self.root.children.iter().find(|child| child.name == "aliases")?;
                format!("{}/{rest}", aliases.text(alias)?.strip_prefix('/')?)
            }
        };
        let mut node = &self.root;
        let mut names = Vec::new();
        for component in path.split('/').filter(|component| !component.is_empty()) {
            node = node.children.get(node.child_index(component)?)?;
            names.push(node.name.clone());
        }
        Some(names)
    }

    /// The node at a path.
    pub fn find(&self, path: &str) -> Option<&Node> {
        self.resolve(path)?
            .iter()
            .try_fold(&self.root, |node, name| node.children.iter().find(|child| child.name == *name))
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.resolve(path)?
            .iter()
            .try_fold(&mut self.root, |node, name| node.children.iter_mut().find(|child| child.name == *name))
    }

    /// Removes the node at a path; says whether there was one.
    pub fn remove(&mut self, path: &str) -> bool {
        let Some(mut names) = self.resolve(path) else { return false };
        let Some(last) = names.pop() else { return false };
        let Some(parent) = self.find_mut(&format!("/{}", names.join("/"))) else { return false };
        parent.children.retain(|child| child.name != last);
        true
    }

    /// The label of the node at `path`, if the tree has kept labels (`dtc -@`).
    pub fn label(&self, path: &str) -> Option<&str> {
        let symbols = self.root.children.iter().find(|child| child.name == "__symbols__")?;
        let mut names = symbols.props.iter().map(|(name, _)| name.as_str());
        names.find(|name| symbols.text(name) == Some(path))
    }

    /// The path of the node with this phandle.
    pub fn by_phandle(&self, phandle: u32) -> Option<String> {
        fn search(node: &Node, path: &str, phandle: u32) -> Option<String> {
            if node.cell("phandle").or_else(|| node.cell("linux,phandle")) == Some(phandle) {
                return Some(if path.is_empty() { "/".into() } else { path.into() });
            }
            node.children.iter().find_map(|child| search(child, &format!("{path}/{}", child.name), phandle))
        }
        search(&self.root, "", phandle)
    }

    /// The tree as a blob (Devicetree Specification v0.4, chapter 5), as short as it can be.
    pub fn flatten(&self) -> Vec<u8> {
        let (mut structs, mut strings) = (Vec::new(), Vec::new());
        flatten(&self.root, &mut structs, &mut strings);
        word(&mut structs, 9);
        let structs_at = 40 + 16 * (self.reservations.len() + 1);
        let strings_at = structs_at + structs.len();
        let total = strings_at + strings.len();
        let mut blob = Vec::with_capacity(total);
        let fields = [total, structs_at, strings_at, 40, 17, 16, 0, strings.len(), structs.len()];
        word(&mut blob, 0xd00d_feed);
        fields.iter().for_each(|field| word(&mut blob, *field as u32));
        for (address, size) in self.reservations.iter().chain(&[(0, 0)]) {
            blob.extend(address.to_be_bytes());
            blob.extend(size.to_be_bytes());
        }
        blob.extend(structs);
        blob.extend(strings);
        blob
    }
}

fn word(out: &mut Vec<u8>, word: u32) {
    out.extend(word.to_be_bytes());
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn flatten(node: &Node, structs: &mut Vec<u8>, strings: &mut Vec<u8>) {
    word(structs, 1);
    structs.extend(node.name.bytes().chain([0]));
    pad(structs);
    for (name, value) in &node.props {
        word(structs, 3);
        word(structs, value.len() as u32);
        word(structs, string(strings, name));
        structs.extend(value);
        pad(structs);
    }
    node.children.iter().for_each(|child| flatten(child, structs, strings));
    word(structs, 2);
}

/// Where a name lies among the strings. The end of another one will do, as for dtc and libfdt.
fn string(strings: &mut Vec<u8>, name: &str) -> u32 {
    let bytes: Vec<u8> = name.bytes().chain([0]).collect();
    let found = strings.windows(bytes.len()).position(|window| window == bytes);
    found.unwrap_or_else(|| {
        strings.extend(&bytes);
        strings.len() - bytes.len()
    }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Devtree {
        let leaf =
            Node { name: "domU1@1".into(), props: vec![("reg".into(), vec![1, 2, 3])], ..Node::default() };
        let chosen = Node { name: "chosen".into(), children: vec![leaf], ..Node::default() };
        let aliases = Node {
            name: "aliases".into(),
            props: vec![("c".into(), b"/chosen\0".to_vec())],
            ..Node::default()
        };
        Devtree {
            reservations: vec![(0x1000, 0x2000)],
            root: Node { children: vec![aliases, chosen], ..Node::default() },
        }
    }

    #[test]
    fn what_is_flattened_is_read_again() {
        let tree = sample();
        let again = Devtree::parse(&tree.flatten()).unwrap();
        assert_eq!(again.root, tree.root);
        assert_eq!(again.reservations, tree.reservations);
    }

    #[test]
    fn paths_go_through_aliases_and_unit_addresses_may_be_left_out() {
        let mut tree = sample();
        assert_eq!(tree.resolve("/chosen/domU1").unwrap(), ["chosen", "domU1@1"]);
        assert_eq!(tree.resolve("c/domU1").unwrap(), ["chosen", "domU1@1"]);
        assert!(tree.find("/chosen/domU1@2").is_none());
        assert!(tree.remove("/chosen/domU1") && tree.find("/chosen/domU1").is_none());
    }
}
