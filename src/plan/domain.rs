//! Domains: the `xen,domain` nodes under `/chosen`.
//!
//! Decides what each domain is made of, as far as its own node says. What depends on the other domains (overlap
//! of modules, placement, channels, the sum of memory) is decided elsewhere. A property that asks for something
//! that is not built yet, and whose absence a guest would not survive or an owner not forgive, breaks the
//! domain; it is never ignored.

use alloc::vec::Vec;

use super::code::Code;
use super::diagnostic::{At, Diagnostics, Quoted};
use super::modules::{self, Images};
use super::placement::{self, Pinned};
use super::{Gic, LifePlan, Machine, Site};
use super::{chosen, features, images, life};
use crate::addr::{DomainId, GIB, MIB, PAGE_SIZE};
use crate::fdt::{Node, Prop};

/// VMIDs are 8 bits wide on Armv8.0, and 0 is the hypervisor's.
const MAX_DOMAINS: usize = 255;
/// vCPUs of a domain: what the redistributor window of Xen's guest memory map holds.
const MAX_VCPUS: u32 = 128;
/// vCPUs of a domain on GICv2: what its 8-bit CPU masks can name.
const MAX_VCPUS_V2: u32 = 8;
/// Less than one block of stage 2 holds no kernel.
const MIN_MEMORY: u64 = 2 * MIB;
/// Both RAM banks of Xen's guest memory map together.
const MAX_MEMORY: u64 = 3 * GIB + 1016 * GIB;
/// SPIs that a virtual GIC can have: INTIDs 32-991.
const MAX_SPIS: u32 = 960;
/// SPIs of a domain that does not say how many: one register's worth, of which the vPL011 takes the first.
const DEFAULT_SPIS: u32 = 32;

/// A domain while it is being decided upon.
pub(super) struct Draft<'c, 't> {
    /// Its node.
    pub node: Node<'c, 't>,
    /// Its number, counted over broken domains too.
    pub id: DomainId,
    /// Whether an error keeps it from being built.
    pub broken: bool,
    /// RAM in bytes.
    pub memory: u64,
    /// Number of vCPUs.
    pub vcpus: u32,
    /// vCPUs that may run on certain CPUs only.
    pub pinned: Vec<Pinned>,
    /// Its modules.
    pub images: Images,
    /// Whether it has a vPL011.
    pub vpl011: bool,
    /// Whether its tree has a `/hypervisor` node.
    pub enhanced: bool,
    /// SPIs of its virtual GIC.
    pub spis: u32,
    /// What becomes of it when it ends.
    pub life: LifePlan,
}

/// Reads the domains among the children of `/chosen`, and reports those that are elsewhere.
pub(super) fn read<'c, 't>(
    chosen: &'c Node<'_, 't>,
    site: &Site<'_>,
    diags: &mut Diagnostics,
) -> Vec<Draft<'c, 't>> {
    let mut drafts: Vec<Draft<'c, 't>> = Vec::new();
    for node in chosen.children().filter(|node| node.is_compatible("xen,domain")) {
        if drafts.len() == MAX_DOMAINS {
            diags.report(
                Code::TooManyDomains,
                At::node(&node),
                format_args!("this domain and those after it are left out"),
                format_args!("at most {MAX_DOMAINS} domains are possible: each needs a VMID of 8 bits"),
            );
            break;
        }
        let number = u16::try_from(drafts.len().saturating_add(1)).unwrap_or(u16::MAX);
        drafts.push(draft(node, DomainId::new(number), site, diags));
    }
    names(&drafts, diags);
    drafts
}

fn draft<'c, 't>(
    node: Node<'c, 't>,
    id: DomainId,
    site: &Site<'_>,
    diags: &mut Diagnostics,
) -> Draft<'c, 't> {
    let (errors, machine) = (diags.errors(), site.machine);
    let memory = memory(&node, machine, diags);
    let vcpus = vcpus(&node, machine, diags);
    features::cells(&node, diags);
    let vpl011 = features::flag(&node, "vpl011", diags);
    let spis = spis(&node, vpl011, diags);
    let enhanced = features::enhanced(&node, diags);
    let life = life::read(&node, machine, diags);
    features::refuse(&node, diags);
    let images = modules::read(&node, site, diags);
    let room = memory.filter(|memory| modules::fit(&node, &images, *memory, diags)).zip(vcpus);
    images::inspect(&node, &images, room, site.files, diags);
    let pinned = placement::pinned(&node, vcpus, machine.cpus.len(), diags);
    features::look_for_misspellings(&node, diags);
    Draft {
        node,
        id,
        broken: diags.errors() > errors,
        memory: memory.unwrap_or(0),
        vcpus: vcpus.unwrap_or(0),
        pinned,
        images,
        vpl011,
        enhanced,
        spis: spis.unwrap_or(0),
        life,
    }
}

/// Console lines begin with the name, so two domains with one name are hard to tell apart.
fn names(drafts: &[Draft<'_, '_>], diags: &mut Diagnostics) {
    for (index, draft) in drafts.iter().enumerate() {
        let mut before = drafts.iter().take(index);
        if let Some(twin) = before.find(|other| other.node.base_name() == draft.node.base_name()) {
            diags.report(
                Code::NameTwice,
                At::node(&draft.node),
                format_args!(
                    "{} is called {} too; messages cannot tell them apart",
                    twin.node,
                    draft.node.base_name()
                ),
                format_args!("domains are called by the name of their node, without what follows the @"),
            );
        }
    }
}

/// `memory`: KiB as a 64-bit number in two cells. Answers bytes.
fn memory(node: &Node<'_, '_>, machine: &Machine, diags: &mut Diagnostics) -> Option<u64> {
    let Some(prop) = node.prop("memory") else {
        diags.report(
            Code::MemoryMissing,
            At::node(node),
            format_args!("there is no memory property"),
            format_args!("memory is a number of KiB in two cells: memory = <0 0x40000> is 256 MiB"),
        );
        return None;
    };
    let at = At::prop(node, "memory");
    let Ok(kib) = prop.u64() else {
        let cell = prop.u32().unwrap_or(0);
        diags.report(
            Code::MemoryCells,
            at,
            format_args!("the value has {} bytes; two cells are 8", prop.value.len()),
            format_args!("memory is a 64-bit number of KiB: write memory = <0 {cell:#x}>"),
        );
        return None;
    };
    if prop.value.len() > 8 {
        diags.report(
            Code::MemoryExtra,
            at.cell(2),
            format_args!("the value has {} bytes; those after the first 8 are not read", prop.value.len()),
            format_args!("memory is one 64-bit number of KiB, in two cells"),
        );
    }
    let ram = machine.ram.iter().map(|bank| bank.size()).fold(0, u64::saturating_add);
    let bytes = kib.checked_mul(1024).filter(|bytes| *bytes <= MAX_MEMORY);
    let Some(bytes) = bytes else {
        let what =
            format_args!("{kib:#x} KiB is more than the {} GiB of the guest's memory map", MAX_MEMORY / GIB);
        if kib.trailing_zeros() >= 32 {
            let swapped = kib >> 32;
            let help = format_args!("are the cells swapped? <0 {swapped:#x}> is {} MiB", swapped / 1024);
            diags.report(Code::MemoryTooLarge, at, what, help);
        } else {
            let help = format_args!("memory counts KiB, not bytes; this machine has {} KiB", ram / 1024);
            diags.report(Code::MemoryTooLarge, at, what, help);
        }
        return None;
    };
    if bytes < MIN_MEMORY {
        diags.report(
            Code::MemoryTooSmall,
            at,
            format_args!("{kib} KiB; the least is {} KiB", MIN_MEMORY / 1024),
            format_args!("memory counts KiB: <0 0x40000> is 256 MiB"),
        );
        return None;
    }
    if bytes % PAGE_SIZE != 0 {
        diags.report(
            Code::MemoryUnaligned,
            at,
            format_args!("{kib} KiB are not a whole number of 4 KiB pages"),
            format_args!("write <0 {:#x}>, for example", kib & !3),
        );
        return None;
    }
    Some(bytes)
}

fn vcpus(node: &Node<'_, '_>, machine: &Machine, diags: &mut Diagnostics) -> Option<u32> {
    let Some(prop) = node.prop("cpus") else {
        diags.report(
            Code::CpusMissing,
            At::node(node),
            format_args!("there is no cpus property"),
            format_args!("write cpus = <1> for one vCPU"),
        );
        return None;
    };
    let count = number(node, prop, diags)?;
    let (limit, reason) = match machine.gic {
        Gic::V2 { .. } => (MAX_VCPUS_V2, "on this machine's GICv2"),
        Gic::V3 { .. } => (MAX_VCPUS, "on GICv3"),
    };
    if (1..=limit).contains(&count) {
        return Some(count);
    }
    diags.report(
        Code::CpusRange,
        At::prop(node, "cpus"),
        format_args!("a domain cannot have {count} vCPUs"),
        format_args!("1 to {limit} are possible {reason}"),
    );
    None
}

fn spis(node: &Node<'_, '_>, vpl011: bool, diags: &mut Diagnostics) -> Option<u32> {
    let Some(prop) = node.prop("nr_spis") else { return Some(DEFAULT_SPIS) };
    let count = number(node, prop, diags)?;
    if count > MAX_SPIS {
        diags.report(
            Code::SpisRange,
            At::prop(node, "nr_spis"),
            format_args!("a domain cannot have {count} SPIs"),
            format_args!("0 to {MAX_SPIS} are possible, rounded up to a multiple of 32"),
        );
        return None;
    }
    if count == 0 && vpl011 {
        diags.report(
            Code::SpisNone,
            At::prop(node, "nr_spis"),
            format_args!("the vPL011 needs SPI 0"),
            format_args!("remove nr_spis, or vpl011"),
        );
        return None;
    }
    Some(count.next_multiple_of(32))
}

/// The first cell of a property that must be a number.
pub(super) fn number(node: &Node<'_, '_>, prop: Prop<'_>, diags: &mut Diagnostics) -> Option<u32> {
    match prop.u32() {
        Ok(value) => {
            if prop.value.len() > 4 {
                diags.report(
                    Code::ValueExtra,
                    At::prop(node, prop.name).cell(1),
                    format_args!("the value has {} bytes; only the first cell is read", prop.value.len()),
                    format_args!("write one cell: {} = <{value}>", prop.name),
                );
            }
            Some(value)
        }
        Err(problem) => {
            diags.report(
                Code::ValueMalformed,
                At::prop(node, prop.name),
                format_args!("{problem}"),
                format_args!("write one cell: {} = <1>", prop.name),
            );
            None
        }
    }
}

/// Reports what stands beside the domains: what is not built, and domains that nobody would find.
pub(super) fn look_around(chosen: &Node<'_, '_>, diags: &mut Diagnostics) {
    for node in chosen.parent().iter().flat_map(|root| root.children()) {
        if node.is_compatible("xen,domain") {
            misplaced(&node, diags);
        }
    }
    chosen::properties(chosen, diags);
    for node in chosen.children() {
        chosen::child(&node, diags);
        for child in node.children().filter(|child| child.is_compatible("xen,domain")) {
            misplaced(&child, diags);
        }
    }
}

fn misplaced(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    diags.report(
        Code::DomainMisplaced,
        At::node(node),
        format_args!("{} lies {}; it is left out", Quoted(node.name()), PlaceOf(node)),
        format_args!("a domain is a direct child of /chosen"),
    );
}

struct PlaceOf<'n, 'p, 't>(&'n Node<'p, 't>);

impl core::fmt::Display for PlaceOf<'_, '_, '_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0.parent() {
            Some(parent) => write!(f, "under {parent}"),
            None => f.write_str("nowhere"),
        }
    }
}
