//! The plan: what the tree says, as typed values that no longer need checking.
//!
//! Everything here is decided before anything is built. A [`Plan`] that exists is consistent: every range
//! is page-aligned where it must be, every reference resolved, every number within its limit.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::addr::{Affinity, CpuId, DomainId, IntId, Pa, PaSpan, Port, VcpuId};
use crate::mm::spans;

/// This machine and the domains on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The machine.
    pub machine: Machine,
    /// The domains that will be built, in tree order. Domains with errors are not among them.
    pub domains: Vec<DomainPlan>,
    /// The static event channels between them, in tree order.
    pub channels: Vec<ChannelPlan>,
    /// Channels that lost one end, because its domain is left out. The port at the other end is theirs all the same.
    pub severed: Vec<ChannelPlan>,
    /// Names of all domains of the tree, also of those left out, by number: d1's is the first.
    pub names: Vec<String>,
    /// What Xen's command line (`xen,xen-bootargs`) asked for.
    pub options: Options,
}

impl Plan {
    /// The name of a domain, also of one that is left out.
    #[must_use]
    pub fn domain_name(&self, id: DomainId) -> &str {
        id.index().checked_sub(1).and_then(|place| self.names.get(place)).map_or("?", String::as_str)
    }

    /// The channels as one domain sees them, those without a peer included: each with its own end and its peer's.
    pub fn channels_of(&self, id: DomainId) -> impl Iterator<Item = ChannelView<'_>> {
        self.channels.iter().chain(&self.severed).flat_map(move |channel| {
            let [one, two] = channel.ends;
            let [first, second] = &channel.names;
            let views = [
                ChannelView { near: one, far: two, name: first, direction: channel.direction },
                ChannelView { near: two, far: one, name: second, direction: channel.direction.mirrored() },
            ];
            views.into_iter().filter(move |view| view.near.domain == id)
        })
    }
}

/// A channel as one of its ends sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelView<'p> {
    /// This end.
    pub near: Endpoint,
    /// The other one.
    pub far: Endpoint,
    /// What this end is called in its domain.
    pub name: &'p str,
    /// Which way events go.
    pub direction: Direction,
}

/// What the hypervisor was told on its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Control character that switches console input when typed three times: 1 for Ctrl-A (`conswitch=`).
    pub switch_key: u8,
    /// What happens when the last domain has shut down (`when-done=`).
    pub when_done: WhenDone,
}

impl Default for Options {
    fn default() -> Self {
        Self { switch_key: 1, when_done: WhenDone::Halt }
    }
}

/// What to do when every domain has shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDone {
    /// Park all CPUs; the machine stays on.
    Halt,
    /// Power the machine off (PSCI SYSTEM_OFF).
    PowerOff,
    /// Reset the machine (PSCI SYSTEM_RESET).
    Reset,
}

/// What is true of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `model` of the root node, else its first `compatible` string, else "unknown machine".
    pub model: String,
    /// CPUs in tree order; `CpuId` is the index. The boot CPU is among them.
    pub cpus: Vec<Cpu>,
    /// RAM banks: sorted, merged, not overlapping. Byte ranges as the tree gives them.
    pub ram: Vec<PaSpan>,
    /// What must not be touched: the reservation block and `/reserved-memory`. Sorted, merged.
    pub reserved: Vec<PaSpan>,
    /// What the hypervisor has placed itself, or was given: its image and the tree. Empty unless the caller of
    /// [`domains`](super::domains) says it by [`claim`](Self::claim). No module can be there.
    pub ours: Vec<PaSpan>,
    /// Boot modules of all domains, also of those left out: never handed out as free memory. Sorted.
    pub modules: Vec<PaSpan>,
    /// The interrupt controller.
    pub gic: Gic,
    /// Timer interrupts.
    pub timer: Timer,
    /// The console UART, if the tree names a usable one.
    pub uart: Option<Uart>,
    /// How to call PSCI, if firmware offers it.
    pub psci: Option<Conduit>,
}

impl Machine {
    /// Keeps `ours` from everybody else: what the hypervisor has placed itself, or was given.
    pub fn claim(&mut self, ours: Vec<PaSpan>) {
        self.reserved = spans::merged([self.reserved.as_slice(), &ours].concat());
        self.ours = ours;
    }

    /// RAM that can be handed out: not reserved, and no module lies there.
    #[must_use]
    pub fn free(&self) -> Vec<PaSpan> {
        spans::without(&self.ram, &spans::merged([self.reserved.as_slice(), &self.modules].concat()))
    }
}

/// A physical CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Logical number, the index in [`Machine::cpus`].
    pub id: CpuId,
    /// Affinity fields of its MPIDR (`reg`).
    pub affinity: Affinity,
    /// How it is started.
    pub enable: EnableMethod,
    /// First `compatible` string, such as "arm,cortex-a57"; copied into the guests' CPU nodes.
    pub compatible: String,
}

/// How a secondary CPU is brought up (`enable-method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnableMethod {
    /// PSCI CPU_ON through [`Machine::psci`].
    Psci,
    /// Write the entry point to this physical address, then SEV.
    SpinTable(Pa),
    /// None, or one that is not known: the CPU stays off (the boot CPU does not need one).
    Unknown,
}

/// How firmware is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// SMC #0.
    Smc,
    /// HVC #0 (the hypervisor is itself a guest).
    Hvc,
}

/// The interrupt controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv3 or GICv4, used as GICv3.
    V3 {
        /// Distributor frame (GICD).
        dist: PaSpan,
        /// Redistributor regions (GICR), each a run of frames.
        redist: Vec<PaSpan>,
        /// Distance between redistributors where the tree overrides the architecture (`redistributor-stride`).
        stride: Option<u64>,
        /// Maintenance interrupt (a PPI).
        maintenance: IntId,
    },
    /// GICv2 (GIC-400 and relatives).
    V2 {
        /// Distributor (GICD).
        dist: PaSpan,
        /// CPU interface (GICC).
        cpu: PaSpan,
        /// Virtual interface control (GICH).
        hyp: PaSpan,
        /// Virtual CPU interface (GICV), mapped into guests.
        vcpu: PaSpan,
        /// Maintenance interrupt (a PPI).
        maintenance: IntId,
    },
}

/// The architecture of a GIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicVersion {
    /// GICv2 (IHI 0048).
    V2,
    /// GICv3 (IHI 0069).
    V3,
}

impl Gic {
    /// The architecture: the guests' is the machine's.
    #[must_use]
    pub const fn version(&self) -> GicVersion {
        match self {
            Self::V2 { .. } => GicVersion::V2,
            Self::V3 { .. } => GicVersion::V3,
        }
    }

    /// The maintenance interrupt of the virtual interface.
    #[must_use]
    pub const fn maintenance(&self) -> IntId {
        match self {
            Self::V2 { maintenance, .. } | Self::V3 { maintenance, .. } => *maintenance,
        }
    }

    /// The register frames that the hypervisor itself drives: all but the GICV, which is the guests'.
    #[must_use]
    pub fn frames(&self) -> Vec<PaSpan> {
        match self {
            Self::V3 { dist, redist, .. } => core::iter::once(*dist).chain(redist.iter().copied()).collect(),
            Self::V2 { dist, cpu, hyp, .. } => [*dist, *cpu, *hyp].into(),
        }
    }
}

/// Timer interrupts (all PPIs), from the `arm,armv8-timer` node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// EL1 physical timer (CNTP), usually INTID 30.
    pub phys: IntId,
    /// EL1 virtual timer (CNTV), usually INTID 27.
    pub virt: IntId,
    /// EL2 physical timer (CNTHP), usually INTID 26.
    pub hyp: IntId,
    /// `clock-frequency`, where the tree overrides CNTFRQ_EL0 (Hz).
    pub frequency: Option<u32>,
}

/// The console UART.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uart {
    /// Which programming model.
    pub kind: UartKind,
    /// Registers.
    pub regs: PaSpan,
    /// Its interrupt, where the node has one.
    pub irq: Option<IntId>,
    /// Path of its node.
    pub path: String,
}

/// UART programming models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartKind {
    /// Arm PL011 ("arm,pl011", "arm,primecell" relatives, "arm,sbsa-uart").
    Pl011,
    /// BCM2835 auxiliary ("mini") UART: 16550-like with 32-bit registers.
    Bcm2835Aux,
    /// Cadence UART of Zynq and ZynqMP.
    Cadence,
    /// 16550 family.
    Ns16550 {
        /// `reg-shift`: log2 of the distance between registers.
        shift: u8,
        /// `reg-io-width`: bytes per access, 1 or 4.
        width: u8,
    },
}

impl fmt::Display for UartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pl011 => "Pl011",
            Self::Bcm2835Aux => "Bcm2835Aux",
            Self::Cadence => "Cadence",
            Self::Ns16550 { shift, width } => {
                return write!(f, "Ns16550 {{ shift: {shift}, width: {width} }}");
            }
        })
    }
}

/// One domain to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPlan {
    /// Its number: 1 for the first `xen,domain` node, counted over broken ones too.
    pub id: DomainId,
    /// Node name without unit address, for the console prefix and messages.
    pub name: String,
    /// Path of its node.
    pub path: String,
    /// RAM in bytes, a multiple of 4 KiB.
    pub memory: u64,
    /// vCPUs, `VcpuId` is the index.
    pub vcpus: Vec<VcpuPlan>,
    /// Kernel module.
    pub kernel: KernelPlan,
    /// Ramdisk module, exact bytes.
    pub ramdisk: Option<PaSpan>,
    /// Guest command line (`bootargs` of the kernel module); empty if none.
    pub cmdline: String,
    /// Whether the guest has a vPL011.
    pub vpl011: bool,
    /// What `xen,enhanced` asked for: whether the guest's tree has a `/hypervisor` node.
    pub enhanced: bool,
    /// Number of SPIs of its virtual GIC, a multiple of 32 (0-960).
    pub spis: u32,
    /// What becomes of it when it ends.
    pub life: LifePlan,
}

/// What becomes of a domain when it ends, and how often it may start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifePlan {
    /// When it switches itself off.
    pub poweroff: Action,
    /// When it asks to be started again.
    pub reboot: Action,
    /// When it says that it has crashed, or the hardware reports an error on its behalf.
    pub crash: Action,
    /// When a watchdog of its own runs out.
    pub watchdog: Action,
    /// How often it may start again.
    pub limit: RestartLimit,
    /// How long it stays off before it starts again, in milliseconds.
    pub delay: u32,
}

/// What is done when a domain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The domain stays off, as under Xen.
    Stop,
    /// It starts again, as from power-on.
    Restart,
    /// The whole machine is reset.
    ResetMachine,
    /// The whole machine is switched off.
    PowerOffMachine,
}

/// How often a domain may start again before it stays off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimit {
    /// So many times...
    pub count: u32,
    /// ...in any so many seconds, or since power-on.
    pub seconds: Option<u32>,
}

impl LifePlan {
    /// What is done in each case.
    #[must_use]
    pub const fn actions(&self) -> [Action; 4] {
        [self.poweroff, self.reboot, self.crash, self.watchdog]
    }
}

impl Default for LifePlan {
    /// Who reboots, or was found hanging, comes back; who is done, or has crashed, does not. Ten times in ten seconds is
    /// more often than anything useful starts.
    fn default() -> Self {
        Self {
            poweroff: Action::Stop,
            reboot: Action::Restart,
            crash: Action::Stop,
            watchdog: Action::Restart,
            limit: RestartLimit { count: 10, seconds: Some(10) },
            delay: 0,
        }
    }
}

/// One vCPU of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VcpuPlan {
    /// Its number within the domain.
    pub id: VcpuId,
    /// The physical CPU it lives on for good.
    pub home: CpuId,
}

/// The kernel of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPlan {
    /// Path of its node.
    pub path: String,
    /// Exact bytes of the module.
    pub image: PaSpan,
    /// Loaded as is at the start of RAM and entered at its first byte (`portunus,raw` on the module), instead
    /// of being read as an arm64 Image.
    pub raw: bool,
}

/// One end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The domain.
    pub domain: DomainId,
    /// The port in that domain, 1-4095.
    pub port: Port,
}

/// Which way events go, as one end of a channel sees it. Guests are told; nothing enforces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// This end sends.
    Send,
    /// This end receives.
    Receive,
    /// Both ends do both.
    #[default]
    Both,
}

impl Direction {
    /// Every direction.
    pub const ALL: [Self; 3] = [Self::Send, Self::Receive, Self::Both];

    /// The same as the other end sees it.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Send => Self::Receive,
            Self::Receive => Self::Send,
            Self::Both => Self::Both,
        }
    }

    /// The word for it in device trees.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Both => "both",
        }
    }
}

/// A static event channel. Both ends exist and are different; they may be in one domain (loopback).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPlan {
    /// The two ends, in the order in which the tree names them.
    pub ends: [Endpoint; 2],
    /// What each end is called in its domain: unique there.
    pub names: [Box<str>; 2],
    /// As the first end sees it.
    pub direction: Direction,
    /// Path of the node that describes it (of the first of two half-nodes).
    pub path: String,
}
