//! What is true of the machine.
//!
//! Decides which CPUs, memory, interrupt controller, timer and console the hypervisor will use. Every subject
//! reports all of its mistakes; only when the tree leaves the hypervisor without a CPU, memory, a GIC or a
//! timer, or keeps it from knowing what memory is reserved, is there no machine.

mod cpu;
mod gic;
mod memory;
mod psci;
mod rtc;
mod timer;
mod uart;

pub(super) use memory::{free_bytes, reserved_nodes};
pub use rtc::clock;
pub use uart::{EarlyConsole, any_uart, early_console};

use alloc::string::String;
use alloc::vec::Vec;

use super::diagnostic::Diagnostics;
use super::{Machine, modules};
use crate::fdt::Tree;

/// Reads the machine from the tree. `None` if it cannot be run on; the diagnostics then say why.
#[must_use]
pub fn machine(tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Machine> {
    machine_behind(EarlyConsole::default(), tree, diags)
}

/// The same for who has looked for the console of this tree already.
#[must_use]
#[inline(never)] // in its caller it would be larger: that one is not of the cold half
pub fn machine_behind(early: EarlyConsole, tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Machine> {
    let psci = psci::read(tree, diags);
    let cpus = cpu::read(tree, psci, diags);
    let ram = memory::ram(tree, diags);
    let reserved = memory::reserved(tree, diags);
    let gic = gic::read(tree, diags);
    let timer = timer::read(tree, diags);
    let uart = uart::after(early, tree, diags);
    let modules = modules::footprints(tree, ram.as_deref().unwrap_or_default());
    Some(Machine {
        model: model(tree),
        cpus: cpus?,
        ram: ram?,
        reserved: reserved?,
        ours: Vec::new(),
        modules,
        gic: gic?,
        timer: timer?,
        uart,
        psci,
    })
}

fn model(tree: &Tree<'_>) -> String {
    const SHOWN: usize = 64;
    let named = tree.root().and_then(|root| {
        let model = root.prop("model").and_then(|model| model.str().ok());
        let name = model.filter(|name| !name.is_empty()).or_else(|| root.compatible().next())?;
        Some(name.chars().filter(|character| !character.is_control()).take(SHOWN).collect())
    });
    named.unwrap_or_else(|| String::from("unknown machine"))
}
