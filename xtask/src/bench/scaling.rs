//! How costs grow: a send with the number of domains and channels, the boot with what is loaded, a ring of domains.
//!
//! The trees are made here: domains of 4 MiB in pairs, every channel between the two of a pair, all but the first pair
//! asleep by the time at which it is measured.

use std::fs;

use super::marks;
use super::rows::{self, Count, Figure, Row, Run};
use super::run::{self, Hypervisor, Machine, Outcome};
use crate::guests;

const MACHINE: Machine = Machine { gic: 3, cpus: 4 };
/// In hundredths, how far a send may be from the one with the fewest domains and channels.
const FLAT: f64 = 5.0;
/// Domains and channels of each.
const SENDS: [(usize, usize); 6] = [(2, 8), (16, 8), (64, 8), (2, 1000), (16, 1000), (64, 1000)];
/// The same for the guard.
const FEW_SENDS: [(usize, usize); 4] = [(2, 8), (16, 8), (64, 8), (2, 1000)];
/// Domains of the ring, on four CPUs.
pub const RING: usize = 16;

const fn row(mark: u16, count: Count) -> Row {
    Row { key: "", name: "", run: Run::Apart, mark, count, goal: None }
}

/// A domain of a tree that is made.
struct Domain {
    kib: usize,
    kernel: String,
    bootargs: String,
    /// More properties and nodes.
    more: String,
}

impl Domain {
    fn small(bootargs: &str) -> Self {
        Self { kib: 4096, kernel: "bench".into(), bootargs: bootargs.into(), more: String::new() }
    }
}

fn tree(domains: &[Domain], links: &str) -> String {
    let mut text = String::from(
        "/ {\nchosen {\n#address-cells = <2>;\n#size-cells = <2>;\nxen,xen-bootargs = \"console=dtuart\";\n",
    );
    for (index, domain) in domains.iter().enumerate() {
        let Domain { kib, kernel, bootargs, more } = domain;
        text.push_str(&format!(
            "d{index}: d{index} {{\ncompatible = \"xen,domain\";\n#address-cells = <2>;\n#size-cells = <2>;\n\
             memory = <0x0 {kib:#x}>;\ncpus = <1>;\nvpl011;\n{more}\n\
             kernel {{\ncompatible = \"multiboot,kernel\", \"multiboot,module\";\nreg = <MODULE({kernel})>;\n\
             bootargs = \"{bootargs}\";\n}};\n}};\n"
        ));
    }
    text + links + "};\n};\n"
}

/// So many domains, each pair with so many channels; the first pair is measured.
fn pairs(domains: usize, channels: usize) -> String {
    let list: Vec<Domain> = (0..domains)
        .map(|index| {
            let last = 9 + channels;
            let mut domain = match index {
                0 => Domain::small(&format!("role=measure only=events after=500 port={last} rounds=50")),
                1 => Domain::small(&format!("role=echo port={last}")),
                _ => Domain::small("role=sleep"),
            };
            if index < 2 {
                domain.more = format!("hard-affinity = \"{index}\";");
            }
            domain
        })
        .collect();
    // A node for each pair, with all its channels: QEMU takes trees of 1 MiB, which a node for each would fill with names.
    let mut links = String::new();
    for pair in 0..domains / 2 {
        let (one, other) = (2 * pair, 2 * pair + 1);
        let ends = (10..10 + channels).map(|port| format!(" {port} &d{one} {port} &d{other}"));
        let ends: String = ends.collect();
        links.push_str(&format!("c{pair} {{ compatible = \"xen,evtchn\"; xen,evtchn = <{ends}>; }};\n"));
    }
    tree(&list, &links)
}

/// Domains in a ring: out by port 11, in by port 10 of the next one. In the form that Xen knows, too.
fn ring() -> String {
    let list: Vec<Domain> = (0..RING)
        .map(|index| {
            let role = if index == 0 { "first" } else { "relay" };
            let mut domain = Domain::small(&format!("role={role} port=10 next=11 rounds=50"));
            let (before, behind) = ((index + RING - 1) % RING, (index + 1) % RING);
            let half = |name: &str, port: u32, peer: String| {
                format!("{name}{index}: {name} {{ compatible = \"xen,evtchn-v1\"; xen,evtchn = <{port} &{peer}>; }};\n")
            };
            domain.more =
                half("in", 10, format!("out{before}")) + &half("out", 11, format!("in{behind}"));
            domain
        })
        .collect();
    tree(&list, "")
}

/// What a send and a round trip cost with so many domains and channels.
struct Send {
    domains: usize,
    channels: usize,
    send: Figure,
    round_trip: Figure,
}

fn send(domains: usize, channels: usize) -> Result<Send, String> {
    let text = pairs(domains, channels);
    let outcome = run::counted(Hypervisor::Portunus, MACHINE, &text, &format!("send-{domains}-{channels}"))?;
    let send = figure(&outcome, Hypervisor::Portunus, marks::SEND_WOKEN, Count::Own)?;
    let round_trip = figure(&outcome, Hypervisor::Portunus, marks::ROUND_TRIP, Count::All)?;
    Ok(Send { domains, channels, send, round_trip })
}

fn figure(outcome: &Outcome, hypervisor: Hypervisor, mark: u16, count: Count) -> Result<Figure, String> {
    rows::figure(&row(mark, count), hypervisor, &outcome.record).ok_or_else(|| "nothing was counted".into())
}

/// Instructions of all CPUs for each hop of the ring.
pub fn hop(hypervisor: Hypervisor) -> Result<Figure, String> {
    let outcome = run::counted(hypervisor, MACHINE, &ring(), "ring")?;
    let Figure { least, median, most } = figure(&outcome, hypervisor, marks::RING, Count::All)?;
    let hops = RING as f64;
    let each = |all: f64| (all / hops).round();
    Ok(Figure { least: each(least), median: each(median), most: each(most) })
}

/// Medians for the guard, by name; an error if a send is not flat.
pub fn medians() -> Result<Vec<(String, f64)>, String> {
    let sends = FEW_SENDS.iter().map(|(domains, channels)| send(*domains, *channels));
    let sends = sends.collect::<Result<Vec<_>, _>>()?;
    flat(&sends)?;
    let mut medians: Vec<(String, f64)> = sends
        .iter()
        .map(|point| (format!("send-{}-{}", point.domains, point.channels), point.send.median))
        .collect();
    // Where CPUs are shared, the number of domains is the number of vCPUs on each.
    medians.extend(
        sends
            .iter()
            .filter(|point| point.domains > MACHINE.cpus.into())
            .map(|point| (format!("round-trip-{}", point.domains), point.round_trip.median)),
    );
    medians.push(("ring-hop".into(), hop(Hypervisor::Portunus)?.median));
    Ok(medians)
}

/// Whether every send costs about what the first does.
fn flat(sends: &[Send]) -> Result<(), String> {
    let Some(first) = sends.first() else { return Ok(()) };
    for other in sends {
        let difference = other.send.median - first.send.median;
        if difference.abs() * 100.0 > FLAT * first.send.median {
            let more = difference / first.send.median * 100.0;
            return Err(format!(
                "a send costs {} instructions with {} domains and {} channels each, {} with {} and {}: {more:+.1} %",
                other.send.median,
                other.domains,
                other.channels,
                first.send.median,
                first.domains,
                first.channels
            ));
        }
    }
    Ok(())
}

/// Measures and prints everything.
pub fn run() -> Result<(), String> {
    println!("domains  channels of each   send (EL2)  round trip (all)   median of 50");
    let mut sends = Vec::new();
    for (domains, channels) in SENDS {
        let point = send(domains, channels)?;
        let (send, round_trip) = (point.send.median, point.round_trip.median);
        println!("{domains:>7}  {channels:>16}  {send:>11}  {round_trip:>16}");
        sends.push(point);
    }
    flat(&sends)?;
    println!(
        "\na ring of {RING} domains on {} CPUs: {} instructions a hop, all CPUs",
        MACHINE.cpus,
        hop(Hypervisor::Portunus)?.median
    );
    boot()
}

/// Instructions until the first guest's first, with so many domains of so much memory and a kernel file of so many bytes.
fn start(domains: usize, kib: usize, kernel: usize) -> Result<f64, String> {
    let name = padded(kernel)?;
    let list: Vec<Domain> = (0..domains)
        .map(|index| Domain {
            kib,
            kernel: name.clone(),
            ..Domain::small(if index == 0 { "role=measure only=events rounds=0" } else { "role=echo" })
        })
        .collect();
    let link = "link { compatible = \"xen,evtchn\"; xen,evtchn = <10 &d0 10 &d1>; };\n";
    let outcome = run::counted(Hypervisor::Portunus, MACHINE, &tree(&list, link), "boot")?;
    outcome.record.start.map(|start| start as f64).ok_or_else(|| "no guest started".into())
}

/// The guest's file with zeros behind it, so that it has this size.
fn padded(bytes: usize) -> Result<String, String> {
    let mut image = fs::read(guests::path("bench")).map_err(|e| format!("bench: {e}"))?;
    if bytes <= image.len() {
        return Ok("bench".into());
    }
    image.resize(bytes, 0);
    let name = format!("bench-{}k", bytes / 1024);
    fs::write(guests::path(&name), image).map_err(|e| format!("{name}: {e}"))?;
    Ok(name)
}

/// A series of boots: what grows, in which unit, and the points: how much there is of it, and what the boot takes.
struct Series {
    what: &'static str,
    points: Vec<(f64, f64)>,
}

fn boot() -> Result<(), String> {
    const MIB: usize = 1 << 20;
    let series = |what, points: &[usize], start: &dyn Fn(usize) -> Result<f64, String>| {
        let points = points.iter().map(|at| Ok((*at as f64, start(*at)?))).collect::<Result<_, String>>()?;
        Ok::<_, String>(Series { what, points })
    };
    let all = [
        series("domains of 4 MiB", &[2, 8, 16, 32, 64], &|domains| start(domains, 4096, 0))?,
        series("MiB of kernel for each of two domains", &[1, 2, 4, 8, 16], &|mib| {
            start(2, 32 * 1024, mib * MIB)
        })?,
        series("MiB of memory for each of two domains", &[8, 16, 32, 64, 128], &|mib| {
            start(2, mib * 1024, 0)
        })?,
    ];
    println!("\nreset to first guest instruction");
    for Series { what, points } in &all {
        let (base, slope) = line(points);
        println!("{what}: about {base:.0} + {slope:.0} for each");
        for (at, took) in points {
            let off = (took / (base + slope * at) - 1.0) * 100.0;
            println!("{at:>7.0}  {took:>12.0}  {off:>+6.1} % from that");
        }
    }
    Ok(())
}

/// The straight line nearest to the points (least squares): where it begins, and how it rises.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let rise = mean(&|point| (point.0 - x) * (point.1 - y)) / mean(&|point| (point.0 - x).powi(2));
    (y - rise * x, rise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_are_on_it() {
        let (base, slope) = line(&[(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)]);
        assert!((base - 3.0).abs() < 1e-9 && (slope - 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_flat_is_said() {
        let point = |domains, send| Send {
            domains,
            channels: 8,
            send: Figure::exact(send),
            round_trip: Figure::exact(1.0),
        };
        assert!(flat(&[point(2, 100.0), point(64, 105.0)]).is_ok());
        let said = flat(&[point(2, 100.0), point(64, 106.0)]).unwrap_err();
        assert!(said.contains("64 domains") && said.contains("+6.0 %"));
    }
}
