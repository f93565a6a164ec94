//! The largest trees that are accepted: reading them takes bounded time and bounded memory.
//!
//! Time is what this thread has spent on a CPU, in passes over the tree's bytes, each of which is a step for each byte: so
//! neither a busy host nor a slow one, nor a build that is not optimized, makes a difference.
//!
//! The machine is read before its memory is known, from a heap of 256 KiB; the domains from a larger one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so at once"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use common::blob::Blob;
use portunus::addr::CpuId;
use portunus::fdt::{MAX_SIZE, Tree};
use portunus::plan::{self, Diagnostics, Table};

/// Passes over its bytes that a tree may take. What takes quadratic time takes many more.
const MOST_PASSES: u64 = 1000;

/// Counts what is allocated, rounded up as a buddy allocator does.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now =
            NOW.fetch_add(layout.size().next_power_of_two(), Relaxed) + layout.size().next_power_of_two();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size().next_power_of_two(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// Tests count one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Peak allocation of `work`, in bytes.
fn peak<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed) - before)
}

/// Nanoseconds that this thread has run (Linux, Documentation/scheduler/sched-stats.rst: the first number).
fn on_cpu() -> u64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// What a pass over the bytes takes.
fn pass(blob: &[u8]) -> u64 {
    const PASSES: u64 = 8;
    let began = on_cpu();
    for _ in 0..PASSES {
        black_box(blob.iter().fold(0_u32, |sum, byte| black_box(sum.rotate_left(1) ^ u32::from(*byte))));
    }
    ((on_cpu() - began) / PASSES).max(1)
}

/// Reads a blob the whole way, and checks what that took.
fn read(title: &str, blob: Vec<u8>) {
    let pass = pass(&blob);
    let began = on_cpu();
    let tree = Tree::parse(&blob).unwrap();
    let mut diagnostics = Diagnostics::new();
    let (machine, small) = peak(|| plan::machine(&tree, &mut diagnostics));
    let mut large = 0;
    if let Some(machine) = machine {
        let online: Vec<CpuId> = machine.cpus.iter().map(|cpu| cpu.id).collect();
        let (plan, peak) = peak(|| plan::domains(&tree, &machine, &online, &mut diagnostics));
        large = peak;
        let _ = format!("{}{diagnostics}", Table(&plan));
    }
    let took = (on_cpu() - began) / pass;
    println!(
        "{title}: {} KiB, machine {} KiB, domains {} KiB, {took} passes",
        blob.len() / 1024,
        small / 1024,
        large / 1024
    );
    assert!(small <= 192 * 1024, "{title}: reading the machine took {small} bytes");
    assert!(large <= 3 * 1024 * 1024, "{title}: planning the domains took {large} bytes");
    assert!(took < MOST_PASSES, "{title}: {took} passes");
}

#[test]
fn many_nodes_deep_down_take_no_more_than_linear_time() {
    let _turn = alone();
    let mut blob = Blob::board();
    (0..29).for_each(|_| {
        blob.begin("n");
    });
    while blob.has_room() {
        blob.begin("n").end();
    }
    (0..29).for_each(|_| {
        blob.end();
    });
    read("deep nodes", blob.build());
}

#[test]
fn many_nodes_in_a_node_of_many_properties_take_no_more_than_linear_time() {
    let _turn = alone();
    let long = "p".repeat(255);
    let mut blob = Blob::board();
    blob.begin("chosen").domain("d", 2);
    while blob.structs.len() < MAX_SIZE / 2 {
        blob.prop(&long, b"");
    }
    while blob.has_room() {
        blob.kernel("k", 0x1000);
    }
    read("many properties and modules", blob.end().end().build());
}

#[test]
fn everything_at_its_limit_fits_the_heap() {
    let _turn = alone();
    let mut blob = Blob::board();
    blob.begin("reserved-memory");
    for at in 0..256 {
        blob.begin(&format!("r{at}")).cells("reg", &[0x20, at * 0x2000, 0, 0x1000]).end();
    }
    blob.end().begin("chosen");
    for domain in 0..255 {
        blob.domain(&format!("domain-with-a-long-name-{domain}"), 100 + domain);
        blob.kernel("kernel", 0x10_0000 + domain * 0x1000);
        let text = [b'x'; 1023];
        blob.begin("ramdisk").prop("compatible", b"multiboot,ramdisk\0multiboot,module\0");
        blob.prop("bootargs", &[&text[..], &[0]].concat())
            .cells("reg", &[0, 0x100_0000 + domain * 0x1000, 0, 9])
            .end();
        blob.end();
    }
    for channel in 0..4096 {
        let (domain, port) = (100 + channel % 255, 1 + channel / 255);
        let value = [port, domain, 100 + port, 100 + (channel + 1) % 255];
        blob.begin(&format!("event-channel-{channel}")).prop("compatible", b"xen,evtchn\0");
        let name = format!("as-long-as-names-can-be-{channel:07}\0");
        blob.prop("portunus,name", name.as_bytes()).cells("xen,evtchn", &value).end();
    }
    read("everything at its limit", blob.end().build());
}

#[test]
fn a_flood_of_wrong_channels_takes_no_more_than_linear_time() {
    let _turn = alone();
    let mut blob = Blob::board();
    blob.begin("chosen").domain("d", 2).kernel("k", 0x1000);
    while blob.structs.len() < MAX_SIZE / 2 {
        blob.begin("e").prop("compatible", b"xen,evtchn-v1\0").cells("xen,evtchn", &[1, 77]).end();
    }
    blob.end();
    let mut tuples = Vec::new();
    while tuples.len() < MAX_SIZE / 16 {
        tuples.extend([1, 2, 2, 2, 5, 78, 5000, 79]);
    }
    blob.begin("link").prop("compatible", b"xen,evtchn\0").cells("xen,evtchn", &tuples).end();
    read("wrong channels", blob.end().build());
}

#[test]
fn names_of_any_length_and_number_take_no_more_than_linear_time() {
    let _turn = alone();
    let mut blob = Blob::board();
    blob.begin("chosen").domain("d", 2).kernel("k", 0x1000).end();
    let tuples: Vec<u32> = (0..2000).flat_map(|channel| [2 * channel + 1, 2, 2 * channel + 2, 2]).collect();
    for list in
        [vec![0; 4000], vec![b'x'; MAX_SIZE / 8], b"same\0".repeat(4000), b"in valid\0".repeat(MAX_SIZE / 64)]
    {
        blob.begin("link").prop("compatible", b"xen,evtchn\0").cells("xen,evtchn", &tuples);
        blob.prop("portunus,name", &list).prop("portunus,direction", &list).end();
    }
    read("names of channels", blob.end().build());
}

#[test]
fn references_in_circles_are_followed_once() {
    let _turn = alone();
    let mut blob = Blob::board();
    blob.begin("aliases").prop("serial0", b"serial1\0").prop("serial1", b"serial0\0").end();
    blob.begin("chosen").prop("stdout-path", b"serial0\0");
    // Ends that name each other round a ring, through every domain.
    for domain in 0..200 {
        blob.domain(&format!("d{domain}"), 1000 + domain);
        for end in 0..20 {
            let (own, peer) = (domain * 20 + end, (domain * 20 + end + 1) % 4000);
            blob.begin("e")
                .prop("compatible", b"xen,evtchn-v1\0")
                .cells("xen,evtchn", &[1 + end, 0x1_0000 + peer]);
            blob.cells("phandle", &[0x1_0000 + own]).end();
        }
        blob.kernel("k", 0x10_0000 + domain * 0x1000).end();
    }
    blob.end();
    // Controllers that are each other's parent.
    for node in 0..1000 {
        blob.begin("loop")
            .cells("phandle", &[0x2_0000 + node])
            .cells("interrupt-parent", &[0x2_0000 + (node + 1) % 1000]);
        blob.prop("interrupt-controller", b"")
            .cells("#interrupt-cells", &[3])
            .prop("compatible", b"arm,gic-v3\0");
        blob.cells("interrupts", &[1, 9, 4]).end();
    }
    read("circles", blob.build());
}

#[test]
fn sixty_five_thousand_nodes_and_more_take_no_more_than_linear_time() {
    let _turn = alone();
    let mut blob = Blob::board();
    blob.begin("chosen").domain("d", 2).kernel("k", 0x1000);
    let mut nodes = 0;
    while blob.has_room() {
        blob.begin("a").end();
        nodes += 1;
    }
    assert!(nodes > 65_536, "{nodes}");
    read("nodes in a domain", blob.end().end().build());
}

#[test]
fn a_flood_of_unknown_names_takes_no_more_than_linear_time() {
    let _turn = alone();
    let mut blob = Blob::board();
    blob.begin("chosen");
    let options = "xen-bootarg ".repeat(MAX_SIZE / 36);
    blob.prop("xen,xen-bootargs", format!("{options}\0").as_bytes());
    blob.domain("d", 2);
    while blob.structs.len() < MAX_SIZE / 3 * 2 {
        blob.prop("xen,enhansed-and-not", b"");
    }
    while blob.has_room() {
        blob.begin("c").prop("compatible", b"multiboot,kernal\0").end();
    }
    read("unknown names", blob.end().end().build());
}

#[test]
fn many_interrupts_ranges_and_banks_take_no_more_than_linear_time() {
    let _turn = alone();
    let mut blob = Blob::board();
    let third = MAX_SIZE / 3 / 4;
    blob.begin("aliases").prop("serial0", b"/soc/uart\0").end();
    blob.begin("memory@1").prop("device_type", b"memory\0").cells("reg", &vec![1; third]).end();
    blob.begin("soc")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .cells("ranges", &vec![7; third]);
    blob.begin("uart").prop("compatible", b"arm,pl011\0").cells("reg", &[0x1000, 0x1000]);
    blob.cells("interrupts-extended", &vec![1; third - 4096]).end().end();
    read("long lists", blob.build());
}
