//! From a plan back to a device tree that says the same: whoever plans that tree must get the same plan again.
//!
//! Only tests do this. What a plan no longer knows is not in the tree: nodes that broken domains had, mistakes, and
//! everything that changes nothing. Every field is named, so that none is forgotten when one is added.

use portunus::addr::{IntId, PaSpan};
use portunus::plan::{
    Action, ChannelPlan, Conduit, Cpu, DomainPlan, EnableMethod, Gic, KernelPlan, LifePlan, Machine, Options,
    Plan, RestartLimit, Timer, Uart, UartKind, WhenDone,
};

use super::blob::Blob;

/// Phandles of the domains and of the ends of channels; 1 is the interrupt controller's.
const DOMAINS: u32 = 0x1000;
const ENDS: u32 = 0x10_0000;

/// A tree of `plan`, if it is not too large to be one.
pub fn rebuild(plan: &Plan) -> Option<Vec<u8>> {
    let mut blob = Blob::new();
    let Plan { machine, domains: _, channels: _, severed: _, names: _, options } = plan;
    self::machine(&mut blob, machine);
    blob.begin(chosen_name(plan)).cells("#address-cells", &[2]).cells("#size-cells", &[2]);
    self::options(&mut blob, options, machine.uart.is_some());
    leftovers(&mut blob, plan);
    Channels::of(plan).write(&mut blob, plan);
    blob.end();
    (blob.structs.len() < portunus::fdt::MAX_SIZE - 0x8000).then(|| blob.build())
}

/// What two plans must have in common if one was made from the rebuilt tree of the other. The path of the UART is where
/// messages point to, and decides nothing. Numbers in made-up names count channels of domains that are left out, too.
pub fn essence(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    if let Some(uart) = &mut plan.machine.uart {
        uart.path.clear();
    }
    if plan.domains.len() < plan.names.len() {
        for channel in plan.channels.iter_mut().chain(&mut plan.severed) {
            channel.names = ["".into(), "".into()];
        }
    }
    plan
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// `/chosen`, which may have a unit address.
fn chosen_name(plan: &Plan) -> &str {
    let mut paths = plan.domains.iter().map(|domain| &domain.path);
    let path = paths.next().or_else(|| plan.channels.iter().chain(&plan.severed).map(|c| &c.path).next());
    path.and_then(|path| path.split('/').nth(1)).unwrap_or("chosen")
}

fn pair(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

fn reg<'s>(spans: impl IntoIterator<Item = &'s PaSpan>) -> Vec<u32> {
    spans.into_iter().flat_map(|span| [pair(span.start().get()), pair(span.size())].concat()).collect()
}

fn specifier(id: IntId) -> [u32; 3] {
    match id.get() {
        id @ 4096.. => [2, id - 4096, 4],
        id @ 1056.. => [3, id - 1056, 4],
        id @ 32.. => [0, id - 32, 4],
        id => [1, id.saturating_sub(16), 4],
    }
}

fn text(value: &str) -> Vec<u8> {
    value.bytes().chain([0]).collect()
}

fn machine(blob: &mut Blob, machine: &Machine) {
    let Machine { model, cpus, ram, reserved, ours: _, modules: _, gic, timer, uart, psci } = machine;
    blob.reserve(reserved.iter().map(|span| (span.start().get(), span.size())));
    blob.begin("").cells("#address-cells", &[2]).cells("#size-cells", &[2]).cells("interrupt-parent", &[1]);
    // A model of control characters only is shown as nothing.
    blob.prop("model", &text(if model.is_empty() { "\u{1}" } else { model }));
    blob.begin("cpus").cells("#address-cells", &[2]).cells("#size-cells", &[0]);
    cpus.iter().for_each(|cpu| self::cpu(blob, cpu));
    blob.end().begin("memory").prop("device_type", b"memory\0").cells("reg", &reg(ram)).end();
    self::gic(blob, gic);
    self::timer(blob, timer);
    if let Some(uart) = uart {
        self::uart(blob, uart);
    }
    if let Some(conduit) = psci {
        let method: &[u8] = match conduit {
            Conduit::Smc => b"smc\0",
            Conduit::Hvc => b"hvc\0",
        };
        blob.begin("psci").prop("compatible", b"arm,psci-1.0\0").prop("method", method).end();
    }
}

fn cpu(blob: &mut Blob, cpu: &Cpu) {
    let Cpu { id, affinity, enable, compatible } = cpu;
    blob.begin(&format!("cpu@{}", id.get())).prop("device_type", b"cpu\0");
    blob.cells("reg", &pair(affinity.get()));
    if !compatible.is_empty() {
        blob.prop("compatible", &text(compatible));
    }
    match enable {
        EnableMethod::Psci => {
            blob.prop("enable-method", b"psci\0");
        }
        EnableMethod::SpinTable(at) => {
            blob.prop("enable-method", b"spin-table\0").cells("cpu-release-addr", &pair(at.get()));
        }
        EnableMethod::Unknown => {}
    }
    blob.end();
}

fn gic(blob: &mut Blob, gic: &Gic) {
    blob.begin("gic")
        .prop("interrupt-controller", b"")
        .cells("#interrupt-cells", &[3])
        .cells("phandle", &[1]);
    blob.cells("interrupts", &specifier(gic.maintenance()));
    match gic {
        Gic::V3 { dist, redist, stride, maintenance: _ } => {
            blob.prop("compatible", b"arm,gic-v3\0");
            blob.cells("reg", &reg([dist].into_iter().chain(redist)));
            blob.cells("#redistributor-regions", &[redist.len() as u32]);
            if let Some(stride) = stride {
                blob.cells("redistributor-stride", &pair(*stride));
            }
        }
        Gic::V2 { dist, cpu, hyp, vcpu, maintenance: _ } => {
            blob.prop("compatible", b"arm,gic-400\0").cells("reg", &reg([dist, cpu, hyp, vcpu]));
        }
    }
    blob.end();
}

fn timer(blob: &mut Blob, timer: &Timer) {
    let Timer { phys, virt, hyp, frequency } = timer;
    blob.begin("timer").prop("compatible", b"arm,armv8-timer\0");
    blob.cells("interrupts", &[*phys, *phys, *virt, *hyp].map(specifier).concat());
    if let Some(hertz) = frequency {
        blob.cells("clock-frequency", &[*hertz]);
    }
    blob.end();
}

fn uart(blob: &mut Blob, uart: &Uart) {
    let Uart { kind, regs, irq, path: _ } = uart;
    blob.begin("uart").cells("reg", &reg([regs]));
    match kind {
        UartKind::Pl011 => blob.prop("compatible", b"arm,pl011\0"),
        UartKind::Bcm2835Aux => blob.prop("compatible", b"brcm,bcm2835-aux-uart\0"),
        UartKind::Cadence => blob.prop("compatible", b"xlnx,xuartps\0"),
        UartKind::Ns16550 { shift, width } => {
            let layout = blob.prop("compatible", b"ns16550a\0").cells("reg-shift", &[(*shift).into()]);
            layout.cells("reg-io-width", &[(*width).into()])
        }
    };
    if let Some(irq) = irq {
        blob.cells("interrupts", &specifier(*irq));
    }
    blob.end();
}

fn options(blob: &mut Blob, options: &Options, console: bool) {
    let Options { switch_key, when_done } = options;
    let when_done = match when_done {
        WhenDone::Halt => "halt",
        WhenDone::PowerOff => "poweroff",
        WhenDone::Reset => "reset",
    };
    let line = format!("conswitch={} when-done={when_done}", char::from(b'a' - 1 + switch_key));
    blob.prop("xen,xen-bootargs", &text(&line));
    if console {
        blob.prop("stdout-path", b"/uart\0");
    }
}

/// Modules that no domain of the plan uses: their memory is kept all the same.
fn leftovers(blob: &mut Blob, plan: &Plan) {
    let used: Vec<&PaSpan> =
        plan.domains.iter().flat_map(|domain| domain.ramdisk.iter().chain([&domain.kernel.image])).collect();
    for module in plan.machine.modules.iter().filter(|module| !used.contains(module)) {
        blob.begin("m").prop("compatible", b"multiboot,module\0").cells("reg", &reg([module])).end();
    }
}

/// Where the channels stand: in which domain, or behind which.
struct Channels<'p> {
    /// Channels with their numbers and what they stand behind: 0 for what is before the first domain.
    placed: Vec<(usize, u16, &'p ChannelPlan)>,
}

/// Whether a channel was written as two nodes in domains.
fn is_halves(channel: &ChannelPlan) -> bool {
    channel.path.split('/').count() > 3
}

impl<'p> Channels<'p> {
    fn of(plan: &'p Plan) -> Self {
        let mut placed: Vec<(usize, u16, &ChannelPlan)> = Vec::new();
        for list in [&plan.channels, &plan.severed] {
            let mut behind = 0;
            for channel in list {
                if is_halves(channel) {
                    behind = channel.ends[0].domain.get();
                }
                placed.push((placed.len(), behind, channel));
            }
        }
        Self { placed }
    }

    fn write(&self, blob: &mut Blob, plan: &Plan) {
        self.tuples(blob, 0);
        for (name, id) in plan.names.iter().zip(1..) {
            match plan.domains.iter().find(|domain| domain.id.get() == id) {
                Some(domain) => self::domain(blob, domain),
                None => {
                    blob.begin(&self.broken_name(id, name)).prop("compatible", b"xen,domain\0");
                    blob.cells("phandle", &[DOMAINS + u32::from(id)]);
                }
            }
            self.halves(blob, id, 0);
            self.halves(blob, id, 1);
            blob.end();
            self.tuples(blob, id);
        }
    }

    /// The node name of a domain of which only the base name is left, or the path of a channel in it.
    fn broken_name(&self, id: u16, name: &str) -> String {
        let mut here = self.placed.iter().filter(|(_, behind, channel)| *behind == id && is_halves(channel));
        match here.next().and_then(|(_, _, channel)| channel.path.split('/').nth(2)) {
            Some(full) => full.to_owned(),
            None if name.is_empty() => "@0".to_owned(),
            None => name.to_owned(),
        }
    }

    fn tuples(&self, blob: &mut Blob, id: u16) {
        for (_, _, channel) in self.placed.iter().filter(|(_, behind, c)| *behind == id && !is_halves(c)) {
            let ChannelPlan { ends: [one, two], names: [first, second], direction, path } = channel;
            let cells =
                [one, two].map(|end| [end.port.get(), DOMAINS + u32::from(end.domain.get())]).concat();
            blob.begin(last(path)).prop("compatible", b"xen,evtchn\0").cells("xen,evtchn", &cells);
            blob.prop("portunus,name", &[text(given(first)), text(given(second))].concat());
            blob.prop("portunus,direction", &text(direction.word())).end();
        }
    }

    /// The ends number `which` of channels that are in the domain.
    fn halves(&self, blob: &mut Blob, id: u16, which: usize) {
        for (number, _, channel) in self.placed.iter().filter(|(_, _, channel)| is_halves(channel)) {
            let ChannelPlan { ends, names, direction, path } = channel;
            if ends[which].domain.get() != id {
                continue;
            }
            let own = ENDS + 2 * *number as u32;
            let (own, peer) = if which == 0 { (own, own + 1) } else { (own + 1, own) };
            blob.begin(if which == 0 { last(path) } else { "e" }).prop("compatible", b"xen,evtchn-v1\0");
            blob.cells("xen,evtchn", &[ends[which].port.get(), peer]).cells("phandle", &[own]);
            blob.prop("portunus,name", &text(given(&names[which])));
            if which == 0 {
                blob.prop("portunus,direction", &text(direction.word()));
            }
            blob.end();
        }
    }
}

/// A name, if it was not made up.
fn given(name: &str) -> &str {
    if name.contains('.') { "" } else { name }
}

fn life(blob: &mut Blob, life: &LifePlan) {
    let LifePlan { poweroff, reboot, crash, watchdog, limit: RestartLimit { count, seconds }, delay } = life;
    for (name, action) in [
        ("portunus,on-poweroff", poweroff),
        ("portunus,on-reboot", reboot),
        ("portunus,on-crash", crash),
        ("portunus,on-watchdog", watchdog),
    ] {
        let word = match action {
            Action::Stop => "stop",
            Action::Restart => "restart",
            Action::ResetMachine => "reset-machine",
            Action::PowerOffMachine => "power-off-machine",
        };
        blob.prop(name, &text(word));
    }
    let limit: Vec<u32> = [*count].into_iter().chain(*seconds).collect();
    blob.cells("portunus,max-restarts", &limit).cells("portunus,restart-delay", &[*delay]);
}

/// A domain; its node stays open.
fn domain(blob: &mut Blob, domain: &DomainPlan) {
    let DomainPlan {
        id,
        name: _,
        path,
        memory,
        vcpus,
        kernel,
        ramdisk,
        cmdline,
        vpl011,
        enhanced,
        spis,
        life,
    } = domain;
    blob.begin(last(path)).prop("compatible", b"xen,domain\0");
    blob.cells("#address-cells", &[2]).cells("#size-cells", &[2]);
    blob.cells("phandle", &[DOMAINS + u32::from(id.get())]);
    blob.cells("memory", &pair(memory / 1024))
        .cells("cpus", &[vcpus.len() as u32])
        .cells("nr_spis", &[*spis]);
    if *vpl011 {
        blob.prop("vpl011", b"");
    }
    if *enhanced {
        blob.prop("xen,enhanced", b"no-xenstore\0");
    }
    self::life(blob, life);
    let KernelPlan { path, image, raw } = kernel;
    blob.begin(last(path)).prop("compatible", b"multiboot,kernel\0multiboot,module\0");
    blob.cells("reg", &reg([image]));
    if *raw {
        blob.prop("portunus,raw", b"");
    }
    if !cmdline.is_empty() {
        blob.prop("bootargs", &text(cmdline));
    }
    blob.end();
    if let Some(ramdisk) = ramdisk {
        blob.begin("ramdisk").prop("compatible", b"multiboot,ramdisk\0multiboot,module\0");
        blob.cells("reg", &reg([ramdisk])).end();
    }
    for vcpu in vcpus {
        blob.begin("vcpu").prop("compatible", b"xen,vcpu\0").cells("id", &[vcpu.id.get().into()]);
        blob.prop("hard-affinity", &text(&vcpu.home.get().to_string())).end();
    }
}
