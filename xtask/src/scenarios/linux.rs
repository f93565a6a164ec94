//! Debian's Linux as an unmodified domU: kernels, CPU models, topologies, and signals from user space.
//!
//! What a domain says comes from `qemu/linux/init`; its lines carry the domain's name, so their order does not matter.

use super::guests::COUNTED;
use super::{EL2, GICV2, linux_restart};
use crate::boards::{RPI4, ZCU102};
use crate::linux::{Hypervisor, boot};
use crate::linux_tree::{Channel, Domain, source};
use crate::qemu::{BASE, Run};
use crate::trees;
use crate::watch::{Wanted, watch};

/// A machine, its domains, and what they must say.
pub struct Linux {
    /// Its name, which begins with `linux-`.
    pub name: String,
    pub(super) cpu: &'static str,
    pub(super) pcpus: &'static str,
    pub(super) memory: &'static str,
    /// Another machine than `virt` with a GICv3, its CPUs and memory among it.
    pub machine: Option<&'static [&'static str]>,
    /// What the machine has besides.
    pub(super) more: &'static [&'static str],
    pub(super) domains: Vec<Domain>,
    pub(super) channels: Vec<Channel>,
    /// A fragment of `qemu/trees` instead of the domains above.
    pub(super) fragment: Option<&'static str>,
    /// What is typed, behind which text.
    pub(super) typed: Vec<(&'static str, &'static str)>,
    pub(super) wanted: Vec<String>,
    pub(super) limit: u64,
    /// What must not be said.
    pub(super) none: &'static [&'static str],
    /// Some text or key is only Portunus's, so it is not run under Xen.
    pub(super) ours: bool,
    /// Whether it runs without being asked for by name: it is short, and says much.
    pub quick: bool,
}

/// What no Linux domain may say, nor the hypervisor.
const FORBIDDEN: [&str; 6] =
    ["fault in the hypervisor", "broken invariant", "Kernel panic", "Oops", "BUG:", "evtchn=missing"];
/// Round trips in a run that is about something else, and in those that are about them.
const FEW: u32 = 100;
const MANY: u32 = 10_000;

/// Those that can be run under `hypervisor`.
pub fn all(hypervisor: Hypervisor) -> Vec<Linux> {
    let mut list = Vec::new();
    for cpu in ["cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "max"] {
        list.push(Linux { cpu, ..pair(&format!("6.12-on-{cpu}"), "linux-6.12", 1, &[10], FEW) });
    }
    list.push(pair("6.12-rt", "linux-6.12-rt", 1, &[10], FEW));
    // The 16 KiB granule is there from Cortex-A76 on.
    list.push(Linux { cpu: "cortex-a76", ..pair("6.12-16k", "linux-6.12-16k", 1, &[10], FEW) });
    list.push(pair("6.12-gzip", "linux-6.12.gz", 1, &[10], FEW));
    list.push(old_kernel("6.1", "linux-6.1"));
    list.push(old_kernel("6.1-gzip", "linux-6.1.gz"));
    list.push(Linux { pcpus: "4", ..hotplug(pair("two-by-two", "linux-6.12", 2, &[10], FEW)) });
    list.push(Linux { pcpus: "1", quick: true, ..pair("two-on-one-cpu", "linux-6.12", 1, &[10], FEW) });
    list.push(four());
    list.push(Linux { quick: true, ..pair("events", "linux-6.12", 1, &[10], MANY) });
    list.push(pair("eight-channels", "linux-6.12", 1, &[10, 11, 12, 13, 14, 15, 16, 17], MANY / 10));
    list.push(again());
    list.push(small());
    list.push(power_off());
    list.push(large());
    list.push(Linux { ours: true, ..busy("shared-cpu", &["domU1", "domU2"]) });
    list.push(Linux { ours: true, ..busy("cpu-of-its-own", &["domU1"]) });
    list.push(clock());
    list.push(starved());
    list.push(mixed());
    list.push(shell());
    list.push(paste());
    list.push(bad_kernels());
    list.extend(on_gicv2());
    list.extend(linux_restart::scenarios());
    list.retain(|linux| hypervisor == Hypervisor::Portunus || !linux.ours);
    list
}

/// On a GICv2: `virt`, and the boards, whose console Xen 4.17 does not find or whose GIC it does not drive.
fn on_gicv2() -> Vec<Linux> {
    const ONE: [&str; 8] = ["-M", GICV2, "-cpu", "cortex-a72", "-smp", "1", "-m", "1G"];
    const FOUR: [&str; 8] = ["-M", GICV2, "-cpu", "cortex-a53", "-smp", "4", "-m", "1G"];
    let on = |machine, linux| Linux { machine: Some(machine), ..linux };
    let board = |name: &str, machine| {
        let linux = pair(name, "linux-6.12", 2, &[10], MANY / 10);
        Linux { machine: Some(machine), ours: true, limit: 400, ..linux }
    };
    vec![
        on(&ONE, pair("gicv2-one-cpu", "linux-6.12", 1, &[10], FEW)),
        on(&FOUR, hotplug(pair("gicv2-two-by-two", "linux-6.12", 2, &[10], MANY))),
        board("board-rpi4", RPI4.machine),
        board("board-zcu102", ZCU102.machine),
    ]
}

pub(super) fn domain(index: usize, kernel: &str, vcpus: u32, roles: String) -> Domain {
    let series = kernel.trim_start_matches("linux-").trim_end_matches(".gz");
    // A copy of a compressed kernel for each: Xen unpacks it in place of the module.
    let copy = if kernel.ends_with(".gz") { format!("@{index}") } else { String::new() };
    Domain {
        name: format!("domU{}", index + 1),
        kernel: format!("{kernel}{copy}"),
        ramdisk: format!("initramfs-{series}"),
        memory: 256,
        vcpus,
        roles: format!("{roles} portunus.then=idle"),
        properties: String::new(),
    }
}

/// The ports of a role, as `/init` takes them.
fn list(ports: &[u32]) -> String {
    ports.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Two domains; the first plays `count` round trips on each of `ports`, the second answers on the ports 100 higher.
pub(super) fn pair(name: &str, kernel: &str, vcpus: u32, ports: &[u32], count: u32) -> Linux {
    let peers: Vec<u32> = ports.iter().map(|port| port + 100).collect();
    let trips = ports.len() as u32 * count;
    let mut wanted = Vec::new();
    for domain in ["domU1", "domU2"] {
        wanted.push(format!("linux: {domain}: hypervisor=xen"));
        wanted.push(format!("nproc={vcpus} "));
        wanted.push(format!("linux: {domain}: interrupts: "));
        wanted.push(format!("linux: {domain}: trouble=0"));
    }
    wanted.push(format!("linux: domU1: round=1 exit=0 evtchn-ping: {trips} round trips, 0 lost, 0 surplus"));
    wanted.push("linux: domU2: round=1 exit=0 evtchn-pong: ".into());
    // The events of all ports, as /proc/interrupts counts them.
    wanted.push(" 31 Level     events".into());
    Linux {
        name: format!("linux-{name}"),
        cpu: "cortex-a57",
        pcpus: "2",
        memory: "1G",
        machine: None,
        more: &[],
        domains: vec![
            domain(0, kernel, vcpus, format!("portunus.ping={} portunus.count={count}", list(ports))),
            domain(1, kernel, vcpus, format!("portunus.pong={}", list(&peers))),
        ],
        channels: ports.iter().zip(peers).map(|(ping, pong)| [(0, *ping), (1, pong)]).collect(),
        fragment: None,
        typed: Vec::new(),
        wanted,
        limit: 240,
        none: &FORBIDDEN,
        ours: false,
        quick: false,
    }
}

/// A kernel that has no ioctl for static ports: it boots, sees its hypervisor, and the program says what it needs.
fn old_kernel(name: &str, kernel: &str) -> Linux {
    let mut linux = pair(name, kernel, 1, &[10], FEW);
    linux.wanted.retain(|text| !text.contains("round="));
    linux.wanted.push("IOCTL_EVTCHN_BIND_STATIC needs Linux 6.5 or newer".into());
    linux
}

fn hotplug(mut linux: Linux) -> Linux {
    for (index, domain) in linux.domains.iter_mut().enumerate() {
        domain.roles.push_str(" portunus.hotplug=1");
        linux.wanted.push(format!("linux: domU{}: hotplug cpu1: nproc 1, then 2", index + 1));
    }
    linux
}

/// Four domains on two CPUs, two pairs that signal at the same time.
fn four() -> Linux {
    let mut linux = pair("four-on-two-cpus", "linux-6.12", 1, &[10], FEW);
    linux.domains.push(domain(2, "linux-6.12", 1, format!("portunus.ping=10 portunus.count={FEW}")));
    linux.domains.push(domain(3, "linux-6.12", 1, "portunus.pong=110".into()));
    linux.channels.push([(2, 10), (3, 110)]);
    linux
        .wanted
        .push(format!("linux: domU3: round=1 exit=0 evtchn-ping: {FEW} round trips, 0 lost, 0 surplus"));
    linux.wanted.push("linux: domU4: trouble=0".into());
    Linux { memory: "2G", limit: 400, ..linux }
}

/// Both programs are started three times: a static channel outlives who uses it.
fn again() -> Linux {
    let mut linux = pair("programs-start-again", "linux-6.12", 1, &[10], FEW);
    for domain in &mut linux.domains {
        domain.roles.push_str(" portunus.rounds=3");
    }
    for round in 2..=3 {
        linux.wanted.push(format!(
            "linux: domU1: round={round} exit=0 evtchn-ping: {FEW} round trips, 0 lost, 0 surplus"
        ));
        linux.wanted.push(format!("linux: domU2: round={round} exit=0 evtchn-pong: "));
    }
    linux
}

/// 128 MiB are enough.
fn small() -> Linux {
    let mut linux = pair("128-mib", "linux-6.12", 1, &[10], FEW);
    linux.domains.iter_mut().for_each(|domain| domain.memory = 128);
    linux
}

/// A domain that powers off stops alone: the one that it talked to goes on to its own end.
fn power_off() -> Linux {
    let mut linux = pair("power-off", "linux-6.12", 1, &[10], FEW);
    for (domain, sleep) in linux.domains.iter_mut().zip([0, 20]) {
        domain.roles = domain.roles.replace("then=idle", &format!("then=poweroff portunus.delay={sleep}"));
    }
    linux
        .wanted
        .extend(["domU1 has powered off", "domU2: after 20 s", "domU2 has powered off"].map(String::from));
    Linux { ours: true, ..linux }
}

/// 4 GiB take both banks of RAM, 3 GiB fill the first.
fn large() -> Linux {
    let mut linux = pair("two-banks", "linux-6.12", 1, &[10], FEW);
    for (domain, memory) in linux.domains.iter_mut().zip([4096, 3072]) {
        domain.memory = memory;
    }
    linux.wanted.push("linux: domU1: ram=40000000-ffffffff 200000000-23fffffff".into());
    linux.wanted.push("linux: domU2: ram=40000000-ffffffff ".into());
    Linux { memory: "8G", ..linux }
}

/// Domains that compute on one CPU: each has its fair part, and Linux knows how much it has not.
fn busy(name: &str, domains: &[&str]) -> Linux {
    let mut linux = pair(name, "linux-6.12", 1, &[10], FEW);
    linux.domains.truncate(domains.len());
    if domains.len() < 2 {
        linux.channels.clear();
    }
    // Everybody has booted by then.
    linux
        .domains
        .iter_mut()
        .for_each(|domain| domain.roles = "portunus.busy=45,60 portunus.then=idle".into());
    let verdict = if domains.len() == 1 { "alone" } else { "a fair half" };
    linux.wanted = domains.iter().map(|domain| format!("linux: {domain}: busy: {verdict}")).collect();
    // A second is so many instructions, however busy the host is.
    Linux { pcpus: "1", more: &COUNTED, limit: 900, ..linux }
}

/// The clock of a domain that shares its CPU does not drift from the counter.
fn clock() -> Linux {
    let mut linux = pair("clock", "linux-6.12", 1, &[10], FEW);
    linux.domains.iter_mut().for_each(|domain| domain.roles = "portunus.clock=20 portunus.then=idle".into());
    linux.wanted = ["domU1", "domU2"].map(|name| format!("linux: {name}: clock: 20")).to_vec();
    linux.wanted.push("us exit=0".into());
    Linux { pcpus: "1", ..linux }
}

/// A domain that prints without end does not keep the other's shell from answering.
fn starved() -> Linux {
    let mut linux = pair("flood-beside-a-shell", "linux-6.12", 1, &[10], FEW);
    for (domain, then) in linux.domains.iter_mut().zip(["shell", "flood"]) {
        domain.roles = format!("portunus.then={then}");
    }
    let typed = vec![("flood 100 ", "echo alive $((6 * 7))\n"), ("alive 42", "echo still $((6 * 8))\n")];
    let wanted = ["alive 42", "still 48"].map(String::from).to_vec();
    Linux { typed, wanted, ours: true, ..linux }
}

/// Linux and a bare-metal guest signal each other.
fn mixed() -> Linux {
    let linux = pair("beside-bare-metal", "linux-6.12", 1, &[10], MANY);
    Linux {
        fragment: Some("linux-mixed"),
        wanted: vec![linux.wanted.iter().find(|text| text.contains("ping")).cloned().unwrap_or_default()],
        ..linux
    }
}

/// The tree of `run linux`, used as a person would: ping by hand and by name, a port that leads nowhere, then the other domain.
fn shell() -> Linux {
    let wanted = ["evtchn-ping: 100 round trips, 0 lost, 0 surplus", "no answer on port 999", "lives 42"];
    Linux {
        fragment: Some("linux"),
        typed: vec![
            ("/ # ", "evtchn-ping -n 50 request control\n"),
            // By then evtchn-pong has ended there.
            ("domU2: then shell", "evtchn-ping -w 2 999\n"),
            ("no answer on port 999", "poweroff -f\n"),
            ("domU1 has powered off", "\x01\x01\x01echo lives $((6 * 7))\n"),
        ],
        wanted: wanted.map(String::from).to_vec(),
        ours: true,
        ..pair("shell", "linux-6.12", 1, &[10], FEW)
    }
}

/// 4 KiB that are typed at once arrive whole: the shell counts them.
fn paste() -> Linux {
    const LINES: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";
    let text = format!("wc -c <<'EOF'\n{}EOF\n", LINES.repeat(64));
    let mut linux = pair("paste", "linux-6.12", 1, &[10], FEW);
    linux.domains.iter_mut().for_each(|domain| domain.roles = "portunus.then=shell".into());
    Linux { typed: vec![("/ # ", text.leak())], wanted: vec!["4096".into()], ours: true, ..linux }
}

/// Kernels that cannot start: each is named, and the good one starts.
fn bad_kernels() -> Linux {
    let mut linux = pair("bad-kernels", "linux-6.12", 1, &[10], FEW);
    let mut bad = |index: usize, kernel: &str, memory: u64| {
        let domain = domain(index, "linux-6.12", 1, String::new());
        linux.domains.push(Domain { kernel: kernel.into(), memory, ..domain });
    };
    bad(2, "initramfs-6.12", 256);
    bad(3, "linux-6.12.gz.cut", 256);
    bad(4, "linux-6.12", 32);
    bad(5, "linux-6.12.gz", 40);
    bad(6, "linux-6.12", 46);
    for text in [
        "error[P0423]: kernel is no arm64 Image  --> /chosen/domU3/kernel",
        "error[P0426]: compressed kernel cannot be unpacked  --> /chosen/domU4/kernel",
        "error[P0420]: images larger than the domain  --> /chosen/domU5",
        "error[P0426]: compressed kernel cannot be unpacked  --> /chosen/domU6/kernel",
        "error[P0428]: no room for ramdisk and device tree  --> /chosen/domU7",
    ] {
        linux.wanted.push(text.into());
    }
    Linux { memory: "2G", ours: true, ..linux }
}

/// QEMU's arguments for two domains that do nothing but to wait at their shells.
pub fn at_shell(name: &str) -> Result<Vec<String>, String> {
    let linux = pair(name, "linux-6.12", 1, &[10], FEW);
    let domains: Vec<Domain> = linux
        .domains
        .into_iter()
        .map(|domain| Domain { roles: "portunus.then=shell".into(), ..domain })
        .collect();
    let machine = ["-M", EL2, "-cpu", linux.cpu, "-smp", linux.pcpus, "-m", linux.memory];
    boot(Hypervisor::Portunus, &machine, &source(&domains, &linux.channels), name)
}

/// Runs one under `hypervisor`.
pub fn run(linux: &Linux, hypervisor: Hypervisor) -> Result<Run, String> {
    let virt = ["-M", EL2, "-cpu", linux.cpu, "-smp", linux.pcpus, "-m", linux.memory];
    let machine = [linux.machine.unwrap_or(&virt), linux.more].concat();
    let fragment = match linux.fragment {
        Some(name) => trees::read(name)?,
        None => source(&linux.domains, &linux.channels),
    };
    let mut arguments = boot(hypervisor, &machine, &fragment, &linux.name)?;
    arguments.extend(BASE.map(String::from));
    let wanted = Wanted { all: &linux.wanted, none: linux.none, typed: &linux.typed, limit: linux.limit };
    Ok(watch(&arguments, &wanted))
}
