//! The nodes as commands of U-Boot's shell: what is loaded, what `fdt` writes, and `booti`.
//!
//! Sizes are not written down: U-Boot says how long a file was, so a guest on the card can be exchanged without a new
//! script.

use std::fmt::Write;

use super::dts::cells;
use super::layout::Layout;
use super::machine::Machine;
use super::nodes::{Node, Value};

/// The most bytes that U-Boot's `fdt set` takes for a value (SCRATCHPAD in U-Boot's cmd/fdt.c).
const LONGEST: usize = 1024;

/// Why a text cannot be said to U-Boot's shell, if it cannot. In single quotes it takes everything but such a quote and a
/// backslash, which it drops (in the shell of U-Boot 2023.01); `fdt` itself takes a value that begins with a bracket for numbers.
pub fn unspeakable(text: &str) -> Option<&'static str> {
    if text.contains(['\'', '\\']) || text.contains(|c: char| c.is_control()) {
        return Some("U-Boot's shell cannot take ' and \\ and control characters");
    }
    if text.starts_with(['<', '[']) {
        return Some("U-Boot takes a value that begins with < or [ for numbers");
    }
    (text.len() >= LONGEST).then_some("U-Boot's fdt takes values of up to 1023 characters")
}

/// The script that loads everything from the partition it lies in, adds `chosen` to the tree, and boots.
pub fn source(chosen: &Node, layout: &Layout, machine: &Machine) -> String {
    let mut text = format!(
        "# Written by `cargo xtask compose`, for {}. Loads the hypervisor and its domains, adds the domains to the\n\
         # board's tree, and boots.\n",
        machine.name
    );
    load(machine.image, "Image", &mut text);
    let _ = match machine.tree_file {
        Some(file) => {
            load(machine.tree, file, &mut text);
            writeln!(text, "fdt addr {:#x}", machine.tree)
        }
        None => writeln!(text, "fdt addr ${{fdt_addr}}"),
    };
    let room = machine.tree_size + weight(chosen).next_multiple_of(0x1_0000);
    let _ = match machine.tree_file {
        Some(_) => writeln!(text, "fdt resize {room:#x}"),
        None => writeln!(text, "fdt move ${{fdt_addr}} {:#x} {room:#x}", machine.tree),
    };
    for (number, module) in layout.modules.iter().enumerate() {
        load(module.address, &module.name, &mut text);
        let _ = writeln!(text, "setenv size{number} 0x${{filesize}}");
    }
    text.push('\n');
    node(chosen, "/chosen", layout, &mut text);
    let _ = writeln!(text, "booti {:#x} - {:#x}", machine.image, machine.tree);
    text
}

/// Loads a file. One that is missing leaves the size 0, which the hypervisor refuses by its domain's name.
fn load(address: u64, name: &str, text: &mut String) {
    let _ = writeln!(text, "setenv filesize 0");
    let _ = writeln!(text, "load ${{devtype}} ${{devnum}}:${{distro_bootpart}} {address:#x} {name}");
}

/// U-Boot puts a new node before its siblings, so the last comes first.
fn node(node: &Node, path: &str, layout: &Layout, text: &mut String) {
    for (name, value, _) in &node.properties {
        let name = name.replace('#', "\\#");
        let _ = match self::value(value, layout) {
            Some(value) => writeln!(text, "fdt set {path} {name} {value}"),
            None => writeln!(text, "fdt set {path} {name}"),
        };
    }
    for child in node.children.iter().rev() {
        let _ = writeln!(text, "fdt mknod {path} {}", child.name);
        self::node(child, &format!("{path}/{}", child.name), layout, text);
    }
}

fn value(value: &Value, layout: &Layout) -> Option<String> {
    match value {
        Value::Flag => None,
        Value::Texts(texts) => {
            Some(texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(" "))
        }
        Value::Cells(cells) => Some(self::cells(cells)),
        Value::Module(number) => {
            let (address, _) = layout.module(*number);
            Some(format!("<{:#x} {:#x} 0x0 ${{size{number}}}>", address >> 32, address & 0xffff_ffff))
        }
    }
}

/// Bytes that a node takes in a tree, at most.
fn weight(node: &Node) -> u64 {
    let value = |value: &Value| match value {
        Value::Flag => 0,
        Value::Texts(texts) => texts.iter().map(|text| text.len() + 1).sum(),
        Value::Cells(cells) => cells.len() * 4,
        Value::Module(_) => 16,
    };
    // Token, length, name's offset, the name itself among the strings, and what aligns it all.
    let properties: usize =
        node.properties.iter().map(|(name, value_, _)| 20 + name.len() + value(value_)).sum();
    let children: u64 = node.children.iter().map(weight).sum();
    (properties + node.name.len() + 16) as u64 + children
}
