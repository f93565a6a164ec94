//! The golden trees on a machine: what the hypervisor prints about a tree is, line by line, what the host says about it.
//!
//! The board of these trees is QEMU's `virt` in all that matters, so most of them boot. Where a tree promises a module, a
//! guest's image lies. QEMU would change a tree that it is given by `-dtb`, so it is loaded like any other file, and the image
//! is entered with its address.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{FORBIDDEN, Tally, Variant, prepare};
use crate::qemu::{self, BASE, Expectation, Run};
use crate::{modules, trees};

const TREES: &str = "tests/trees/bad";
const MACHINE: [&str; 8] = ["-M", trees::VIRT, "-cpu", "cortex-a53", "-smp", "4", "-m", "1G"];
/// Where the image goes, and the tree.
const IMAGE_AT: u64 = 0x4020_0000;
const TREE_AT: u64 = 0x5f00_0000;
/// Where modules of these trees lie, none larger than a MiB but those that are about it.
const MODULES: [u64; 4] = [0x4800_0000, 0x4900_0000, 0x4a00_0000, 0x4b00_0000];
/// A tree of each kind, in every run of the tests: in each, another part of the plan finds the mistakes.
const USUAL: [&str; 9] = ["p0012", "p0133", "p0214", "p0222", "p0306", "p0327", "p0411", "p0508", "p0601"];
/// Trees that say something else on the machine, by what keeps them from it.
const ELSEWHERE: [(&str, &[&str]); 4] = [
    // There is no console, or no address where one could be.
    ("no console", &["p0001", "p0141", "p0142", "p0145", "p0146"]),
    // The machine is not the one of the tree: another controller, other CPUs, another clock.
    ("another machine", &["p0121", "p0122", "p0123", "p0124", "p0125", "p0144", "p0309", "p0510"]),
    // How much memory is left, and what is in the modules, depends on the machine.
    ("what is in memory", &["p0307", "p0412"]),
    // Which CPUs run is written in the tree's first line, and the machine's all do; or a file is described there.
    ("comments", &["p0501", "p0506", "p0507", "p0423", "p0424", "p0425", "p0426", "p0427", "p0428"]),
];

/// Runs the trees whose scenario has `filter` in its name: all of them, or the usual ones.
pub(super) fn test(filter: &str, all: bool, tally: &mut Tally) {
    let Ok(list) = list() else { return tally.add("golden", Err(format!("{TREES} cannot be read"))) };
    for tree in list {
        let name = format!("golden-{}", tree.file_stem().unwrap_or_default().to_string_lossy());
        let code = name.split('-').nth(1).unwrap_or_default().to_owned();
        let is = |codes: &[&str]| codes.contains(&code.as_str());
        let wanted = name.contains(filter) && (all || is(&USUAL));
        if wanted && !ELSEWHERE.iter().any(|(_, codes)| is(codes)) {
            tally.add(&name, run(&tree, &name));
        }
    }
}

fn list() -> std::io::Result<Vec<PathBuf>> {
    let entries: Result<Vec<_>, _> =
        fs::read_dir(TREES)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut trees: Vec<_> =
        entries?.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "dts")).collect();
    trees.sort();
    Ok(trees)
}

fn run(tree: &Path, name: &str) -> Result<Run, String> {
    let expected = tree.with_extension("expected");
    let expected = fs::read_to_string(&expected).map_err(|e| format!("{}: {e}", expected.display()))?;
    let expected = diagnostics(expected.lines());
    let arguments = arguments(tree, name)?;
    let mut run =
        qemu::watch(&arguments, &Expectation { wanted: &expected, forbidden: &FORBIDDEN, limit: 30 });
    let printed = run.log.lines().filter_map(|line| line.strip_prefix("(portunus) "));
    let printed = diagnostics(printed);
    if run.failure.is_none() && printed != expected {
        let differs = expected.iter().zip(&printed).find(|(one, two)| one != two);
        run.failure = Some(match differs {
            Some((host, machine)) => format!("the host says\n{host}\nand the machine\n{machine}"),
            None => format!("the host says {} lines, the machine {}", expected.len(), printed.len()),
        });
    }
    Ok(run)
}

/// The lines of diagnostics among others.
fn diagnostics<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<&'l str> {
    let mut inside = false;
    let is_one = |line: &&str| {
        let begins = ["error[P", "warning[P", "note[P"].iter().any(|word| line.starts_with(word));
        inside = begins || (inside && ["  --> ", "   = "].iter().any(|mark| line.starts_with(mark)));
        inside
    };
    lines.filter(is_one).collect()
}

fn arguments(tree: &Path, name: &str) -> Result<Vec<String>, String> {
    let blob = format!("target/portunus/trees/{name}.dtb");
    fs::create_dir_all("target/portunus/trees").map_err(|e| e.to_string())?;
    let mut dtc = Command::new("dtc");
    dtc.args(["-q", "-q", "-f", "-O", "dtb", "-i", TREES, "-o", &blob]).arg(tree);
    crate::image::run(&mut dtc)?;
    let mut arguments: Vec<String> = MACHINE.iter().chain(&BASE).map(ToString::to_string).collect();
    let image = prepare(&Variant::WithX0(TREE_AT), "golden")?;
    let guest = modules::path("hello")?;
    let modules = MODULES.map(|address| (guest.clone(), address));
    for (file, address) in [(image, IMAGE_AT), (blob, TREE_AT)].into_iter().chain(modules) {
        arguments.extend(["-device".into(), format!("loader,file={file},addr={address:#x},force-raw=on")]);
    }
    arguments.extend(["-device".into(), format!("loader,addr={IMAGE_AT:#x},cpu-num=0")]);
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_are_found_among_other_lines() {
        let lines =
            "domU1\n   = no\nerror[P0001]: x\n  --> /\n   = y\n   = help: z\n\nnote[P0002]: b\nend\n   = c";
        assert_eq!(diagnostics(lines.lines()).len(), 5);
    }

    #[test]
    fn trees_that_are_named_exist() {
        let names: Vec<String> = fs::read_dir(format!("../{TREES}"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        for code in ELSEWHERE.iter().flat_map(|(_, codes)| *codes).chain(&USUAL) {
            assert!(names.iter().any(|name| name.starts_with(code)), "{code}");
        }
    }
}
