//! The walk of the device tree against another reader: the `fdt` crate finds the same nodes, properties and values.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so at once"
)]

mod common;

use std::fmt::Write as _;
use std::fs;

use common::{compile, trees};
use portunus::fdt::{Node, Tree};

fn ours(node: &Node<'_, '_>, depth: usize, text: &mut String) {
    writeln!(text, "{:depth$}{}", "", node.name()).unwrap();
    for prop in node.props() {
        writeln!(text, "{:depth$} {} {:x?}", "", prop.name, prop.value).unwrap();
    }
    for child in node.children() {
        ours(&child, depth + 1, text);
    }
}

fn theirs(node: fdt::node::FdtNode<'_, '_>, depth: usize, text: &mut String) {
    // The root's name is empty in the blob; ours is called after its path.
    let name = if depth == 0 { "/" } else { node.name };
    writeln!(text, "{:depth$}{name}", "").unwrap();
    for prop in node.properties() {
        writeln!(text, "{:depth$} {} {:x?}", "", prop.name, prop.value).unwrap();
    }
    for child in node.children() {
        theirs(child, depth + 1, text);
    }
}

#[test]
fn another_reader_finds_the_same_in_every_golden_tree() {
    let mut seen = 0;
    for kind in ["good", "bad"] {
        let directory = trees().join(kind);
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "dts") {
                continue;
            }
            let blob = compile(&fs::read_to_string(&path).unwrap(), &directory);
            let (mut mine, mut other) = (String::new(), String::new());
            ours(&Tree::parse(&blob).unwrap().root().unwrap(), 0, &mut mine);
            theirs(fdt::Fdt::new(&blob).unwrap().find_node("/").unwrap(), 0, &mut other);
            let differ = mine.lines().zip(other.lines()).find(|(mine, other)| mine != other);
            assert!(mine == other, "{}: {differ:?}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} trees were found");
}
