//! What is wrong with a tree, where, and what to do about it.
//!
//! All mistakes are reported, not the first one only. A hostile tree can make as many as it likes, so only a
//! bounded number of bytes is kept; the rest is counted.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display, Write};

use super::code::{Code, Severity};
use super::plural::Count;

/// How many diagnostics are kept.
const MAX_KEPT: usize = 256;
/// How many bytes of text they may hold together: they are made before the memory of the machine is known.
const MAX_TEXT: usize = 32 * 1024;
/// How many of them may search the whole tree for a better explanation.
const MAX_SEARCHES: usize = 16;

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which one it is, with its title and severity.
    pub code: Code,
    /// Path of the node.
    pub path: String,
    /// Name of the property, if it is about one.
    pub property: Option<String>,
    /// The cell of its value, counted from 0, if it is about one.
    pub cell: Option<usize>,
    /// What is wrong, in this tree's own names and numbers.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl Diagnostic {
    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }

    fn text_len(&self) -> usize {
        let property = self.property.as_ref().map_or(0, String::len);
        [self.path.len(), property, self.what.len(), self.help.len()].iter().sum()
    }
}

impl Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}[{}]: {}", self.severity(), self.code, self.code.title())?;
        write!(f, "  --> {}", self.path)?;
        if let Some(property) = &self.property {
            write!(f, ", property {property}")?;
        }
        if let Some(cell) = self.cell {
            write!(f, ", cell {cell}")?;
        }
        write!(f, "\n   = {}\n   = help: {}", self.what, self.help)
    }
}

/// Where a diagnostic points to.
#[derive(Clone, Copy)]
pub(super) struct At<'x> {
    path: &'x dyn Display,
    property: Option<&'x str>,
    cell: Option<usize>,
}

impl<'x> At<'x> {
    /// A node, given by anything that displays as its path.
    pub(super) fn node(path: &'x dyn Display) -> Self {
        Self { path, property: None, cell: None }
    }

    /// A property of a node.
    pub(super) fn prop(path: &'x dyn Display, property: &'x str) -> Self {
        Self { path, property: Some(property), cell: None }
    }

    /// One cell of that property.
    pub(super) fn cell(self, cell: usize) -> Self {
        Self { cell: Some(cell), ..self }
    }
}

/// The diagnostics of one tree, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    text: usize,
    silent: bool,
    searches: usize,
    counts: [usize; 3],
}

impl Diagnostics {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A list that counts, but keeps nothing.
    pub(super) fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    /// What was kept.
    #[must_use]
    pub fn kept(&self) -> &[Diagnostic] {
        &self.kept
    }

    /// How many were found, kept or not.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.counts.get(severity as usize).copied().unwrap_or(0)
    }

    /// How many errors were found, kept or not.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// Whether there was nothing to report.
    pub(super) fn are_none(&self) -> bool {
        self.counts == [0; 3]
    }

    /// How many of those found were not kept, because there were too many.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.counts.iter().sum::<usize>().saturating_sub(self.kept.len())
    }

    /// Reports one. Nothing is formatted if it is not kept.
    pub(super) fn report(
        &mut self,
        code: Code,
        at: At<'_>,
        what: fmt::Arguments<'_>,
        help: fmt::Arguments<'_>,
    ) {
        if let Some(count) = self.counts.get_mut(code.severity() as usize) {
            *count = count.saturating_add(1);
        }
        if !self.keeps() {
            return;
        }
        let diagnostic = Diagnostic {
            code,
            path: at.path.to_string(),
            property: at.property.map(String::from),
            cell: at.cell,
            what: text(what),
            help: text(help),
        };
        self.text = self.text.saturating_add(diagnostic.text_len());
        self.kept.push(diagnostic);
    }

    /// The entry of `known` that `word` was probably meant to be. Not looked for if nobody will read it.
    pub(super) fn did_you_mean<'k>(&self, word: &str, known: &[&'k str]) -> Option<&'k str> {
        if self.keeps() { did_you_mean(word, known) } else { None }
    }

    /// Whether the next one will be kept.
    fn keeps(&self) -> bool {
        !self.silent && self.kept.len() < MAX_KEPT && self.text < MAX_TEXT
    }

    /// Whether another explanation may search the whole tree. Answers yes a bounded number of times, so that
    /// a tree full of mistakes takes no more than linear time.
    pub(super) fn may_search(&mut self) -> bool {
        self.searches = self.searches.saturating_add(1);
        self.keeps() && self.searches <= MAX_SEARCHES
    }
}

/// The diagnostics, a blank line after each, and their numbers.
impl Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.kept {
            writeln!(f, "{diagnostic}\n")?;
        }
        if self.dropped() > 0 {
            writeln!(f, "and {} more", self.dropped())?;
        }
        let [errors, warnings, notes] = self.counts;
        write!(f, "{}, {}, {}", Count(errors, "error"), Count(warnings, "warning"), Count(notes, "note"))
    }
}

fn text(arguments: fmt::Arguments<'_>) -> String {
    let mut text = String::new();
    // Writing to a string fails only if one of the arguments does.
    let _ = text.write_fmt(arguments);
    text
}

/// A string of the tree as it may be shown: in quotes, without control characters, cut where it is long.
pub(super) struct Quoted<'x>(pub &'x str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        f.write_char('"')?;
        self.0.chars().take(SHOWN).try_for_each(|character| match character {
            '\'' => f.write_str("\\'"),
            _ => escaped(character, f),
        })?;
        f.write_str(if self.0.chars().nth(SHOWN).is_some() { "...\"" } else { "\"" })
    }
}

/// All of a string of the tree, in quotes and without control characters.
pub(super) struct Whole<'x>(pub &'x str);

impl Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        self.0.chars().try_for_each(|character| escaped(character, f))?;
        f.write_char('"')
    }
}

/// A character, or how Rust writes it: the standard library's own way takes 4 KiB for what it knows about Unicode. Shown as
/// they are: ASCII, and the letters up to U+1FFF, behind which come marks that change the direction of a line.
fn escaped(character: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let letter = match character {
        '"' | '\\' => character,
        '\0' => '0',
        '\t' => 't',
        '\n' => 'n',
        '\r' => 'r',
        ' '..='~' | '\u{a1}'..='\u{1fff}' => return f.write_char(character),
        _ => return write!(f, "\\u{{{:x}}}", u32::from(character)),
    };
    f.write_char('\\')?;
    f.write_char(letter)
}

/// The nearest entry of `known`, if it is at most two edits away, and no more than one in three characters.
fn did_you_mean<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = (word.len() / 3).min(2);
    known
        .iter()
        .map(|candidate| (edits(word, candidate), *candidate))
        .filter(|(distance, _)| (1..=limit).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements that turn one word into the other; names longer than the table
/// resemble nothing.
fn edits(from: &str, to: &str) -> usize {
    const LONGEST: usize = 48;
    let (from, to) = (from.as_bytes(), to.as_bytes());
    if from.len() > LONGEST || to.len() > LONGEST || from.len().abs_diff(to.len()) > 2 {
        return usize::MAX;
    }
    let mut row: [usize; LONGEST + 1] = core::array::from_fn(|column| column);
    for (done, left) in from.iter().enumerate() {
        let mut diagonal = done;
        let mut beside = done.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = beside;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(to) {
            let replaced = diagonal.saturating_add(usize::from(left != right));
            diagonal = *cell;
            beside = replaced.min(beside.saturating_add(1)).min(diagonal.saturating_add(1));
            *cell = beside;
        }
    }
    row.get(to.len()).copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_names_place_cause_and_remedy() {
        let mut diagnostics = Diagnostics::new();
        let at = At::prop(&"/chosen/domU2/evtchn@2", "xen,evtchn").cell(0);
        diagnostics.report(Code::PortTaken, at, format_args!("port 11 is bound"), format_args!("take 12"));
        assert_eq!(
            diagnostics.kept()[0].to_string(),
            "error[P0214]: channel port already taken\n  --> /chosen/domU2/evtchn@2, property xen,evtchn, \
             cell 0\n   = port 11 is bound\n   = help: take 12"
        );
    }

    #[test]
    fn a_flood_of_diagnostics_is_counted_but_not_kept() {
        let mut diagnostics = Diagnostics::new();
        for _ in 0..1000 {
            diagnostics.report(Code::NoRam, At::node(&"/"), format_args!("x"), format_args!("y"));
        }
        assert_eq!(diagnostics.kept().len(), 256);
        assert_eq!(diagnostics.dropped(), 744);
        assert_eq!(diagnostics.count(Severity::Error), 1000);
    }

    #[test]
    fn misspellings_find_the_word_that_was_meant() {
        assert_eq!(did_you_mean("vpl01", &["vpl011", "cpus"]), Some("vpl011"));
        assert_eq!(did_you_mean("xen_enhanced", &["xen,enhanced"]), Some("xen,enhanced"));
        assert_eq!(did_you_mean("memroy", &["memory", "cpus"]), Some("memory"));
        assert_eq!(did_you_mean("foo", &["cpus", "memory"]), None);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "ab"), 2);
    }

    #[test]
    fn quoted_strings_cannot_drive_the_terminal() {
        assert_eq!(Quoted("a\u{1b}[2Jb").to_string(), "\"a\\u{1b}[2Jb\"");
        assert_eq!(Quoted(&"x".repeat(100)).to_string().len(), 64 + 5);
    }
}
