//! Physical CPUs: their numbers and how they are started.

use alloc::string::String;
use alloc::vec::Vec;

use crate::addr::{Affinity, CpuId, Pa};
use crate::fdt::{Node, Tree};
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics, Quoted};
use crate::plan::{Conduit, Cpu, EnableMethod};

/// How many CPUs are used at most.
const MAX_CPUS: usize = 256;

/// Reads `/cpus`. `None` if no CPU is left.
pub(super) fn read(tree: &Tree<'_>, psci: Option<Conduit>, diags: &mut Diagnostics) -> Option<Vec<Cpu>> {
    let mut cpus = Vec::new();
    let _ = tree.at("/cpus", |node| {
        for cpu in node.children().filter(is_cpu) {
            if cpus.len() == MAX_CPUS {
                diags.report(
                    Code::TooManyCpus,
                    At::node(&cpu),
                    format_args!("this CPU and those after it are not used"),
                    format_args!("at most {MAX_CPUS} CPUs are used"),
                );
                break;
            }
            cpus.extend(read_one(&cpu, &cpus, psci, diags));
        }
    });
    if cpus.is_empty() {
        diags.report(
            Code::NoCpu,
            At::node(&"/cpus"),
            format_args!("there is no node with device_type = \"cpu\" that can be used"),
            format_args!("this must be the device tree of the board; the domains are added to it"),
        );
        return None;
    }
    Some(cpus)
}

fn is_cpu(node: &Node<'_, '_>) -> bool {
    node.prop("device_type").is_some_and(|kind| kind.str() == Ok("cpu"))
}

fn read_one(
    cpu: &Node<'_, '_>,
    before: &[Cpu],
    psci: Option<Conduit>,
    diags: &mut Diagnostics,
) -> Option<Cpu> {
    // "disabled" means "not started yet" for a CPU (Devicetree Specification v0.4, section 3.8).
    let status = cpu.prop("status").and_then(|status| status.str().ok()).unwrap_or("okay");
    if status.starts_with("fail") {
        diags.report(
            Code::CpuFailed,
            At::prop(cpu, "status"),
            format_args!("firmware says that this CPU does not work; it is not used"),
            format_args!("nothing is to be done if the CPU is known to be defective"),
        );
        return None;
    }
    let affinity = affinity(cpu, diags)?;
    if let Some(twin) = before.iter().find(|other| other.affinity == affinity) {
        diags.report(
            Code::CpuTwice,
            At::prop(cpu, "reg"),
            format_args!("CPU {} has the number {affinity} already; this node is not used", twin.id),
            format_args!("give each CPU the affinity fields of its own MPIDR_EL1"),
        );
        return None;
    }
    Some(Cpu {
        id: CpuId::new(u16::try_from(before.len()).ok()?),
        affinity,
        enable: enable_method(cpu, psci, diags),
        compatible: cpu.compatible().next().map(shortened).unwrap_or_default(),
    })
}

/// No known CPU name comes near this length.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

fn affinity(cpu: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<Affinity> {
    let problem = match cpu.reg(0) {
        Ok(entry) if Affinity::from_mpidr(entry.address).get() == entry.address => {
            return Some(Affinity::from_mpidr(entry.address));
        }
        Ok(entry) => {
            diags.report(
                Code::CpuReg,
                At::prop(cpu, "reg"),
                format_args!(
                    "{:#x} has bits outside the affinity fields; this CPU is not used",
                    entry.address
                ),
                format_args!("reg holds Aff3 in bits 39-32 and Aff2, Aff1, Aff0 in bits 23-0 of MPIDR_EL1"),
            );
            return None;
        }
        Err(problem) => problem,
    };
    diags.report(
        Code::CpuReg,
        At::prop(cpu, "reg"),
        format_args!("{problem}; this CPU is not used"),
        format_args!("reg holds the affinity fields of MPIDR_EL1, in the #address-cells of /cpus"),
    );
    None
}

fn enable_method(cpu: &Node<'_, '_>, psci: Option<Conduit>, diags: &mut Diagnostics) -> EnableMethod {
    let Some(prop) = cpu.prop("enable-method") else {
        // The boot CPU runs already: it alone may go without.
        return EnableMethod::Unknown;
    };
    match prop.str() {
        Ok("psci") if psci.is_some() => EnableMethod::Psci,
        Ok("psci") => {
            diags.report(
                Code::CpuPsci,
                At::prop(cpu, "enable-method"),
                format_args!("there is no usable PSCI node; unless it is the boot CPU, this CPU stays off"),
                format_args!("start the hypervisor with the firmware that this tree belongs to"),
            );
            EnableMethod::Unknown
        }
        Ok("spin-table") => release_address(cpu, diags),
        other => {
            diags.report(
                Code::EnableMethod,
                At::prop(cpu, "enable-method"),
                format_args!(
                    "{} is not known; unless it is the boot CPU, this CPU stays off",
                    Quoted(other.unwrap_or(""))
                ),
                format_args!("\"psci\" and \"spin-table\" are known"),
            );
            EnableMethod::Unknown
        }
    }
}

fn release_address(cpu: &Node<'_, '_>, diags: &mut Diagnostics) -> EnableMethod {
    let address = cpu.prop("cpu-release-addr").and_then(|prop| prop.number().ok());
    // The mailbox is written as one 64-bit word.
    match address.map(Pa::new) {
        Some(address) if address.is_aligned(8) => EnableMethod::SpinTable(address),
        _ => {
            diags.report(
                Code::ReleaseAddress,
                At::prop(cpu, "cpu-release-addr"),
                format_args!(
                    "there is no address of a 64-bit word; unless it is the boot CPU, this CPU stays off"
                ),
                format_args!("boot loaders fill it in; pass on the tree that they give to the kernel"),
            );
            EnableMethod::Unknown
        }
    }
}
