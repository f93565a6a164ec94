//! What the tree says about this machine: CPUs, RAM, timer, firmware. Interrupt controller and UART have files
//! of their own.
//!
//! Decides what exists; trusts the tree about hardware, for there is no other source; refuses only what makes a
//! hypervisor impossible: no RAM, no CPU that matches the one that runs, no GIC it can drive.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::spans::{merged, raw_spans};
use super::{Conduit, Cpu, EnableMethod, Machine, MachineError, Timer, gic, uart};
use crate::addr::{Affinity, CpuId, IntId, Pa, PaSpan};
use crate::fdt::{Node, Tree};

/// Reads the machine.
///
/// # Errors
///
/// Everything that makes this machine unusable; at least one entry.
pub fn machine(tree: &Tree<'_>) -> Result<Machine, Vec<MachineError>> {
    let mut errors = Vec::new();
    let cpus = cpus(tree);
    let ram = ram(tree);
    if cpus.is_empty() {
        errors.push(MachineError::new(
            "/cpus",
            "there is no CPU node with a `reg`",
            "describe each CPU as /cpus/cpu@N",
        ));
    }
    if ram.is_empty() {
        errors.push(MachineError::new(
            "/",
            "there is no RAM: no child of the root has device_type \"memory\" and a `reg` with a size",
            "add /memory@ADDRESS with device_type = \"memory\" and reg = <address size>",
        ));
    }
    match (gic::find(tree), errors.is_empty()) {
        (Ok(gic), true) => Ok(Machine {
            model: model(tree),
            cpus,
            ram,
            reserved: reserved(tree),
            modules: Vec::new(),
            gic,
            timer: timer(tree),
            uart: uart::find(tree),
            psci: psci(tree),
        }),
        (Ok(_), false) => Err(errors),
        (Err(error), _) => {
            errors.push(error);
            Err(errors)
        }
    }
}

fn model(tree: &Tree<'_>) -> String {
    let root = tree.root();
    let read = |name| root.as_ref().and_then(|root| root.text(name)).filter(|text| !text.is_empty());
    read("model").or_else(|| read("compatible")).unwrap_or("unknown machine").to_string()
}

/// Children of `/cpus` that are CPUs, in tree order. A disabled CPU (`status = "disabled"`) may be started by its
/// `enable-method` (Devicetree Specification 3.8.1), so only "fail" leaves it out.
fn cpus(tree: &Tree<'_>) -> Vec<Cpu> {
    let Some(node) = tree.find("/cpus") else { return Vec::new() };
    node.children()
        .filter(|cpu| cpu.text("device_type") == Some("cpu") || cpu.base_name() == "cpu")
        .filter(|cpu| cpu.text("status").is_none_or(|status| !status.starts_with("fail")))
        .filter_map(|cpu| {
            let (affinity, _) = *cpu.reg_entries().first()?;
            Some((affinity, cpu))
        })
        .take(usize::from(u16::MAX))
        .enumerate()
        .map(|(index, (affinity, cpu))| Cpu {
            id: CpuId::new(index as u16),
            affinity: Affinity::from_mpidr(affinity),
            enable: enable_method(&cpu),
            compatible: cpu.text("compatible").unwrap_or("arm,armv8").to_string(),
        })
        .collect()
}

fn enable_method(cpu: &Node<'_, '_>) -> EnableMethod {
    match cpu.text("enable-method") {
        Some("psci") => EnableMethod::Psci,
        Some("spin-table") => release_address(cpu).map_or(EnableMethod::Unknown, EnableMethod::SpinTable),
        _ => EnableMethod::Unknown,
    }
}

/// `cpu-release-addr`: one or two cells, 8-byte aligned.
fn release_address(cpu: &Node<'_, '_>) -> Option<Pa> {
    let address = match *cpu.cells("cpu-release-addr")?.as_slice() {
        [low] => u64::from(low),
        [high, low] => u64::from(high) << 32 | u64::from(low),
        _ => return None,
    };
    Some(Pa::new(address)).filter(|address| address.is_aligned(8))
}

/// RAM is what `device_type = "memory"` says among the children of the root, and nothing else: boards have
/// `/reserved-memory/memory@…` nodes that are not RAM to use.
fn ram(tree: &Tree<'_>) -> Vec<PaSpan> {
    let Some(root) = tree.root() else { return Vec::new() };
    let banks = root
        .children()
        .filter(|node| node.text("device_type") == Some("memory") && node.is_enabled())
        .flat_map(|node| node.reg());
    merged(banks.collect())
}

/// The reservation block and the static children of `/reserved-memory`.
fn reserved(tree: &Tree<'_>) -> Vec<PaSpan> {
    let mut spans = tree.reservations().to_vec();
    if let Some(node) = tree.find("/reserved-memory") {
        spans.extend(node.children().filter(Node::is_enabled).flat_map(|child| raw_spans(&child)));
    }
    merged(spans)
}

fn psci(tree: &Tree<'_>) -> Option<Conduit> {
    let node = tree.find("/psci").filter(Node::is_enabled)?;
    if !["arm,psci", "arm,psci-0.2", "arm,psci-1.0"].iter().any(|known| node.is_compatible(known)) {
        return None;
    }
    match node.text("method")? {
        "smc" => Some(Conduit::Smc),
        "hvc" => Some(Conduit::Hvc),
        _ => None,
    }
}

/// Timer interrupts in the order of the binding: secure physical, physical, virtual, hypervisor. What is missing
/// keeps the number that all known machines use.
fn timer(tree: &Tree<'_>) -> Timer {
    let node =
        tree.root().and_then(|root| root.children().find(|node| node.is_compatible("arm,armv8-timer")));
    let cells = node.as_ref().and_then(|node| node.cells("interrupts")).unwrap_or_default();
    let interrupt = |index: usize, usual| {
        cells.chunks_exact(3).nth(index).and_then(gic::interrupt).unwrap_or(IntId::new(usual))
    };
    Timer {
        phys: interrupt(1, 30),
        virt: interrupt(2, 27),
        hyp: interrupt(3, 26),
        frequency: node.and_then(|node| node.number("clock-frequency")).filter(|hertz| *hertz != 0),
    }
}
