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

use portunus::addr::VcpuId;
use portunus::console::{Console, Terminal};
use portunus::domain::seed::Seed;
use portunus::evtchn::{Bound, Builder, Events};
use portunus::mm::frames::Frames;
use portunus::mm::stage2::Geometry;
use portunus::plan::{DomainPlan, Plan, VcpuPlan};
use portunus::prediction::Verdict;
use portunus::sched::{MAX_VCPUS, Slot};
use portunus::sync::Epochs;
use portunus::vdev::idregs::{IdValues, Limits, guest_view, table};
use portunus::vgic::{VcpuSet, Version};

use crate::arch::aarch64::vcpu::Registers;
use crate::arch::aarch64::{cache, timer};
use crate::run::{Domain, Home, Keeper, Pcpu, Vcpu, World};

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
    let (world, benches, console) = assemble(plan, frames, pcpus, seed, utc, refused)?;
    Ok((hand_out(world, benches), console))
}

/// The world, and what each pCPU gets of it. Not inlined, nor is the world returned by value: what that takes of the stack is
/// gone when the pCPUs get theirs.
#[inline(never)]
fn assemble(
    plan: &Plan,
    frames: &mut Frames,
    pcpus: &[&'static Pcpu],
    seed: Option<Seed>,
    utc: u32,
    refused: fn() -> u64,
) -> Result<(Box<World>, Vec<Bench>, &'static Console), String> {
    let common = in_common(pcpus).ok_or("no CPU has said what it is")?;
    let geometry = Geometry::new(common.get(table::AA64MMFR0) & 0xf);
    let console = console(plan)?;
    let mut site = Site { plan, frames, geometry, console, seed };
    let started = timer::now();
    let mut benches: Vec<Bench> = pcpus.iter().map(|pcpu| Bench { pcpu, vcpus: Vec::new() }).collect();

    let mut domains = Vec::new();
    let mut events = Builder::new();
    for planned in &plan.domains {
        match raise(&mut site, planned, &mut events, &mut benches, started) {
            Ok(domain) => {
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
                log::info!("{found}");
                log::error!("{} ({}) is left out", planned.name, planned.path);
            }
        }
    }
    cache::forget_instructions();
    let events = bind(events, plan);
    let running = domains.iter().flatten().count();
    let gic = plan.machine.gic.version();
    let world = Box::new(World {
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
    });
    Ok((world, benches, console))
}

/// Builds a domain, with its channels and its vCPUs in their places.
fn raise(
    site: &mut Site<'_>,
    planned: &DomainPlan,
    events: &mut Builder,
    benches: &mut [Bench],
    started: u64,
) -> Result<&'static Domain, domain::Failure> {
    let built = domain::build(site, planned)?;
    domain::connect(&built, events, planned)?;
    let homes = homes(planned, benches)?;
    let (domain, keeper) = domain::finish(built, homes, planned);
    for (vcpu, home) in (0..).map(VcpuId::new).zip(&domain.homes) {
        events.hang_bell(domain.id, vcpu, home.pcpu.bell(home.slot));
    }
    seat(domain, keeper, benches, started);
    Ok(domain)
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

/// A place on its home pCPU for every vCPU of `planned`, or for none: the next ones behind those that are seated.
fn homes(planned: &DomainPlan, benches: &[Bench]) -> Result<Vec<Home>, String> {
    let mut homes: Vec<Home> = Vec::new();
    for VcpuPlan { home, .. } in &planned.vcpus {
        let bench = benches.iter().find(|bench| bench.pcpu.cpu == *home).ok_or("the CPU of a vCPU is off")?;
        let brothers = homes.iter().filter(|other| other.pcpu.cpu == *home).count();
        let slot = Slot::new(bench.vcpus.len() + brothers)
            .ok_or_else(|| format!("CPU {home} would have more than {MAX_VCPUS} vCPUs"))?;
        homes.push(Home { pcpu: bench.pcpu, slot });
    }
    Ok(homes)
}

/// Puts the vCPUs of `domain` where their homes are, in the order of the slots there. The first has the keeper.
fn seat(domain: &'static Domain, keeper: Keeper, benches: &mut [Bench], counter_offset: u64) {
    let mut keeper = Some(Box::new(keeper));
    for (number, home) in (0u16..).zip(&domain.homes) {
        if let Some(bench) = benches.iter_mut().find(|bench| bench.pcpu.cpu == home.pcpu.cpu) {
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
fn hand_out(world: Box<World>, benches: Vec<Bench>) -> &'static World {
    let world: &'static World = Box::leak(world);
    for bench in benches {
        let Bench { pcpu, vcpus } = bench;
        // SAFETY: the boot CPU; the other CPUs wait for their release.
        unsafe { pcpu.give(world, vcpus) };
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
