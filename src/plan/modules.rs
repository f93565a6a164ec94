//! Boot modules: the images that the boot loader put into memory for the domains.
//!
//! Decides which bytes are each domain's kernel and ramdisk. Sizes are exact, as the binding demands. Two
//! domains may name the same module: images are copied, never run in place. Anything else that overlaps is
//! refused, because one of the two would be overwritten by the boot loader already.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::code::Code;
use super::diagnostic::{At, Diagnostics};
use super::domain::Draft;
use super::{KernelPlan, Site};
use crate::addr::{PAGE_SIZE, PaSpan};
use crate::fdt::{Cells, Node, RegError, Tree};
use crate::mm::spans::sorted;

/// How many modules are kept safe from being handed out as memory.
const MAX_MODULES: usize = 1024;
/// The longest command line, without its end, as in Xen.
const MAX_BOOTARGS: usize = 1023;

const MARK: &[&str] = &["multiboot,module", "xen,multiboot-module"];
const KERNEL: &[&str] = &["multiboot,kernel", "xen,linux-zimage"];
const RAMDISK: &[&str] = &["multiboot,ramdisk", "xen,linux-initrd"];
const OLD: &[&str] = &["xen,multiboot-module", "xen,linux-zimage", "xen,linux-initrd"];
const DEVICE_TREE: &str = "multiboot,device-tree";

/// The modules of one domain.
#[derive(Default)]
pub(super) struct Images {
    /// Kernel, if there is a usable one.
    pub kernel: Option<KernelPlan>,
    /// Ramdisk, if there is one.
    pub ramdisk: Option<PaSpan>,
    /// Command line.
    pub cmdline: String,
}

/// What a module is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kernel,
    Ramdisk,
    DeviceTree,
    Unknown,
}

impl Kind {
    fn of(node: &Node<'_, '_>) -> Self {
        if node.is_one_of(KERNEL) {
            Self::Kernel
        } else if node.is_one_of(RAMDISK) {
            Self::Ramdisk
        } else if node.is_compatible(DEVICE_TREE) {
            Self::DeviceTree
        } else {
            Self::Unknown
        }
    }
}

/// Whether a node describes a boot module of any kind.
pub(super) fn is_module(node: &Node<'_, '_>) -> bool {
    node.is_one_of(MARK) || Kind::of(node) != Kind::Unknown
}

/// The bytes of a module, as far as they can be told.
fn span_of(node: &Node<'_, '_>) -> Option<PaSpan> {
    node.reg(0).ok()?.span().filter(|span| !span.is_empty())
}

/// Where the modules of all domains are, broken ones included: sorted, each once. What does not lie in one of the banks
/// of `ram` is no file that a loader left there, but a mistake: it costs its own domain, and no other one its memory.
pub(super) fn footprints(tree: &Tree<'_>, ram: &[PaSpan]) -> Vec<PaSpan> {
    let mut spans = Vec::new();
    let mut collect = |node: &Node<'_, '_>| {
        if spans.len() < MAX_MODULES && is_module(node) {
            spans.extend(span_of(node).filter(|span| ram.iter().any(|bank| bank.covers(span))));
        }
    };
    let _ = tree.at("/chosen", |chosen| {
        for node in chosen.children() {
            collect(&node);
            node.children().for_each(|module| collect(&module));
        }
    });
    let mut spans = sorted(spans);
    spans.dedup();
    spans
}

/// Reads the modules of a domain.
pub(super) fn read(domain: &Node<'_, '_>, site: &Site<'_>, diags: &mut Diagnostics) -> Images {
    let mut images = Images::default();
    let (mut kernel_at, mut ramdisk_at) = (None, None);
    for node in domain.children().filter(is_module) {
        let kind = Kind::of(&node);
        names(&node, kind, diags);
        kinds(&node, diags);
        let span = reg(&node, site, diags);
        let raw = node.has("portunus,raw");
        if raw && kind != Kind::Kernel {
            diags.report(
                Code::RawElsewhere,
                At::prop(&node, "portunus,raw"),
                format_args!("only a kernel can be loaded raw; the property is ignored"),
                format_args!("move it to the kernel module, or remove it"),
            );
        }
        match kind {
            Kind::Kernel => {
                if first(&mut kernel_at, &node, Code::KernelTwice, "kernel", diags) {
                    images.kernel =
                        span.map(|image| KernelPlan { path: alloc::format!("{node}"), image, raw });
                }
            }
            Kind::Ramdisk => {
                if first(&mut ramdisk_at, &node, Code::RamdiskTwice, "ramdisk", diags) {
                    images.ramdisk = span;
                }
            }
            Kind::DeviceTree | Kind::Unknown => {}
        }
        bootargs(&node, kind, &mut images, diags);
    }
    if kernel_at.is_none() {
        diags.report(
            Code::KernelMissing,
            At::node(domain),
            format_args!("no module of the domain is a kernel"),
            format_args!(
                "add a node with compatible = \"multiboot,kernel\", \"multiboot,module\" and reg = <address size>"
            ),
        );
    }
    images
}

/// Remembers the first module of a kind and reports any other.
fn first<'t>(
    seen: &mut Option<&'t str>,
    node: &Node<'_, 't>,
    code: Code,
    kind: &str,
    diags: &mut Diagnostics,
) -> bool {
    let Some(name) = seen else {
        *seen = Some(node.name());
        return true;
    };
    diags.report(
        code,
        At::node(node),
        format_args!("{name} is the domain's {kind} already"),
        format_args!("remove one of them: which one was meant cannot be told"),
    );
    false
}

fn names(node: &Node<'_, '_>, kind: Kind, diags: &mut Diagnostics) {
    let at = At::prop(node, "compatible");
    match kind {
        Kind::Unknown => diags.report(
            Code::ModuleKind,
            at,
            format_args!("the module is neither a kernel nor a ramdisk"),
            format_args!("add \"multiboot,kernel\" or \"multiboot,ramdisk\" before \"multiboot,module\""),
        ),
        Kind::DeviceTree => diags.report(
            Code::DeviceTreeModule,
            at,
            format_args!("the guest would find none of the devices in it; the domain is left out"),
            format_args!("remove the module if the domain can do without"),
        ),
        Kind::Kernel | Kind::Ramdisk => {}
    }
    if node.is_one_of(OLD) {
        diags.report(
            Code::OldModuleName,
            at,
            format_args!("the module is used, but Xen would not find it here"),
            format_args!("write \"multiboot,kernel\" or \"multiboot,ramdisk\", and \"multiboot,module\""),
        );
    } else if !node.is_one_of(MARK) {
        diags.report(
            Code::ModuleMark,
            at,
            format_args!("\"multiboot,module\" is missing; the module is used, but Xen would not find it"),
            format_args!("add \"multiboot,module\""),
        );
    }
}

/// A module that says it is two things could be either.
fn kinds(node: &Node<'_, '_>, diags: &mut Diagnostics) {
    let is = [node.is_one_of(KERNEL), node.is_one_of(RAMDISK), node.is_compatible(DEVICE_TREE)];
    if is.iter().filter(|is| **is).count() > 1 {
        diags.report(
            Code::ModuleKinds,
            At::prop(node, "compatible"),
            format_args!("one file cannot be kernel, ramdisk and device tree at once"),
            format_args!("keep one of the names, and \"multiboot,module\""),
        );
    }
}

/// A unit address in the name that is not the address in `reg`: one of the two was copied and not mended. Small numbers
/// only count modules.
fn unit_address(node: &Node<'_, '_>, address: u64, diags: &mut Diagnostics) {
    let unit = node.name().split_once('@').and_then(|(_, unit)| u64::from_str_radix(unit, 16).ok());
    if let Some(unit) = unit.filter(|unit| *unit >= PAGE_SIZE && *unit != address) {
        diags.report(
            Code::ModuleUnitAddress,
            At::prop(node, "reg"),
            format_args!("the name says {unit:#x}, reg says {address:#x}, which counts"),
            format_args!("mend the one that is wrong"),
        );
    }
}

/// The bytes of a module, checked.
fn reg(node: &Node<'_, '_>, site: &Site<'_>, diags: &mut Diagnostics) -> Option<PaSpan> {
    let at = At::prop(node, "reg");
    let entry = match node.reg(0) {
        Ok(entry) => entry,
        Err(problem) => {
            unreadable(node, problem, diags);
            return None;
        }
    };
    let width = node.cells().address.saturating_add(node.cells().size) as usize;
    if node.prop("reg").is_some_and(|reg| reg.value.len() > width.saturating_mul(4)) {
        diags.report(
            Code::ModuleRegExtra,
            at.cell(width),
            format_args!("only the first address and size are read; {}", InForce(node.cells())),
            format_args!("check #address-cells and #size-cells of the domain's node"),
        );
    }
    unit_address(node, entry.address, diags);
    if entry.size == 0 {
        diags.report(
            Code::ModuleEmpty,
            at,
            format_args!("the module at {:#x} has no bytes; {}", entry.address, InForce(node.cells())),
            format_args!("the size is the exact length of the file that the boot loader has read"),
        );
        return None;
    }
    let Some(span) = entry.span() else {
        diags.report(
            Code::ModuleWraps,
            at,
            format_args!(
                "{:#x} bytes from {:#x} do not fit 64 bits; {}",
                entry.size,
                entry.address,
                InForce(node.cells())
            ),
            format_args!("check the order of the cells: address first, then size"),
        );
        return None;
    };
    place(span, at, site, diags).then_some(span)
}

/// Whether a module lies where a boot loader can have put it.
fn place(span: PaSpan, at: At<'_>, site: &Site<'_>, diags: &mut Diagnostics) -> bool {
    let machine = site.machine;
    if !machine.ram.iter().any(|bank| bank.covers(&span)) {
        diags.report(
            Code::ModuleOutsideRam,
            at,
            format_args!("{span} is not in memory"),
            format_args!("memory is {}", Banks(&machine.ram)),
        );
        return false;
    }
    // Boot loaders put what they have loaded into the reservation block, so a module may lie inside one of its
    // entries. What `/reserved-memory` keeps is for somebody else, and nobody else's file is where the hypervisor is.
    let mut straddled = machine.reserved.iter().filter(|reserved| !reserved.covers(&span));
    let claimed = site.claimed.iter().chain(&machine.ours).find(|reserved| reserved.overlaps(&span));
    if let Some(reserved) = claimed.or_else(|| straddled.find(|reserved| reserved.overlaps(&span))) {
        diags.report(
            Code::ModuleReserved,
            at,
            format_args!("{span} and the reserved range {reserved} overlap"),
            format_args!("load the module elsewhere"),
        );
        return false;
    }
    if machine.modules.binary_search(&span).is_err() {
        diags.report(
            Code::TooManyModules,
            at,
            format_args!("there are so many modules that this one cannot be kept safe"),
            format_args!("at most {MAX_MODULES} modules are possible; domains may share one"),
        );
        return false;
    }
    true
}

fn unreadable(node: &Node<'_, '_>, problem: RegError, diags: &mut Diagnostics) {
    let (code, help) = match problem {
        RegError::Missing if node.has("xen,uefi-binary") => {
            (Code::UefiBinary, "nothing loads files by name here: let the boot loader do so, and write reg")
        }
        RegError::Missing => {
            (Code::ModuleReg, "write reg = <address size>, as the boot loader has placed the file")
        }
        RegError::Cells(_) => {
            (Code::ModuleCells, "write #address-cells = <2> and #size-cells = <2> in the domain")
        }
        _ => (Code::ModuleRegLength, "check #address-cells and #size-cells of the domain's node"),
    };
    diags.report(
        code,
        At::prop(node, "reg"),
        format_args!("{problem}; {}", InForce(node.cells())),
        format_args!("{help}"),
    );
}

/// Takes a domain's command line. The kernel's own comes first; Xen takes whichever stands first.
fn bootargs(node: &Node<'_, '_>, kind: Kind, images: &mut Images, diags: &mut Diagnostics) {
    let Some(prop) = node.prop("bootargs") else { return };
    let at = At::prop(node, "bootargs");
    let text = match prop.str() {
        Ok(text) => text,
        Err(problem) => {
            return diags.report(
                Code::BootargsText,
                at,
                format_args!("{problem}"),
                format_args!("write it as a string in quotes"),
            );
        }
    };
    if text.len() > MAX_BOOTARGS {
        return diags.report(
            Code::BootargsLength,
            at,
            format_args!("it has {} characters", text.len()),
            format_args!("at most {MAX_BOOTARGS} are possible"),
        );
    }
    if !text.is_empty() && node.parent().is_some_and(|domain| domain.name().contains('@')) {
        diags.report(
            Code::BootargsUnderXen,
            at,
            format_args!("the guest gets it; Xen drops it if the name of the domain's node has an @"),
            format_args!("take the @ out of the domain's name if the tree is to boot with Xen too"),
        );
    }
    if kind != Kind::Kernel {
        diags.report(
            Code::BootargsElsewhere,
            at,
            format_args!("it is used only if the kernel module has none"),
            format_args!("move it to the kernel module"),
        );
    }
    if kind == Kind::Kernel || images.cmdline.is_empty() {
        images.cmdline = String::from(text);
    }
}

/// Reports images that cannot fit into the memory of their domain, whatever is in them. Answers whether they may fit.
pub(super) fn fit(domain: &Node<'_, '_>, images: &Images, memory: u64, diags: &mut Diagnostics) -> bool {
    let kernel = images.kernel.as_ref().map_or(0, |kernel| kernel.image.size());
    let ramdisk = images.ramdisk.map_or(0, |span| span.size());
    let fits = kernel.saturating_add(ramdisk) <= memory;
    if !fits {
        diags.report(
            Code::ImagesTooLarge,
            At::prop(domain, "memory"),
            format_args!(
                "the kernel has {} KiB and the ramdisk {} KiB, the domain has {} KiB",
                kernel / 1024,
                ramdisk / 1024,
                memory / 1024
            ),
            format_args!("give the domain more memory; memory counts KiB"),
        );
    }
    fits
}

/// Breaks domains whose modules overlap others; of two, the one that stands later in the tree. One module
/// shared by several domains does not overlap itself.
pub(super) fn overlaps(drafts: &mut [Draft<'_, '_>], diags: &mut Diagnostics) {
    // Ranges that do not overlap each other, in order, and the domain that named them first: two for each at most.
    let mut taken: Vec<(PaSpan, usize, Node<'_, '_>)> = Vec::new();
    for (index, draft) in drafts.iter_mut().enumerate() {
        let kernel = draft.images.kernel.as_ref().map(|kernel| kernel.image);
        for span in kernel.into_iter().chain(draft.images.ramdisk) {
            let place = taken.partition_point(|(other, ..)| *other < span);
            let beside = taken.get(place.saturating_sub(1)..).unwrap_or_default();
            match beside.iter().take(2).find(|(other, ..)| other.overlaps(&span)) {
                None => taken.insert(place, (span, index, draft.node)),
                Some((other, owner, _)) if *other == span && *owner != index => {}
                Some((other, _, node)) => {
                    draft.broken = true;
                    diags.report(
                        Code::ModuleOverlap,
                        At::node(&draft.node),
                        format_args!("its module at {span} overlaps the one at {other} of {node}"),
                        format_args!(
                            "leave room: files may have grown since their addresses were written down"
                        ),
                    );
                }
            }
        }
    }
}

/// Cell sizes, as a hint at what a `reg` was read with.
struct InForce(Cells);

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#address-cells is {} and #size-cells is {} here", self.0.address, self.0.size)
    }
}

/// The first few banks of memory.
struct Banks<'m>(&'m [PaSpan]);

impl fmt::Display for Banks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        for (index, bank) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{bank}", if index == 0 { "" } else { ", " })?;
        }
        f.write_str(if self.0.len() > SHOWN { ", ..." } else { "" })
    }
}
