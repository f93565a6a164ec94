//! The `fdt` command. Subcommands may be cut short, as in U-Boot; what only prints is passed over.

use super::words::Word;
use super::{Script, hexadecimal, value, whole};
use crate::check::devtree::Node;
use crate::check::sources::Mark;
use crate::report::Level;

const FAILED: &str = "U-Boot refuses the command, and goes on without it";

impl Script<'_> {
    pub(super) fn fdt(&mut self, words: &[Word]) {
        let [_, subcommand, arguments @ ..] = words else { return };
        let first = |length| subcommand.text.get(..length).unwrap_or(&subcommand.text);
        match (first(1), first(2)) {
            (_, "ad") => self.address(words, arguments),
            (_, "mk") => self.make_node(words, arguments),
            (_, "rm") => self.remove(words, arguments),
            (_, "re") => self.resize(arguments),
            (_, "rs") => self.reserve(arguments),
            (_, "mo") => self.relocate(words, arguments),
            (_, "ap" | "me" | "bo" | "sy") => {
                let what = format!("`fdt {}` is not followed", subcommand.text);
                let help = "an overlay can be checked with --overlay";
                self.report(Level::Warning, "command is not followed", whole(words), what, help);
            }
            ("s", _) => self.set(words, arguments),
            ("g", _) => self.get(arguments),
            _ => {}
        }
    }

    /// Too few arguments.
    fn usage(&mut self, words: &[Word]) {
        let help = "a # at the beginning of a word begins a comment: write \\#address-cells";
        self.failed(words, "something is missing at the end of the command".into(), help);
    }

    fn failed(&mut self, words: &[Word], what: String, help: &str) {
        self.report(Level::Error, FAILED, whole(words), what, help);
    }

    fn address(&mut self, words: &[Word], arguments: &[Word]) {
        let arguments: Vec<&Word> = arguments.iter().filter(|word| !word.text.starts_with('-')).collect();
        let numbers: Vec<_> = arguments.iter().map(|word| hexadecimal(&word.text)).collect();
        match *numbers.as_slice() {
            [] => {}
            [Some(address)] => self.tree_at = Some(address),
            [Some(address), Some(size), ..] => {
                self.tree_at = Some(address);
                self.capacity = self.capacity.max(size as usize);
            }
            _ => self.failed(words, "the address cannot be read; it is hexadecimal".into(), ""),
        }
    }

    /// `fdt move FROM TO [LENGTH]`: the copy is what later commands change, and may fill the length.
    fn relocate(&mut self, words: &[Word], arguments: &[Word]) {
        let numbers: Vec<_> = arguments.iter().map(|word| hexadecimal(&word.text)).collect();
        match *numbers.as_slice() {
            [Some(_), Some(to)] => self.tree_at = Some(to),
            [Some(_), Some(to), Some(length)] => {
                self.tree_at = Some(to);
                self.capacity = length as usize;
            }
            [] | [_] => self.usage(words),
            _ => self.failed(words, "the addresses cannot be read; they are hexadecimal".into(), ""),
        }
    }

    /// `fdt resize`: the tree takes what it needs, a few reservations more and the extra room, up to the end of a page.
    fn resize(&mut self, arguments: &[Word]) {
        const SPARE: usize = 5 * 16;
        let extra = arguments.first().and_then(|word| hexadecimal(&word.text)).unwrap_or(0) as usize;
        let offset = (self.tree_at.unwrap_or(0) & 0xfff) as usize;
        let wanted = self.tree.flatten().len() + SPARE + extra;
        self.capacity = (wanted + offset).next_multiple_of(0x1000) - offset;
    }

    /// Does `change`, unless the tree has no room left for it.
    fn change(&mut self, words: &[Word], change: impl FnOnce(&mut Self)) {
        if self.tree_at.is_none() {
            let help =
                "write `fdt addr ${fdt_addr}`, with the address that the tree was loaded to, before it";
            return self.failed(words, "no tree has been chosen yet".into(), help);
        }
        let before = self.tree.root.clone();
        change(self);
        let size = self.tree.flatten().len();
        if size > self.capacity {
            let what = format!("the tree has room for {} bytes, and would need {size}", self.capacity);
            self.tree.root = before;
            let help = "write `fdt resize 4000` or more before it, in hexadecimal";
            self.failed(words, what, help);
        }
    }

    fn missing(&mut self, words: &[Word], path: &str) {
        let parent =
            path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        let what = format!("there is no node {path}");
        let help = if self.tree.find(parent).is_some() {
            "make it with `fdt mknod` before"
        } else {
            "mend the path"
        };
        self.failed(words, what, help);
    }

    fn full_path(&self, path: &str) -> Option<String> {
        Some(format!("/{}", self.tree.resolve(path)?.join("/")))
    }

    fn make_node(&mut self, words: &[Word], arguments: &[Word]) {
        let [path, name, ..] = arguments else { return self.usage(words) };
        let Some(parent) = self.full_path(&path.text) else { return self.missing(words, &path.text) };
        let child = format!("{}/{}", parent.trim_end_matches('/'), name.text);
        if self
            .tree
            .find(&parent)
            .is_some_and(|node| node.children.iter().any(|child| child.name == name.text))
        {
            return self.failed(words, format!("there is a node {child} already"), "");
        }
        let mark = self.mark(name.range.clone());
        self.change(words, |script| {
            if let Some(node) = script.tree.find_mut(&parent) {
                // libfdt puts it right behind the properties of its parent, before the nodes that are there.
                node.children.insert(0, Node { name: name.text.clone(), ..Node::default() });
                script.sources.node(&child, mark);
            }
        });
    }

    fn set(&mut self, words: &[Word], arguments: &[Word]) {
        let [path, name, given @ ..] = arguments else { return self.usage(words) };
        let Some(node) = self.full_path(&path.text) else { return self.missing(words, &path.text) };
        let old = self.tree.find(&node).and_then(|node| node.prop(&name.text)).unwrap_or_default();
        let value = match value::read(given, old) {
            Ok(value) => value,
            Err(refused) => {
                let help = if refused.why.contains('&') {
                    "U-Boot knows no labels: give the node a phandle with `fdt set`, and write that number"
                } else {
                    "write cells as <0x1 2>, bytes as [01 02], strings in quotes"
                };
                return self.report(Level::Error, FAILED, refused.range, refused.why, help);
            }
        };
        for range in value.cut {
            let what = String::from("the number does not fit a cell; U-Boot drops its upper bits");
            self.report(Level::Warning, "number is cut", range, what, "write it in two cells: <0x1 0x0>");
        }
        let range = name.range.start..whole(words).end;
        let mark = Mark { elements: value.elements, ..self.mark(range) };
        self.change(words, |script| {
            if let Some(target) = script.tree.find_mut(&node) {
                target.set(&name.text, value.bytes);
                script.sources.prop(&node, &name.text, mark);
            }
        });
    }

    fn remove(&mut self, words: &[Word], arguments: &[Word]) {
        match arguments {
            [path] if !self.tree.remove(&path.text) => self.missing(words, &path.text),
            [path, name, ..] => match self.tree.find_mut(&path.text) {
                Some(node) if node.prop(&name.text).is_some() => {
                    node.props.retain(|(known, _)| *known != name.text)
                }
                Some(_) => self.failed(words, format!("{} has no {}", path.text, name.text), ""),
                None => self.missing(words, &path.text),
            },
            _ => {}
        }
    }

    /// `fdt get value VARIABLE NODE PROPERTY`: a string, or one cell.
    fn get(&mut self, arguments: &[Word]) {
        let [kind, variable, path, name, ..] = arguments else { return };
        let node = self.tree.find(&path.text).filter(|_| kind.text.starts_with('v'));
        let found = node.and_then(|node| match node.prop(&name.text) {
            Some(value) if value.len() == 4 => node.cell(&name.text).map(|cell| format!("{cell:#010X}")),
            _ => node.text(&name.text).map(ToOwned::to_owned),
        });
        if let Some(text) = found {
            self.variables.insert(variable.text.clone(), text.replacen("0X", "0x", 1));
        }
    }

    fn reserve(&mut self, arguments: &[Word]) {
        if let [kind, address, size, ..] = arguments
            && kind.text.starts_with('a')
            && let (Some(address), Some(size)) = (hexadecimal(&address.text), hexadecimal(&size.text))
        {
            self.tree.reservations.push((address, size));
        }
    }
}
