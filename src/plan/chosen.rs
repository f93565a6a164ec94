//! What stands under `/chosen` beside the domains: dom0's things, and what is misspelt.
//!
//! There is no dom0. What a tree holds for it is reported and not used; what looks like a domain or a channel, but is not
//! marked as one, would be missed silently.

use super::code::Code;
use super::diagnostic::{At, Diagnostics, Quoted};
use super::{features, modules};
use crate::fdt::Node;

/// Properties that are read, or that Xen reads. Boot loaders leave many others here.
const PROPERTIES: &[&str] = &[
    "#address-cells",
    "#size-cells",
    "bootargs",
    "linux,initrd-end",
    "linux,initrd-start",
    "rng-seed",
    "stdout-path",
    "xen,dom0-bootargs",
    "xen,static-heap",
    "xen,uefi-cfg-load",
    "xen,xen-bootargs",
];
/// What a child can be compatible with.
const CHILDREN: &[&str] = &[
    "xen,domain",
    "xen,evtchn",
    "xen,evtchn-v1",
    "xen,cpupool",
    "xen,domain-shared-memory-v1",
    "multiboot,module",
];

/// Reports properties that have no effect here.
pub(super) fn properties(chosen: &Node<'_, '_>, diags: &mut Diagnostics) {
    features::cells(chosen, diags);
    let without_effect = [
        (
            "xen,static-heap",
            Code::StaticHeap,
            "the hypervisor needs no heap of its own; the range is ordinary memory",
            "nothing is to be done",
        ),
        (
            "linux,initrd-start",
            Code::Dom0Ramdisk,
            "a ramdisk that the boot loader passes on is dom0's, and there is no dom0",
            "describe a domain's ramdisk as a module of the domain",
        ),
        (
            "xen,uefi-cfg-load",
            Code::UefiConfig,
            "there is no UEFI loader that reads a file; what counts is this tree",
            "describe the modules in this tree",
        ),
    ];
    for (name, code, what, help) in without_effect {
        if chosen.has(name) {
            diags.report(code, At::prop(chosen, name), format_args!("{what}"), format_args!("{help}"));
        }
    }
    for prop in chosen.props().filter(|prop| !PROPERTIES.contains(&prop.name)) {
        if let Some(meant) = diags.did_you_mean(prop.name, PROPERTIES) {
            diags.report(
                Code::ChosenProperty,
                At::prop(chosen, prop.name),
                format_args!("nothing reads this property"),
                format_args!("did you mean {meant}?"),
            );
        }
    }
}

/// Reports a child that is neither a domain nor a channel.
pub(super) fn child(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    if node.is_one_of(&["xen,domain", "xen,evtchn", "xen,evtchn-v1"]) {
        return;
    }
    let at = At::prop(node, "compatible");
    let (code, what, help) = if node.is_compatible("xen,xsm-policy") {
        (
            Code::XsmPolicy,
            "the policy is not used: domains reach each other through their channels only",
            "remove the module",
        )
    } else if modules::is_module(node) {
        (
            Code::Dom0Kernel,
            "a module directly under /chosen is dom0's; it is not used",
            "move it into the node of the domain that it belongs to",
        )
    } else if node.is_compatible("xen,cpupool") {
        (
            Code::CpuPool,
            "CPUs are not divided into pools; every domain may be placed on all of them",
            "use xen,vcpu nodes with hard-affinity to keep domains apart",
        )
    } else if node.is_compatible("xen,domain-shared-memory-v1") {
        return features::shared_memory(node, diags);
    } else {
        return unmarked(node, diags);
    };
    diags.report(code, at, format_args!("{what}"), format_args!("{help}"));
}

/// A node that says nothing known about itself.
fn unmarked(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    let mut names = node.compatible();
    if let Some((name, meant)) = names.find_map(|name| Some((name, diags.did_you_mean(name, CHILDREN)?))) {
        diags.report(
            Code::ChosenChild,
            At::prop(node, "compatible"),
            format_args!("{} is not known; the node is ignored", Quoted(name)),
            format_args!("did you mean {meant}?"),
        );
    } else if node.has("memory") && node.has("cpus") {
        diags.report(
            Code::DomainUnmarked,
            At::node(node),
            format_args!("it has memory and cpus, but is not marked as a domain; it is ignored"),
            format_args!("add compatible = \"xen,domain\""),
        );
    } else if node.has("xen,evtchn") {
        features::channel_unmarked(node, "xen,evtchn", diags);
    }
}
