//! What the device tree says about this domain.
//!
//! The tree is the hypervisor's and is trusted; what is missing in it is a panic that says so. Every `reg` in a domU's
//! tree has two address and two size cells.

use fdt::Fdt;
use fdt::node::FdtNode;
use spin::Once;

use crate::cpu;

/// A range of addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Bytes.
    pub size: usize,
}

impl Span {
    /// The first byte behind it.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.start + self.size
    }
}

/// A static event channel, as the domain's tree describes it.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// What the domain calls it.
    pub name: &'static str,
    /// The domain's own port.
    pub port: u32,
    /// The domain at the other end.
    pub peer: &'static str,
    /// "send", "receive" or "both".
    pub direction: &'static str,
}

/// The domain as its device tree describes it.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    tree: Option<Fdt<'static>>,
    banks: [Span; 2],
    affinities: [u64; cpu::MAX],
    cpus: usize,
    /// GIC distributor.
    pub gicd: Span,
    /// GICv2 CPU interface; empty on GICv3.
    pub gicc: Span,
    /// GICv3 redistributors; empty on GICv2.
    pub gicr: Span,
    /// The console, if there is one.
    pub uart: Option<usize>,
    /// The command line.
    pub bootargs: &'static str,
    /// The hypervisor's own name and version, if the domain is told.
    pub hypervisor: Option<&'static str>,
}

static MACHINE: Once<Machine> = Once::new();

/// The machine. Known before `main` runs.
pub fn get() -> &'static Machine {
    MACHINE.get().expect("the device tree is read first")
}

/// Reads the tree at `tree`.
pub(crate) fn learn(tree: usize) -> &'static Machine {
    MACHINE.call_once(|| read(tree).unwrap_or_else(|what| panic!("device tree at {tree:#x}: {what}")))
}

/// The RAM banks that the tree at `tree` names. Needs neither MMU nor atomics; no RAM if the tree is no tree.
pub(crate) fn ram(tree: usize) -> [Span; 2] {
    parse(tree).and_then(|fdt| banks(&fdt)).unwrap_or_default()
}

fn parse(tree: usize) -> Option<Fdt<'static>> {
    if tree == 0 || !tree.is_multiple_of(8) {
        return None;
    }
    // SAFETY: the hypervisor passes the address of the tree that it wrote; it stays there, and nobody writes to it.
    unsafe { Fdt::from_ptr(tree as *const u8) }.ok()
}

fn banks(fdt: &Fdt<'static>) -> Option<[Span; 2]> {
    let memory = fdt.all_nodes().find(|node| text(node, "device_type") == Some("memory"))?;
    let mut found = spans(&memory);
    Some([found.next()?, found.next().unwrap_or_default()])
}

fn read(tree: usize) -> Result<Machine, &'static str> {
    let fdt = parse(tree).ok_or("not a device tree")?;
    let mut machine =
        Machine { banks: banks(&fdt).ok_or("no memory node")?, tree: Some(fdt), ..Machine::default() };
    for node in fdt.all_nodes() {
        if text(&node, "device_type") == Some("cpu") && machine.cpus < cpu::MAX {
            let reg = node.property("reg").and_then(|reg| reg.value.first_chunk());
            machine.affinities[machine.cpus] = reg.map_or(0, |reg| u32::from_be_bytes(*reg).into());
            machine.cpus += 1;
        }
        match text(&node, "compatible") {
            Some("arm,gic-v3") => {
                let mut regs = spans(&node);
                machine.gicd = regs.next().ok_or("the GIC has no reg")?;
                machine.gicr = regs.next().ok_or("the GIC has no redistributors")?;
            }
            Some("arm,gic-400" | "arm,cortex-a15-gic") => {
                let mut regs = spans(&node);
                machine.gicd = regs.next().ok_or("the GIC has no reg")?;
                machine.gicc = regs.next().ok_or("the GIC has no CPU interface")?;
            }
            Some("arm,sbsa-uart" | "arm,pl011") => machine.uart = spans(&node).next().map(|span| span.start),
            _ if node.name == "hypervisor" => machine.hypervisor = text(&node, "compatible"),
            _ if node.name == "chosen" => machine.bootargs = text(&node, "bootargs").unwrap_or(""),
            _ => {}
        }
    }
    if machine.gicd.size == 0 { Err("no GICv2 or GICv3") } else { Ok(machine) }
}

/// The first string of a property.
fn text(node: &FdtNode<'_, 'static>, name: &str) -> Option<&'static str> {
    let value: &'static [u8] = node.property(name)?.value;
    core::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
}

fn spans(node: &FdtNode<'_, 'static>) -> impl Iterator<Item = Span> + use<> {
    let value: &'static [u8] = node.property("reg").map_or(&[], |reg| reg.value);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes) as usize;
    value.chunks_exact(16).map(move |reg| Span { start: number(&reg[..8]), size: number(&reg[8..]) })
}

impl Machine {
    /// RAM, bank by bank.
    pub fn ram(&self) -> impl Iterator<Item = Span> + '_ {
        self.banks.iter().copied().filter(|bank| bank.size != 0)
    }

    /// Affinity of each vCPU; the index is its number.
    #[must_use]
    pub fn cpus(&self) -> &[u64] {
        &self.affinities[..self.cpus]
    }

    /// The domain's static event channels. None under Xen, which does not describe them.
    pub fn channels(&self) -> impl Iterator<Item = Channel> + '_ {
        let node = self.tree.as_ref().and_then(|tree| tree.find_node("/hypervisor/channels"));
        let node = node.filter(|node| text(node, "compatible") == Some("portunus,channels-v1"));
        node.into_iter().flat_map(FdtNode::children).filter_map(|node| {
            let port = node.property("port").and_then(|port| port.value.first_chunk())?;
            Some(Channel {
                name: node.name,
                port: u32::from_be_bytes(*port),
                peer: text(&node, "peer")?,
                direction: text(&node, "direction")?,
            })
        })
    }

    /// The static event channel of this name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<Channel> {
        self.channels().find(|channel| channel.name == name)
    }

    /// The value of `name=value` on the command line.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&'static str> {
        self.bootargs.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// The words in `name=one,two` on the command line; none if it is not there.
    pub fn words(&self, name: &str) -> impl Iterator<Item = &'static str> + use<> {
        self.argument(name).into_iter().flat_map(|words| words.split(','))
    }

    /// The numbers in `name=1,2,3` on the command line, decimal or with 0x; none if it is not there.
    pub fn numbers(&self, name: &str) -> impl Iterator<Item = u64> + use<> {
        self.argument(name).unwrap_or("").split(',').filter_map(|word| match word.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => word.parse().ok(),
        })
    }

    /// The number in `name=…` on the command line, or `otherwise`.
    #[must_use]
    pub fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.numbers(name).next().unwrap_or(otherwise)
    }
}
