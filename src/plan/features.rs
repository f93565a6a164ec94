//! Properties of a domain beyond memory and vCPUs: what is honoured, what is refused, what is misspelt.

use super::code::Code;
use super::diagnostic::{At, Diagnostics, Quoted};
use crate::fdt::{Node, Prop};

/// Properties that a domain may have. The ones after the gap are read by Xen and change nothing here: there
/// are no grant tables, and stage-2 tables come out of the hypervisor's own memory.
const DOMAIN: &[&str] = &[
    "#address-cells",
    "#size-cells",
    "capabilities",
    "compatible",
    "cpus",
    "direct-map",
    "domain-cpupool",
    "linux,phandle",
    "llc-colors",
    "memory",
    "name",
    "nr_spis",
    "passthrough",
    "phandle",
    "portunus,max-restarts",
    "portunus,on-crash",
    "portunus,on-poweroff",
    "portunus,on-reboot",
    "portunus,on-watchdog",
    "portunus,restart-delay",
    "ranges",
    "reg",
    "status",
    "sve",
    "trap-unmapped-accesses",
    "v8r_el1_msa",
    "vpl011",
    "xen,enhanced",
    "xen,sci_type",
    "xen,static-mem",
    //
    "max_grant_frames",
    "max_grant_version",
    "max_maptrack_frames",
    "xen,domain-p2m-mem-mb",
];
/// Properties that a module may have.
const MODULE: &[&str] =
    &["bootargs", "compatible", "linux,phandle", "name", "phandle", "portunus,raw", "reg", "xen,uefi-binary"];
/// Properties that a channel end may have.
const CHANNEL: &[&str] = &[
    "compatible",
    "linux,phandle",
    "name",
    "phandle",
    "portunus,direction",
    "portunus,name",
    "reg",
    "xen,evtchn",
];
/// Properties that a `xen,vcpu` node may have.
const VCPU: &[&str] = &["compatible", "hard-affinity", "id", "linux,phandle", "name", "phandle", "reg"];
/// Where properties belong that are found in other nodes.
const ELSEWHERE: &[(&str, &str)] = &[
    ("#address-cells", "the node above: it counts for the reg of that node's children"),
    ("#size-cells", "the node above: it counts for the reg of that node's children"),
    ("bootargs", "the kernel module"),
    ("cpus", "the domain's own node"),
    ("hard-affinity", "a xen,vcpu node of the domain"),
    ("id", "a xen,vcpu node of the domain"),
    ("memory", "the domain's own node"),
    ("nr_spis", "the domain's own node"),
    ("portunus,raw", "the kernel module"),
    ("stdout-path", "/chosen"),
    ("vpl011", "the domain's own node"),
    ("xen,enhanced", "the domain's own node"),
    ("xen,evtchn", "a channel's node: a child of the domain, or of /chosen"),
    ("xen,xen-bootargs", "/chosen"),
];
/// What a child of a domain can be compatible with.
const CHILDREN: &[&str] = &[
    "multiboot,device-tree",
    "multiboot,kernel",
    "multiboot,module",
    "multiboot,ramdisk",
    "xen,evtchn",
    "xen,evtchn-v1",
    "xen,vcpu",
];

/// A boolean property: its presence counts, as in every binding, even where its value says 0.
pub(super) fn flag(node: &Node<'_, '_>, name: &str, diags: &mut Diagnostics) -> bool {
    let Some(prop) = node.prop(name) else { return false };
    if prop.u32() == Ok(0) {
        diags.report(
            Code::FlagWithValue,
            At::prop(node, name),
            format_args!("the value 0 does not switch it off: the property is there, so it is on"),
            format_args!("remove the property to switch it off"),
        );
    }
    true
}

/// Reports cell sizes that cannot be read: those from above are in force then.
pub(super) fn cells(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    for name in ["#address-cells", "#size-cells"] {
        if let Some(Err(problem)) = node.prop(name).map(Prop::u32) {
            diags.report(
                Code::CellsMalformed,
                At::prop(node, name),
                format_args!("{problem}; the size from the node above is in force"),
                format_args!("write {name} = <2>"),
            );
        }
    }
}

/// `xen,enhanced`: whether the guest's tree gets a `/hypervisor` node. There is no xenstore here, so what asks
/// for one gets the rest.
pub(super) fn enhanced(node: &Node<'_, '_>, diags: &mut Diagnostics) -> bool {
    let Some(prop) = node.prop("xen,enhanced") else { return false };
    let at = At::prop(node, "xen,enhanced");
    match prop.str() {
        Ok("no-xenstore") => true,
        Ok("disabled") => false,
        // Without a string it means "enabled", as in Xen.
        Ok("enabled" | "legacy" | "") | Err(_) => {
            diags.report(
                Code::EnhancedDegraded,
                at,
                format_args!("the value asks for xenstore; the domain gets everything else"),
                format_args!("write xen,enhanced = \"no-xenstore\""),
            );
            true
        }
        Ok(value) => {
            diags.report(
                Code::EnhancedUnknown,
                at,
                format_args!(
                    "{} means \"disabled\": the guest's tree has no /hypervisor node",
                    Quoted(value)
                ),
                format_args!("write xen,enhanced = \"no-xenstore\" if the guest is to find event channels"),
            );
            false
        }
    }
}

/// Refuses what is not built, and what must not be ignored.
pub(super) fn refuse(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    let present = [
        ("xen,static-mem", Code::StaticMemory, "the domain's memory would lie elsewhere than it asks"),
        ("direct-map", Code::DirectMap, "guest addresses would not be physical addresses as it asks"),
        ("llc-colors", Code::LlcColors, "the domain would share the cache with others"),
        ("v8r_el1_msa", Code::V8r, "the property is for CPUs without a second stage of translation"),
    ];
    for (name, code, why) in present {
        if node.has(name) {
            refused(node, name, code, why, diags);
        }
    }
    refuse_values(node, diags);
    without_effect(node, diags);
    if node.has("domain-cpupool") {
        diags.report(
            Code::CpuPoolIgnored,
            At::prop(node, "domain-cpupool"),
            format_args!("CPUs are not divided into pools; the domain may be placed on all of them"),
            format_args!("use xen,vcpu nodes with hard-affinity"),
        );
    }
    if !node.is_okay() {
        diags.report(
            Code::StatusIgnored,
            At::prop(node, "status"),
            format_args!("the domain is built all the same, as Xen does"),
            format_args!("remove the domain's node if it is not wanted"),
        );
    }
}

/// Properties that Xen reads and that change nothing here.
fn without_effect(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    let known = [
        ("xen,domain-p2m-mem-mb", Code::P2mMemory, "page tables take what they need of the machine's memory"),
        (
            "max_grant_frames",
            Code::GrantFrames,
            "32 frames can be mapped, so that Linux starts; nothing is granted",
        ),
        ("max_maptrack_frames", Code::MaptrackFrames, "memory of other domains cannot be mapped"),
    ];
    for (name, code, what) in known {
        if node.has(name) {
            let help = format_args!("nothing is to be done");
            diags.report(code, At::prop(node, name), format_args!("{what}"), help);
        }
    }
    if let Some(prop) = node.prop("max_grant_version")
        && super::domain::number(node, prop, diags).is_some_and(|version| version != 1)
    {
        diags.report(
            Code::GrantVersion,
            At::prop(node, "max_grant_version"),
            format_args!("the domain gets version 1"),
            format_args!("write max_grant_version = <1>, or remove it"),
        );
    }
}

/// Properties whose value decides.
fn refuse_values(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    // An empty `sve` asks for the longest vectors there are.
    if node.prop("sve").is_some_and(|prop| prop.u32() != Ok(0)) {
        refused(node, "sve", Code::Sve, "the guest would find no SVE", diags);
    }
    if let Some(prop) = node.prop("capabilities")
        && super::domain::number(node, prop, diags).is_some_and(|bits| bits != 0)
    {
        refused(node, "capabilities", Code::Capabilities, "no domain has power over others here", diags);
    }
    if let Some(prop) = node.prop("trap-unmapped-accesses")
        && super::domain::number(node, prop, diags).is_some_and(|value| value != 1)
    {
        let why = "an access to nothing always aborts here, and a guest that expects all ones would crash";
        refused(node, "trap-unmapped-accesses", Code::UnmappedAccesses, why, diags);
    }
    if node.prop("xen,sci_type").is_some_and(|prop| prop.str() != Ok("none")) {
        refused(node, "xen,sci_type", Code::Sci, "the guest would find no SCMI", diags);
    }
    match node.prop("passthrough").map(Prop::str) {
        None | Some(Ok("disabled")) => {}
        Some(Ok("enabled")) => {
            refused(node, "passthrough", Code::Passthrough, "the guest would find no device", diags);
        }
        Some(other) => diags.report(
            Code::ValueUnknown,
            At::prop(node, "passthrough"),
            format_args!("{} means \"disabled\"", Quoted(other.unwrap_or(""))),
            format_args!("\"enabled\" and \"disabled\" are known; devices cannot be assigned yet"),
        ),
    }
}

fn refused(node: &Node<'_, '_>, name: &str, code: Code, why: &str, diags: &mut Diagnostics) {
    diags.report(
        code,
        At::prop(node, name),
        format_args!("{why}; the domain is left out"),
        format_args!("remove {name} if the domain can do without it"),
    );
}

/// Static shared memory, under a domain or under `/chosen`.
pub(super) fn shared_memory(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    diags.report(
        Code::SharedMemory,
        At::node(node),
        format_args!("the guests would not find the memory that they share"),
        format_args!("remove the node if its users can do without it"),
    );
}

/// A node with a channel's property and without its mark, which is `mark` here.
pub(super) fn channel_unmarked(node: &Node<'_, '_>, mark: &str, diags: &mut Diagnostics) {
    diags.report(
        Code::ChannelUnmarked,
        At::node(node),
        format_args!("it has xen,evtchn, but is not marked as a channel; it is ignored"),
        format_args!("add compatible = {}", Quoted(mark)),
    );
}

/// Reports properties and children that nobody reads: misspelt ones would be missed silently.
pub(super) fn look_for_misspellings(domain: &Node<'_, '_>, diags: &mut Diagnostics) {
    unknown_properties(domain, DOMAIN, diags);
    for child in domain.children() {
        if super::modules::is_module(&child) {
            unknown_properties(&child, MODULE, diags);
        } else if child.is_one_of(&["xen,evtchn", "xen,evtchn-v1"]) {
            unknown_properties(&child, CHANNEL, diags);
        } else if child.is_compatible("xen,vcpu") {
            unknown_properties(&child, VCPU, diags);
        } else if child.is_compatible("xen,domain-shared-memory-v1") {
            shared_memory(&child, diags);
        } else if !child.is_compatible("xen,domain") {
            unknown_child(&child, diags);
        }
    }
}

fn unknown_child(child: &Node<'_, '_>, diags: &mut Diagnostics) {
    let name = child.compatible().next().unwrap_or("");
    let at = At::node(child);
    if let Some(meant) = diags.did_you_mean(name, CHILDREN) {
        diags.report(
            Code::UnknownChild,
            at,
            format_args!("{} is not known; the node is ignored", Quoted(name)),
            format_args!("did you mean {meant}?"),
        );
    } else if child.has("xen,evtchn") {
        channel_unmarked(child, "xen,evtchn-v1", diags);
    } else if child.children().any(|inner| super::modules::is_module(&inner)) {
        diags.report(
            Code::ModuleTooDeep,
            at,
            format_args!("the module inside it is ignored: only direct children of a domain are read"),
            format_args!("move the module up into the domain's node"),
        );
    } else if name.is_empty() {
        diags.report(
            Code::UnknownChild,
            at,
            format_args!("the node has no compatible property; it is ignored"),
            format_args!("a kernel has compatible = \"multiboot,kernel\", \"multiboot,module\""),
        );
    } else {
        diags.report(
            Code::UnknownChild,
            at,
            format_args!("{} is not known; the node is ignored", Quoted(name)),
            format_args!("a domain holds modules, channel ends and xen,vcpu nodes"),
        );
    }
}

fn unknown_properties(node: &Node<'_, '_>, known: &[&str], diags: &mut Diagnostics) {
    for prop in node.props().filter(|prop| !known.contains(&prop.name)) {
        let at = At::prop(node, prop.name);
        let what = format_args!("nothing reads this property");
        if let Some((_, place)) = ELSEWHERE.iter().find(|(name, _)| *name == prop.name) {
            let what = format_args!("here it has no effect");
            diags.report(Code::PropertyMisplaced, at, what, format_args!("it belongs into {place}"));
        } else if let Some(meant) = diags.did_you_mean(prop.name, known) {
            diags.report(Code::UnknownProperty, at, what, format_args!("did you mean {meant}?"));
        } else {
            diags.report(Code::UnknownProperty, at, what, format_args!("remove it, or mend its name"));
        }
    }
}
