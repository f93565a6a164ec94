//! Placement: the physical CPU on which each vCPU lives for good.
//!
//! vCPUs with a `hard-affinity` are placed first, so that nobody else sits on the only CPU they can use; then
//! the others in tree order. Each goes to the CPU with the fewest vCPUs, the lowest-numbered one among equals:
//! empty CPUs fill first, the vCPUs of one domain spread out, and the same tree always gives the same result.

use alloc::vec::Vec;

use super::VcpuPlan;
use super::code::Code;
use super::diagnostic::{At, Diagnostics, Quoted};
use super::domain::Draft;
use super::plural::Count;
use crate::addr::{CpuId, VcpuId};
use crate::fdt::Node;
use crate::mm::spans::sorted;

/// vCPUs that one CPU can serve: the bits of the word in which they ask for attention.
const PER_CPU: usize = 64;

/// A set of physical CPUs, 256 at most.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CpuSet([u64; 4]);

impl CpuSet {
    fn insert(&mut self, cpu: usize) {
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word |= 1 << (cpu % 64);
        }
    }
    fn contains(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word & (1 << (cpu % 64)) != 0)
    }
}

/// A vCPU that may run on certain CPUs only.
pub(super) struct Pinned {
    vcpu: u32,
    cpus: CpuSet,
}

/// Reads the `xen,vcpu` nodes of a domain. `cpus` is the number of physical CPUs.
pub(super) fn pinned(
    domain: &Node<'_, '_>,
    vcpus: Option<u32>,
    cpus: usize,
    diags: &mut Diagnostics,
) -> Vec<Pinned> {
    let mut pinned: Vec<Pinned> = Vec::new();
    let mut seen = CpuSet::default();
    // Without a number of vCPUs nothing can be said about their numbers.
    let Some(vcpus) = vcpus else { return pinned };
    for node in domain.children().filter(|node| node.is_compatible("xen,vcpu")) {
        let Some(vcpu) = node.prop("id").and_then(|id| id.u32().ok()) else {
            diags.report(
                Code::VcpuId,
                At::node(&node),
                format_args!("there is no id property of one cell"),
                format_args!("write id = <0> for the first vCPU"),
            );
            continue;
        };
        if vcpu >= vcpus {
            diags.report(
                Code::VcpuRange,
                At::prop(&node, "id"),
                format_args!("there is no vCPU {vcpu}: the domain has {vcpus}"),
                format_args!("vCPUs count from 0 to {}", vcpus.saturating_sub(1)),
            );
            continue;
        }
        if seen.contains(vcpu as usize) {
            diags.report(
                Code::VcpuTwice,
                At::prop(&node, "id"),
                format_args!("another node describes vCPU {vcpu} already"),
                format_args!("describe each vCPU once"),
            );
            continue;
        }
        seen.insert(vcpu as usize);
        if let Some(cpus) = affinity(&node, cpus, diags) {
            pinned.push(Pinned { vcpu, cpus });
        }
    }
    pinned
}

/// `hard-affinity`: numbers and ranges such as "0-3,5".
fn affinity(node: &Node<'_, '_>, cpus: usize, diags: &mut Diagnostics) -> Option<CpuSet> {
    let prop = node.prop("hard-affinity")?;
    let at = At::prop(node, "hard-affinity");
    let text = prop.str().unwrap_or("");
    let mut set = CpuSet::default();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (Ok(low), Ok(high)) = (low.trim_ascii().parse::<u16>(), high.trim_ascii().parse::<u16>()) else {
            diags.report(
                Code::AffinityText,
                at,
                format_args!("{} is not a list of CPU numbers", Quoted(text)),
                format_args!("write numbers and ranges, such as \"0-3,5\""),
            );
            return None;
        };
        if low > high || usize::from(high) >= cpus {
            diags.report(
                Code::AffinityRange,
                at,
                format_args!("{} names a CPU that does not exist", Quoted(part)),
                format_args!("CPUs count from 0 to {}, in the order of /cpus", cpus.saturating_sub(1)),
            );
            return None;
        }
        (low..=high).for_each(|cpu| set.insert(usize::from(cpu)));
    }
    Some(set)
}

/// How many vCPUs live on each CPU that is online.
struct Load(Vec<(CpuId, usize)>);

impl Load {
    /// The least loaded CPU among those that `may` accepts.
    fn pick(&mut self, may: impl Fn(CpuId) -> bool) -> Option<CpuId> {
        let candidates = self.0.iter_mut().filter(|(cpu, count)| *count < PER_CPU && may(*cpu));
        // `min_by_key` answers the first of equals.
        let (cpu, count) = candidates.min_by_key(|(_, count)| *count)?;
        *count = count.saturating_add(1);
        Some(*cpu)
    }

    fn give_back(&mut self, homes: &[Option<CpuId>]) {
        for home in homes.iter().flatten() {
            if let Some((_, count)) = self.0.iter_mut().find(|(cpu, _)| cpu == home) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

/// Places the vCPUs of all domains that are not broken. Those for which there is no room become broken. The
/// answer has one entry a domain; it is empty for broken ones.
pub(super) fn place(
    drafts: &mut [Draft<'_, '_>],
    online: &[CpuId],
    diags: &mut Diagnostics,
) -> Vec<Vec<VcpuPlan>> {
    let mut cpus = sorted(online.to_vec());
    cpus.dedup();
    let mut load = Load(cpus.iter().map(|cpu| (*cpu, 0)).collect());
    let mut homes: Vec<Vec<Option<CpuId>>> = Vec::new();
    for draft in drafts.iter_mut() {
        homes.push(place_pinned(draft, &cpus, &mut load, diags));
    }
    drafts.iter_mut().zip(homes).map(|(draft, homes)| place_rest(draft, homes, &mut load, diags)).collect()
}

/// The homes of a domain's pinned vCPUs.
fn place_pinned(
    draft: &mut Draft<'_, '_>,
    online: &[CpuId],
    load: &mut Load,
    diags: &mut Diagnostics,
) -> Vec<Option<CpuId>> {
    if draft.broken {
        return Vec::new();
    }
    let mut homes = alloc::vec![None; draft.vcpus as usize];
    for pinned in &draft.pinned {
        let home = load.pick(|cpu| pinned.cpus.contains(cpu.index()));
        if home.is_none() {
            draft.broken = true;
            if online.iter().any(|cpu| pinned.cpus.contains(cpu.index())) {
                no_room(&draft.node, load, diags);
            } else {
                diags.report(
                    Code::AffinityOffline,
                    At::node(&draft.node),
                    format_args!("none of the CPUs that vCPU {} may run on has come online", pinned.vcpu),
                    format_args!("widen its hard-affinity"),
                );
            }
        } else if let Some(slot) = homes.get_mut(pinned.vcpu as usize) {
            *slot = home;
        }
    }
    if draft.broken {
        load.give_back(&homes);
    }
    homes
}

fn place_rest(
    draft: &mut Draft<'_, '_>,
    homes: Vec<Option<CpuId>>,
    load: &mut Load,
    diags: &mut Diagnostics,
) -> Vec<VcpuPlan> {
    if draft.broken {
        return Vec::new();
    }
    if load.0.is_empty() {
        draft.broken = true;
        diags.report(
            Code::NoCpuOnline,
            At::node(&draft.node),
            format_args!("no CPU is online"),
            format_args!("the boot CPU must be among the nodes of /cpus"),
        );
        return Vec::new();
    }
    let homes: Vec<Option<CpuId>> =
        homes.into_iter().map(|home| home.or_else(|| load.pick(|_| true))).collect();
    if homes.iter().any(Option::is_none) {
        draft.broken = true;
        load.give_back(&homes);
        no_room(&draft.node, load, diags);
        return Vec::new();
    }
    if homes.len() > load.0.len() {
        diags.report(
            Code::CpusShared,
            At::prop(&draft.node, "cpus"),
            format_args!(
                "{} live on {}, so some of them take turns",
                Count(homes.len(), "vCPU"),
                Count(load.0.len(), "CPU")
            ),
            format_args!("a vCPU that has a CPU to itself is never interrupted by the hypervisor's clock"),
        );
    }
    let vcpus = homes.into_iter().flatten().zip(0..);
    vcpus.map(|(home, id)| VcpuPlan { id: VcpuId::new(id), home }).collect()
}

fn no_room(node: &Node<'_, '_>, load: &Load, diags: &mut Diagnostics) {
    diags.report(
        Code::CpusFull,
        At::prop(node, "cpus"),
        format_args!("{} online, and no room for all of the domain's vCPUs", Count(load.0.len(), "CPU")),
        format_args!("a CPU serves at most {PER_CPU} vCPUs"),
    );
}
