//! `cargo xtask check`: what the hypervisor will make of a tree, before it reaches the board.
//!
//! The tree is put together as it will be on the board: compiled from source, overlays applied, a U-Boot script's
//! commands carried out. Then the hypervisor's own planning runs on it. What is shown are the same tables and the same
//! diagnostics, with the line of the source where there is one.

mod devtree;
pub mod draw;
mod dts;
mod json;
mod memory;
mod overlay;
mod script;
mod sources;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;
use portunus::addr::{CpuId, Pa, PaSpan};
use portunus::fdt::Tree;
use portunus::mm::spans::merged;
use portunus::plan::{self, Diagnostics, Plan, Severity, Table};

use self::devtree::Devtree;
use self::script::Loaded;
use self::sources::Sources;
use crate::report::{Level, Report};

/// What `cargo xtask help` says.
pub const HELP: &str = "\
cargo xtask check TREE [--overlay FILE]... [--script FILE] [--files DIRECTORY] [--image ADDRESS]
                       [--memory START:SIZE]... [--json] [--quiet] [--svg FILE]
                      says what the hypervisor will make of a tree: the plan, and every mistake with its place.
                      TREE and the overlays are source text or compiled; a U-Boot script's commands are carried out on
                      the tree, with the files that it loads in DIRECTORY. The hypervisor is loaded at ADDRESS, so
                      that nothing else may be there. --memory is RAM that the boot loader would fill in. --svg
                      draws the partition. Ends with 0 if there is no error, 1 if there is one, 2 if something cannot
                      be read";

#[derive(Default)]
struct Options {
    tree: PathBuf,
    overlays: Vec<PathBuf>,
    script: Option<PathBuf>,
    files: Option<PathBuf>,
    image: Option<u64>,
    memory: Vec<(u64, u64)>,
    json: bool,
    quiet: bool,
    svg: Option<PathBuf>,
}

/// A tree as the hypervisor will find it, and where it came from.
struct Input {
    blob: Vec<u8>,
    sources: Sources,
    /// What is wrong with the script.
    script: Vec<Report>,
    /// The files that the script loads.
    loads: Vec<script::Load>,
    /// Where things other than modules lie.
    occupied: Vec<PaSpan>,
}

impl Input {
    fn has_errors(&self) -> bool {
        self.script.iter().any(|report| report.level == Level::Error)
    }
}

/// Runs the command.
pub fn run(arguments: &[String]) -> ExitCode {
    match options(arguments).and_then(|options| check(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(arguments.iter().map(OsString::from));
    let mut tree = None;
    while let Some(argument) = parser.next().map_err(|e| e.to_string())? {
        match argument {
            Long("overlay") => options.overlays.push(value(&mut parser)?.into()),
            Long("script") => options.script = Some(value(&mut parser)?.into()),
            Long("files") => options.files = Some(value(&mut parser)?.into()),
            Long("image") => {
                let text = value(&mut parser)?.string().map_err(|e| e.to_string())?;
                let number = u64::from_str_radix(text.trim_start_matches("0x"), 16);
                options.image = Some(number.map_err(|e| format!("--image {text}: {e}"))?);
            }
            Long("memory") => {
                let text = value(&mut parser)?.string().map_err(|e| e.to_string())?;
                options.memory.push(memory::range(&text)?);
            }
            Long("json") => options.json = true,
            Long("quiet") => options.quiet = true,
            Long("svg") => options.svg = Some(value(&mut parser)?.into()),
            Value(path) if tree.is_none() => tree = Some(PathBuf::from(path)),
            other => return Err(format!("{}\n{HELP}", other.unexpected())),
        }
    }
    options.tree = tree.ok_or_else(|| format!("no tree is named\n{HELP}"))?;
    Ok(options)
}

fn value(parser: &mut lexopt::Parser) -> Result<OsString, String> {
    parser.value().map_err(|e| e.to_string())
}

/// Checks a tree and shows the result; whether there is no error.
fn check(options: &Options) -> Result<bool, String> {
    let input = read(options)?;
    let found = decide(input)?;
    let text = if options.json { format!("{:#}", json::all(&found)) } else { found.text(options.quiet) };
    if let (Some(file), Some(plan)) = (&options.svg, &found.plan) {
        let drawing = draw::draw(plan, found.diagnostics.errors());
        fs::write(file, drawing).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    anstream::println!("{text}");
    Ok(found.plan.is_some() && found.diagnostics.errors() == 0 && !found.input.has_errors())
}

/// What came out.
struct Found {
    input: Input,
    tree: Devtree,
    plan: Option<Plan>,
    diagnostics: Diagnostics,
}

impl Found {
    /// For people: the plan unless it is not wanted, what is wrong, and how much of it.
    fn text(&self, quiet: bool) -> String {
        let table = self.plan.iter().filter(|_| !quiet).map(|plan| format!("{}\n\n", Table(plan)));
        let found = self
            .diagnostics
            .kept()
            .iter()
            .map(|diagnostic| self.input.sources.report(diagnostic, &self.tree));
        let reports = self.input.script.iter().cloned().chain(found).map(|report| format!("{report}\n\n"));
        let dropped = Some(self.diagnostics.dropped()).filter(|dropped| *dropped > 0);
        let more = dropped.map(|dropped| format!("and {dropped} more\n"));
        let summary = summary(&self.diagnostics, &self.input.script);
        let codes =
            self.diagnostics.kept().iter().filter(|diagnostic| diagnostic.severity() != Severity::Note);
        let code = codes.map(|diagnostic| diagnostic.code).next();
        let hint = code.map(|code| format!("\n`cargo xtask explain {code}` says more, with an example"));
        table.chain(reports).chain(more).chain([summary]).chain(hint).collect()
    }
}

fn summary(diagnostics: &Diagnostics, script: &[Report]) -> String {
    let count = |severity, level, name: &str| {
        let more = script.iter().filter(|report| report.level == level).count();
        let count = diagnostics.count(severity) + more;
        format!("{count} {name}{}", if count == 1 { "" } else { "s" })
    };
    [
        count(Severity::Error, Level::Error, "error"),
        count(Severity::Warning, Level::Warning, "warning"),
        count(Severity::Note, Level::Note, "note"),
    ]
    .join(", ")
}

/// Puts the tree together.
fn read(options: &Options) -> Result<Input, String> {
    let mut sources = Sources::default();
    let path = &options.tree;
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let blob = if is_blob(&bytes) {
        bytes
    } else {
        dts::compile(path, &mut sources, &|path, _| Some(path.to_owned()))?
    };
    let mut blob = overlay::apply(blob, &options.overlays, &mut sources)?;
    if !options.memory.is_empty() {
        let mut tree = Devtree::parse(&blob).map_err(|e| format!("{}: {e}", path.display()))?;
        memory::fill(&mut tree, &options.memory);
        blob = tree.flatten();
    }
    let mut input = Input { blob, sources, script: Vec::new(), loads: Vec::new(), occupied: Vec::new() };
    if let Some(script) = &options.script {
        script::carry_out(script, options.files.as_deref(), &mut input)?;
    }
    if let Some(address) = options.image {
        input.occupied.extend(PaSpan::new(Pa::new(address), crate::image::claimed()));
    }
    Ok(input)
}

/// What the hypervisor decides, with all CPUs running.
fn decide(mut input: Input) -> Result<Found, String> {
    let tree = Devtree::parse(&input.blob).map_err(|e| e.to_string())?;
    let mut diagnostics = Diagnostics::new();
    let plan = plan(&mut input, &mut diagnostics)?;
    if let Some(plan) = &plan {
        let sizes = script::sizes(&input.loads, &plan.machine.modules, &input.sources);
        input.script.extend(sizes);
    }
    Ok(Found { input, tree, plan, diagnostics })
}

fn plan(input: &mut Input, diagnostics: &mut Diagnostics) -> Result<Option<Plan>, String> {
    let tree = Tree::parse(&input.blob).map_err(|e| e.to_string())?;
    let Some(mut machine) = plan::machine(&tree, diagnostics) else { return Ok(None) };
    machine.reserved.extend(&input.occupied);
    machine.reserved = merged(machine.reserved);
    let online: Vec<CpuId> = machine.cpus.iter().map(|cpu| cpu.id).collect();
    Ok(Some(plan::domains_of(&tree, &machine, &online, &Loaded(&input.loads), diagnostics)))
}

/// Whether a file is a compiled tree.
fn is_blob(bytes: &[u8]) -> bool {
    bytes.starts_with(&0xd00d_feed_u32.to_be_bytes())
}
