//! Files out of Debian's arm64 packages: kernels for guests, a busybox, and Xen to compare with.
//!
//! Downloaded once by apt into a state directory of its own below `target/`: no root, no foreign architecture on the
//! machine, and apt checks each package against the signed index. The mirror and any proxy are the ones that the
//! machine's apt already uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where everything is kept. Remove it to have newer packages downloaded.
pub const DIRECTORY: &str = "target/portunus/debian";
const SUITES: [&str; 2] = ["bookworm", "bookworm-backports"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Part of every message that a package is neither there nor to be had.
const MISSING: &str = "Debian's packages are downloaded once";
/// What the process ends with if that was why: another code than that of a test that failed.
pub const MISSING_CODE: u8 = 3;

/// Whether `message` says that a package could not be had.
pub fn is_missing(message: &str) -> bool {
    message.contains(MISSING)
}

/// A package that is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// By its name.
    Named(&'static str),
    /// The newest kernel image of a series, such as `6.12`, in a flavour, such as `-rt-arm64`.
    Kernel(&'static str, &'static str),
    /// The same package, for the device trees of our boards that are in it.
    Trees(&'static str, &'static str),
}

/// The directory with the unpacked files of `package`, kept under the name `kept`; downloads it if it is not there.
///
/// # Errors
///
/// A text that says what is missing: the network, apt, the mirror, or the package.
pub fn unpacked(package: Package, kept: &str) -> Result<PathBuf, String> {
    let place = Path::new(DIRECTORY).join(kept);
    if place.is_dir() {
        return Ok(place);
    }
    let apt = Apt::prepare()
        .map_err(|why| format!("{why}\n{MISSING} and kept in {DIRECTORY}; `{kept}` is not there yet"))?;
    let name = match package {
        Package::Named(name) => name.to_owned(),
        Package::Kernel(series, flavour) | Package::Trees(series, flavour) => {
            let names = apt.names(&format!("linux-image-{series}."))?;
            let newest =
                names.iter().filter(|name| is_kernel(name, series, flavour)).max_by_key(|name| numbers(name));
            newest
                .cloned()
                .ok_or_else(|| format!("the mirror has no kernel {series} of flavour {flavour}"))?
        }
    };
    println!("fetching {name} for arm64");
    let file = apt.download(&name)?;
    // Under another name first, so that an interrupted run leaves nothing that looks complete.
    let partial = Path::new(DIRECTORY).join(format!("{kept}.partial"));
    let _ = fs::remove_dir_all(&partial);
    unpack(&file, package, &partial)?;
    fs::rename(&partial, &place).map_err(|e| format!("{}: {e}", place.display()))?;
    let _ = fs::remove_file(file);
    Ok(place)
}

/// Unpacks what is of use: of a kernel, the image and the one driver that its guests load, not the gigabyte of others.
fn unpack(file: &Path, package: Package, place: &Path) -> Result<(), String> {
    fs::create_dir_all(place).map_err(|e| format!("{}: {e}", place.display()))?;
    let mut dpkg = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("dpkg-deb: {e}"))?;
    let parts: &[&str] = match package {
        Package::Named(_) => &["*"],
        Package::Kernel(..) => &["./boot/*", "*/drivers/xen/xen-evtchn.ko*"],
        Package::Trees(..) => &["*/broadcom/bcm2711-rpi-4-b.dtb", "*/xilinx/zynqmp-zcu102-rev1.0.dtb"],
    };
    let archive = dpkg.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut tar = Command::new("tar");
    tar.args(["-x", "--wildcards", "-C"]).arg(place).args(parts).stdin(archive);
    let unpacked = crate::image::run(&mut tar);
    let read = dpkg.wait().map_err(|e| format!("dpkg-deb: {e}"))?;
    unpacked?;
    if read.success() { Ok(()) } else { Err(format!("dpkg-deb cannot read {}: {read}", file.display())) }
}

/// Whether `name` is `linux-image-`, the series, the rest of a version, then exactly the flavour.
fn is_kernel(name: &str, series: &str, flavour: &str) -> bool {
    let rest =
        name.strip_prefix("linux-image-").and_then(|rest| rest.strip_prefix(series)?.strip_prefix('.'));
    let version = rest.and_then(|rest| rest.strip_suffix(flavour));
    let words = version.map(|version| version.split(['.', '-', '+']));
    let is_version = |word: &str| word == "deb12" || word.bytes().all(|byte| byte.is_ascii_digit());
    words.is_some_and(|mut words| words.all(is_version))
}

/// The numbers in a name, which order versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// apt with a configuration of our own.
struct Apt {
    options: Vec<String>,
    directory: PathBuf,
}

impl Apt {
    /// Writes the configuration and gets the lists of packages.
    fn prepare() -> Result<Self, String> {
        let mirror = mirror()?;
        if !Path::new(KEYRING).exists() {
            return Err(format!("{KEYRING} is missing: install debian-archive-keyring"));
        }
        let directory = std::env::current_dir().map_err(|e| e.to_string())?.join(DIRECTORY).join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(part)).map_err(|e| format!("{}: {e}", directory.display()))?;
        }
        let sources =
            SUITES.map(|suite| format!("deb [arch=arm64 signed-by={KEYRING}] {mirror} {suite} main\n"));
        for (file, text) in [("status", String::new()), ("sources.list", sources.concat())] {
            fs::write(directory.join(file), text).map_err(|e| format!("{}: {e}", directory.display()))?;
        }
        let at = |part: &str| directory.join(part).display().to_string();
        let options = [
            "APT::Architecture=arm64".into(),
            "APT::Architectures=arm64".into(),
            // Packages are only downloaded; nothing is installed, so there is nothing to drop privileges for.
            "APT::Sandbox::User=".into(),
            "Acquire::Languages=none".into(),
            "APT::Update::Error-Mode=any".into(),
            "Acquire::Retries=2".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Dir::Etc::sourceparts=/dev/null".into(),
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            format!("Dir::State={}", at("")),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
        ];
        let apt = Self { options: options.into_iter().flat_map(|o| ["-o".into(), o]).collect(), directory };
        output(apt.command("apt-get").args(["-q", "update"])).map_err(|why| {
            format!("{why}\ncannot read the lists of the Debian mirror: is this machine offline?")
        })?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).env("LC_ALL", "C");
        command
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>, String> {
        let names = output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(String::from).collect())
    }

    /// Downloads a package; answers the path of its file.
    fn download(&self, name: &str) -> Result<PathBuf, String> {
        let place = self.directory.join("download");
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).map_err(|e| e.to_string())?;
        output(self.command("apt-get").args(["-q", "download", name]).current_dir(&place))?;
        let mut files = fs::read_dir(&place).map_err(|e| e.to_string())?;
        match files.next() {
            Some(Ok(file)) => Ok(file.path()),
            _ => Err(format!("apt-get download {name} left no file in {}", place.display())),
        }
    }
}

/// The Debian mirror of this machine: what its apt is configured with, or `PORTUNUS_DEBIAN_MIRROR`.
fn mirror() -> Result<String, String> {
    if let Ok(mirror) = std::env::var("PORTUNUS_DEBIAN_MIRROR") {
        return Ok(mirror);
    }
    let targets = output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))
        .map_err(|why| format!("{why}\napt is needed to get Debian's packages"))?;
    let mirror = targets.lines().map(|uri| uri.trim_end_matches('/')).find(|uri| uri.ends_with("/debian"));
    mirror.map(String::from).ok_or_else(|| {
        "this machine's apt names no Debian mirror: set PORTUNUS_DEBIAN_MIRROR to the address of one".into()
    })
}

/// What a command prints, or why it failed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_kernel_of_the_flavour_is_taken() {
        let names = [
            "linux-image-6.12.43+deb12-arm64",
            "linux-image-6.12.95+deb12-arm64",
            "linux-image-6.12.95+deb12-arm64-16k",
            "linux-image-6.12.95+deb12-arm64-dbg",
            "linux-image-6.12.95+deb12-cloud-arm64",
            "linux-image-6.12.95+deb12-rt-arm64",
            "linux-image-6.1.0-50-arm64",
        ];
        let newest = |series: &str, flavour: &str| {
            names
                .iter()
                .filter(|name| is_kernel(name, series, flavour))
                .max_by_key(|name| numbers(name))
                .copied()
        };
        assert_eq!(newest("6.12", "-arm64"), Some("linux-image-6.12.95+deb12-arm64"));
        assert_eq!(newest("6.12", "-rt-arm64"), Some("linux-image-6.12.95+deb12-rt-arm64"));
        assert_eq!(newest("6.12", "-arm64-16k"), Some("linux-image-6.12.95+deb12-arm64-16k"));
        assert_eq!(newest("6.1", "-arm64"), Some("linux-image-6.1.0-50-arm64"));
        assert_eq!(newest("6.6", "-arm64"), None);
    }
}
