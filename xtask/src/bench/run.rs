//! One run of the guests under a hypervisor, with the tracer.
//!
//! QEMU runs one CPU after the other on one host thread, and virtual time advances by instructions
//! (`-icount shift=4,sleep=off`): runs repeat exactly, on any host. Where guests sleep for good there is no next
//! instruction; then time is the host's.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::record::Record;
use crate::image::{self, IMAGE};
use crate::qemu::{self, BASE, Expectation};
use crate::watch::{self, Wanted};
use crate::{trees, xen};

const DIRECTORY: &str = "target/portunus/bench";
const TRACER: &str = "target/release/libportunus_tracer.so";
/// The tracer tells CPUs apart only where one runs after the other.
const ONE_THREAD: [&str; 2] = ["-accel", "tcg,thread=single"];
const COUNTED: [&str; 2] = ["-icount", "shift=4,sleep=off"];

/// Where Portunus is loaded to be counted: RAM begins at 1 GiB here, and in a domain, which has its code below this. So
/// an address says whose instruction it is.
const LOADED: u64 = 0x7000_0000;
/// Xen's own addresses end below this, domains' RAM begins there.
const XEN_END: u64 = 0x4000_0000;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypervisor {
    /// Ours.
    Portunus,
    /// Debian's Xen 4.17 as it comes.
    Xen,
    /// The same at its best for domains with CPUs of their own.
    XenTuned,
}

impl Hypervisor {
    /// The name of a column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portunus => "Portunus",
            Self::Xen => "Xen 4.17",
            Self::XenTuned => "Xen, tuned",
        }
    }

    /// Whether the instruction at this address is the hypervisor's.
    pub const fn owns(self, address: u64) -> bool {
        match self {
            Self::Portunus => address >= LOADED,
            Self::Xen | Self::XenTuned => address < XEN_END,
        }
    }

    /// Its addresses.
    const fn addresses(self) -> Range<u64> {
        match self {
            Self::Portunus => LOADED..LOADED + 0x1000_0000,
            Self::Xen | Self::XenTuned => 0..XEN_END,
        }
    }

    /// A short name, for files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Portunus => "portunus",
            Self::Xen => "xen",
            Self::XenTuned => "xen-tuned",
        }
    }

    /// The file to boot, as it is.
    pub fn image(self) -> Result<String, String> {
        match self {
            Self::Portunus => Ok(IMAGE.into()),
            Self::Xen | Self::XenTuned => xen::image(),
        }
    }
}

/// The machine of a run.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// 2 or 3.
    pub gic: u8,
    /// Physical CPUs.
    pub cpus: u8,
}

impl Machine {
    /// QEMU's arguments.
    fn arguments(self) -> Vec<String> {
        let model = format!("virt,virtualization=on,gic-version={},dtb-randomness=off", self.gic);
        let cpus = self.cpus.to_string();
        ["-M", &model, "-cpu", "cortex-a57", "-smp", &cpus, "-m", "1G"].map(String::from).to_vec()
    }
}

/// Builds the tracer.
pub fn prepare() -> Result<(), String> {
    image::run(Command::new("cargo").args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "portunus-tracer",
    ]))?;
    fs::create_dir_all(DIRECTORY).map_err(|e| format!("{DIRECTORY}: {e}"))
}

/// The version of the QEMU that counts, if it says.
pub fn qemu_version() -> Option<String> {
    let answer = Command::new("qemu-system-aarch64").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    text.split_once("version ")?.1.split_whitespace().next().map(str::to_owned)
}

/// What a run left.
pub struct Outcome {
    /// What the tracer wrote.
    pub record: Record,
    /// What was printed.
    pub log: String,
}

/// Boots the tree with this text until its guests say that they are done.
pub fn counted(hypervisor: Hypervisor, machine: Machine, text: &str, name: &str) -> Result<Outcome, String> {
    traced(hypervisor, machine, text, name, &[])
}

fn traced(
    hypervisor: Hypervisor,
    machine: Machine,
    text: &str,
    name: &str,
    more: &[&str],
) -> Result<Outcome, String> {
    let (mut arguments, out) = arguments(hypervisor, machine, text, name)?;
    arguments.extend(more.iter().map(ToString::to_string));
    arguments.extend(COUNTED.map(String::from));
    let forbidden = ["error:", "panic on vCPU"];
    let run =
        qemu::watch(&arguments, &Expectation { wanted: &["bench: done"], forbidden: &forbidden, limit: 600 });
    match run.failure {
        Some(why) => Err(format!("bench under {}: {why}\n{}", hypervisor.name(), run.log)),
        None => Ok(Outcome { record: read(&out)?, log: run.log }),
    }
}

/// The same; answers the interrupts that the physical CPU interfaces acknowledged, too.
pub fn acknowledged(
    hypervisor: Hypervisor,
    machine: Machine,
    text: &str,
    name: &str,
) -> Result<(Outcome, Vec<u32>), String> {
    let log = format!("{DIRECTORY}/{name}.interrupts");
    let events = if machine.gic == 2 { "gic_acknowledge_irq" } else { "gicv3_icc_iar1_read" };
    let outcome = traced(hypervisor, machine, text, name, &["-trace", events, "-D", &log])?;
    let lines = fs::read_to_string(&log).map_err(|e| format!("{log}: {e}"))?;
    Ok((outcome, lines.lines().filter_map(intid).collect()))
}

/// Reads `… ICC_IAR1 read cpu 0x0 value 0x1b` and `… cpu 0 acknowledged irq 27`; a GICv2's virtual interface is not meant.
fn intid(line: &str) -> Option<u32> {
    if let Some((_, value)) =
        line.split_once("ICC_IAR1 read cpu ").and_then(|(_, rest)| rest.split_once("value 0x"))
    {
        return u32::from_str_radix(value.trim(), 16).ok();
    }
    let (who, number) = line.split_once(" acknowledged irq ")?;
    if who.contains("vcpu") { None } else { number.trim().parse().ok() }
}

/// Boots the tree with this text; when both its guests sleep, leaves them for so long.
pub fn asleep(
    hypervisor: Hypervisor,
    machine: Machine,
    text: &str,
    time: Duration,
) -> Result<Outcome, String> {
    let (arguments, out) = arguments(hypervisor, machine, text, "idle")?;
    let all = [10, 11].map(|port| format!("bench: port {port}: asleep"));
    let wanted = Wanted { all: &all, none: &[], typed: &[], limit: 120 };
    let run = watch::linger(&arguments, &wanted, time);
    match run.failure {
        Some(why) => Err(format!("bench under {}: {why}\n{}", hypervisor.name(), run.log)),
        None => Ok(Outcome { record: read(&out)?, log: run.log }),
    }
}

/// Boots the tree with this text until its domains have said everything in `all`.
pub fn said(hypervisor: Hypervisor, text: &str, name: &str, all: &[String]) -> Result<Outcome, String> {
    let (mut arguments, out) = arguments(hypervisor, Machine { gic: 3, cpus: 2 }, text, name)?;
    // Thousands of round trips: only totals.
    for argument in &mut arguments {
        *argument = argument.replace(",devices=", ",totals=");
    }
    arguments.extend(COUNTED.map(String::from));
    let wanted = Wanted { all, none: &["Kernel panic"], typed: &[], limit: 1800 };
    let run = watch::linger(&arguments, &wanted, Duration::ZERO);
    match run.failure {
        Some(why) => Err(format!("{name} under {}: {why}\n{}", hypervisor.name(), run.log)),
        None => Ok(Outcome { record: read(&out)?, log: run.log }),
    }
}

/// Reads the record and removes it: under Xen it is large.
fn read(out: &str) -> Result<Record, String> {
    let record = Record::read(out)?;
    fs::remove_file(out).map_err(|e| format!("{out}: {e}"))?;
    Ok(record)
}

/// QEMU's arguments, and where the tracer will write.
fn arguments(
    hypervisor: Hypervisor,
    machine: Machine,
    text: &str,
    name: &str,
) -> Result<(Vec<String>, String), String> {
    let options = if hypervisor == Hypervisor::XenTuned { "sched=null vwfi=native " } else { "" };
    let text = text.replace("xen,xen-bootargs = \"", &format!("xen,xen-bootargs = \"{options}"));
    let name = format!("{name}-{}", hypervisor.key());
    let mut arguments = machine.arguments();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let tree = trees::compose_source(&words, &text, &format!("bench-{name}"))?;
    let out = format!("{DIRECTORY}/{name}.record");
    let image = match hypervisor {
        Hypervisor::Portunus => moved()?,
        Hypervisor::Xen | Hypervisor::XenTuned => hypervisor.image()?,
    };
    if !Path::new(TRACER).exists() {
        return Err(format!("{TRACER} is missing"));
    }
    let addresses = hypervisor.addresses();
    let devices = format!("devices={:x}-{:x}", addresses.start, addresses.end);
    arguments.extend(BASE.iter().chain(&ONE_THREAD).map(ToString::to_string));
    arguments.extend(["-kernel".into(), image, "-plugin".into()]);
    arguments.push(format!("./{TRACER},out={out},{devices}"));
    arguments.extend(tree.arguments);
    Ok((arguments, out))
}

/// The image with a header that has it loaded at [`LOADED`]: QEMU adds `text_offset`, byte 8, to where RAM begins.
fn moved() -> Result<String, String> {
    let path = format!("{DIRECTORY}/Image");
    let mut bytes = fs::read(IMAGE).map_err(|e| format!("{IMAGE}: {e}"))?;
    let offset = LOADED - 0x4000_0000;
    bytes.splice(8..16, offset.to_le_bytes()).for_each(drop);
    fs::write(&path, bytes).map_err(|e| format!("{path}: {e}"))?;
    Ok(path)
}

/// The address in the linked file of an address in a run of Portunus.
pub const fn linked(address: u64) -> u64 {
    address - LOADED
}
