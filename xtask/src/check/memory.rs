//! Memory as a boot loader would fill it in: the trees of many boards leave the size to it.

use super::devtree::{Devtree, Node};

/// Reads `START:SIZE`, both in hexadecimal.
pub fn range(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    text.split_once(':').and_then(|(start, size)| Some((number(start)?, number(size)?))).ok_or_else(|| {
        format!("--memory {text}: two numbers in hexadecimal are wanted, such as 0x40000000:0x40000000")
    })
}

/// Writes the ranges into the tree's memory node, which is made if there is none, in the cells of the root.
pub fn fill(tree: &mut Devtree, ranges: &[(u64, u64)]) {
    let cells = |name, usual| tree.root.cell(name).unwrap_or(usual) as usize;
    let widths = [cells("#address-cells", 2), cells("#size-cells", 1)];
    let mut reg = Vec::new();
    for (start, size) in ranges {
        for (number, width) in [start, size].into_iter().zip(widths) {
            let bytes = number.to_be_bytes();
            reg.extend(bytes.get(8_usize.saturating_sub(4 * width)..).unwrap_or_default());
        }
    }
    let is_memory = |node: &&mut Node| node.text("device_type") == Some("memory");
    match tree.root.children.iter_mut().find(is_memory) {
        Some(node) => node.set("reg", reg),
        None => {
            let props = vec![("device_type".into(), b"memory\0".to_vec()), ("reg".into(), reg)];
            tree.root.children.push(Node { name: "memory".into(), props, ..Node::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_in_the_cells_of_the_root() {
        let cells = |count: u8| vec![0, 0, 0, count];
        let props = vec![("#address-cells".into(), cells(2)), ("#size-cells".into(), cells(1))];
        let mut tree = Devtree { reservations: Vec::new(), root: Node { props, ..Node::default() } };
        fill(&mut tree, &[range("0:3b400000").unwrap()]);
        fill(&mut tree, &[range("0x40000000:0x10").unwrap()]);
        assert_eq!(tree.root.children.len(), 1);
        assert_eq!(tree.root.children[0].prop("reg").unwrap(), [0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0x10]);
        assert!(range("40000000").is_err());
    }
}
