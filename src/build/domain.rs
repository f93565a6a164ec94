//! One domain: its memory, what is in it, and the devices it believes to have.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use portunus::addr::{PAGE_SIZE, Pa, PaSpan};
use portunus::console::Stream;
use portunus::domain::guest_dtb::{self, Channel, Written};
use portunus::domain::gzip::Workspace;
use portunus::domain::image::{self, File, Kernel};
use portunus::domain::layout::{self, Layout};
use portunus::domain::life::Lives;
use portunus::domain::load::{Contents, Loading};
use portunus::domain::map;
use portunus::domain::ram::{self, Extent, Shortage};
use portunus::domain::seed::{Seed, Seeding};
use portunus::evtchn::Builder;
use portunus::hypercall::version;
use portunus::mm::frames::Frames;
use portunus::mm::stage2::Stage2;
use portunus::plan::{self, Action, ChannelView, Diagnostic, DomainPlan, Plan};
use portunus::vdev::pl011::Vpl011;
use portunus::vdev::power::Start;
use portunus::vgic::Vgic;

use super::{Site, images};
use crate::arch::aarch64::stage2::Tables;
use crate::arch::aarch64::{cache, timer};
use crate::run::{
    Domain, GRANT_FRAMES, GuestMemory, Home, Keeper, Pages, Parts, Ram, SPECIAL_PAGES, TABLE_PAGES,
    map_interrupt_interface, map_ram,
};

/// A domain that has everything but places for its vCPUs.
pub struct Built {
    memory: GuestMemory,
    contents: Contents,
    /// For a kernel that is unpacked again at each restart.
    workspace: Option<Workspace>,
    vgic: Vgic,
    uart: Option<Vpl011>,
    stream: &'static Stream,
    start: Start,
}

/// Why a domain cannot be built.
pub enum Failure {
    /// A sentence about what is missing.
    Machine(String),
    /// An image is not what the tree says.
    Image(Diagnostic),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Machine(why)
    }
}

impl From<&str> for Failure {
    fn from(why: &str) -> Self {
        Self::Machine(why.into())
    }
}

impl From<Diagnostic> for Failure {
    fn from(found: Diagnostic) -> Self {
        Self::Image(found)
    }
}

/// Builds the domain `planned`.
///
/// # Errors
///
/// What is missing, or wrong with an image.
pub fn build(site: &mut Site<'_>, planned: &DomainPlan) -> Result<Built, Failure> {
    let mut workspace = None;
    let (file, kernel) = kernel(planned, &mut workspace)?;
    let channels = channels(site.plan, planned);
    let layout = lay_out(planned, kernel, &channels)?;
    let extents =
        ram::provide(&layout.banks, |pages| site.frames.allocate(pages)).map_err(|Shortage(bytes)| {
            format!("{} KiB of its RAM are missing: not enough is free", bytes / 1024)
        })?;
    let contents = contents(site, planned, &channels, &layout, extents, file)?;
    // All at once: nobody waits.
    let mut loading = Loading::begin(0, u64::MAX);
    // SAFETY: allocated for this domain just now; EL2 maps all free RAM; its vCPUs are not there yet.
    let mut ram = unsafe { Ram::new() };
    while !loading
        .step(&contents, workspace.as_mut(), &mut ram)
        .map_err(|error| plan::no_kernel(planned, error))?
    {}
    let no_devices = || String::from("no memory is left for its devices");
    let memory = memory(site, &layout, &contents.extents)?;
    let restarts = planned.life.actions().contains(&Action::Restart);
    Ok(Built {
        memory,
        contents,
        workspace: workspace.filter(|_| restarts),
        vgic: Vgic::new(planned.vcpus.len(), planned.spis, &[map::TIMER_VIRTUAL, map::TIMER_PHYSICAL])
            .ok_or_else(no_devices)?,
        uart: if planned.vpl011 { Some(Vpl011::new().ok_or_else(no_devices)?) } else { None },
        stream: site.console.stream(planned.id).ok_or_else(no_devices)?,
        start: Start { entry: layout.kernel.start().get(), context: layout.tree.start().get() },
    })
}

/// Gives the domain its event channels.
///
/// # Errors
///
/// A sentence, if it can have none.
pub fn connect(built: &Built, events: &mut Builder, planned: &DomainPlan) -> Result<(), Failure> {
    let shared = built.memory.shared_info().ok_or("its shared information page is misplaced")?;
    events
        .add_domain(planned.id, planned.vcpus.len() as u16, shared)
        .map_err(|errno| format!("it can have no event channels: {errno:?}"))?;
    Ok(())
}

/// The finished domain, and what its end will need. It starts when its first vCPU's pCPU does.
pub fn finish(built: Built, homes: Vec<Home>, planned: &DomainPlan) -> (&'static Domain, Keeper) {
    let domain: &'static Domain = Box::leak(Box::new(Domain::new(Parts {
        id: planned.id,
        name: planned.name.as_str().into(),
        vgic: built.vgic,
        uart: built.uart,
        stream: built.stream,
        homes: homes.into_boxed_slice(),
        memory: built.memory,
        contents: built.contents,
        start: built.start,
    })));
    if let Some(first) = domain.power.first() {
        // It is off, as all are, so the request is taken.
        let _ = first.request(built.start);
    }
    let lives = Lives::new(planned.life, timer::frequency());
    (domain, Keeper::new(lives, built.workspace))
}

/// The domain's ends of static channels.
fn channels<'p>(plan: &'p Plan, planned: &DomainPlan) -> Vec<Channel<'p>> {
    let channel = |view: ChannelView<'p>| Channel {
        name: view.name,
        port: view.near.port,
        peer: plan.domain_name(view.far.domain),
        direction: view.direction,
    };
    plan.channels_of(planned.id).map(channel).collect()
}

fn lay_out(planned: &DomainPlan, kernel: Kernel, channels: &[Channel<'_>]) -> Result<Layout, Diagnostic> {
    let room = guest_dtb::room(planned.vcpus.len() as u16, &planned.cmdline, channels);
    let ramdisk = planned.ramdisk.map_or(0, |module| module.size());
    layout::plan(planned.memory, kernel, room, ramdisk).map_err(|error| plan::no_room(planned, error))
}

fn kernel(
    planned: &DomainPlan,
    workspace: &mut Option<Workspace>,
) -> Result<(File<'static>, Kernel), Failure> {
    let bytes = images::bytes(planned.kernel.image)?;
    if planned.kernel.raw {
        return Ok((File::Plain(bytes), image::raw(bytes.len() as u64)));
    }
    Ok(File::open(bytes, planned.memory, workspace).map_err(|error| plan::no_kernel(planned, error))?)
}

/// What the domain's memory holds when it starts.
fn contents(
    site: &Site<'_>,
    planned: &DomainPlan,
    channels: &[Channel<'_>],
    layout: &Layout,
    extents: Vec<Extent>,
    kernel: File<'static>,
) -> Result<Contents, String> {
    let ramdisk = match (planned.ramdisk, layout.ramdisk) {
        (Some(module), Some(to)) => Some((images::bytes(module)?, to)),
        _ => None,
    };
    let Written { tree, seed } = device_tree(site, planned, channels, layout)?;
    let at = layout.tree.start();
    let seeding = site.seed.zip(seed).and_then(|(seed, offset)| {
        Some(Seeding { seed, domain: planned.id, at: at.checked_add(offset as u64)? })
    });
    Ok(Contents {
        extents,
        kernel: (kernel, layout.kernel),
        ramdisk,
        tree: (tree.into_boxed_slice(), at),
        seeding,
    })
}

/// The device tree that the domain finds.
fn device_tree(
    site: &Site<'_>,
    planned: &DomainPlan,
    channels: &[Channel<'_>],
    layout: &Layout,
) -> Result<Written, String> {
    let mut memory = Vec::new();
    let room = layout.tree.size() as usize;
    memory.try_reserve_exact(room).map_err(|_| String::from("no memory is left for its device tree"))?;
    let machine = &site.plan.machine;
    let first_home = planned.vcpus.first().and_then(|vcpu| machine.cpus.get(vcpu.home.index()));
    let description = guest_dtb::Description {
        cmdline: &planned.cmdline,
        vcpus: planned.vcpus.len() as u16,
        cpu: first_home.map_or("arm,armv8", |cpu| &cpu.compatible),
        timer_frequency: machine.timer.frequency,
        gic: machine.gic.version(),
        vpl011: planned.vpl011,
        hypervisor: planned.enhanced.then_some((version::MAJOR as u16, version::MINOR as u16)),
        seed: site.seed.as_ref().map_or(0, Seed::size),
        channels,
    };
    guest_dtb::write(memory, &description, layout)
        .map_err(|_| String::from("its device tree does not fit the room for it"))
}

/// How many pages are taken at once for the tables of later: a piece of RAM that small is nearly always left.
const TABLE_RUN: usize = 8;
const _: () = assert!(TABLE_PAGES.is_multiple_of(TABLE_RUN));

/// Stage 2 and the pages that the domain may place in it.
fn memory(site: &mut Site<'_>, layout: &Layout, extents: &[Extent]) -> Result<GuestMemory, String> {
    let geometry = site.geometry;
    let frames = &mut *site.frames;
    let short = || String::from("no memory is left for its tables");
    let root = zeroed(frames, geometry.root_pages()).ok_or_else(short)?;
    let stage2 = Stage2::new(root, &geometry);
    let mut pages = Vec::new();
    let mut tables = Tables(|| zeroed(frames, 1).inspect(|page| pages.push(*page)));
    map_ram(&stage2, &mut tables, extents)
        .map_err(|(span, why)| format!("its RAM at {span} cannot be mapped: {why:?}"))?;
    map_interrupt_interface(&stage2, &mut tables)
        .map_err(|why| format!("its GIC CPU interface cannot be mapped: {why:?}"))?;
    let used = pages.len();
    for _ in 0..TABLE_PAGES / TABLE_RUN {
        let run = frames.allocate(TABLE_RUN).ok_or_else(short)?;
        let page = |number| run.checked_add(number as u64 * PAGE_SIZE);
        pages.extend((0..TABLE_RUN).filter_map(page));
    }
    let mut special = [Pa::new(0); 1 + GRANT_FRAMES];
    let mut last = Pa::new(0);
    for (index, page) in special.iter_mut().enumerate() {
        if index < SPECIAL_PAGES {
            last = zeroed(frames, 1).ok_or_else(short)?;
        }
        *page = last;
    }
    let root = PaSpan::new(root, geometry.root_pages() as u64 * PAGE_SIZE).ok_or_else(short)?;
    let pages = Pages { root, special, tables: (pages, used) };
    Ok(GuestMemory::new(layout.banks.clone(), stage2, geometry.ipa_bits(), pages))
}

/// A run of `pages` zeroed pages.
fn zeroed(frames: &mut Frames, pages: usize) -> Option<Pa> {
    let start = frames.allocate(pages)?;
    let span = PaSpan::new(start, pages as u64 * PAGE_SIZE)?;
    // SAFETY: allocated just now; EL2 maps all free RAM.
    unsafe { cache::zero(span) };
    Some(start)
}
