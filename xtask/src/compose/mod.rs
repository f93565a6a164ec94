//! `cargo xtask compose`: from a partition file, a page of TOML, to what boots it: a device tree, a script for U-Boot, and
//! a command line for QEMU.
//!
//! A partition file names domains, their files, sizes with units, and channels by name. It knows nothing of addresses,
//! phandles or cells. What it says is turned into nodes once; tree and script are two ways to write the same nodes. The
//! tree then goes through the plan of the hypervisor, so that a mistake is found here and not on the board.

mod channels;
mod check;
mod dts;
pub mod filled;
mod kernels;
mod layout;
mod machine;
mod nodes;
mod partition;
mod read;
mod report;
mod script;
#[cfg(test)]
mod tests;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portunus::plan::{Plan, Table};

use crate::report::Level;
use crate::{card, debian, modules, trees};
use layout::Layout;
pub use machine::Machine;
use nodes::Node;
pub use partition::Virt;
use partition::{At, File, Partition};
use report::{Problem, Source};

/// Where what is composed goes, in a folder for each machine and partition.
const DIRECTORY: &str = "target/portunus/composed";

/// A partition, composed for a machine.
pub struct Composed {
    /// The folder with everything that was written.
    pub place: PathBuf,
    /// The complete tree.
    pub tree: PathBuf,
    /// The machine's own tree, without the domains.
    pub base: PathBuf,
    /// U-Boot's script.
    pub script: PathBuf,
    /// QEMU's arguments for the machine itself.
    pub machine: Vec<String>,
    /// The files of the domains.
    pub modules: Vec<layout::Module>,
    /// The RAM of the Raspberry Pi, if it is said.
    pub rpi4: Option<At<u64>>,
    /// What the hypervisor will make of it.
    pub plan: Plan,
    /// Warnings and notes, ready to be printed; empty if there are none.
    pub remarks: String,
}

/// What is asked for.
pub struct Request<'a> {
    /// The partition file.
    pub file: &'a Path,
    /// The machine.
    pub machine: &'a Machine,
    /// The version of virt's interrupt controller.
    pub gic: u32,
    /// Where to write, if not to the usual place.
    pub out: Option<&'a Path>,
}

/// `cargo xtask compose FILE [--machine NAME] [--gic 2|3] [--out DIR]`.
///
/// # Errors
///
/// What is wrong with the file, or with the command.
pub fn run(words: &[String]) -> Result<(), String> {
    const USAGE: &str = "cargo xtask compose FILE.toml [--machine virt|rpi4|zcu102] [--gic 2|3] [--out DIR]";
    let (mut file, mut machine, mut gic, mut out) = (None, "virt", 3, None);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--machine" => machine = words.next().ok_or(USAGE)?,
            "--gic" => {
                gic = words.next().and_then(|n| n.parse().ok()).filter(|n| [2, 3].contains(n)).ok_or(USAGE)?
            }
            "--out" => out = Some(words.next().ok_or(USAGE)?),
            name if !name.starts_with('-') && file.is_none() => file = Some(name),
            other => return Err(format!("what is `{other}`?\n{USAGE}")),
        }
    }
    let file = Path::new(file.ok_or(USAGE)?);
    let machine = Machine::named(machine).ok_or_else(|| format!("no machine `{machine}`\n{USAGE}"))?;
    let composed = compose(&Request { file, machine: &machine, gic, out: out.map(Path::new) })?;
    anstream::eprint!("{}", composed.remarks);
    println!("{}\n", Table(&composed.plan));
    for name in ["tree.dts", "tree.dtb", "boot.cmd", "boot.scr", "qemu.sh"] {
        println!("{}", composed.place.join(name).display());
    }
    Ok(())
}

/// Composes a partition and writes everything.
///
/// # Errors
///
/// All that is wrong with the file, ready to be printed; or what could not be read or written.
pub fn compose(request: &Request<'_>) -> Result<Composed, String> {
    let Request { file, machine, gic, out } = request;
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let source = Source { path: file.display().to_string(), text };
    let mut problems = Vec::new();
    let (partition, layout, chosen) = arrange(&source, file, machine, &mut problems);
    stop_at_errors(&source, &problems)?;

    let stem = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let usual = Path::new(DIRECTORY).join(format!("{}-{stem}", machine.name));
    let place = out.map_or(usual, Path::to_path_buf);
    fs::create_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
    let qemu = machine.qemu(&partition.virt, *gic);
    let base = machine.base(&qemu, &format!("{}-{stem}", machine.name))?;
    let written = Written { place: &place, chosen: &chosen, layout: &layout, machine, qemu: &qemu };
    let tree = written.tree(&base)?;
    let filled = filled::tree(machine, &qemu, &tree, partition.rpi4.as_ref(), &place)?;
    let mut blob = fs::read(&filled).map_err(|e| format!("{}: {e}", filled.display()))?;
    let image = (machine.image, crate::image::claimed());
    let plan = check::plan(&mut blob, image, &chosen, &mut problems)?;
    stop_at_errors(&source, &problems)?;
    let remarks = match problems.is_empty() {
        true => String::new(),
        false => report::render(&source, &problems) + "\n",
    };
    let script = written.script()?;
    written.command()?;
    let plan = plan.ok_or("the machine's own tree does not describe a machine that can be used")?;
    Ok(Composed {
        place,
        tree,
        base,
        script,
        machine: qemu,
        modules: layout.modules,
        rpi4: partition.rpi4,
        plan,
        remarks,
    })
}

/// Reads the partition, finds its files, gives them their places, and turns it all into nodes.
fn arrange(
    source: &Source,
    file: &Path,
    machine: &Machine,
    problems: &mut Vec<Problem>,
) -> (Partition, Layout, Node) {
    let folder = file.parent().unwrap_or(Path::new("."));
    let partition = read::read(&source.text, &|name| find(folder, name), problems);
    let mut layout = Layout::new(&machine.room(&partition.virt));
    let chosen = nodes::chosen(&partition, &mut |file| layout.add(file));
    problems.extend(limits(&partition, &layout));
    problems.extend(kernels::check(&partition));
    (partition, layout, chosen)
}

/// The file behind a name: a path from the partition file's folder, or a guest of this repository.
fn find(folder: &Path, name: &str) -> Result<File, String> {
    let path = match name.strip_prefix("portunus:") {
        Some(name) => PathBuf::from(modules::path(name)?),
        None => folder.join(name),
    };
    let file = fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    match (file.is_file(), file.len()) {
        (true, 1..) => Ok(File { size: file.len(), path }),
        (true, _) => Err(format!("{} is empty", path.display())),
        (false, _) => Err(format!("{} is no file", path.display())),
    }
}

/// What is wrong beyond the file: what neither script nor memory can hold.
fn limits(partition: &Partition, layout: &Layout) -> Vec<Problem> {
    let mut problems = Vec::new();
    let bootargs = partition.domains.iter().filter_map(|domain| domain.bootargs.as_ref());
    for text in bootargs.chain(&partition.options) {
        if let Some(why) = script::unspeakable(&text.value) {
            let help = "use other characters, or put what is long into the ramdisk";
            problems.push(Problem::new("text that no boot script can hold", &text.at, why, help));
        }
    }
    if layout.excess() > 0
        && let Some(domain) = partition.domains.last()
    {
        let what = format!("the files of all domains are {} KiB too large together", layout.excess() >> 10);
        let help = "compress kernels by gzip, name one file for several domains, or give virt more memory";
        problems.push(Problem::new("no room for the files of the domains", &domain.kernel.at, what, help));
    }
    problems
}

fn stop_at_errors(source: &Source, problems: &[Problem]) -> Result<(), String> {
    match problems.iter().any(|problem| problem.level == Level::Error) {
        true => Err(report::render(source, problems)),
        false => Ok(()),
    }
}

/// What is written, and from what.
struct Written<'a> {
    place: &'a Path,
    chosen: &'a Node,
    layout: &'a Layout,
    machine: &'a Machine,
    qemu: &'a [String],
}

impl Written<'_> {
    fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
        let path = self.place.join(name);
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }

    /// The machine's tree with the domains in it, as source and compiled.
    fn tree(&self, base: &Path) -> Result<PathBuf, String> {
        let base = debian::output(Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts"]).arg(base))?;
        let source = trees::join(&base, &dts::source(self.chosen, self.layout));
        let source = self.file("tree.dts", source.as_bytes())?;
        let tree = self.place.join("tree.dtb");
        debian::output(
            Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(&tree).arg(source),
        )?;
        Ok(tree)
    }

    /// U-Boot's script, as text and as the image that U-Boot looks for.
    fn script(&self) -> Result<PathBuf, String> {
        let text = script::source(self.chosen, self.layout, self.machine);
        self.file("boot.cmd", text.as_bytes())?;
        self.file("boot.scr", &card::script::image(&text, "portunus"))
    }

    /// A shell script that starts QEMU, from this repository's folder.
    fn command(&self) -> Result<PathBuf, String> {
        let mut text =
            String::from("#!/bin/sh\n# Written by `cargo xtask compose`. Leave QEMU with Ctrl-] x.\n");
        text.push_str("exec qemu-system-aarch64");
        let console = ["-nographic", "-nodefaults", "-net", "none", "-echr", "0x1d", "-serial", "mon:stdio"];
        let words = self.qemu.iter().map(String::as_str).chain(console);
        words.for_each(|word| text.push_str(&format!(" {word}")));
        text.push_str(&format!(" \\\n    -kernel '{}'", absolute(Path::new(crate::image::IMAGE))));
        text.push_str(&format!(" -dtb '{}'", absolute(&self.place.join("tree.dtb"))));
        for module in &self.layout.modules {
            let loader = loader(module);
            text.push_str(&format!(" \\\n    -device '{loader}'"));
        }
        text.push('\n');
        self.file("qemu.sh", text.as_bytes())
    }
}

/// QEMU's device that puts a file into memory.
pub fn loader(module: &layout::Module) -> String {
    format!("loader,file={},addr={:#x},force-raw=on", absolute(&module.path), module.address)
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}
