//! Debian's Xen, to see a tree and its guests run on the original, and to compare with it.

use std::process::Command;

use crate::debian::{self, Package};
use crate::qemu::BASE;
use crate::trees;

/// Boots `qemu/trees/<tree>.dts` under Xen, console on this terminal, for at most `seconds`. `options` are added to
/// Xen's command line (`sched=null vwfi=native` is its fastest), and every guest is told where it is by `xen=4.17`.
pub fn run(tree: &str, seconds: u64, options: &str) -> Result<(), String> {
    if tree.is_empty() {
        return Err("cargo xtask xen TREE: the name of a file in qemu/trees, without .dts".into());
    }
    let text = trees::read(tree)?;
    if text.contains("\"xen,evtchn\"") {
        return Err(format!("{tree}: Xen knows the merged binding only, `xen,evtchn-v1` inside a domain"));
    }
    let xen = image()?;
    let machine = ["-M", trees::VIRT, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];
    let text = text.replace("\tbootargs = \"", "\tbootargs = \"xen=4.17 ");
    let text = text.replace("xen,xen-bootargs = \"", &format!("xen,xen-bootargs = \"{options} "));
    let tree = trees::compose_source(&machine, &text, &format!("xen-{tree}"))?;
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
