//! Device trees for QEMU: the machine's own tree, dumped by QEMU, with a fragment of ours added.

use std::fs;
use std::process::{Command, Stdio};

use crate::qemu::BASE;

const DIRECTORY: &str = "target/portunus/trees";

/// Compiles QEMU's tree for `machine` with the fragment `qemu/trees/<fragment>.dts` behind it; answers the path
/// of the blob.
pub fn compose(machine: &[&str], fragment: &str, name: &str) -> Result<String, String> {
    let path = format!("qemu/trees/{fragment}.dts");
    let added = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    compose_source(machine, &added, name)
}

/// The same with the source of the fragment.
pub fn compose_source(machine: &[&str], added: &str, name: &str) -> Result<String, String> {
    fs::create_dir_all(DIRECTORY).map_err(|e| e.to_string())?;
    let (dumped, source, blob) = (
        format!("{DIRECTORY}/{name}.base.dtb"),
        format!("{DIRECTORY}/{name}.dts"),
        format!("{DIRECTORY}/{name}.dtb"),
    );
    let mut arguments: Vec<String> = machine.iter().chain(&BASE).map(ToString::to_string).collect();
    let dump = format!(",dumpdtb={dumped}");
    match arguments.iter().position(|argument| argument == "-M").and_then(|at| arguments.get_mut(at + 1)) {
        Some(model) => model.push_str(&dump),
        None => return Err("the machine has no -M".into()),
    }
    quiet(Command::new("qemu-system-aarch64").args(&arguments))?;
    let base = output(Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts", &dumped]))?;
    fs::write(&source, format!("{base}\n{added}")).map_err(|e| e.to_string())?;
    quiet(Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-o", &blob, &source]))?;
    Ok(blob)
}

fn quiet(command: &mut Command) -> Result<(), String> {
    output(command).map(|_| ())
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}
