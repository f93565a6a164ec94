//! The hypervisor's own memory: what its heap is made of, and how much RAM is kept from everybody else.
//!
//! The heap begins with memory of the image, so that it is there before the RAM is known. Planning a tree with
//! everything at its limits takes 3 MiB more, which are borrowed and given back before the first domain runs.

use portunus::addr::{MIB, PAGE_SIZE, Pa, PaSpan};
use portunus::evtchn::Events;
use portunus::mm::frames::Frames;
use portunus::mm::heap::SealedHeap;
use portunus::plan::Plan;

use crate::arch::aarch64::map;
use crate::run::{SPECIAL_PAGES, World};

const KIB: u64 = 1024;
/// What is lent for planning, in pages: the buddy heap rounds 3 MiB up.
const LOAN_PAGES: usize = 1024;
/// What a domain with one vCPU takes of the heap, the counters of its ports apart: 16 KiB are its ports; its console, its
/// interrupts and its device tree most of the rest. One that takes more, because its command line is long or it unpacks its
/// kernel at each start, may cost the whole loan.
const DOMAIN: usize = 36 * 1024;
/// What each further vCPU takes.
const VCPU: usize = 3 * 1024;
/// One past the highest number of a domain.
const DOMAINS: usize = 256;
/// What is in use for a while when a kernel is unpacked.
const UNPACKING: usize = 64 * 1024;

#[global_allocator]
static HEAP: SealedHeap = SealedHeap::new();

/// Gives the heap its first memory, which the tree and the plan may take before the RAM is known, and small systems live in.
/// Called once, before the first allocation.
pub fn start() {
    if let Some(memory) = map::heap() {
        // SAFETY: a part of the image for nothing else, mapped (or the MMU is off), and given once.
        unsafe { HEAP.give(memory.start().get() as *mut u8, memory.size() as usize) };
    }
}

/// Lends the heap RAM for planning.
pub fn lend(frames: &mut Frames) {
    match frames.allocate(LOAN_PAGES) {
        // SAFETY: the frames were free, are mapped, and are nobody else's until they are given back.
        Some(start) => unsafe { HEAP.lend(start.get() as *mut u8, LOAN_PAGES * PAGE_SIZE as usize) },
        None => log::warn!("no 4 MiB of RAM in one piece: a very large tree may not be planned"),
    }
}

/// What the domains of `plan` will take of the heap.
fn demand(plan: &Plan) -> usize {
    let ends = plan.channels.iter().chain(&plan.severed).flat_map(|channel| channel.ends);
    let mut counted = [0_usize; DOMAINS];
    for end in ends {
        if let Some(ports) = counted.get_mut(end.domain.index()) {
            *ports = (*ports).max(end.port.index() + 1);
        }
    }
    let counters: usize = counted.iter().map(|ports| Events::counters(*ports).next_power_of_two()).sum();
    let vcpus: usize = plan.domains.iter().map(|domain| domain.vcpus.len().saturating_sub(1)).sum();
    plan.domains.len() * DOMAIN + vcpus * VCPU + counters
}

/// Planning is over. Sees to it that the domains of `plan` can be built; answers how many bytes were added for them.
pub fn provide(frames: &mut Frames, plan: &Plan) -> u64 {
    HEAP.stop_borrowing();
    let (used, total) = HEAP.usage();
    let missing = (used + demand(plan) + UNPACKING).saturating_sub(total);
    let mut added = 0;
    while added < missing {
        // Powers of two, as both allocators have them, and large enough for unpacking.
        let pages = (missing - added).div_ceil(PAGE_SIZE as usize).max(UNPACKING / PAGE_SIZE as usize);
        let pages = 1 << pages.ilog2();
        let Some(start) = frames.allocate(pages) else { break };
        let size = pages * PAGE_SIZE as usize;
        // SAFETY: the frames were free, are mapped, and are nobody else's from here on.
        unsafe { HEAP.give(start.get() as *mut u8, size) };
        added += size;
    }
    added as u64
}

/// Allocations refused since the heap was sealed.
pub fn refused() -> u64 {
    HEAP.refused()
}

/// What was handed out besides the static part of the image, in bytes.
pub struct Kept {
    /// The stacks of all CPUs but the first.
    pub stacks: u64,
    /// Memory that was added to the heap.
    pub heap: u64,
    /// All that building took: the domains' RAM, their pages, their tables.
    pub built: u64,
}

/// Gives back what was lent, seals the heap, and tells what the hypervisor keeps.
pub fn seal(frames: &mut Frames, world: &World, kept: &Kept) {
    // What outlives the plan was allocated after `provide`: in the loan only if it fitted nowhere else.
    let loan = match HEAP.give_back() {
        Some(start) => {
            frames.give_back(Pa::new(start as u64), LOAN_PAGES);
            0
        }
        None => HEAP.loan() as u64,
    };
    let (used, total) = HEAP.usage();
    HEAP.seal();
    log::info!(
        "heap: {} of {} KiB used, sealed; {} MiB of RAM free",
        used / 1024,
        total / 1024,
        frames.free_bytes() / MIB
    );
    let domains = world.domains.iter().flatten();
    let pages = domains.clone().count() as u64 * SPECIAL_PAGES as u64 * PAGE_SIZE;
    let ram: u64 = domains.map(|domain| domain.memory.pages() * PAGE_SIZE).sum();
    let heap = kept.heap + loan;
    let fixed = map::image().as_ref().map_or(0, PaSpan::size);
    let tables = kept.built.saturating_sub(ram + pages);
    log::info!(
        "RAM kept: {} KiB: image {}, stacks {}, more heap {}, domains {}, stage 2 {}",
        (fixed + kept.stacks + heap + kept.built.saturating_sub(ram)) / KIB,
        fixed / KIB,
        kept.stacks / KIB,
        heap / KIB,
        pages / KIB,
        tables / KIB
    );
}
