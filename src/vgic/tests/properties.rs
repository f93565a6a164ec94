//! Whatever happens in whatever order, the guest sees what the reference model says.

use proptest::prelude::*;

use super::super::Version;
use super::beats::{Beat, beats};
use super::world::{TIMER, UPCALL, World};

#[derive(Clone, Debug)]
enum Op {
    Raise(u32),
    Line(u32, bool),
    Enable(u32, bool),
    Distributor(bool),
    Priority(u32, u8),
    Route(u32, usize),
    Configure(u32, bool),
    Sgi(usize, u32),
    Pend(u32, bool),
    Timer(bool),
    Event(bool),
    ClearUpcall,
    Acknowledge,
    End(bool),
    DropPriority,
    Deactivate(usize),
    Fold,
    Unload,
    Load,
    Beats(Vec<Beat>),
}

const VCPUS: usize = 3;
const SPIS: [u32; 10] = [32, 33, 34, 35, 36, 63, 64, 65, 66, 67];

fn spi() -> impl Strategy<Value = u32> {
    prop::sample::select(SPIS.to_vec())
}

/// Any interrupt that software may raise: some SGIs, one PPI, some SPIs.
fn soft() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..4, Just(20), spi(), spi()]
}

fn any_intid() -> impl Strategy<Value = u32> {
    prop_oneof![8 => soft(), 1 => Just(TIMER), 1 => Just(UPCALL)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => soft().prop_map(Op::Raise),
        4 => (spi(), any::<bool>()).prop_map(|(intid, high)| Op::Line(intid, high)),
        2 => (any_intid(), any::<bool>()).prop_map(|(intid, on)| Op::Enable(intid, on)),
        1 => prop::bool::weighted(0.8).prop_map(Op::Distributor),
        2 => (any_intid(), 1u8..6).prop_map(|(intid, urgency)| Op::Priority(intid, urgency * 0x20)),
        2 => (spi(), 0..VCPUS).prop_map(|(intid, target)| Op::Route(intid, target)),
        1 => (spi(), any::<bool>()).prop_map(|(intid, edge)| Op::Configure(intid, edge)),
        3 => (0..VCPUS, 0u32..4).prop_map(|(to, sgi)| Op::Sgi(to, sgi)),
        2 => (soft(), any::<bool>()).prop_map(|(intid, on)| Op::Pend(intid, on)),
        2 => any::<bool>().prop_map(Op::Timer),
        3 => any::<bool>().prop_map(Op::Event),
        2 => Just(Op::ClearUpcall),
        9 => Just(Op::Acknowledge),
        7 => any::<bool>().prop_map(Op::End),
        1 => Just(Op::DropPriority),
        2 => (0usize..8).prop_map(Op::Deactivate),
        2 => Just(Op::Fold),
        1 => Just(Op::Unload),
        2 => Just(Op::Load),
        3 => beats().prop_map(Op::Beats),
    ]
}

/// What vCPUs do that wait for events, and share a pCPU.
fn switching() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => op(),
        4 => any::<bool>().prop_map(Op::Event),
        3 => Just(Op::ClearUpcall),
        4 => Just(Op::Acknowledge),
        3 => any::<bool>().prop_map(Op::End),
        1 => any::<bool>().prop_map(|on| Op::Enable(UPCALL, on)),
        5 => Just(Op::Unload),
        5 => Just(Op::Load),
    ]
}

fn apply(world: &mut World, v: usize, op: &Op) {
    let loaded = world.is_loaded(v);
    match *op {
        Op::Raise(intid) => world.raise(v, intid),
        Op::Line(intid, high) => world.line(v, intid, high),
        Op::Enable(intid, on) => world.enable(v, intid, on),
        Op::Distributor(on) => world.enable_distributor(on),
        // The effect on an active interrupt is unpredictable (IHI 0069, GICD_IPRIORITYR<n>).
        Op::Priority(intid, _) if world.model.irq(v, intid).active => {}
        Op::Priority(intid, priority) => world.priority(v, intid, priority),
        Op::Route(intid, target) => world.route(intid, target),
        Op::Configure(intid, edge) => world.configure(intid, edge),
        Op::Sgi(to, sgi) => world.sgi(v, to, sgi),
        Op::Pend(intid, on) => world.pend(v, intid, on),
        Op::Timer(high) => world.set_timer(v, high),
        Op::Event(fast) => world.event(v, fast),
        Op::ClearUpcall => world.clear_upcall(v),
        Op::Fold => world.fold(v),
        Op::Beats(ref beats) if loaded => world.beat(v, beats),
        Op::Load => world.load(v),
        Op::Unload if loaded => world.unload(v),
        Op::Acknowledge if loaded => drop(world.acknowledge(v)),
        Op::End(then_folds) if loaded => {
            world.end(v);
            if then_folds {
                world.fold(v);
            }
        }
        // Out of order only where every active interrupt finds a list register: EOIcount knows no INTIDs.
        Op::DropPriority if loaded && world.cpus[v].hw.lrs.len() == 16 && world.cpus[v].dropped.len() < 6 => {
            world.drop_priority(v);
        }
        Op::Deactivate(which) if loaded => world.deactivate(v, which),
        Op::Unload | Op::Acknowledge | Op::End(_) | Op::DropPriority | Op::Deactivate(_) | Op::Beats(_) => {}
    }
}

fn start(version: Version, lrs: usize) -> World {
    set_up(World::with(version, VCPUS, 64, lrs))
}

fn set_up(mut world: World) -> World {
    world.enable_distributor(true);
    for v in 0..VCPUS {
        for intid in (0..4).chain([20, TIMER, UPCALL]).chain(SPIS) {
            world.priority(v, intid, 0x20 * (1 + (intid % 5) as u8));
            world.enable(v, intid, true);
        }
        world.priority(v, UPCALL, 0xa0);
    }
    world.service();
    world
}

fn play(mut world: World, ops: Vec<(usize, Op)>) -> World {
    world.compare();
    for (v, op) in ops {
        apply(&mut world, v, &op);
        world.service();
        world.compare();
    }
    world
}

fn lrs() -> impl Strategy<Value = usize> {
    prop_oneof![Just(2usize), Just(3), Just(4), 2usize..=16, Just(16)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_guest_sees_what_a_gic_with_unlimited_list_registers_would_show(
        lrs in lrs(), ops in prop::collection::vec((0..VCPUS, op()), 1..120),
    ) {
        drop(play(start(Version::V3, lrs), ops));
    }

    #[test]
    fn a_domain_that_starts_again_finds_an_interrupt_controller_that_is_as_new(
        version in prop::sample::select(vec![Version::V2, Version::V3]),
        lrs in lrs(),
        before in prop::collection::vec((0..VCPUS, op()), 1..80),
        after in prop::collection::vec((0..VCPUS, op()), 1..40),
    ) {
        let mut world = play(start(version, lrs), before);
        world.restart();
        let fresh = World::with(version, VCPUS, 64, lrs);
        prop_assert!(world.registers() == fresh.registers());
        drop(play(set_up(world), after));
    }

    #[test]
    fn vcpus_that_come_and_go_see_it_too(
        version in prop::sample::select(vec![Version::V2, Version::V3]),
        lrs in lrs(),
        ops in prop::collection::vec((0..VCPUS, switching()), 1..200),
    ) {
        drop(play(start(version, lrs), ops));
    }

    #[test]
    fn a_gicv2_guest_sees_it_too(lrs in lrs(), ops in prop::collection::vec((0..VCPUS, op()), 1..120)) {
        drop(play(start(Version::V2, lrs), ops));
    }
}
