//! The nodes as source for the device-tree compiler.

use std::fmt::Write;

use super::layout::Layout;
use super::nodes::{Node, Value};

/// The fragment that adds `chosen` to a machine's tree.
pub fn source(chosen: &Node, layout: &Layout) -> String {
    let mut text = String::from("/ {\n");
    node(chosen, layout, 1, &mut text);
    text.push_str("};\n");
    text
}

fn node(node: &Node, layout: &Layout, depth: usize, text: &mut String) {
    let indent = "\t".repeat(depth);
    let _ = writeln!(text, "{indent}{} {{", node.name);
    for (name, value, _) in &node.properties {
        let _ = match self::value(value, layout) {
            Some(value) => writeln!(text, "{indent}\t{name} = {value};"),
            None => writeln!(text, "{indent}\t{name};"),
        };
    }
    for child in &node.children {
        text.push('\n');
        self::node(child, layout, depth + 1, text);
    }
    let _ = writeln!(text, "{indent}}};");
}

fn value(value: &Value, layout: &Layout) -> Option<String> {
    match value {
        Value::Flag => None,
        Value::Texts(texts) => {
            let quoted =
                texts.iter().map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
            Some(quoted.collect::<Vec<_>>().join(", "))
        }
        Value::Cells(cells) => Some(self::cells(cells)),
        Value::Module(number) => {
            let (address, size) = layout.module(*number);
            Some(self::cells(&[address, size].map(|n| [(n >> 32) as u32, n as u32]).concat()))
        }
    }
}

/// Numbers in angle brackets, as both dtc and U-Boot read them.
pub fn cells(cells: &[u32]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:#x}")).collect();
    format!("<{}>", cells.join(" "))
}
