//! The interrupt controller.

use alloc::vec::Vec;

use crate::addr::{IntId, PAGE_SIZE, PaSpan};
use crate::fdt::{GIC_V2, GIC_V3, Node, Tree};
use crate::plan::Gic;
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics};

/// GICv2-like controllers of CPUs without virtualization.
const WITHOUT_VIRTUALIZATION: &[&str] = &["arm,cortex-a9-gic", "arm,arm1176jzf-devchip-gic", "arm,pl390"];
/// Most redistributor regions there can be.
const MAX_REGIONS: u32 = 32;
/// The maintenance interrupt that Arm's base system architecture prescribes, and every known board uses.
const USUAL_MAINTENANCE: IntId = IntId::new(25);

/// Reads the first usable GIC. `None` if there is none.
pub(super) fn read(tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Gic> {
    let mut unsupported = false;
    let found = tree.find_map(|node| {
        if !node.has("interrupt-controller") || !node.is_okay() {
            return None;
        }
        if node.is_one_of(GIC_V3) {
            return Some(v3(node, diags));
        }
        if node.is_one_of(GIC_V2) {
            return Some(v2(node, diags));
        }
        if node.is_one_of(WITHOUT_VIRTUALIZATION) {
            unsupported = true;
            diags.report(
                Code::GicUnsupported,
                At::prop(node, "compatible"),
                format_args!("this controller has no virtual CPU interface"),
                format_args!("GICv2 with virtualization (such as arm,gic-400) or GICv3 is needed"),
            );
        }
        None
    });
    if found.is_none() && !unsupported {
        diags.report(
            Code::NoGic,
            At::node(&"/"),
            format_args!("no enabled node is compatible with a known GICv2 or GICv3"),
            format_args!("known are {} and {}", List(GIC_V2), List(GIC_V3)),
        );
    }
    found?
}

struct List(&'static [&'static str]);

impl core::fmt::Display for List {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn v3(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<Gic> {
    let dist = frame(node, 0, "the distributor (GICD)", 0x1_0000, diags);
    let stride = stride(node, diags);
    let redist = regions(node, diags);
    let maintenance = maintenance(node, diags);
    Some(Gic::V3 { dist: dist?, redist: redist?, stride: stride?, maintenance })
}

fn regions(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<Vec<PaSpan>> {
    let count = node.prop("#redistributor-regions").map_or(Ok(1), |prop| prop.u32()).unwrap_or(0);
    if !(1..=MAX_REGIONS).contains(&count) {
        diags.report(
            Code::GicRegions,
            At::prop(node, "#redistributor-regions"),
            format_args!("there cannot be {count} redistributor regions"),
            format_args!("1 to {MAX_REGIONS} are possible; without the property there is 1"),
        );
        return None;
    }
    let region = |index| frame(node, index as usize, "a redistributor region (GICR)", 0x2_0000, diags);
    (1..=count).map(region).collect()
}

/// The stride between redistributors; `Some(None)` where the architecture's own holds.
#[expect(clippy::option_option, reason = "absent and wrong are different answers")]
fn stride(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<Option<u64>> {
    let Some(prop) = node.prop("redistributor-stride") else { return Some(None) };
    match prop.number() {
        // The smallest redistributor has two frames of 64 KiB (Arm IHI 0069, section 12.10).
        Ok(stride) if stride >= 0x2_0000 && stride % 0x1_0000 == 0 => Some(Some(stride)),
        _ => {
            diags.report(
                Code::GicStride,
                At::prop(node, "redistributor-stride"),
                format_args!("the value is not a multiple of 0x10000 from 0x20000 up"),
                format_args!("remove the property unless the board needs it"),
            );
            None
        }
    }
}

fn v2(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<Gic> {
    if node.regs().count() < 4 && node.regs().all(|entry| entry.is_ok()) {
        diags.report(
            Code::GicUnsupported,
            At::prop(node, "reg"),
            format_args!("reg lacks the virtual interfaces (GICH and GICV)"),
            format_args!("reg lists GICD, GICC, GICH and GICV; on QEMU add virtualization=on"),
        );
        return None;
    }
    let dist = frame(node, 0, "the distributor (GICD)", 0x1000, diags);
    let cpu = frame(node, 1, "the CPU interface (GICC)", 0x2000, diags);
    let hyp = frame(node, 2, "the virtual interface control (GICH)", 0x200, diags);
    let vcpu = frame(node, 3, "the virtual CPU interface (GICV)", 0x2000, diags);
    let maintenance = maintenance(node, diags);
    Some(Gic::V2 { dist: dist?, cpu: cpu?, hyp: hyp?, vcpu: vcpu?, maintenance })
}

/// Frame `index`, which is `what` and has at least `least` bytes (IHI 0048, 3.1 and 5.1; IHI 0069, 12.1): with less,
/// registers that are needed would lie outside, such as GICC_DIR and GICV_DIR in their second page.
fn frame(
    node: &Node<'_, '_>,
    index: usize,
    what: &str,
    least: u64,
    diags: &mut Diagnostics,
) -> Option<PaSpan> {
    let help = format_args!("take the node from the board's own device tree");
    match node.mmio(index) {
        Ok(span) if span.size() < least => {
            let size = span.size();
            let why = format_args!("{what} has {size:#x} bytes, and its registers take {least:#x}");
            diags.report(Code::GicReg, At::prop(node, "reg"), why, help);
        }
        Ok(span) if span.start().is_aligned(PAGE_SIZE) => return Some(span),
        Ok(span) => {
            let why = format_args!("{what} at {} is not on a page of its own", span.start());
            diags.report(Code::GicReg, At::prop(node, "reg"), why, help);
        }
        Err(problem) => {
            diags.report(Code::GicReg, At::prop(node, "reg"), format_args!("{what}: {problem}"), help);
        }
    }
    None
}

fn maintenance(node: &Node<'_, '_>, diags: &mut Diagnostics) -> IntId {
    let why = match node.interrupt(0) {
        Ok(id) if id.is_private() => return id,
        Ok(_) => None,
        Err(problem) => Some(problem),
    };
    let (at, help) = (At::prop(node, "interrupts"), "interrupts holds the maintenance interrupt: <1 9 4>");
    match why {
        Some(problem) => diags.report(
            Code::GicMaintenance,
            at,
            format_args!("{problem}; INTID {USUAL_MAINTENANCE} is used"),
            format_args!("{help}"),
        ),
        None => diags.report(
            Code::GicMaintenance,
            at,
            format_args!("the interrupt is not a PPI; INTID {USUAL_MAINTENANCE} is used"),
            format_args!("{help}"),
        ),
    }
    USUAL_MAINTENANCE
}
