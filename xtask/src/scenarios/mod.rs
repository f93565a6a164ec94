//! What must be seen under QEMU: each scenario is a machine, an image, and the lines that a user would look for.

mod boards;
mod boot;
mod chains;
mod gicv2;
mod golden;
mod guests;
mod idle;
mod linux;
mod linux_restart;
mod refusals;
mod restart;
mod unpacked;

use std::fs;

use crate::image::IMAGE;
use crate::linux::Hypervisor;
use crate::qemu::{self, BASE, Expectation, Run};
use crate::{debian, kept, trees, watch};

/// How the image is made from the one that is shipped.
enum Variant {
    /// As it is.
    Shipped,
    /// Loaded at this offset from the start of RAM, by its header's `text_offset`.
    At(u64),
    /// Entered with this value in x0 instead of a tree's address.
    WithX0(u64),
    /// Entered at EL1 by a loader that went there first.
    AtEl1,
}

struct Scenario {
    name: String,
    machine: Vec<&'static str>,
    variant: Variant,
    fragment: Option<&'static str>,
    /// Lines that must appear, in this order.
    wanted: Vec<&'static str>,
    /// Or in any order.
    any_order: bool,
    /// Lines that must not, besides those that no run may print.
    forbidden: Vec<&'static str>,
    /// What is typed: when the first text has appeared, the second is sent, and so on.
    typed: &'static [(&'static str, &'static str)],
    /// Seconds until the run has failed.
    limit: u64,
}

/// No run may ever print these.
const FORBIDDEN: [&str; 2] = ["fault in the hypervisor", "broken invariant"];
const EL2: &str = trees::VIRT;
/// The same with a GICv2.
const GICV2: &str = "virt,virtualization=on,gic-version=2,dtb-randomness=off";

fn scenario(name: &str, machine: &[&'static str], wanted: &[&'static str]) -> Scenario {
    Scenario {
        name: name.into(),
        machine: machine.to_vec(),
        variant: Variant::Shipped,
        fragment: None,
        wanted: wanted.to_vec(),
        any_order: false,
        forbidden: Vec::new(),
        typed: &[],
        limit: 30,
    }
}

/// The machine of most scenarios.
const TWO: [&str; 8] = ["-M", EL2, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];

fn all() -> Vec<Scenario> {
    let mut list = boot::scenarios();
    list.extend(guests::guest_scenarios());
    list.extend(gicv2::scenarios());
    list.extend(refusals::scenarios());
    list.extend(restart::scenarios());
    list
}

/// Runs the scenarios whose name contains `filter`; the last line printed is the summary. Of those with Linux domains and
/// on boards, only the quick ones run unless everything is wanted, or the filter begins with the name of that group.
pub fn test(filter: &str, everything: bool) -> Result<(), String> {
    let mut tally = Tally::default();
    let mut list = all();
    let whole = |group: &str| everything || filter.starts_with(group);
    if filter.starts_with("linux") {
        crate::linux::possible()?;
    }
    if whole("board") {
        list.extend(boards::scenarios());
        list.extend(refusals::on_boards());
    }
    for scenario in list.iter().filter(|scenario| scenario.name.contains(filter)) {
        if let Err(why) = boards_possible(&scenario.machine) {
            tally.add_impossible(&scenario.name, &why);
            continue;
        }
        let run = arguments(scenario).map(|arguments| {
            let forbidden: Vec<&str> = FORBIDDEN.iter().chain(&scenario.forbidden).copied().collect();
            if scenario.any_order || !scenario.typed.is_empty() {
                return in_any_order(scenario, &arguments, &forbidden);
            }
            let expectation =
                Expectation { wanted: &scenario.wanted, forbidden: &forbidden, limit: scenario.limit };
            qemu::watch(&arguments, &expectation)
        });
        tally.add(&scenario.name, run);
    }
    for (name, offset, made, says) in unpacked::ALL.into_iter().filter(|(name, ..)| name.contains(filter)) {
        tally.add(name, unpacked::run(name, offset, made, says));
    }
    chains::test(filter, whole("board"), &mut tally);
    tally.add_linux(filter, whole("linux"), Hypervisor::Portunus);
    golden::test(filter, whole("golden"), &mut tally);
    tally.finish(filter)
}

/// Whether QEMU has the board that these arguments ask for, if they ask for one.
fn boards_possible(machine: &[&str]) -> Result<(), String> {
    crate::boards::of(machine).map_or(Ok(()), crate::boards::possible)
}

/// Runs a scenario whose texts may come in any order, as they do where somebody types.
fn in_any_order(scenario: &Scenario, arguments: &[String], none: &[&str]) -> Run {
    let all: Vec<String> = scenario.wanted.iter().map(ToString::to_string).collect();
    let wanted = watch::Wanted { all: &all, none, typed: scenario.typed, limit: scenario.limit };
    watch::watch(arguments, &wanted)
}

/// Runs the scenarios with Linux domains under Debian's Xen: what fails there too is not our fault.
pub fn test_xen(filter: &str) -> Result<(), String> {
    let mut tally = Tally::default();
    crate::linux::possible()?;
    tally.add_linux(filter, true, Hypervisor::Xen);
    tally.finish(filter)
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    impossible: usize,
}

impl Tally {
    fn add_linux(&mut self, filter: &str, whole: bool, hypervisor: Hypervisor) {
        if whole && idle::NAME.contains(filter) && hypervisor == Hypervisor::Portunus {
            match crate::linux::possible() {
                Ok(()) => self.add(idle::NAME, idle::run()),
                Err(why) => self.add_impossible(idle::NAME, &why),
            }
        }
        let wanted = |linux: &&linux::Linux| linux.name.contains(filter) && (linux.quick || whole);
        let list = linux::all(hypervisor);
        let mut list = list.iter().filter(wanted).peekable();
        // Asked once, and not for nothing: the answer may take a while.
        let possible = if list.peek().is_some() { crate::linux::possible() } else { Ok(()) };
        for scenario in list {
            let board = scenario.machine.map_or(Ok(()), boards_possible);
            match possible.as_ref().and(board.as_ref()) {
                Ok(()) => self.add(&scenario.name, linux::run(scenario, hypervisor)),
                Err(why) => self.add_impossible(&scenario.name, why),
            }
        }
    }

    fn add(&mut self, name: &str, run: Result<Run, String>) {
        if let Err(why) = &run
            && debian::is_missing(why)
        {
            return self.add_impossible(name, why);
        }
        let run = run.unwrap_or_else(|failure| Run { log: String::new(), failure: Some(failure) });
        let kept = keep(name, &run.log);
        match run.failure.or_else(|| kept::excess(&run.log)) {
            None => {
                self.passed += 1;
                println!("ok      {name}");
            }
            Some(why) => {
                self.failed += 1;
                println!("FAILED  {name}: {why}\n        log kept in {kept}");
            }
        }
    }

    /// A scenario that cannot run here. In CI that is a failure: there everything has to be seen.
    fn add_impossible(&mut self, name: &str, why: &str) {
        let word = if std::env::var_os("CI").is_some() {
            self.failed += 1;
            "FAILED "
        } else {
            self.impossible += 1;
            "cannot "
        };
        println!("{word} {name}: {why}");
    }

    fn finish(&self, filter: &str) -> Result<(), String> {
        if self.impossible > 0 {
            println!("{} scenarios cannot run here; CI does not pass without them", self.impossible);
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        match (self.passed, self.failed) {
            (0, 0) if self.impossible == 0 => Err(format!("no scenario's name contains `{filter}`")),
            (_, 0) => Ok(()),
            _ => Err(String::from("QEMU scenarios failed")),
        }
    }
}

fn keep(name: &str, log: &str) -> String {
    let path = format!("target/portunus/logs/{name}.log");
    let written = fs::create_dir_all("target/portunus/logs").and_then(|()| fs::write(&path, log));
    if written.is_ok() { path } else { format!("nowhere; it was:\n{log}") }
}

fn arguments(scenario: &Scenario) -> Result<Vec<String>, String> {
    let image = prepare(&scenario.variant, &scenario.name)?;
    let mut arguments: Vec<String> = scenario.machine.iter().chain(&BASE).map(ToString::to_string).collect();
    arguments.extend(["-kernel".into(), image]);
    if let Some(fragment) = scenario.fragment {
        arguments.extend(trees::compose(&scenario.machine, fragment, &scenario.name)?.arguments);
    }
    Ok(arguments)
}

/// Writes the image that the variant asks for; answers its path.
fn prepare(variant: &Variant, name: &str) -> Result<String, String> {
    let mut image = fs::read(IMAGE).map_err(|e| format!("{IMAGE}: {e}; `cargo xtask build` makes it"))?;
    match variant {
        Variant::Shipped => return Ok(IMAGE.into()),
        // The header's text_offset is at byte 8 (Linux, Documentation/arch/arm64/booting.rst).
        Variant::At(offset) => image.splice(8..16, offset.to_le_bytes()).for_each(drop),
        Variant::WithX0(x0) => image = behind(&image, &load_x0(*x0)),
        Variant::AtEl1 => image = behind(&image, &drop_to_el1()),
    }
    let path = format!("target/portunus/{name}.Image");
    fs::write(&path, image).map_err(|e| format!("{path}: {e}"))?;
    Ok(path)
}

/// Loads x0.
fn load_x0(x0: u64) -> Vec<u32> {
    // movz x0, then movk for the other three quarters
    (0..4)
        .map(|n: u32| {
            let part = ((x0 >> (16 * n)) & 0xffff) as u32;
            (if n == 0 { 0xd280_0000 } else { 0xf280_0000 }) | n << 21 | part << 5
        })
        .collect()
}

/// Goes on at EL1.
fn drop_to_el1() -> Vec<u32> {
    let code = [
        0xd2b0_0009, // mov x9, #0x80000000: RW
        0xd51c_1109, // msr hcr_el2, x9
        0xd280_78a9, // mov x9, #0x3c5: EL1h, all masked
        0xd51c_4009, // msr spsr_el2, x9
        0x1000_0069, // adr x9, behind the eret
        0xd51c_4029, // msr elr_el2, x9
        0xd69f_03e0, // eret
    ];
    code.to_vec()
}

/// The image behind a page of code that a bad loader might have run.
fn behind(image: &[u8], before: &[u32]) -> Vec<u8> {
    const PAGE: usize = 4096;
    let mut code: Vec<u32> = vec![0x1400_0010]; // b to byte 64, behind the header
    code.resize(16, 0);
    code.extend(before);
    let here = code.len() * 4;
    code.push(0x1400_0000 | ((PAGE - here) / 4) as u32); // b to the next page
    let mut wrapped: Vec<u8> = code.iter().flat_map(|instruction| instruction.to_le_bytes()).collect();
    wrapped.resize(PAGE, 0);
    let size = image.get(16..24).and_then(|size| size.try_into().ok()).map_or(0, u64::from_le_bytes);
    wrapped.splice(16..24, (size + PAGE as u64).to_le_bytes());
    wrapped.splice(24..32, 0xa_u64.to_le_bytes());
    wrapped.splice(56..60, *b"ARM\x64");
    wrapped.extend(image);
    wrapped
}
