//! From the plan to a world that can run: frames, tables, images, trees, channels.
//!
//! It takes no decisions: what the plan says is done. It *trusts* the plan, and *refuses* images that are no kernels
//! and domains for which nothing is left; such a domain is left out, said so, and the others start. Everything is
//! allocated here; when [`world`] returns, nothing ever is again.

mod domain;
mod images;

pub use images::InMemory;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;

use portunus::addr::{CpuId, VcpuId};
use portunus::console::{Console, Terminal};
use portunus::domain::seed::Seed;
use portunus::evtchn::{Bound, Builder, Events};
use portunus::mm::frames::Frames;
use portunus::mm::stage2::Geometry;
use portunus::plan::{DomainPlan, Plan, VcpuPlan};
use portunus::prediction::Verdict;
use portunus::sched::{MAX_VCPUS, Scheduler};
use portunus::sync::Epochs;
use portunus::vdev::idregs::{IdValues, Limits, guest_view, table};
use portunus::vgic::{VcpuSet, Version};

use crate::arch::aarch64::gic::Interface;
use crate::arch::aarch64::vcpu::Registers;
use crate::arch::aarch64::{cache, timer};
use crate::run::{Domain, Home, Keeper, Local, Pcpu, Vcpu, World};

/// What domains are built with.
struct Site<'a> {
    plan: &'a Plan,
    frames: &'a mut Frames,
    geometry: Geometry,
    console: &'static Console,
    seed: Option<Seed>,
}

/// The vCPUs of one pCPU, while they are being handed out.
struct Bench {
    pcpu: &'static Pcpu,
    scheduler: Scheduler,
    vcpus: Vec<Vcpu>,
}

/// Builds everything that the plan names, on the pCPUs that run. The domains start as soon as their pCPUs do.
/// Guests get seeds if there is one for the machine, and the time if `utc` says it now, in seconds. `refused` tells how many
/// allocations were refused since the heap was sealed.
///
/// # Errors
///
/// A sentence: without memory for the console or a pCPU in common there is nothing to run. A domain that cannot be
/// built is no error.
pub fn world(
    plan: &Plan,
    frames: &mut Frames,
    pcpus: &[&'static Pcpu],
    seed: Option<Seed>,
    utc: u32,
    refused: fn() -> u64,
) -> Result<(&'static World, &'static Console), String> {
    let common = in_common(pcpus).ok_or("no CPU has said what it is")?;
    let geometry = Geometry::new(common.get(table::AA64MMFR0) & 0xf);
    let console = console(plan)?;
    let mut site = Site { plan, frames, geometry, console, seed };
    let started = timer::now();
    let slice = u64::from(timer::frequency()) / 100;
    let mut benches: Vec<Bench> = pcpus
        .iter()
        .map(|pcpu| Bench { pcpu, scheduler: Scheduler::new(slice), vcpus: Vec::new() })
        .collect();

    let mut domains = Vec::new();
    let mut events = Builder::new();
    for planned in &plan.domains {
        match domain::build(&mut site, planned)
            .and_then(|built| domain::connect(built, &mut events, planned))
            .and_then(|built| Ok((built, homes(planned, &mut benches, started)?)))
        {
            Ok((built, homes)) => {
                let (domain, keeper) = domain::finish(built, homes, planned);
                for (vcpu, home) in (0..).map(VcpuId::new).zip(&domain.homes) {
                    events.hang_bell(domain.id, vcpu, home.pcpu.bell(home.slot));
                }
                seat(domain, keeper, &mut benches, started);
                let place = domain.id.index();
                domains.resize(domains.len().max(place + 1), None);
                if let Some(slot) = domains.get_mut(place) {
                    *slot = Some(domain);
                }
            }
            Err(domain::Failure::Machine(why)) => {
                log::error!("{} ({}) is left out: {why}", planned.name, planned.path);
            }
            Err(domain::Failure::Image(found)) => {
                for line in format!("{found}").lines() {
                    log::info!("{line}");
                }
                log::error!("{} ({}) is left out", planned.name, planned.path);
            }
        }
    }
    cache::forget_instructions();
    let events = bind(events, plan);
    let running = domains.iter().flatten().count();
    let gic = plan.machine.gic.version();
    let world = World {
        events,
        domains,
        pcpus: pcpus.to_vec(),
        epochs: Epochs::new(),
        channels: plan.channels.clone(),
        view: guest_view(&common, Limits { gicv3: gic == Version::V3, ipa_bits: geometry.ipa_bits() as u8 }),
        verdict: pcpus
            .iter()
            .filter_map(|pcpu| pcpu.verdict.get())
            .fold(Verdict::UNAFFECTED, |all, verdict| all.worse(*verdict)),
        vtcr: geometry.vtcr(),
        timer: plan.machine.timer,
        gic,
        maintenance: plan.machine.gic.maintenance(),
        uart_irq: plan.machine.uart.as_ref().and_then(|uart| uart.irq),
        when_done: plan.options.when_done,
        psci: plan.machine.psci,
        started,
        utc: utc.into(),
        frequency: timer::frequency(),
        refused,
        running: AtomicU32::new(running as u32),
    };
    Ok((hand_out(world, benches), console))
}

/// What all running pCPUs have in common: guests find it wherever they live.
fn in_common(pcpus: &[&'static Pcpu]) -> Option<IdValues> {
    let mut all = pcpus.iter().filter_map(|pcpu| pcpu.ids.get());
    let first = all.next()?.clone();
    Some(all.fold(first, |common, ids| common.in_common(ids)))
}

fn console(plan: &Plan) -> Result<&'static Console, String> {
    let terminals: Vec<Terminal<'_>> = plan
        .domains
        .iter()
        .map(|domain| Terminal { domain: domain.id, name: &domain.name, input: domain.vpl011 })
        .collect();
    // 50 ms: longer than a guest takes between two bytes of a line, shorter than a person notices.
    let patience = u64::from(timer::frequency()) / 20;
    let console = Console::new(plan.machine.cpus.len(), &terminals, plan.options.switch_key, patience);
    Ok(Box::leak(Box::new(console.ok_or("no memory is left for the console")?)))
}

/// A place on its home pCPU for every vCPU of `planned`, or for none.
fn homes(planned: &DomainPlan, benches: &mut [Bench], now: u64) -> Result<Vec<Home>, String> {
    for bench in &*benches {
        let more = planned.vcpus.iter().filter(|vcpu| vcpu.home == bench.pcpu.cpu).count();
        if bench.vcpus.len() + more > MAX_VCPUS {
            return Err(format!("CPU {} would have more than {MAX_VCPUS} vCPUs", bench.pcpu.cpu));
        }
    }
    let place = |vcpu: &VcpuPlan| {
        let bench = bench(benches, vcpu.home)?;
        Some(Home { pcpu: bench.pcpu, slot: bench.scheduler.add(now)? })
    };
    planned
        .vcpus
        .iter()
        .map(place)
        .collect::<Option<_>>()
        .ok_or_else(|| String::from("the CPU of a vCPU is off"))
}

fn bench(benches: &mut [Bench], cpu: CpuId) -> Option<&mut Bench> {
    benches.iter_mut().find(|bench| bench.pcpu.cpu == cpu)
}

/// Puts the vCPUs of `domain` where their homes are, in the order of the slots there. The first has the keeper.
fn seat(domain: &'static Domain, keeper: Keeper, benches: &mut [Bench], counter_offset: u64) {
    let mut keeper = Some(Box::new(keeper));
    for (number, home) in (0u16..).zip(&domain.homes) {
        if let Some(bench) = bench(benches, home.pcpu.cpu) {
            let id = VcpuId::new(number);
            let registers = Registers::new(id, domain.memory.root(), domain.id.get() as u8, counter_offset);
            bench.vcpus.push(Vcpu::new(domain, id, registers, keeper.take()));
        }
    }
}

/// Binds the static channels; those that miss an end are named. What the plan knows to miss one, it has named itself.
fn bind(mut events: Builder, plan: &Plan) -> Events {
    for channel in &plan.severed {
        let _ = events.bind_static(channel.ends);
    }
    for channel in &plan.channels {
        match events.bind_static(channel.ends) {
            Ok(Bound::Both) => {}
            Ok(Bound::OneEnd) => log::warn!(
                "channel {}: the domain at one end was not built; the other end is left unbound",
                channel.path
            ),
            Ok(Bound::Neither) => log::warn!("channel {}: neither domain was built", channel.path),
            Err(errno) => log::error!("channel {} is not bound: {errno:?}", channel.path),
        }
    }
    events.freeze()
}

/// Gives every pCPU what it owns, and turns the first vCPU of every domain on.
fn hand_out(world: World, benches: Vec<Bench>) -> &'static World {
    let world: &'static World = Box::leak(Box::new(world));
    for bench in benches {
        let Bench { pcpu, scheduler, vcpus } = bench;
        let interface = Interface::new(pcpu.gic);
        let local = Local::new(world, pcpu, scheduler, vcpus, interface);
        // SAFETY: the boot CPU; the other CPUs wait for their release.
        unsafe { pcpu.give(local) };
    }
    for domain in world.domains.iter().flatten() {
        domain.memory.tell_time(world.utc(timer::now()));
        // Every pCPU looks at its doorbell before it enters its first guest, so no SGI is needed.
        for vcpu in VcpuSet::first(domain.homes.len()).iter() {
            if let Some(home) = domain.homes.get(vcpu.index()) {
                home.pcpu.ring_other(home.slot, home.pcpu);
            }
        }
    }
    world
}
