//! Where everything in a tree was written down, and how a diagnostic is shown there.

use std::collections::HashMap;
use std::ops::Range;

use portunus::plan::{Diagnostic, Severity};

use super::devtree::Devtree;
use crate::report::{Excerpt, Level, Report};

/// A part of a file.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Index of the file.
    pub file: usize,
    /// The bytes of its text.
    pub range: Range<usize>,
    /// For the value of a property: how many bytes of the value come before, and the text of this element. Ascending.
    pub elements: Vec<(usize, Range<usize>)>,
}

impl Mark {
    /// The text of the element that holds byte `at` of the value; without one, all of the mark.
    fn element(&self, at: usize) -> Range<usize> {
        let before = self.elements.iter().take_while(|(start, _)| *start <= at);
        before.last().map_or(self.range.clone(), |(_, range)| range.clone())
    }
}

/// Files, and what of the tree stands in them.
#[derive(Default)]
pub struct Sources {
    files: Vec<(String, String)>,
    nodes: HashMap<String, Mark>,
    props: HashMap<(String, String), Mark>,
}

impl Sources {
    /// Adds a file, or finds it again; answers its index.
    pub fn file(&mut self, name: &str, read: impl FnOnce() -> String) -> usize {
        if let Some(known) = self.files.iter().position(|(known, _)| known == name) {
            return known;
        }
        self.files.push((name.to_owned(), read()));
        self.files.len() - 1
    }

    /// The text of a file.
    pub fn text(&self, file: usize) -> &str {
        self.files.get(file).map_or("", |(_, text)| text)
    }

    /// Remembers where a node begins. The first place stays: there its author made it.
    pub fn node(&mut self, path: &str, mark: Mark) {
        self.nodes.entry(path.to_owned()).or_insert(mark);
    }

    /// Remembers where a property was given its value; the last place counts.
    pub fn prop(&mut self, path: &str, name: &str, mark: Mark) {
        self.props.insert((path.to_owned(), name.to_owned()), mark);
    }

    /// A file, line and column, and the line.
    pub fn show(&self, mark: &Mark, range: Range<usize>) -> Option<(String, Excerpt)> {
        let (name, text) = self.files.get(mark.file)?;
        let excerpt = Excerpt::of(text, range)?;
        Some((format!("{name}:{}:{}", excerpt.line.unwrap_or(1), excerpt.column()), excerpt))
    }

    /// A diagnostic of the plan, with its line if there is one, else with the value that the tree holds.
    pub fn report(&self, diagnostic: &Diagnostic, tree: &Devtree) -> Report {
        let mut place = diagnostic.path.clone();
        if let Some(property) = &diagnostic.property {
            place += &format!(", property {property}");
        }
        if let Some(cell) = diagnostic.cell {
            place += &format!(", cell {cell}");
        }
        let mut excerpt = None;
        if let Some((file, line)) = self.locate(diagnostic) {
            place = format!("{file}, {place}");
            excerpt = Some(line);
        } else if let Some(property) = &diagnostic.property {
            excerpt = value(tree, &diagnostic.path, property, diagnostic.cell);
        }
        Report {
            level: match diagnostic.severity() {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
                Severity::Note => Level::Note,
            },
            code: diagnostic.code.to_string(),
            title: diagnostic.code.title().to_owned(),
            place,
            excerpt,
            what: diagnostic.what.clone(),
            help: diagnostic.help.clone(),
        }
    }

    /// Where a diagnostic points to.
    pub fn locate(&self, diagnostic: &Diagnostic) -> Option<(String, Excerpt)> {
        let property = diagnostic.property.as_ref();
        let key = property.map(|property| (diagnostic.path.clone(), property.clone()));
        if let Some(mark) = key.and_then(|key| self.props.get(&key)) {
            let range = diagnostic.cell.map_or(mark.range.clone(), |cell| mark.element(cell * 4));
            return self.show(mark, range);
        }
        let mark = self.nodes.get(&diagnostic.path)?;
        self.show(mark, mark.range.clone())
    }
}

/// The value of a property in the language of device trees, with one cell marked, or all of it.
fn value(tree: &Devtree, path: &str, name: &str, cell: Option<usize>) -> Option<Excerpt> {
    let value = tree.find(path)?.prop(name)?;
    let mut text = name.to_owned();
    let mut mark = 0..name.len();
    if value.is_empty() {
        return Some(Excerpt { line: None, text, mark });
    }
    text += " = ";
    let start = text.len();
    if is_text(value) {
        let strings = value.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        let strings: Vec<_> = strings.map(|part| format!("{:?}", String::from_utf8_lossy(part))).collect();
        text += &strings.join(", ");
    } else if value.len().is_multiple_of(4) {
        text.push('<');
        for (index, bytes) in value.as_chunks().0.iter().enumerate() {
            let number = u32::from_be_bytes(*bytes);
            let reference =
                if name == "xen,evtchn" && index % 2 == 1 { tree.by_phandle(number) } else { None };
            let label = reference.and_then(|path| tree.label(&path).map(|label| format!("&{label}")));
            let written = label.unwrap_or_else(|| format!("{number:#x}"));
            let at = text.len();
            text += &written;
            if cell == Some(index) {
                mark = at..text.len();
            }
            text.push(' ');
        }
        text.pop();
        text.push('>');
    } else {
        let bytes: Vec<_> = value.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("[{}]", bytes.join(" "));
    }
    if mark.start == 0 {
        mark = start..text.len();
    }
    Some(Excerpt { line: None, text, mark })
}

/// Whether a value can only be meant as strings.
fn is_text(value: &[u8]) -> bool {
    let Some((0, text)) = value.split_last() else { return false };
    text.split(|byte| *byte == 0)
        .all(|part| !part.is_empty() && part.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
}

#[cfg(test)]
mod tests {
    use super::super::devtree::Node;
    use super::*;

    fn tree(name: &str, bytes: &[u8]) -> Devtree {
        let root = Node { props: vec![(name.into(), bytes.to_vec())], ..Node::default() };
        Devtree { reservations: Vec::new(), root }
    }

    #[test]
    fn values_are_shown_as_they_would_be_written() {
        let cells = tree("memory", &[0, 0, 0, 0, 0, 4, 0, 0]);
        let shown = value(&cells, "/", "memory", Some(1)).unwrap();
        assert_eq!(shown.text, "memory = <0x0 0x40000>");
        assert_eq!(&shown.text[shown.mark], "0x40000");
        let text = value(&tree("c", b"one\0two\0"), "/", "c", None).unwrap();
        assert_eq!((text.text.as_str(), text.mark), ("c = \"one\", \"two\"", 4..16));
        assert_eq!(value(&tree("b", &[1, 2, 255]), "/", "b", None).unwrap().text, "b = [01 02 ff]");
        assert_eq!(value(&tree("vpl011", &[]), "/", "vpl011", None).unwrap().mark, 0..6);
    }
}
