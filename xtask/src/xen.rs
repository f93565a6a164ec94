//! Debian's Xen, to see a tree and its guests run on the original, and to compare with it.

use std::process::Command;

use crate::debian::{self, Package};
use crate::qemu::BASE;
use crate::trees;

/// Boots `qemu/trees/<tree>.dts` under Xen, console on this terminal, for at most `seconds`.
pub fn run(tree: &str, seconds: u64) -> Result<(), String> {
    if tree.is_empty() {
        return Err("cargo xtask xen TREE: the name of a file in qemu/trees, without .dts".into());
    }
    if trees::read(tree)?.contains("\"xen,evtchn\"") {
        return Err(format!("{tree}: Xen knows the merged binding only, `xen,evtchn-v1` inside a domain"));
    }
    let xen = image()?;
    let machine = ["-M", trees::VIRT, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];
    let tree = trees::compose(&machine, tree, &format!("xen-{tree}"))?;
    let mut qemu = Command::new("timeout");
    qemu.arg(seconds.to_string()).arg("qemu-system-aarch64");
    qemu.args(machine).args(BASE).args(["-kernel", &xen]).args(tree.arguments);
    let status = qemu.status().map_err(|e| format!("timeout qemu-system-aarch64: {e}"))?;
    // Xen goes on when its domains are gone, so every run ends by running out of time.
    const OUT_OF_TIME: i32 = 124;
    if status.success() || status.code() == Some(OUT_OF_TIME) {
        return Ok(());
    }
    Err(format!("{qemu:?}: {status}"))
}

/// The file of Xen, downloaded if it is not there.
pub fn image() -> Result<String, String> {
    let boot = debian::unpacked(Package::Named("xen-hypervisor-4.17-arm64"), "xen")?.join("boot");
    Ok(boot.join("xen-4.17-arm64").display().to_string())
}
