//! A U-Boot script's `fdt` commands, carried out on a tree as U-Boot does: the scripts that ImageBuilder writes, and
//! those written by hand.
//!
//! Where U-Boot prints an error and goes on with the next line, this reports it and goes on, too. What cannot be followed
//! without a board (conditions, loops) is refused.

mod commands;
mod fdt;
mod value;
mod words;

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use portunus::addr::{Pa, PaSpan};
use portunus::plan::Files;

use self::words::Word;
use super::Input;
use super::devtree::Devtree;
use super::sources::{Mark, Sources};
use crate::report::{Level, Report};

/// A file that the script loads.
pub struct Load {
    /// Its name.
    pub name: String,
    /// Where it goes.
    address: u64,
    /// What is in it, if it is at hand.
    bytes: Option<Vec<u8>>,
    /// The command.
    mark: Mark,
}

/// The size that the hypervisor takes where its image is not at hand.
const IMAGE_SIZE: u64 = 1 << 20;

impl Load {
    fn size(&self) -> Option<u64> {
        self.bytes.as_ref().map(|bytes| bytes.len() as u64)
    }

    /// What it takes if it is what is booted: as much as its header says, for it unpacks itself, and has variables.
    fn taken(&self) -> Option<u64> {
        let claimed = self.bytes.as_ref().and_then(|bytes| crate::image::claim(bytes));
        self.size().map(|size| size.max(claimed.unwrap_or(0)))
    }
}

/// The files as the modules that the tree makes of them.
pub struct Loaded<'l>(pub &'l [Load]);

impl Files for Loaded<'_> {
    fn bytes(&self, span: PaSpan) -> Option<&[u8]> {
        let load = self.0.iter().find(|load| Pa::new(load.address) == span.start())?;
        load.bytes.as_ref()?.get(..usize::try_from(span.size()).ok()?)
    }

    fn are_unpacked(&self) -> bool {
        true
    }
}

/// What U-Boot has set before it runs a script that it found on a card, and where it has the board's tree: where that is
/// makes no difference here.
const GIVEN: [(&str, &str); 4] =
    [("devtype", "mmc"), ("devnum", "0"), ("distro_bootpart", "1"), ("fdt_addr", "0")];

/// A script while it runs.
struct Script<'s> {
    sources: &'s mut Sources,
    file: usize,
    text: String,
    tree: Devtree,
    variables: HashMap<String, String>,
    files: Option<PathBuf>,
    reports: Vec<Report>,
    loads: Vec<Load>,
    /// Where the tree is in memory, from `fdt addr`.
    tree_at: Option<u64>,
    /// How large the tree can grow there.
    capacity: usize,
    /// What was started, and with which tree.
    boot: Option<[u64; 2]>,
}

/// Carries a script out on a tree. `files` is where the files are that it loads.
pub fn carry_out(path: &Path, files: Option<&Path>, input: &mut Input) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let file = input.sources.file(&path.display().to_string(), || text.clone());
    let tree = Devtree::parse(&input.blob).map_err(|e| e.to_string())?;
    let mut script = Script {
        sources: &mut input.sources,
        file,
        text,
        tree,
        variables: HashMap::from(GIVEN.map(|(name, value)| (name.into(), value.into()))),
        files: files.map(Path::to_path_buf),
        reports: Vec::new(),
        loads: Vec::new(),
        tree_at: None,
        capacity: input.blob.len(),
        boot: None,
    };
    script.run()?;
    script.loaded_over();
    let occupied = script.occupied();
    input.blob = script.tree.flatten();
    input.script = script.reports;
    input.loads = script.loads;
    input.occupied.extend(occupied);
    Ok(())
}

impl Script<'_> {
    fn run(&mut self) -> Result<(), String> {
        let text = std::mem::take(&mut self.text);
        let (mut at, mut skip) = (0, false);
        while self.boot.is_none() {
            let variables = &self.variables;
            let Some(command) = words::next(&text, &mut at, &|name| variables.get(name).cloned()) else {
                break;
            };
            let skipped = std::mem::replace(&mut skip, command.alternative);
            if skipped || command.words.is_empty() {
                continue;
            }
            for (name, range) in command.unset {
                let hint = match name.as_str() {
                    "filesize" => "name the directory of the files with --files",
                    _ => "set it in the script: what the board has set is not known here",
                };
                let what = format!("{name} is not set: U-Boot puts nothing here");
                self.report(Level::Warning, "variable is not set", range, what, hint);
            }
            self.command(&command.words)?;
        }
        Ok(())
    }

    /// What is in memory beside the modules: the hypervisor's image, and the tree if it is not moved.
    fn occupied(&self) -> Vec<PaSpan> {
        let Some([image, tree]) = self.boot else { return Vec::new() };
        let loaded = self.loads.iter().find(|load| load.address == image);
        let size = loaded.and_then(Load::taken).unwrap_or(IMAGE_SIZE);
        let mut spans: Vec<PaSpan> = PaSpan::new(Pa::new(image), size).into_iter().collect();
        if self
            .variables
            .get("fdt_high")
            .is_some_and(|high| high.trim_start_matches("0x") == "ffffffffffffffff")
        {
            spans.extend(PaSpan::new(Pa::new(tree), self.tree.flatten().len() as u64));
        }
        spans
    }

    /// Reports files that were loaded over others.
    fn loaded_over(&mut self) {
        let span = |load: &Load| PaSpan::new(Pa::new(load.address), load.size()?);
        let mut found = Vec::new();
        for (index, load) in self.loads.iter().enumerate() {
            let earlier = self.loads.get(..index).unwrap_or_default();
            let over = earlier.iter().find(|other| match (span(load), span(other)) {
                (Some(one), Some(two)) => one.overlaps(&two),
                _ => false,
            });
            if let Some((over, other)) = over.zip(over.and_then(span)) {
                let what = format!("{} is loaded over {}, which is at {other}", load.name, over.name);
                found.push((load.mark.range.clone(), what));
            }
        }
        for (range, what) in found {
            let help = "leave room: the next file can begin behind the end of this one";
            self.report(Level::Error, "a file is loaded over another one", range, what, help);
        }
    }

    fn mark(&self, range: Range<usize>) -> Mark {
        Mark { file: self.file, range, elements: Vec::new() }
    }

    fn report(&mut self, level: Level, title: &str, range: Range<usize>, what: String, help: &str) {
        let report = report(self.sources, &self.mark(range), level, [title, &what, help]);
        self.reports.push(report);
    }
}

fn report(sources: &Sources, mark: &Mark, level: Level, [title, what, help]: [&str; 3]) -> Report {
    let (place, excerpt) = sources.show(mark, mark.range.clone()).unzip();
    Report {
        level,
        code: String::new(),
        title: title.into(),
        place: place.unwrap_or_default(),
        excerpt,
        what: what.into(),
        help: help.into(),
    }
}

/// Compares the files with the modules that the tree describes: their sizes must be exact.
pub fn sizes(loads: &[Load], modules: &[PaSpan], sources: &Sources) -> Vec<Report> {
    let mut reports = Vec::new();
    for (load, size) in loads.iter().filter_map(|load| Some((load, load.size()?))) {
        let module = modules.iter().find(|module| module.start() == Pa::new(load.address));
        if let Some(module) = module.filter(|module| module.size() != size) {
            let what = format!(
                "{} has {size:#x} bytes; the tree says {:#x} at this address",
                load.name,
                module.size()
            );
            let help = "write the size of the file into reg, or ${filesize} right after loading it";
            reports.push(report(
                sources,
                &load.mark,
                Level::Error,
                ["a module's size is not its file's", &what, help],
            ));
        }
    }
    reports
}

/// The place of a whole command.
fn whole(words: &[Word]) -> Range<usize> {
    let start = words.first().map_or(0, |word| word.range.start);
    start..words.last().map_or(start, |word| word.range.end)
}

/// A number in hexadecimal, with or without 0x, as U-Boot's commands take it.
fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text), 16).ok()
}
