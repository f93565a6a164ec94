//! From device-tree nodes to a typed plan, or to diagnostics that say what to mend.
//!
//! Decides everything that can be decided before the hardware is touched: what the machine is ([`machine()`])
//! and which domains will run on it ([`domains()`]). It trusts the tree to be well formed, because
//! [`Tree::parse`](crate::fdt::Tree::parse) has checked that, and nothing else. All mistakes are reported, each
//! with its place and a remedy. What a mistake costs depends on where it is:
//!
//! * one in the machine that cannot be lived with: there is no plan;
//! * one in a domain: that domain is left out, its channels are left unbound, the others are planned;
//! * one in a channel: that channel is left out, its domains are planned;
//! * a warning or a note costs nothing.
//!
//! Where two things exclude each other, the one that stands first in the tree is kept. The time taken grows
//! with the size of the tree times its depth (and, for channels, times the logarithm of their number); memory
//! grows with what is planned, not with the size of the tree.
#![forbid(unsafe_code)]

mod channels;
mod chosen;
mod code;
mod diagnostic;
mod domain;
mod features;
mod images;
mod life;
mod machine;
mod modules;
mod options;
mod placement;
mod plural;
mod render;
mod types;

pub use code::{Code, Severity};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use images::{Files, Unseen, no_kernel, no_room};
pub use machine::{EarlyConsole, any_uart, clock, early_console, machine, machine_behind};
pub use render::Table;
pub use types::*;

use alloc::string::String;
use alloc::vec::Vec;

use self::diagnostic::At;
use self::domain::Draft;
use crate::addr::{CpuId, MIB, PaSpan};
use crate::fdt::Tree;
use crate::mm::spans;

/// Where domains are to be built.
struct Site<'m> {
    machine: &'m Machine,
    /// The ranges of `/reserved-memory`: unlike those of the reservation block, nobody may load modules there.
    claimed: Vec<PaSpan>,
    /// What is in the modules.
    files: &'m dyn Files,
}

/// Plans the domains for a machine on which the CPUs `online` are running. Without a domain the plan is empty.
///
/// The caller may have named its own image and the tree in [`Machine::ours`], and added them to
/// [`Machine::reserved`]; modules that reach into them are then reported.
#[must_use]
pub fn domains(tree: &Tree<'_>, machine: &Machine, online: &[CpuId], diags: &mut Diagnostics) -> Plan {
    domains_of(tree, machine, online, &Unseen, diags)
}

/// The same, with a look into the modules.
#[must_use]
pub fn domains_of(
    tree: &Tree<'_>,
    machine: &Machine,
    online: &[CpuId],
    files: &dyn Files,
    diags: &mut Diagnostics,
) -> Plan {
    let mut plan = Plan {
        machine: machine.clone(),
        domains: Vec::new(),
        channels: Vec::new(),
        severed: Vec::new(),
        names: Vec::new(),
        options: Options::default(),
    };
    let planned = tree.at("/chosen", |chosen| {
        plan.options = options::read(chosen, diags);
        domain::look_around(chosen, diags);
        let site = Site { machine, claimed: machine::reserved_nodes(tree), files };
        let mut drafts = domain::read(chosen, &site, diags);
        if drafts.is_empty() {
            diags.report(
                Code::NoDomain,
                At::node(chosen),
                format_args!("no child of /chosen has compatible = \"xen,domain\""),
                format_args!("add one node for each domain, or pass the tree that has them"),
            );
        }
        modules::overlaps(&mut drafts, diags);
        share_memory(&mut drafts, machine, diags);
        plan.names = drafts.iter().map(|draft| String::from(draft.node.base_name())).collect();
        let homes = placement::place(&mut drafts, online, diags);
        mixed(&drafts, &homes, machine, diags);
        (plan.channels, plan.severed) = channels::read(tree, chosen, &drafts, diags);
        plan.domains =
            drafts.into_iter().zip(homes).filter_map(|(draft, homes)| finish(draft, homes)).collect();
    });
    if planned.is_none() {
        diags.report(
            Code::NoChosen,
            At::node(&"/"),
            format_args!("so there are no domains"),
            format_args!("domains are described under /chosen"),
        );
    }
    plan
}

/// Breaks the domains that no longer fit into memory, in tree order.
fn share_memory(drafts: &mut [Draft<'_, '_>], machine: &Machine, diags: &mut Diagnostics) {
    let busy = machine.reserved.iter().chain(&machine.modules).copied().collect();
    let mut free = machine::free_bytes(&machine.ram, &spans::merged(busy));
    for draft in drafts.iter_mut().filter(|draft| !draft.broken) {
        let footprint = footprint(draft);
        match free.checked_sub(footprint) {
            Some(rest) => free = rest,
            None => {
                draft.broken = true;
                diags.report(
                    Code::MemoryExhausted,
                    At::prop(&draft.node, "memory"),
                    format_args!(
                        "it needs {} KiB, page tables included; {} KiB are left",
                        footprint / 1024,
                        free / 1024
                    ),
                    format_args!("memory counts KiB; give this domain, or those before it, less"),
                );
            }
        }
    }
}

/// Warns of domains that live on CPUs of different kinds: their tree names one kind, and errata are mended for that one.
fn mixed(drafts: &[Draft<'_, '_>], homes: &[Vec<VcpuPlan>], machine: &Machine, diags: &mut Diagnostics) {
    let kind = |vcpu: &VcpuPlan| machine.cpus.get(vcpu.home.index()).map_or("", |cpu| &cpu.compatible);
    for (draft, vcpus) in drafts.iter().zip(homes) {
        let Some(first) = vcpus.first().map(kind) else { continue };
        if let Some(other) = vcpus.iter().find(|vcpu| kind(vcpu) != first) {
            diags.report(
                Code::MixedCpus,
                At::prop(&draft.node, "cpus"),
                format_args!("vCPU 0 lives on {first}, vCPU {} on {}", other.id, kind(other)),
                format_args!("keep a domain on one kind, by xen,vcpu nodes with hard-affinity"),
            );
        }
    }
}

/// What a domain takes of the machine's memory, in bytes: its RAM; one page of stage-2 table for each 2 MiB of
/// it in the worst case; and what the hypervisor keeps about it.
fn footprint(draft: &Draft<'_, '_>) -> u64 {
    const PER_VCPU: u64 = 64 * 1024;
    let tables = draft.memory / 512;
    let state = u64::from(draft.vcpus).saturating_mul(PER_VCPU);
    draft.memory.saturating_add(tables).saturating_add(state).saturating_add(MIB)
}

fn finish(draft: Draft<'_, '_>, vcpus: Vec<VcpuPlan>) -> Option<DomainPlan> {
    if draft.broken {
        return None;
    }
    Some(DomainPlan {
        id: draft.id,
        name: String::from(draft.node.base_name()),
        path: alloc::format!("{}", draft.node),
        memory: draft.memory,
        vcpus,
        kernel: draft.images.kernel?,
        ramdisk: draft.images.ramdisk,
        cmdline: draft.images.cmdline,
        vpl011: draft.vpl011,
        enhanced: draft.enhanced,
        spis: draft.spis,
        life: draft.life,
    })
}
