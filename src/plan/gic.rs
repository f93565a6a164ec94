//! The interrupt controller, and interrupt specifiers.

use alloc::vec::Vec;

use super::{Gic, MachineError};
use crate::addr::{IntId, PaSpan};
use crate::fdt::{Node, Tree};

const V2: [&str; 3] = ["arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a7-gic"];
/// Deepest bus below which an interrupt controller is looked for: `/soc/bus/...`.
const SEARCH_DEPTH: usize = 4;

/// The INTID that a three-cell specifier names: type (0 SPI, 1 PPI), number, flags.
#[must_use]
pub fn interrupt(specifier: &[u32]) -> Option<IntId> {
    match *specifier {
        [0, spi, _] => IntId::from_spi(spi),
        [1, ppi, _] => IntId::from_ppi(ppi),
        _ => None,
    }
}

/// Finds the controller.
///
/// # Errors
///
/// If there is none that can be driven, or its node lacks a part.
pub fn find(tree: &Tree<'_>) -> Result<Gic, MachineError> {
    let nothing = || {
        MachineError::new(
            "/",
            "no interrupt controller that can be driven: neither arm,gic-v3 nor a GICv2 such as arm,gic-400",
            "run on a machine with a GIC; on QEMU virt add gic-version=3",
        )
    };
    let root = tree.root().ok_or_else(nothing)?;
    let node = search(&root, SEARCH_DEPTH).ok_or_else(nothing)?;
    let maintenance = node
        .cells("interrupts")
        .and_then(|cells| cells.first_chunk::<3>().and_then(|cells| interrupt(cells)))
        .filter(|intid| intid.is_private())
        .ok_or_else(|| {
            MachineError::new(
                node.path(),
                "the interrupt controller has no maintenance interrupt, so it cannot serve virtual machines",
                "add interrupts = <1 9 4>, as the board's manual has it",
            )
        })?;
    let regs = node.reg();
    if node.is_compatible("arm,gic-v3") {
        v3(&node, &regs, maintenance)
    } else {
        v2(&node, &regs, maintenance)
    }
}

fn search<'t, 'a>(node: &Node<'t, 'a>, depth: usize) -> Option<Node<'t, 'a>> {
    let is_gic = |node: &Node<'_, '_>| {
        node.is_enabled()
            && (node.is_compatible("arm,gic-v3") || V2.iter().any(|known| node.is_compatible(known)))
    };
    node.children().find(|child| is_gic(child)).or_else(|| {
        let below = depth.checked_sub(1)?;
        node.children().find_map(|child| search(&child, below))
    })
}

fn v3(node: &Node<'_, '_>, regs: &[PaSpan], maintenance: IntId) -> Result<Gic, MachineError> {
    let regions = node.number("#redistributor-regions").unwrap_or(1).max(1) as usize;
    let (dist, redist) = regs
        .split_first()
        .and_then(|(dist, rest)| Some((*dist, rest.get(..regions)?.to_vec())))
        .ok_or_else(|| {
            MachineError::new(
                node.path(),
                "`reg` must list the distributor and every redistributor region",
                "give reg = <distributor>, <redistributors> with physical addresses (through `ranges`)",
            )
        })?;
    let stride = node.cells("redistributor-stride").and_then(|cells| match *cells.as_slice() {
        [low] => Some(u64::from(low)),
        [high, low] => Some(u64::from(high) << 32 | u64::from(low)),
        _ => None,
    });
    Ok(Gic::V3 { dist, redist, stride, maintenance })
}

fn v2(node: &Node<'_, '_>, regs: &[PaSpan], maintenance: IntId) -> Result<Gic, MachineError> {
    match *regs {
        [dist, cpu, hyp, vcpu, ..] => Ok(Gic::V2 { dist, cpu, hyp, vcpu, maintenance }),
        _ => Err(MachineError::new(
            node.path(),
            "`reg` must list GICD, GICC, GICH and GICV: without the last two it cannot serve virtual machines",
            "use the board's full tree; some vendors cut GICH and GICV out",
        )),
    }
}

/// All memory that the controller occupies.
#[must_use]
pub fn frames(gic: &Gic) -> Vec<PaSpan> {
    match gic {
        Gic::V3 { dist, redist, .. } => core::iter::once(*dist).chain(redist.iter().copied()).collect(),
        Gic::V2 { dist, cpu, hyp, .. } => [*dist, *cpu, *hyp].into(),
    }
}
