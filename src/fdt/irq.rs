//! Interrupt specifiers: from what a node says to the INTID that the GIC will report.
//!
//! Only interrupts that arrive at a GIC directly are understood: three cells (kind, number, flags), or four
//! where the GIC partitions its PPIs. Anything wired through another controller or an `interrupt-map` is
//! refused, never guessed. The flags are not read: their high byte is the GICv2 CPU mask, and the trigger of a
//! PPI is fixed by the hardware.

use core::fmt;

use super::token::Bare;
use super::{Node, Prop};
use crate::addr::IntId;

/// `compatible` strings of GICv2 controllers with virtualization support.
pub const GIC_V2: &[&str] =
    &["arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a7-gic", "brcm,brahma-b15-gic", "qcom,msm-qgic2"];
/// `compatible` strings of GICv3 controllers (GICv4 ones list this too).
pub const GIC_V3: &[&str] = &["arm,gic-v3"];

/// Why an interrupt has no INTID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqError {
    /// The node has no such interrupt.
    Missing,
    /// The specifier is cut off.
    Short,
    /// No interrupt controller is named, or none exists by that phandle.
    NoController,
    /// The interrupt goes to something that is not a GIC.
    NotGic,
    /// The GIC says its specifiers have this many cells; 3 or 4 are understood.
    Cells(u32),
    /// Only kinds 0 (SPI) and 1 (PPI) exist.
    Kind(u32),
    /// No interrupt of that kind has this number.
    Number(u32),
}

impl fmt::Display for IrqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "the interrupt is not listed"),
            Self::Short => write!(f, "the interrupt specifier is cut off"),
            Self::NoController => write!(f, "the interrupt parent does not exist"),
            Self::NotGic => write!(f, "the interrupt does not arrive at the GIC directly"),
            Self::Cells(count) => write!(f, "the GIC's #interrupt-cells is {count}; 3 or 4 are understood"),
            Self::Kind(kind) => write!(f, "interrupt kind {kind} is neither 0 (SPI) nor 1 (PPI)"),
            Self::Number(number) => {
                write!(f, "interrupt number {number} is out of range (SPI 0-987, PPI 0-15, not the INTID)")
            }
        }
    }
}

impl<'t> Node<'_, 't> {
    /// The INTID of interrupt `index`, from `interrupts-extended` or `interrupts`.
    ///
    /// # Errors
    /// If it is missing, malformed, or does not arrive at a GIC.
    pub fn interrupt(&self, index: usize) -> Result<IntId, IrqError> {
        if let Some(prop) = self.prop("interrupts-extended") {
            return self.extended(prop, index);
        }
        let prop = self.prop("interrupts").ok_or(IrqError::Missing)?;
        let controller = self.interrupt_parent()?;
        let width = specifier_cells(controller)?;
        specifier(prop, index.saturating_mul(width))
    }

    fn extended(&self, prop: Prop<'_>, index: usize) -> Result<IntId, IrqError> {
        let mut at = 0;
        for _ in 0..index {
            at = self.extended_controller(prop, at)?.1;
        }
        let (controller, _) = self.extended_controller(prop, at)?;
        specifier_cells(controller)?;
        specifier(prop, at.saturating_add(1))
    }

    /// The controller of the entry at cell `at`, and where the next entry begins.
    fn extended_controller(&self, prop: Prop<'_>, at: usize) -> Result<(Bare<'t>, usize), IrqError> {
        let phandle = prop.cell(at).ok_or(IrqError::Missing)?;
        let controller = self.tree().by_phandle(phandle).ok_or(IrqError::NoController)?;
        let width = interrupt_cells(controller).ok_or(IrqError::NoController)?;
        Ok((controller, at.saturating_add(1).saturating_add(width as usize)))
    }

    /// The controller that `interrupts` goes to: the nearest `interrupt-parent` here or above, else the nearest
    /// controller above, else the node itself (the GIC of a tree that names no parent for it).
    fn interrupt_parent(&self) -> Result<Bare<'t>, IrqError> {
        let mut here = Some(self);
        let mut below: Option<&Node<'_, 't>> = None;
        while let Some(node) = here {
            if let Some(prop) = node.prop("interrupt-parent") {
                let phandle = prop.u32().map_err(|_| IrqError::NoController)?;
                return self.tree().by_phandle(phandle).ok_or(IrqError::NoController);
            }
            if below.is_some() && interrupt_cells(node.bare()).is_some() {
                return Ok(node.bare());
            }
            below = Some(node);
            here = node.parent();
        }
        interrupt_cells(self.bare()).map(|_| self.bare()).ok_or(IrqError::NoController)
    }
}

fn interrupt_cells(controller: Bare<'_>) -> Option<u32> {
    controller.prop("#interrupt-cells")?.cell()
}

fn specifier_cells(controller: Bare<'_>) -> Result<usize, IrqError> {
    let compatible = controller.prop("compatible").ok_or(IrqError::NotGic)?.prop();
    if !compatible.strings().any(|name| GIC_V2.contains(&name) || GIC_V3.contains(&name)) {
        return Err(IrqError::NotGic);
    }
    match interrupt_cells(controller) {
        Some(count @ (3 | 4)) => Ok(count as usize),
        Some(count) => Err(IrqError::Cells(count)),
        None => Err(IrqError::NoController),
    }
}

fn specifier(prop: Prop<'_>, at: usize) -> Result<IntId, IrqError> {
    let kind = prop.cell(at).ok_or(IrqError::Missing)?;
    let number = prop.cell(at.saturating_add(1)).ok_or(IrqError::Short)?;
    prop.cell(at.saturating_add(2)).ok_or(IrqError::Short)?;
    let id = match kind {
        0 => IntId::from_spi(number),
        1 => IntId::from_ppi(number),
        _ => return Err(IrqError::Kind(kind)),
    };
    id.ok_or(IrqError::Number(number))
}
