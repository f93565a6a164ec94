//! Device trees for QEMU: the machine's own tree, dumped by QEMU or the board's, with a fragment of ours added.
//!
//! A fragment names a module by `reg = <MODULE(name)>` (`modules` says which file that is); the composer gives it an
//! address and has QEMU put the file there.

use std::fs;
use std::process::{Command, Stdio};

use crate::qemu::BASE;
use crate::{boards, modules};

const DIRECTORY: &str = "target/portunus/trees";
/// Where the first module goes on `virt`, and the distance between two.
const FIRST_MODULE: u64 = 0x5000_0000;
const MODULE_STEP: u64 = 0x20_0000;

/// QEMU's machine with what EL2 needs, and a tree that is the same in every run.
pub const VIRT: &str = "virt,virtualization=on,gic-version=3,dtb-randomness=off";

/// What a machine is given with a tree.
pub struct Composed {
    /// QEMU's arguments: the tree, and a loader for each module.
    pub arguments: Vec<String>,
}

/// Compiles QEMU's tree for `machine` with the fragment `qemu/trees/<fragment>.dts` behind it.
pub fn compose(machine: &[&str], fragment: &str, name: &str) -> Result<Composed, String> {
    compose_source(machine, &read(fragment)?, name)
}

/// The same with the text of a fragment.
pub fn compose_source(machine: &[&str], fragment: &str, name: &str) -> Result<Composed, String> {
    fs::create_dir_all(DIRECTORY).map_err(|e| e.to_string())?;
    let (source, blob) = (format!("{DIRECTORY}/{name}.dts"), format!("{DIRECTORY}/{name}.dtb"));
    let (base, first) = match boards::of(machine) {
        Some(board) => (board.base()?.display().to_string(), board.modules),
        None => (dump(machine, name)?, FIRST_MODULE),
    };
    let base = output(Command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts", &base]))?;
    let (added, modules) = place(fragment, first, &|module| {
        let path = modules::path(module)?;
        fs::metadata(&path)
            .map(|file| file.len())
            .map_err(|e| format!("{path}: {e}; `cargo xtask guests` makes the guests"))
    })?;
    fs::write(&source, join(&base, &added)).map_err(|e| e.to_string())?;
    quiet(Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb", "-o", &blob, &source]))?;
    let mut arguments = vec![String::from("-dtb"), blob];
    for module in modules {
        let (file, address) = (modules::path(&module.name)?, module.address);
        arguments.extend(["-device".into(), format!("loader,file={file},addr={address:#x},force-raw=on")]);
    }
    Ok(Composed { arguments })
}

/// The tree that QEMU makes for `machine`; answers the file's name.
pub fn dump(machine: &[&str], name: &str) -> Result<String, String> {
    fs::create_dir_all(DIRECTORY).map_err(|e| e.to_string())?;
    let dumped = format!("{DIRECTORY}/{name}.base.dtb");
    let mut arguments: Vec<String> = machine.iter().chain(&BASE).map(ToString::to_string).collect();
    match arguments.iter().position(|argument| argument == "-M").and_then(|at| arguments.get_mut(at + 1)) {
        Some(model) => model.push_str(&format!(",dumpdtb={dumped}")),
        None => return Err("the machine has no -M".into()),
    }
    quiet(Command::new("qemu-system-aarch64").args(&arguments))?;
    Ok(dumped)
}

/// The machine's tree with a fragment behind it; the fragment's memory reservations go to the front, where the language
/// wants them.
pub fn join(base: &str, fragment: &str) -> String {
    let (reservations, nodes): (Vec<&str>, Vec<&str>) =
        fragment.lines().partition(|line| line.starts_with("/memreserve/"));
    let (version, base) = base.split_once('\n').unwrap_or_default();
    format!("{version}\n{}\n{base}\n{}\n", reservations.join("\n"), nodes.join("\n"))
}

/// The text of a fragment.
pub fn read(fragment: &str) -> Result<String, String> {
    let path = format!("qemu/trees/{fragment}.dts");
    fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))
}

struct Module {
    name: String,
    address: u64,
}

/// Replaces every `MODULE(name)` by the cells of its address, from `first` on, and size. A module that is named twice is
/// loaded once.
fn place(
    text: &str,
    first: u64,
    size_of: &dyn Fn(&str) -> Result<u64, String>,
) -> Result<(String, Vec<Module>), String> {
    const MARK: &str = "MODULE(";
    let mut modules: Vec<Module> = Vec::new();
    let mut next = first;
    let mut pieces = text.split(MARK);
    let mut placed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(')').ok_or("MODULE( is never closed")?;
        let size = size_of(name)?;
        let address = match modules.iter().find(|module| module.name == name) {
            Some(module) => module.address,
            None => {
                let address = next;
                modules.push(Module { name: name.into(), address });
                next += size.next_multiple_of(MODULE_STEP);
                address
            }
        };
        placed.push_str(&format!("0x0 {address:#x} 0x0 {size:#x}{rest}"));
    }
    Ok((placed, modules))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_stand_before_the_nodes() {
        let joined = join("/dts-v1/;\n/ { };\n", "/* why */\n/memreserve/ 0x1000 0x2000;\n/ { a; };\n");
        assert_eq!(joined, "/dts-v1/;\n/memreserve/ 0x1000 0x2000;\n/ { };\n\n/* why */\n/ { a; };\n");
    }

    #[test]
    fn modules_get_addresses_and_a_file_named_twice_is_loaded_once() {
        let text = "a = <MODULE(one)>; b = <MODULE(two)>; c = <MODULE(one)>;";
        let (placed, modules) =
            place(text, FIRST_MODULE, &|name| Ok(if name == "one" { 0x20_0001 } else { 7 })).unwrap();
        assert_eq!(
            placed,
            "a = <0x0 0x50000000 0x0 0x200001>; b = <0x0 0x50400000 0x0 0x7>; c = <0x0 0x50000000 0x0 0x200001>;"
        );
        let addresses: Vec<_> = modules.iter().map(|module| (module.name.as_str(), module.address)).collect();
        assert_eq!(addresses, [("one", 0x5000_0000), ("two", 0x5040_0000)]);
    }
}
