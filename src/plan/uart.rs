//! The console UART: which one, and how it is driven.

use super::{Uart, UartKind, gic};
use crate::fdt::{Node, Tree};

/// The UART that `dtuart=` on Xen's command line names, else `/chosen/stdout-path`, else the alias `serial0`.
/// Usable before anything else is known of the machine.
#[must_use]
pub fn find(tree: &Tree<'_>) -> Option<Uart> {
    let chosen = tree.find("/chosen");
    let arguments = chosen.as_ref().and_then(|chosen| chosen.text("xen,xen-bootargs")).unwrap_or_default();
    let dtuart = arguments.split_whitespace().find_map(|word| word.strip_prefix("dtuart="));
    let stdout = chosen.as_ref().and_then(|chosen| chosen.text("stdout-path"));
    [dtuart, stdout, Some("serial0")].into_iter().flatten().find_map(|name| describe(&tree.resolve(name)?))
}

fn describe(node: &Node<'_, '_>) -> Option<Uart> {
    let is = |compatible| node.is_compatible(compatible);
    let kind = if is("arm,pl011") || is("arm,sbsa-uart") {
        UartKind::Pl011
    } else if is("brcm,bcm2835-aux-uart") {
        UartKind::Bcm2835Aux
    } else if is("xlnx,zynqmp-uart") || is("cdns,uart-r1p12") || is("cdns,uart-r1p8") {
        UartKind::Cadence
    } else if is("ns16550a") || is("ns16550") || is("snps,dw-apb-uart") {
        let number =
            |name, usual| node.number(name).and_then(|value| u8::try_from(value).ok()).unwrap_or(usual);
        UartKind::Ns16550 { shift: number("reg-shift", 0), width: number("reg-io-width", 1) }
    } else {
        return None;
    };
    let specifier = node.cells("interrupts").unwrap_or_default();
    Some(Uart {
        kind,
        regs: *node.reg().first()?,
        irq: specifier.first_chunk::<3>().and_then(|cells| gic::interrupt(cells)),
        path: node.path_string(),
    })
}
