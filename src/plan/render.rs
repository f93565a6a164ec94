//! The plan as a table for people: on the console at boot, and on a developer's screen.

use core::fmt;

use super::diagnostic::Whole;
use super::plural::Count;
use super::{
    Action, ChannelView, Direction, DomainPlan, EnableMethod, Gic, LifePlan, Machine, Plan, RestartLimit,
};
use crate::addr::{MIB, PaSpan};

/// Displays a plan as text, one fact a line, without a line break at the end.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a Plan);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        machine(&plan.machine, f)?;
        for domain in &plan.domains {
            f.write_str("\n")?;
            self.domain(domain, f)?;
        }
        write!(f, "\n{}, {}", Count(plan.domains.len(), "domain"), Count(plan.channels.len(), "channel"))
    }
}

fn machine(machine: &Machine, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}", machine.model)?;
    for cpu in &machine.cpus {
        write!(f, "  cpu{:<7} {} at {}, ", cpu.id.get(), cpu.compatible, cpu.affinity)?;
        match cpu.enable {
            EnableMethod::Psci => writeln!(f, "started by PSCI")?,
            EnableMethod::SpinTable(at) => writeln!(f, "started through {at}")?,
            EnableMethod::Unknown => writeln!(f, "cannot be started")?,
        }
    }
    spans("memory", &machine.ram, f)?;
    spans("reserved", &machine.reserved, f)?;
    spans("modules", &machine.modules, f)?;
    match &machine.gic {
        Gic::V3 { dist, redist, maintenance, .. } => {
            write!(f, "  gic        v3, distributor {dist}, maintenance INTID {maintenance}")?;
            redist.iter().try_for_each(|region| write!(f, "\n             redistributors {region}"))?;
        }
        Gic::V2 { dist, cpu, hyp, vcpu, maintenance } => write!(
            f,
            "  gic        v2, GICD {dist}, GICC {cpu}, GICH {hyp}, GICV {vcpu}, maintenance INTID {maintenance}"
        )?,
    }
    let timer = machine.timer;
    write!(f, "\n  timer      CNTP INTID {}, CNTV {}, CNTHP {}\n", timer.phys, timer.virt, timer.hyp)?;
    match &machine.uart {
        Some(uart) => {
            write!(f, "  console    {} {} at {}", uart.kind, uart.path, uart.regs)?;
            match uart.irq {
                Some(irq) => writeln!(f, ", INTID {irq}"),
                None => writeln!(f, ", output only"),
            }
        }
        None => writeln!(f, "  console    none"),
    }
}

fn spans(title: &str, spans: &[PaSpan], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, span) in spans.iter().enumerate() {
        writeln!(f, "  {:<10} {span} ({})", if index == 0 { title } else { "" }, Size(span.size()))?;
    }
    Ok(())
}

impl Table<'_> {
    fn domain(&self, domain: &DomainPlan, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (d{}, {})", domain.name, domain.id, domain.path)?;
        write!(f, "  vCPUs     ")?;
        for vcpu in &domain.vcpus {
            write!(f, " {}:cpu{}", vcpu.id, vcpu.home)?;
        }
        writeln!(f, "\n  memory     {}", Size(domain.memory))?;
        let format = if domain.kernel.raw { "raw" } else { "arm64 Image" };
        writeln!(f, "  kernel     {} ({}, {format})", domain.kernel.image, Size(domain.kernel.image.size()))?;
        if let Some(ramdisk) = domain.ramdisk {
            writeln!(f, "  ramdisk    {ramdisk} ({})", Size(ramdisk.size()))?;
        }
        if !domain.cmdline.is_empty() {
            writeln!(f, "  bootargs   {}", Whole(&domain.cmdline))?;
        }
        let vpl011 = if domain.vpl011 { "vPL011, " } else { "" };
        let hypervisor = if domain.enhanced { "/hypervisor node, " } else { "" };
        writeln!(f, "  devices    {vpl011}{hypervisor}{} SPIs", domain.spis)?;
        self.life(domain, f)?;
        // Domains times channels, both bounded; a table for people may take that long.
        self.0.channels_of(domain.id).try_for_each(|channel| self.channel(&channel, f))
    }

    /// What becomes of it when it ends, where that is not the usual thing.
    fn life(&self, domain: &DomainPlan, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (life, usual) = (domain.life, LifePlan::default());
        if life == usual {
            return Ok(());
        }
        let cases = ["poweroff", "reboot", "crash", "watchdog"].into_iter().zip(life.actions());
        for (index, (case, action)) in cases.enumerate() {
            let action = match action {
                Action::Stop => "stop",
                Action::Restart => "restart",
                Action::ResetMachine => "reset machine",
                Action::PowerOffMachine => "power off machine",
            };
            write!(f, "{}{case}: {action}", if index == 0 { "  at end     " } else { ", " })?;
        }
        let RestartLimit { count, seconds } = life.limit;
        write!(f, "\n             at most {}", Count(count as usize, "restart"))?;
        if let Some(seconds) = seconds {
            write!(f, " in {seconds} s")?;
        }
        if life.delay != 0 {
            write!(f, ", each after {} ms", life.delay)?;
        }
        f.write_str("\n")
    }

    fn channel(&self, channel: &ChannelView<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChannelView { near, far, name, direction } = channel;
        let arrow = match direction {
            Direction::Send => "->",
            Direction::Receive => "<-",
            Direction::Both => "<->",
        };
        let peer = self.0.domain_name(far.domain);
        let left_out = self.0.domains.iter().all(|domain| domain.id != far.domain);
        let note = if left_out { ", which is left out" } else { "" };
        let (port, far_port) = (near.port.get(), far.port.get());
        writeln!(f, "  channel    {name}: port {port:#x} {arrow} {peer} port {far_port:#x}{note}")
    }
}

/// A number of bytes in the largest unit that divides it.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes % MIB == 0 => write!(f, "{} MiB", bytes / MIB),
            bytes if bytes % 1024 == 0 => write!(f, "{} KiB", bytes / 1024),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}
