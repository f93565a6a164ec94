//! What must be seen under QEMU: each scenario is a machine, an image, and the lines that a user would look for.

mod boot;
mod guests;

use std::fs;

use crate::image::IMAGE;
use crate::qemu::{self, BASE, Expectation, Run};
use crate::trees;

/// How the image is made from the one that is shipped.
enum Variant {
    /// As it is.
    Shipped,
    /// Loaded at this offset from the start of RAM, by its header's `text_offset`.
    At(u64),
    /// Entered with this value in x0 instead of a tree's address.
    WithX0(u64),
}

struct Scenario {
    name: String,
    machine: Vec<&'static str>,
    variant: Variant,
    fragment: Option<&'static str>,
    /// Lines that must appear, in this order.
    wanted: Vec<&'static str>,
    /// Lines that must not, besides those that no run may print.
    forbidden: Vec<&'static str>,
    /// Seconds until the run has failed.
    limit: u64,
}

/// No run may ever print these.
const FORBIDDEN: [&str; 2] = ["fault in the hypervisor", "broken invariant"];
const EL2: &str = trees::VIRT;

fn scenario(name: &str, machine: &[&'static str], wanted: &[&'static str]) -> Scenario {
    Scenario {
        name: name.into(),
        machine: machine.to_vec(),
        variant: Variant::Shipped,
        fragment: None,
        wanted: wanted.to_vec(),
        forbidden: Vec::new(),
        limit: 30,
    }
}

/// The machine of most scenarios.
const TWO: [&str; 8] = ["-M", EL2, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];

fn all() -> Vec<Scenario> {
    let mut list = boot::scenarios();
    list.extend(guests::guest_scenarios());
    list
}

/// Runs the scenarios whose name contains `filter`; the last line printed is the summary.
pub fn test(filter: &str) -> Result<(), String> {
    let (mut passed, mut failed) = (0, 0);
    for scenario in all().iter().filter(|scenario| scenario.name.contains(filter)) {
        let run = arguments(scenario).map(|arguments| {
            let forbidden: Vec<&str> = FORBIDDEN.iter().chain(&scenario.forbidden).copied().collect();
            let expectation =
                Expectation { wanted: &scenario.wanted, forbidden: &forbidden, limit: scenario.limit };
            qemu::watch(&arguments, &expectation)
        });
        match run.unwrap_or_else(|failure| Run { log: String::new(), failure: Some(failure) }) {
            Run { failure: None, .. } => {
                passed += 1;
                println!("ok      {}", scenario.name);
            }
            Run { log, failure: Some(why) } => {
                failed += 1;
                println!(
                    "FAILED  {}: {why}\n        log kept in {}",
                    scenario.name,
                    keep(&scenario.name, &log)
                );
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    match (passed, failed) {
        (0, 0) => Err(format!("no scenario's name contains `{filter}`")),
        (_, 0) => Ok(()),
        _ => Err(String::from("QEMU scenarios failed")),
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
        Variant::WithX0(x0) => image = with_x0(&image, *x0),
    }
    let path = format!("target/portunus/{name}.Image");
    fs::write(&path, image).map_err(|e| format!("{path}: {e}"))?;
    Ok(path)
}

/// The image behind a page that loads x0 and jumps into it: a loader that gets x0 wrong.
fn with_x0(image: &[u8], x0: u64) -> Vec<u8> {
    const PAGE: usize = 4096;
    let mut code: Vec<u32> = vec![0x1400_0010]; // b to byte 64, behind the header
    code.resize(16, 0);
    // movz x0, then movk for the other three quarters
    code.extend((0..4).map(|n: u32| {
        let part = ((x0 >> (16 * n)) & 0xffff) as u32;
        (if n == 0 { 0xd280_0000 } else { 0xf280_0000 }) | n << 21 | part << 5
    }));
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
