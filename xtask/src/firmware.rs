//! Boot loaders and firmware out of Debian's arm64 packages: what stands before the hypervisor in the tests, and
//! what goes onto a card with it.

use std::path::PathBuf;
use std::process::Command;

use crate::debian::{self, Package};
use crate::image;

/// U-Boot for QEMU's `virt`.
pub fn uboot_virt() -> Result<PathBuf, String> {
    file("u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin")
}

/// U-Boot for Raspberry Pi 4.
pub fn uboot_rpi4() -> Result<PathBuf, String> {
    file("u-boot-rpi", "usr/lib/u-boot/rpi_4/u-boot.bin")
}

/// BL31 of Trusted Firmware-A for Raspberry Pi 4: what runs at EL3 and answers PSCI.
pub fn bl31_rpi4() -> Result<PathBuf, String> {
    file("arm-trusted-firmware", "usr/lib/arm-trusted-firmware/rpi4/bl31.bin")
}

/// U-Boot for ZCU102, the ELF file. Debian has it as source only: whoever has built it names it by this variable.
pub fn uboot_zcu102() -> Result<PathBuf, String> {
    const VARIABLE: &str = "PORTUNUS_ZCU102_UBOOT";
    let file = std::env::var_os(VARIABLE).map(PathBuf::from);
    file.filter(|file| file.is_file()).ok_or_else(|| {
        format!(
            "Debian has no U-Boot for ZCU102: build u-boot.elf for xilinx_zynqmp_virt (docs/boards.md) and name it by {VARIABLE}"
        )
    })
}

/// What stands in for firmware at EL3 on QEMU's ZCU102 (`qemu/el3`), built: Debian has no firmware for that chip, and QEMU
/// not all of the chip that it would need.
pub fn el3_zcu102() -> Result<Vec<u8>, String> {
    let cargo = ["build", "--quiet", "--release", "--package", "portunus-el3", "--target", image::TARGET];
    image::run(Command::new("cargo").args(cargo))?;
    image::flat(&format!("target/{}/release/portunus-el3", image::TARGET))
}

fn file(package: &'static str, path: &str) -> Result<PathBuf, String> {
    let place = debian::unpacked(Package::Named(package), package)?.join(path);
    if place.is_file() {
        return Ok(place);
    }
    Err(format!("Debian's package {package} has no {path} any more: looked for {}", place.display()))
}
