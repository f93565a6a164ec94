//! Trees that nobody meant: damaged ones, and random ones made of the words that the plan looks for.
//! Whatever they say, reading them ends, without a panic, in a plan that keeps its promises, and that is the plan of the
//! tree that can be made from it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so at once"
)]

mod common;

use std::fs;
use std::sync::OnceLock;

use common::blob::Blob;
use common::rebuild::{essence, rebuild};
use common::words::{NODES, PROPERTIES, VALUES};
use common::{compile, program, promises, trees};
use portunus::addr::CpuId;
use portunus::fdt::Tree;
use portunus::plan::{self, Diagnostics, Plan, Table};
use proptest::prelude::*;

/// Some good blobs to damage.
fn blobs() -> &'static [Vec<u8>] {
    static BLOBS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BLOBS.get_or_init(|| {
        let directory = trees().join("good");
        ["mixed", "virt", "raspberry-pi-4", "placement"]
            .map(|name| {
                let source = fs::read_to_string(directory.join(name).with_extension("dts")).unwrap();
                compile(&source, &directory)
            })
            .to_vec()
    })
}

/// Reads a blob the whole way; answers the plan if it got that far.
fn read(blob: &mut [u8]) -> Option<Plan> {
    let tree = Tree::parse(blob).ok()?;
    let _ = plan::early_console(&tree);
    let mut diagnostics = Diagnostics::new();
    let machine = plan::machine(&tree, &mut diagnostics);
    let text = format!("{diagnostics}");
    let machine = machine?;
    assert!(!machine.cpus.is_empty() && !machine.ram.is_empty(), "{text}");
    let online: Vec<CpuId> = machine.cpus.iter().map(|cpu| cpu.id).collect();
    let plan = plan::domains(&tree, &machine, &online, &mut diagnostics);
    let text = format!("{}\n{diagnostics}", Table(&plan));
    promises::check(&plan, &text);
    again(&plan, &text);
    Some(plan)
}

/// A tree that is made from the plan leads to the same plan.
fn again(plan: &Plan, text: &str) {
    let Some(blob) = rebuild(plan) else { return };
    let (second, diagnostics) = common::plan(&mut blob.clone(), None);
    let second = second.map(|plan| essence(&plan));
    assert_eq!(second, Some(essence(plan)), "\nfrom\n{text}\nto\n{diagnostics}");
}

/// One way of damaging a blob.
#[derive(Clone, Debug)]
enum Damage {
    Byte(usize, u8),
    Cell(usize, u32),
    Cut(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let token = prop_oneof![0u32..16, any::<u32>(), Just(u32::MAX), (0u32..0x4000).prop_map(|n| n * 4)];
    prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        4 => (any::<usize>(), token).prop_map(|(at, cell)| Damage::Cell(at, cell)),
        1 => any::<usize>().prop_map(Damage::Cut),
    ]
}

fn apply(blob: &mut Vec<u8>, damage: &Damage) {
    if blob.len() < 8 {
        return;
    }
    match *damage {
        Damage::Byte(at, byte) => {
            let at = at % blob.len();
            blob[at] = byte;
        }
        Damage::Cell(at, cell) => {
            let at = at % (blob.len() / 4) * 4;
            blob[at..at + 4].copy_from_slice(&cell.to_be_bytes());
        }
        Damage::Cut(at) => blob.truncate(at % blob.len()),
    }
}

/// A random node: name, properties, children.
#[derive(Clone, Debug)]
struct RandomNode(&'static str, Vec<(&'static str, Vec<u8>)>, Vec<RandomNode>);

impl RandomNode {
    fn emit(&self, blob: &mut Blob) {
        blob.begin(self.0);
        self.1.iter().for_each(|(name, value)| {
            blob.prop(name, value);
        });
        self.2.iter().for_each(|child| child.emit(blob));
        blob.end();
    }
}

/// A random property that some part of the plan looks for.
fn property() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let cell = prop_oneof![
        3 => 0u32..6, 2 => Just(0x4000_0000u32), 2 => Just(0x10_0000), 1 => Just(4095), 1 => any::<u32>(),
    ];
    let value = prop_oneof![
        4 => prop::collection::vec(cell, 0..9)
            .prop_map(|cells| cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()),
        4 => prop::sample::select(VALUES).prop_map(|text| format!("{text}\0").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ];
    (prop::sample::select(PROPERTIES), value)
}

fn subtree() -> impl Strategy<Value = RandomNode> {
    let properties = || prop::collection::vec(property(), 0..8);
    let leaf =
        (prop::sample::select(NODES), properties()).prop_map(|(name, props)| RandomNode(name, props, vec![]));
    leaf.prop_recursive(4, 32, 5, move |inner| {
        (prop::sample::select(NODES), properties(), prop::collection::vec(inner, 0..5))
            .prop_map(|(name, props, children)| RandomNode(name, props, children))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_blobs_are_refused_or_planned(
        which in 0usize..4,
        damages in prop::collection::vec(damage(), 1..12),
    ) {
        let mut blob = blobs()[which].clone();
        damages.iter().for_each(|damage| apply(&mut blob, damage));
        read(&mut blob);
    }

    #[test]
    fn single_changed_cells_are_refused_or_planned(which in 0usize..4, at in any::<usize>(), cell in any::<u32>()) {
        let mut blob = blobs()[which].clone();
        apply(&mut blob, &Damage::Cell(at, cell % 64));
        read(&mut blob);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_are_planned(
        board in any::<bool>(),
        beside in prop::collection::vec(subtree(), 0..4),
        in_chosen in prop::collection::vec(subtree(), 0..6),
        in_domain in prop::collection::vec(subtree(), 0..6),
        of_domain in prop::collection::vec(property(), 0..4),
    ) {
        let mut blob = if board { Blob::board() } else { Blob::new() };
        if !board {
            blob.begin("");
        }
        beside.iter().for_each(|node| node.emit(&mut blob));
        blob.begin("chosen").cells("#address-cells", &[2]).cells("#size-cells", &[2]);
        blob.domain("one", 2);
        of_domain.iter().for_each(|(name, value)| { blob.prop(name, value); });
        blob.kernel("kernel", 0x10_0000);
        in_domain.iter().for_each(|node| node.emit(&mut blob));
        blob.end().domain("two", 3).kernel("kernel", 0x20_0000).end();
        in_chosen.iter().for_each(|node| node.emit(&mut blob));
        let plan = read(&mut blob.end().build());
        // Whatever stands beside them, the second domain has done nothing wrong.
        prop_assert!(!board || beside.len() + in_chosen.len() > 0 || plan.is_some_and(|plan| !plan.domains.is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn trees_made_by_a_random_program_are_planned(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&mut program::run(&bytes));
    }
}

/// Every tree that has an expected text, right or wrong.
#[test]
fn written_trees_survive_the_way_through_their_plan() {
    let mut domains = 0;
    for kind in ["good", "bad"] {
        for entry in fs::read_dir(trees().join(kind)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "dts") {
                let source = fs::read_to_string(&path).unwrap();
                let plan = read(&mut compile(&source, path.parent().unwrap()));
                domains += plan.map_or(0, |plan| plan.domains.len());
            }
        }
    }
    assert!(domains > 100, "only {domains} domains");
}

/// Found by random trees: the module of one domain, read with the wrong cells, seemed to be larger than the machine,
/// and left no memory to the others.
#[test]
fn a_module_larger_than_the_machine_costs_no_other_domain_its_memory() {
    let mut blob = Blob::board();
    blob.begin("chosen").cells("#address-cells", &[2]).cells("#size-cells", &[2]);
    blob.domain("one", 2).cells("#address-cells", &[1]).kernel("kernel", 0x10_0000).end();
    blob.domain("two", 3).kernel("kernel", 0x20_0000).end();
    let plan = read(&mut blob.end().build()).unwrap();
    assert_eq!(plan.domains.iter().map(|domain| domain.name.as_str()).collect::<Vec<_>>(), ["two"]);
}
