//! Debian's Xen, to see a tree and its guests run on the original, and to compare with it.
//!
//! The package is for arm64, whatever this machine is: apt gets a state of its own for that, below `target/`, and
//! nothing is installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::image;
use crate::qemu::BASE;
use crate::trees;

const DIRECTORY: &str = "target/portunus/xen";
const PACKAGE: &str = "xen-hypervisor-4.17-arm64";
const IMAGE: &str = "target/portunus/xen/boot/xen-4.17-arm64";

/// Boots `qemu/trees/<tree>.dts` under Xen, console on this terminal, for at most `seconds`.
pub fn run(tree: &str, seconds: u64) -> Result<(), String> {
    if tree.is_empty() {
        return Err("cargo xtask xen TREE: the name of a file in qemu/trees, without .dts".into());
    }
    if trees::read(tree)?.contains("\"xen,evtchn\"") {
        return Err(format!("{tree}: Xen knows the merged binding only, `xen,evtchn-v1` inside a domain"));
    }
    install()?;
    let machine = ["-M", trees::VIRT, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];
    let tree = trees::compose(&machine, tree, &format!("xen-{tree}"))?;
    let mut qemu = Command::new("timeout");
    qemu.arg(seconds.to_string()).arg("qemu-system-aarch64");
    qemu.args(machine).args(BASE).args(["-kernel", IMAGE]).args(tree.arguments);
    let status = qemu.status().map_err(|e| format!("timeout qemu-system-aarch64: {e}"))?;
    // Xen goes on when its domains are gone, so every run ends by running out of time.
    const OUT_OF_TIME: i32 = 124;
    if status.success() || status.code() == Some(OUT_OF_TIME) {
        return Ok(());
    }
    Err(format!("{qemu:?}: {status}"))
}

/// Downloads and unpacks the package, once.
fn install() -> Result<(), String> {
    if Path::new(IMAGE).exists() {
        return Ok(());
    }
    let here = fs::canonicalize(".").map_err(|e| e.to_string())?.join(DIRECTORY);
    for part in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(here.join(part)).map_err(|e| format!("{DIRECTORY}: {e}"))?;
    }
    fs::write(here.join("status"), "").map_err(|e| format!("{DIRECTORY}: {e}"))?;
    let root = here.display();
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64"]);
        command.args(["-o", &format!("Dir::State::Lists={root}/lists"), "-o", &format!("Dir::Cache={root}")]);
        command.args(["-o", &format!("Dir::State::status={root}/status"), "-o", "Acquire::Languages=none"]);
        image::run(command.args(arguments).current_dir(&here))
    };
    let fetched = apt(&["update"]).and_then(|()| apt(&["download", PACKAGE]));
    fetched.map_err(|e| {
        format!("{PACKAGE} cannot be downloaded: this needs Debian 12's apt and the network\n{e}")
    })?;
    let package = fs::read_dir(&here)
        .map_err(|e| format!("{DIRECTORY}: {e}"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt left no package in {DIRECTORY}"))?;
    image::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&here))
}
