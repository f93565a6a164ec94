//! The plan and the diagnostics for programs. Addresses and sizes are numbers of bytes.

use portunus::addr::PaSpan;
use portunus::plan::{
    ChannelPlan, Cpu, DomainPlan, EnableMethod, Endpoint, Gic, Machine, Severity, WhenDone,
};
use serde_json::{Value, json};

use super::Found;

/// Everything that `check` has to say.
pub fn all(found: &Found) -> Value {
    let Found { input, plan, diagnostics, .. } = found;
    let (plan, sources) = (plan.as_ref(), &input.sources);
    let count = |severity| diagnostics.count(severity);
    let list: Vec<Value> = diagnostics
        .kept()
        .iter()
        .map(|diagnostic| {
            json!({
                "code": diagnostic.code.to_string(),
                "severity": diagnostic.severity().to_string(),
                "title": diagnostic.code.title(),
                "path": diagnostic.path,
                "property": diagnostic.property,
                "cell": diagnostic.cell,
                "source": sources.locate(diagnostic).map(|(place, _)| place),
                "what": diagnostic.what,
                "help": diagnostic.help,
            })
        })
        .collect();
    let script: Vec<Value> = input
        .script
        .iter()
        .map(|report| {
            json!({
                "severity": report.level.name(),
                "title": report.title,
                "source": report.place,
                "what": report.what,
                "help": report.help,
            })
        })
        .collect();
    json!({
        "machine": plan.map(|plan| machine(&plan.machine)),
        "domains": plan.map(|plan| plan.domains.iter().map(domain).collect::<Vec<_>>()).unwrap_or_default(),
        "channels": plan.map(|plan| channels(&plan.channels)).unwrap_or_default(),
        "severed": plan.map(|plan| channels(&plan.severed)).unwrap_or_default(),
        "options": plan.map(|plan| json!({
            "switch_key": format!("Ctrl-{}", char::from(plan.options.switch_key | 0x40)),
            "when_done": match plan.options.when_done {
                WhenDone::Halt => "halt",
                WhenDone::PowerOff => "poweroff",
                WhenDone::Reset => "reset",
            },
        })),
        "diagnostics": list,
        "script": script,
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "notes": count(Severity::Note),
        "not_listed": diagnostics.dropped(),
    })
}

fn span(span: &PaSpan) -> Value {
    json!({ "start": span.start().get(), "size": span.size() })
}

fn spans(list: &[PaSpan]) -> Vec<Value> {
    list.iter().map(span).collect()
}

fn machine(machine: &Machine) -> Value {
    json!({
        "model": machine.model,
        "cpus": machine.cpus.iter().map(cpu).collect::<Vec<_>>(),
        "memory": spans(&machine.ram),
        "reserved": spans(&machine.reserved),
        "modules": spans(&machine.modules),
        "gic": match &machine.gic {
            Gic::V2 { dist, cpu, hyp, vcpu, maintenance } => json!({
                "version": 2, "gicd": span(dist), "gicc": span(cpu), "gich": span(hyp), "gicv": span(vcpu),
                "maintenance": maintenance.get(),
            }),
            Gic::V3 { dist, redist, maintenance, .. } => json!({
                "version": 3, "gicd": span(dist), "gicr": spans(redist), "maintenance": maintenance.get(),
            }),
        },
        "uart": machine.uart.as_ref().map(|uart| json!({
            "path": uart.path, "kind": format!("{:?}", uart.kind), "registers": span(&uart.regs),
            "interrupt": uart.irq.map(|irq| irq.get()),
        })),
    })
}

fn cpu(cpu: &Cpu) -> Value {
    json!({
        "id": cpu.id.get(),
        "affinity": cpu.affinity.get(),
        "compatible": cpu.compatible,
        "enable": match cpu.enable {
            EnableMethod::Psci => "psci",
            EnableMethod::SpinTable(_) => "spin-table",
            EnableMethod::Unknown => "none",
        },
    })
}

fn domain(domain: &DomainPlan) -> Value {
    json!({
        "id": domain.id.get(),
        "name": domain.name,
        "path": domain.path,
        "memory": domain.memory,
        "vcpus": domain.vcpus.iter().map(|vcpu| vcpu.home.get()).collect::<Vec<_>>(),
        "kernel": { "image": span(&domain.kernel.image), "raw": domain.kernel.raw },
        "ramdisk": domain.ramdisk.as_ref().map(span),
        "bootargs": domain.cmdline,
        "vpl011": domain.vpl011,
        "enhanced": domain.enhanced,
        "spis": domain.spis,
    })
}

fn channels(list: &[ChannelPlan]) -> Vec<Value> {
    let end = |end: &Endpoint, name: &str| json!({ "domain": end.domain.get(), "port": end.port.get(), "name": name });
    let channel = |channel: &ChannelPlan| {
        let [first, second] = &channel.ends;
        let [one, two] = &channel.names;
        json!({
            "ends": [end(first, one), end(second, two)],
            "direction": channel.direction.word(),
            "path": channel.path,
        })
    };
    list.iter().map(channel).collect()
}
