//! How much stack it takes to plan: the boot CPU has 32 KiB, a page below them that faults, and nothing that a tree says
//! may reach it. Recursion is as deep as the tree, which is at most 32 nodes.
//!
//! The tests paint the stack of a thread through `/proc/self/mem`, plan, and look how far down the paint is gone. The
//! hypervisor is optimized, so the number that counts is that of `cargo test --release --test stack -- --nocapture`.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so at once"
)]

mod common;

use std::fs::{self, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::thread;

use common::blob::Blob;
use common::{compile, trees};
use portunus::addr::CpuId;
use portunus::fdt::Tree;
use portunus::plan::{self, Diagnostics, Table};

/// What the boot CPU has: linker.ld, `.stack`.
const STACK: usize = 32 * 1024;
/// Unoptimized code keeps every temporary in a place of its own, on this many times as much stack at most.
const SLACK: usize = if cfg!(debug_assertions) { 4 } else { 1 };
const PAINT: u8 = 0xa5;
/// The frames of the calls that paint and look lie in the first bytes below the measured ones: they are not painted, and
/// what takes less counts as this much.
const UNPAINTED: usize = 0x1000;

/// Bytes of stack that `work` takes below its caller.
fn measure(work: impl FnOnce() + Send + 'static) -> usize {
    const AREA: usize = 1 << 20;
    let painted = thread::Builder::new().stack_size(2 * AREA).spawn(move || {
        let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem").unwrap();
        let mut area = vec![PAINT; AREA];
        let here = black_box(0_u8);
        let top = (&raw const here).addr() - UNPAINTED;
        memory.write_all_at(&area, (top - AREA) as u64).unwrap();
        work();
        memory.read_exact_at(&mut area, (top - AREA) as u64).unwrap();
        let untouched = area.iter().position(|byte| *byte != PAINT).unwrap_or(AREA);
        AREA - untouched + UNPAINTED
    });
    painted.unwrap().join().unwrap()
}

/// The whole way of a tree at boot.
fn plan_all(blob: &[u8]) {
    let tree = Tree::parse(blob).unwrap();
    let _ = plan::early_console(&tree);
    let mut diagnostics = Diagnostics::new();
    if let Some(machine) = plan::machine(&tree, &mut diagnostics) {
        let online: Vec<CpuId> = machine.cpus.iter().map(|cpu| cpu.id).collect();
        let plan = plan::domains(&tree, &machine, &online, &mut diagnostics);
        black_box(Table(&plan).to_string());
    }
    black_box(diagnostics.to_string());
}

fn check(title: &str, blob: Vec<u8>) -> usize {
    let used = measure(move || plan_all(&blob));
    println!("{title}: {used} bytes of stack");
    assert!(used < STACK * SLACK * 3 / 4, "{title}: {used} bytes of stack, of {STACK}");
    used
}

#[test]
fn the_deepest_tree_fits_the_boot_stack() {
    // Everything that is looked for by search lies as deep as it can: a UART behind 28 buses, and a node that a channel
    // names by mistake, whose path is then shown.
    let mut blob = Blob::board();
    let buses: Vec<String> = (0..28).map(|level| format!("bus{level}")).collect();
    let path = format!("/{}/uart", buses.join("/"));
    blob.begin("chosen").prop("stdout-path", format!("{path}\0").as_bytes());
    blob.domain("d", 2).kernel("k", 0x10_0000).end();
    blob.begin("link").prop("compatible", b"xen,evtchn\0").cells("xen,evtchn", &[1, 77, 2, 2]).end();
    blob.begin("half").prop("compatible", b"xen,evtchn-v1\0").end().end();
    for bus in &buses {
        blob.begin(bus).cells("#address-cells", &[2]).cells("#size-cells", &[2]).prop("ranges", b"");
    }
    blob.begin("uart").prop("compatible", b"ns16550a\0").cells("reg", &[0, 0x5000_0000, 0, 0x1000]);
    blob.cells("interrupts", &[0, 3, 4]).end();
    blob.begin("mistaken").cells("phandle", &[77]).prop("compatible", b"xen,domain\0").end();
    buses.iter().for_each(|_| {
        blob.end();
    });
    assert!(check("deepest tree", blob.build()) > UNPAINTED, "nothing was measured");
}

#[test]
fn every_written_tree_fits_the_boot_stack() {
    for kind in ["good", "bad"] {
        for entry in fs::read_dir(trees().join(kind)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "dts") {
                let source = fs::read_to_string(&path).unwrap();
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                check(&name, compile(&source, path.parent().unwrap()));
            }
        }
    }
}
