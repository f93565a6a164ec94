//! The console UART: the first of `dtuart=`, `stdout-path` and the alias `serial0` that names a usable one.

use alloc::string::ToString;

use crate::addr::IntId;
use crate::fdt::{Node, Tree};
use crate::plan::code::Code;
use crate::plan::diagnostic::{At, Diagnostics, Quoted};
use crate::plan::{Uart, UartKind, options};

/// The UART for the very first line of output, before anything has been checked or can be reported.
#[derive(Debug, Default)]
pub struct EarlyConsole {
    /// The UART, if the tree names a usable one.
    pub uart: Option<Uart>,
    /// There is nothing to report about how the tree names it: no need to look for it again.
    is_clean: bool,
}

/// Looks for the console UART; what is wrong with how the tree names it is not reported yet.
#[must_use]
pub fn early_console(tree: &Tree<'_>) -> EarlyConsole {
    let mut diags = Diagnostics::silent();
    let uart = console(tree, &mut diags);
    EarlyConsole { uart, is_clean: diags.are_none() }
}

/// The console UART of a machine on which `early` was found: with all that is to be reported.
pub(super) fn after(early: EarlyConsole, tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Uart> {
    if early.is_clean { early.uart } else { console(tree, diags) }
}

/// Any UART of the tree that can be driven: for the line that must be said when none of those that it names can.
#[must_use]
pub fn any_uart(tree: &Tree<'_>) -> Option<Uart> {
    tree.find_map(|node| from_node(node, &mut Diagnostics::silent()))
}

/// The console UART, if the tree names a usable one.
fn console(tree: &Tree<'_>, diags: &mut Diagnostics) -> Option<Uart> {
    let root = tree.root()?;
    let chosen = root.child("chosen");
    let options = chosen.as_ref().and_then(options::dtuart);
    let stdout = chosen.as_ref().and_then(|node| {
        let path = node.prop("stdout-path")?.str();
        if let Err(problem) = path {
            diags.report(
                Code::UartPathText,
                At::prop(node, "stdout-path"),
                format_args!("{problem}; it is not used"),
                format_args!("write it as a string in quotes: the path or alias of a UART"),
            );
        }
        path.ok()
    });
    let stdout = stdout.map(|path| path.split_once(':').map_or(path, |(path, _)| path));
    let candidates = [
        (options, "the option dtuart"),
        (stdout, "stdout-path"),
        (tree.alias("serial0"), "the alias serial0"),
    ];
    let mut tried = "";
    for (path, source) in candidates {
        let Some(path) = path else { continue };
        // An alias and its path are one UART: what is wrong with it is said once.
        let target = if path.starts_with('/') { path } else { tree.alias(path).unwrap_or(path) };
        if target != tried
            && let Some(uart) = named(tree, target, source, diags)
        {
            return Some(uart);
        }
        tried = target;
    }
    diags.report(
        Code::NoUart,
        At::node(&"/chosen"),
        format_args!("nothing names a UART that can be used: there will be no output"),
        format_args!("set stdout-path, or dtuart= in xen,xen-bootargs, to the path or alias of a UART"),
    );
    None
}

fn named(tree: &Tree<'_>, path: &str, source: &str, diags: &mut Diagnostics) -> Option<Uart> {
    let found = tree.at(path, |node| from_node(node, diags));
    if found.is_none() {
        diags.report(
            Code::UartNotFound,
            At::node(&"/chosen"),
            format_args!("{source} names {}, and there is no such node or alias", Quoted(path)),
            format_args!("name a UART by its path, or by one of the names in /aliases"),
        );
    }
    found?
}

fn from_node(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<Uart> {
    if !node.is_okay() {
        diags.report(
            Code::UartDisabled,
            At::prop(node, "status"),
            format_args!("the board or its firmware does not use this UART; it is left alone"),
            format_args!("name another UART, or set its status to \"okay\""),
        );
        return None;
    }
    let kind = kind(node, diags)?;
    let regs = match node.mmio(0) {
        Ok(regs) => regs,
        Err(problem) => {
            diags.report(
                Code::UartReg,
                At::prop(node, "reg"),
                format_args!("{problem}; this UART is not used"),
                format_args!("take the node from the board's own device tree"),
            );
            return None;
        }
    };
    Some(Uart { kind, regs, irq: irq(node, diags), path: node.to_string() })
}

fn irq(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<IntId> {
    match node.interrupt(0) {
        Ok(id) if id.is_spi() => Some(id),
        Ok(id) => {
            diags.report(
                Code::UartInterrupt,
                At::prop(node, "interrupts"),
                format_args!("INTID {id} is not an SPI; there will be output, but no input"),
                format_args!("a UART's interrupt is written <0 SPI flags>"),
            );
            None
        }
        Err(problem) => {
            diags.report(
                Code::UartInterrupt,
                At::prop(node, "interrupts"),
                format_args!("{problem}; there will be output, but no input"),
                format_args!("a UART's interrupt is written <0 SPI flags>"),
            );
            None
        }
    }
}

fn kind(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<UartKind> {
    const PL011: &[&str] = &["arm,pl011", "arm,sbsa-uart"];
    const CADENCE: &[&str] = &["cdns,uart-r1p12", "cdns,uart-r1p8", "xlnx,zynqmp-uart", "xlnx,xuartps"];
    const NS16550: &[&str] = &["ns16550a", "ns16550", "ns16450", "ns8250", "snps,dw-apb-uart"];
    if node.is_one_of(PL011) {
        Some(UartKind::Pl011)
    } else if node.is_compatible("brcm,bcm2835-aux-uart") {
        Some(UartKind::Bcm2835Aux)
    } else if node.is_one_of(CADENCE) {
        Some(UartKind::Cadence)
    } else if node.is_one_of(NS16550) {
        ns16550(node, diags)
    } else {
        diags.report(
            Code::UartUnknown,
            At::prop(node, "compatible"),
            format_args!("there is no driver for {}", Quoted(node.compatible().next().unwrap_or(""))),
            format_args!("there are drivers for the PL011, the BCM2835 mini UART, Cadence and 16550 UARTs"),
        );
        None
    }
}

fn ns16550(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<UartKind> {
    let number = |name, default| node.prop(name).map_or(Ok(default), |prop| prop.u32());
    match (number("reg-shift", 0), number("reg-io-width", 1)) {
        (Ok(shift @ 0..=4), Ok(width @ (1 | 4))) => {
            Some(UartKind::Ns16550 { shift: shift as u8, width: width as u8 })
        }
        _ => {
            diags.report(
                Code::UartLayout,
                At::node(node),
                format_args!("reg-shift must be 0 to 4, and reg-io-width 1 or 4"),
                format_args!("take both from the board's own device tree"),
            );
            None
        }
    }
}
