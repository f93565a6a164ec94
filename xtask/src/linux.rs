//! Linux domains out of Debian's packages: which kernels, their initramfs, and `cargo xtask run linux`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::debian::{self, DIRECTORY, Package};
use crate::{image, trees, xen};

const PROGRAMS: &str = "target/aarch64-unknown-linux-musl/release";

/// The kernels, by our name, with Debian's series and flavour.
pub const KERNELS: [(&str, Package); 4] = [
    ("6.1", Package::Kernel("6.1", "-arm64")),
    ("6.12", Package::Kernel("6.12", "-arm64")),
    ("6.12-rt", Package::Kernel("6.12", "-rt-arm64")),
    ("6.12-16k", Package::Kernel("6.12", "-arm64-16k")),
];
/// The kernel of `run linux`: the first one with `IOCTL_EVTCHN_BIND_STATIC`.
const USUAL: &str = "6.12";
const BUSYBOX: Package = Package::Named("busybox-static");

/// The file behind the name of a module: `linux-6.12` (the plain Image), `linux-6.12.gz`, `linux-6.12.gz.cut` (its
/// first half, for tests), `initramfs-6.12`. `None` if the name is not one for Linux.
pub fn module(name: &str) -> Option<Result<PathBuf, String>> {
    if let Some(kernel) = name.strip_prefix("initramfs-") {
        return Some(build_programs().and_then(|()| initramfs(kernel)));
    }
    let kernel = name.strip_prefix("linux-")?;
    Some(match kernel.split_once(".gz") {
        Some((kernel, ".cut")) => cut(kernel),
        Some((kernel, _)) => compressed(kernel),
        None => plain(kernel),
    })
}

/// Whether Linux domains can be run here: downloads what the usual ones need, if it is not there.
///
/// # Errors
///
/// Why a package cannot be had.
pub fn possible() -> Result<(), String> {
    plain(USUAL)?;
    unpacked_busybox()?;
    Ok(())
}

/// Downloads everything that Linux domains need, and says what is there.
pub fn fetch() -> Result<(), String> {
    for (kernel, _) in KERNELS {
        println!("linux-{kernel}: {}", plain(kernel)?.display());
    }
    println!("busybox: {}", unpacked_busybox()?.display());
    println!("xen: {}", xen::image()?);
    Ok(())
}

fn unpacked_busybox() -> Result<PathBuf, String> {
    only_file(&debian::unpacked(BUSYBOX, "busybox")?.join("bin"), |name| name == "busybox")
}

fn package(kernel: &str) -> Result<PathBuf, String> {
    let known = KERNELS.iter().find(|(name, _)| *name == kernel);
    let (_, package) = known.ok_or_else(|| {
        let names = KERNELS.map(|(name, _)| name).join(", ");
        format!("no kernel `{kernel}`: there are {names}")
    })?;
    debian::unpacked(*package, &format!("linux-{kernel}"))
}

fn plain(kernel: &str) -> Result<PathBuf, String> {
    only_file(&package(kernel)?.join("boot"), |name| name.starts_with("vmlinuz-") && !name.contains(".gz"))
}

fn compressed(kernel: &str) -> Result<PathBuf, String> {
    let plain = plain(kernel)?;
    let path = PathBuf::from(format!("{}.gz", plain.display()));
    if !path.exists() {
        println!("compressing {}", plain.display());
        let bytes = Command::new("gzip").arg("-nc").arg(&plain).output().map_err(|e| format!("gzip: {e}"))?;
        if !bytes.status.success() {
            return Err(format!("gzip: {}", bytes.status));
        }
        write(&path, &bytes.stdout)?;
    }
    Ok(path)
}

/// Half of a compressed kernel.
fn cut(kernel: &str) -> Result<PathBuf, String> {
    let whole = compressed(kernel)?;
    let path = PathBuf::from(format!("{}.cut", whole.display()));
    let bytes = read(&whole)?;
    write(&path, bytes.get(..bytes.len() / 2).unwrap_or_default())?;
    Ok(path)
}

fn only_file(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf, String> {
    let files = fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let name = names.find(|name| wanted(name));
    name.map(|name| directory.join(name)).ok_or_else(|| {
        format!(
            "{} lacks the file that was expected: remove {DIRECTORY} to fetch it again",
            directory.display()
        )
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Builds the first file system of a domain with `kernel`: busybox, the two programs, the driver, and `/init`.
fn initramfs(kernel: &str) -> Result<PathBuf, String> {
    let image = plain(kernel)?;
    let release =
        image.file_name().and_then(|name| name.to_str()?.strip_prefix("vmlinuz-")).unwrap_or_default();
    let package = package(kernel)?;
    let drivers = package.join("lib/modules").join(release).join("kernel/drivers/xen");
    let driver = only_file(&drivers, |name| name.starts_with("xen-evtchn.ko"))?;
    let driver_name = driver.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut archive = Archive::default();
    let modules = format!("lib/modules/{release}");
    for directory in ["bin", "dev", "lib", "lib/modules", &modules] {
        archive.directory(directory);
    }
    // The kernel opens it for /init, before anything is mounted.
    archive.device("dev/console", 5, 1);
    archive.file("bin/busybox", &read(&unpacked_busybox()?)?);
    for program in ["evtchn-ping", "evtchn-pong", "marked-init", "clock-drift", "credit-random"] {
        archive.file(&format!("bin/{program}"), &read(&Path::new(PROGRAMS).join(program))?);
    }
    archive.file(&format!("{modules}/{driver_name}"), &read(&driver)?);
    archive.file("init", &read(Path::new("qemu/linux/init"))?);
    let path = package.join("initramfs");
    write(&path, &archive.finish())?;
    Ok(path)
}

/// Builds the programs for Linux guests: static ones, by Rust's own linker.
pub fn build_programs() -> Result<(), String> {
    let target = ["--target", "aarch64-unknown-linux-musl"];
    image::run(
        Command::new("cargo").args(["build", "--quiet", "--release", "-p", "portunus-linux"]).args(target),
    )
}

/// Which hypervisor boots.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hypervisor {
    /// This one, built from what is there.
    Portunus,
    /// Debian's Xen 4.17.
    Xen,
}

impl Hypervisor {
    /// The file for QEMU's `-kernel`.
    fn image(self) -> Result<String, String> {
        match self {
            Self::Portunus => image::build().map(|_| image::IMAGE.into()),
            Self::Xen => xen::image(),
        }
    }
}

/// QEMU's arguments to boot the tree with the source `fragment`, its modules loaded.
pub fn boot(
    hypervisor: Hypervisor,
    machine: &[&str],
    fragment: &str,
    name: &str,
) -> Result<Vec<String>, String> {
    build_programs()?;
    let tree = trees::compose_source(machine, fragment, name)?;
    let mut arguments: Vec<String> = machine.iter().map(ToString::to_string).collect();
    arguments.extend(["-kernel".into(), hypervisor.image()?]);
    arguments.extend(tree.arguments);
    Ok(arguments)
}

const FRAGMENT: &str = "qemu/trees/linux.dts";
/// With a seed for random numbers that is another one each time.
const VIRT: &str = "virt,virtualization=on,gic-version=3";
const MACHINE: [&str; 8] = ["-M", VIRT, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];

/// Boots `qemu/trees/linux.dts` with the console on this terminal: `run linux [--xen] [KERNEL]`.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let mut hypervisor = Hypervisor::Portunus;
    let mut kernel = USUAL;
    for argument in arguments {
        match argument.as_str() {
            "--xen" => hypervisor = Hypervisor::Xen,
            name => kernel = name,
        }
    }
    let source = fs::read_to_string(FRAGMENT).map_err(|e| format!("{FRAGMENT}: {e}"))?;
    // The file names the usual kernel; another one takes its place.
    let source = source.replace(&format!("-{USUAL})"), &format!("-{kernel})"));
    let boot = boot(hypervisor, &MACHINE, &source, "linux")?;
    println!(
        "QEMU: leave with Ctrl-] x, its monitor is Ctrl-] c; Ctrl-A three times gives the next domain the input"
    );
    let console = ["-nographic", "-nodefaults", "-net", "none", "-echr", "0x1d", "-serial", "mon:stdio"];
    image::run(Command::new("qemu-system-aarch64").args(boot).args(console))
}
