//! The device tree that a guest is given: node for node what Xen generates for a dom0less domU.
//!
//! All `reg` use two address and two size cells. There is no `compatible` at the root and no `stdout-path`; each
//! consumer names the interrupt controller itself. A guest of Xen finds nothing missing; what is new is one node below
//! `/hypervisor`, which says what the domain's static channels are for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::layout::Layout;
use super::map;
use crate::addr::{Affinity, IntId, IpaSpan, Port, VcpuId};
use crate::fdt::write::{TooSmall, Writer};
use crate::plan::Direction;
use crate::plan::GicVersion as Version;

/// What the tree says about a domain, besides its layout.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// Command line; empty for none.
    pub cmdline: &'a str,
    /// Number of vCPUs.
    pub vcpus: u16,
    /// `compatible` of a CPU, the host's.
    pub cpu: &'a str,
    /// `clock-frequency` of the timer node, where the host's has one, in Hz.
    pub timer_frequency: Option<u32>,
    /// The architecture of its GIC.
    pub gic: Version,
    /// Whether there is a vPL011.
    pub vpl011: bool,
    /// Whether there is a `/hypervisor` node, and with which version of Xen's interface.
    pub hypervisor: Option<(u16, u16)>,
    /// Bytes of `rng-seed`; 0 for none. Its value is left to who knows which life begins.
    pub seed: usize,
    /// Its ends of static channels, described below `/hypervisor`.
    pub channels: &'a [Channel<'a>],
}

/// A static channel, as the domain sees it.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    /// What it is called: the name of its node.
    pub name: &'a str,
    /// The domain's own port.
    pub port: Port,
    /// The domain at the other end.
    pub peer: &'a str,
    /// Which way events go.
    pub direction: Direction,
}

impl Channel<'_> {
    /// Bytes that hold its node: tokens, property headers, and strings with their padding.
    const fn room(&self) -> u64 {
        96 + self.name.len() as u64 + self.peer.len() as u64
    }
}

/// Bytes that hold the tree of any domain with this many vCPUs, this command line and these channels.
#[must_use]
pub fn room(vcpus: u16, cmdline: &str, channels: &[Channel<'_>]) -> u64 {
    let fixed = 4096 + u64::from(vcpus) * 192 + cmdline.len() as u64;
    channels.iter().map(Channel::room).fold(fixed, u64::saturating_add)
}

/// Flags of an interrupt specifier as Xen writes them: a CPU mask that GICv3 ignores, and the trigger.
const LEVEL_HIGH: u32 = 0xf04;
const LEVEL_LOW: u32 = 0xf08;

/// The three cells for an interrupt.
fn specifier(intid: IntId, flags: u32) -> [u32; 3] {
    match intid.get() {
        spi @ 32.. => [0, spi - 32, flags],
        private => [1, private.saturating_sub(16), flags],
    }
}

/// A tree that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The tree.
    pub tree: Vec<u8>,
    /// Where in it the value of `rng-seed` is: zeroes so far.
    pub seed: Option<usize>,
}

/// Writes the tree into `memory`.
///
/// # Errors
///
/// [`TooSmall`]: the memory has a capacity of less than [`room`] bytes.
#[inline(never)] // in its caller it would be larger: that one is not of the cold half
pub fn write(memory: Vec<u8>, domain: &Description<'_>, layout: &Layout) -> Result<Written, TooSmall> {
    let mut tree = Writer::new(memory)?;
    tree.begin("")?;
    tree.cells("#address-cells", &[2])?;
    tree.cells("#size-cells", &[2])?;
    let seed = chosen(&mut tree, domain, layout.ramdisk)?;
    cpus(&mut tree, domain)?;
    ram(&mut tree, layout)?;
    gic(&mut tree, domain.gic)?;
    timer(&mut tree, domain)?;
    if let Some(version) = domain.hypervisor {
        hypervisor(&mut tree, version, domain.channels)?;
    }
    psci(&mut tree)?;
    if domain.vpl011 {
        uart(&mut tree)?;
    }
    tree.end()?;
    Ok(Written { tree: tree.finish()?, seed })
}

/// Answers where the seed is.
fn chosen(
    tree: &mut Writer<'_>,
    domain: &Description<'_>,
    ramdisk: Option<IpaSpan>,
) -> Result<Option<usize>, TooSmall> {
    tree.begin("chosen")?;
    if !domain.cmdline.is_empty() {
        tree.text("bootargs", &[domain.cmdline])?;
    }
    if let Some(ramdisk) = ramdisk {
        tree.numbers("linux,initrd-start", &[ramdisk.start().get()])?;
        tree.numbers("linux,initrd-end", &[ramdisk.end().get()])?;
    }
    let seed = if domain.seed == 0 { None } else { Some(tree.zeroes("rng-seed", domain.seed)?) };
    tree.end()?;
    Ok(seed)
}

fn cpus(tree: &mut Writer<'_>, domain: &Description<'_>) -> Result<(), TooSmall> {
    tree.begin("cpus")?;
    tree.cells("#address-cells", &[1])?;
    tree.cells("#size-cells", &[0])?;
    for vcpu in 0..domain.vcpus {
        let affinity = Affinity::of_vcpu(VcpuId::new(vcpu)).packed();
        tree.begin(&format!("cpu@{affinity:x}"))?;
        tree.text("compatible", &[domain.cpu])?;
        tree.text("device_type", &["cpu"])?;
        tree.cells("reg", &[affinity])?;
        tree.text("enable-method", &["psci"])?;
        tree.end()?;
    }
    tree.end()
}

fn ram(tree: &mut Writer<'_>, layout: &Layout) -> Result<(), TooSmall> {
    let start = layout.banks.first().map_or(0, |bank| bank.start().get());
    tree.begin(&format!("memory@{start:x}"))?;
    tree.text("device_type", &["memory"])?;
    match layout.banks.as_slice() {
        [only] => tree.numbers("reg", &[only.start().get(), only.size()])?,
        [first, second, ..] => {
            let reg = [first.start().get(), first.size(), second.start().get(), second.size()];
            tree.numbers("reg", &reg)?;
        }
        [] => {}
    }
    tree.end()
}

fn gic(tree: &mut Writer<'_>, version: Version) -> Result<(), TooSmall> {
    tree.begin(&format!("interrupt-controller@{:x}", map::GICD.get()))?;
    tree.cells("#address-cells", &[0])?;
    tree.cells("#interrupt-cells", &[3])?;
    tree.mark("interrupt-controller")?;
    match version {
        Version::V2 => {
            tree.text("compatible", &["arm,gic-400"])?;
            tree.numbers("reg", &[map::GICD.get(), map::GICD_V2_SIZE, map::GICC.get(), map::GICC_SIZE])?;
        }
        Version::V3 => {
            tree.text("compatible", &["arm,gic-v3"])?;
            tree.cells("#redistributor-regions", &[1])?;
            tree.numbers("reg", &[map::GICD.get(), map::GICD_V3_SIZE, map::GICR.get(), map::GICR_SIZE])?;
        }
    }
    tree.cells("linux,phandle", &[map::GIC_PHANDLE])?;
    tree.cells("phandle", &[map::GIC_PHANDLE])?;
    tree.end()
}

fn timer(tree: &mut Writer<'_>, domain: &Description<'_>) -> Result<(), TooSmall> {
    tree.begin("timer")?;
    tree.text("compatible", &["arm,armv8-timer"])?;
    let [a, b, c] = specifier(map::TIMER_SECURE, LEVEL_LOW);
    let [d, e, f] = specifier(map::TIMER_PHYSICAL, LEVEL_LOW);
    let [g, h, i] = specifier(map::TIMER_VIRTUAL, LEVEL_LOW);
    tree.cells("interrupts", &[a, b, c, d, e, f, g, h, i])?;
    tree.cells("interrupt-parent", &[map::GIC_PHANDLE])?;
    if let Some(hertz) = domain.timer_frequency {
        tree.cells("clock-frequency", &[hertz])?;
    }
    tree.end()
}

/// Linux looks for a node of exactly this name, without unit address, at depth 1.
fn hypervisor(
    tree: &mut Writer<'_>,
    (major, minor): (u16, u16),
    domain: &[Channel<'_>],
) -> Result<(), TooSmall> {
    let version: String = format!("xen,xen-{major}.{minor}");
    tree.begin("hypervisor")?;
    tree.text("compatible", &[&version, "xen,xen"])?;
    tree.numbers("reg", &[map::GRANT_TABLE.get(), map::GRANT_TABLE_SIZE])?;
    tree.cells("interrupts", &specifier(map::UPCALL, LEVEL_LOW))?;
    tree.cells("interrupt-parent", &[map::GIC_PHANDLE])?;
    channels(tree, domain)?;
    tree.end()
}

/// The one node that Xen has not: what the static channels are for, so that no guest needs to know a port by heart. It
/// is there even if it is empty. Linux makes no devices of what is below `/hypervisor`.
fn channels(tree: &mut Writer<'_>, channels: &[Channel<'_>]) -> Result<(), TooSmall> {
    tree.begin("channels")?;
    tree.text("compatible", &["portunus,channels-v1"])?;
    for channel in channels {
        tree.begin(channel.name)?;
        tree.cells("port", &[channel.port.get()])?;
        tree.text("peer", &[channel.peer])?;
        tree.text("direction", &[channel.direction.word()])?;
        tree.end()?;
    }
    tree.end()
}

fn psci(tree: &mut Writer<'_>) -> Result<(), TooSmall> {
    tree.begin("psci")?;
    tree.text("compatible", &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"])?;
    tree.text("method", &["hvc"])?;
    tree.cells("cpu_off", &[1])?;
    tree.cells("cpu_on", &[2])?;
    tree.end()
}

fn uart(tree: &mut Writer<'_>) -> Result<(), TooSmall> {
    tree.begin(&format!("sbsa-uart@{:x}", map::VPL011.get()))?;
    tree.text("compatible", &["arm,sbsa-uart"])?;
    tree.numbers("reg", &[map::VPL011.get(), map::VPL011_SIZE])?;
    tree.cells("interrupts", &specifier(map::VPL011_IRQ, LEVEL_HIGH))?;
    tree.cells("interrupt-parent", &[map::GIC_PHANDLE])?;
    tree.cells("current-speed", &[115_200])?;
    tree.end()
}

#[cfg(test)]
mod tests {
    use super::super::image::Kernel;
    use super::super::layout;
    use super::*;
    use crate::addr::MIB;
    use crate::fdt::Tree;

    fn description() -> Description<'static> {
        Description {
            cmdline: "console=ttyAMA0",
            vcpus: 2,
            cpu: "arm,cortex-a57",
            timer_frequency: None,
            gic: Version::V3,
            vpl011: true,
            hypervisor: Some((4, 20)),
            seed: 0,
            channels: &[],
        }
    }

    fn written(description: &Description<'_>) -> Vec<u8> {
        let size = room(description.vcpus, description.cmdline, description.channels);
        let layout = layout::plan(256 * MIB, Kernel { text_offset: 0, size: MIB }, size, 0x12_0000).unwrap();
        write(Vec::with_capacity(size as usize), description, &layout).unwrap().tree
    }

    #[test]
    fn the_nodes_are_xens_in_xens_order() {
        let blob = written(&description());
        let tree = Tree::parse(&blob).unwrap();
        let names: Vec<String> = tree.root().unwrap().children().map(|node| node.name().into()).collect();
        let expected = [
            "chosen",
            "cpus",
            "memory@40000000",
            "interrupt-controller@3001000",
            "timer",
            "hypervisor",
            "psci",
            "sbsa-uart@22000000",
        ];
        assert_eq!(names, expected);
        let cells = |path: &str, name: &str| {
            tree.at(path, |node| node.prop(name).unwrap().cells().collect::<Vec<_>>()).unwrap()
        };
        assert!(tree.at("/hypervisor", |node| node.is_compatible("xen,xen-4.20")).unwrap());
        assert_eq!(cells("/hypervisor", "interrupts"), [1, 15, 0xf08], "PPI 15 is INTID 31");
        assert_eq!(cells("/sbsa-uart", "interrupts"), [0, 0, 0xf04], "SPI 0 is INTID 32");
        assert_eq!(cells("/chosen", "linux,initrd-end"), [0, 0x4832_0000]);
    }

    #[test]
    fn the_interrupt_controller_is_of_the_machines_architecture() {
        for (gic, compatible, redistributors, reg) in [
            (Version::V2, "arm,gic-400", false, [0x0300_1000, 0x1000, 0x0300_2000, 0x2000]),
            (Version::V3, "arm,gic-v3", true, [0x0300_1000, 0x1_0000, 0x0302_0000, 0x0100_0000]),
        ] {
            let blob = written(&Description { gic, ..description() });
            let tree = Tree::parse(&blob).unwrap();
            let found = tree.at("/interrupt-controller@3001000", |node| {
                assert!(node.is_compatible(compatible));
                assert_eq!(node.has("#redistributor-regions"), redistributors);
                node.prop("reg").unwrap().cells().collect::<Vec<_>>()
            });
            assert_eq!(found.unwrap(), reg.map(|cell| [0, cell]).concat(), "{gic:?}");
        }
    }

    #[test]
    fn a_domain_that_is_not_enhanced_sees_no_hypervisor() {
        let plain = Description { hypervisor: None, vpl011: false, cmdline: "", ..description() };
        let blob = written(&plain);
        let tree = Tree::parse(&blob).unwrap();
        assert!(tree.at("/hypervisor", |_| ()).is_none());
        assert!(tree.at("/sbsa-uart", |_| ()).is_none());
        assert_eq!(tree.at("/chosen", |node| node.has("bootargs")), Some(false));
    }

    #[test]
    fn the_seed_is_where_the_writer_says() {
        let layout = layout::plan(256 * MIB, Kernel { text_offset: 0, size: MIB }, 8192, 0).unwrap();
        let description = Description { seed: 29, ..description() };
        let Written { mut tree, seed } = write(Vec::with_capacity(8192), &description, &layout).unwrap();
        tree[seed.unwrap()..][..29].fill(2);
        let tree = Tree::parse(&tree).unwrap();
        let value = tree.at("/chosen", |node| node.prop("rng-seed").unwrap().value.to_vec());
        assert_eq!(value, Some(vec![2; 29]));
    }

    #[test]
    fn the_room_given_is_enough_for_the_largest_domain() {
        let (cmdline, name, peer) = ("x".repeat(1023), "n".repeat(31), "p".repeat(255));
        let port = Port::new(4095);
        let direction = Direction::Receive;
        let channels = vec![Channel { name: &name, port, peer: &peer, direction }; 4095];
        let largest =
            Description { vcpus: 128, cmdline: &cmdline, channels: &channels, seed: 32, ..description() };
        let size = written(&largest).len();
        assert!(size as u64 <= room(128, &cmdline, &channels));
        assert!(
            room(128, &cmdline, &channels) <= 2 * MIB,
            "Linux takes no larger tree, and the layout has no room"
        );
    }

    #[test]
    fn channels_are_found_by_name_below_the_hypervisor() {
        let channel =
            |name, port, direction| Channel { name, port: Port::new(port), peer: "domU2", direction };
        let channels = [channel("request", 10, Direction::Send), channel("domU2.1", 12, Direction::Both)];
        let blob = written(&Description { channels: &channels, ..description() });
        let tree = Tree::parse(&blob).unwrap();
        assert!(tree.at("/hypervisor/channels", |node| node.is_compatible("portunus,channels-v1")).unwrap());
        let found = tree.at("/hypervisor/channels/request", |node| {
            let text = |name: &str| node.prop(name).unwrap().str().unwrap().to_owned();
            (node.prop("port").unwrap().u32(), text("peer"), text("direction"))
        });
        assert_eq!(found.unwrap(), (Ok(10), "domU2".into(), "send".into()));
        assert_eq!(
            tree.at("/hypervisor/channels/domU2.1", |node| node.prop("port").unwrap().u32()),
            Some(Ok(12))
        );
    }

    #[test]
    fn a_hypervisor_node_is_xens_but_for_its_child() {
        let blob = written(&description());
        let tree = Tree::parse(&blob).unwrap();
        let names = tree.at("/hypervisor", |node| {
            assert_eq!(node.children().map(|child| child.name()).collect::<Vec<_>>(), ["channels"]);
            node.props().map(|prop| prop.name).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(names.unwrap(), "compatible reg interrupts interrupt-parent");
    }
}
