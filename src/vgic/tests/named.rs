//! Bugs that other virtual GICs had, each by the report in which it was told: none of them here.

use proptest::prelude::*;

use super::world::{IDLE, TIMER, UPCALL, World};

/// Takes and ends everything that is offered. What came, in order.
fn drain(world: &mut World, v: usize) -> Vec<u32> {
    let mut seen = vec![];
    while let Some(intid) = world.acknowledge(v) {
        seen.push(intid);
        world.end(v);
        world.service();
        assert!(seen.len() < 1000, "an interrupt storm");
    }
    seen
}

// Jailhouse, jailhouse-dev 2023-04-01: an SGI was dropped because its INTID sat in a list register as active.

#[test]
fn jailhouse_2023_04_01_an_sgi_sent_while_active_becomes_pending_and_active() {
    let mut world = World::ready(2, 4, &[1]);
    world.sgi(0, 1, 1);
    world.service();
    assert_eq!(world.acknowledge(1), Some(1));
    world.sgi(0, 1, 1);
    world.service();
    let lr = world.cpus[1].hw.holds(1).unwrap();
    assert!(lr.pending && lr.active);
    world.end(1);
    // No exit between the two: the list register alone brings it.
    assert_eq!(world.acknowledge(1), Some(1));
    world.end(1);
    assert_eq!(world.acknowledge(1), None);
}

#[test]
fn jailhouse_2023_04_01_an_upcall_while_active_becomes_pending_and_active() {
    let mut world = World::ready(1, 4, &[UPCALL]);
    world.event(0, true);
    assert_eq!(world.acknowledge(0), Some(UPCALL));
    world.event(0, true);
    let lr = world.cpus[0].hw.lrs[0];
    assert!(lr.pending && lr.active);
}

proptest! {
    #[test]
    fn jailhouse_2023_04_01_every_edge_after_an_acknowledge_is_delivered(
        intid in prop_oneof![0u32..16, 32u32..64], gaps in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let mut world = World::ready(1, 4, &[intid]);
        if intid >= 32 {
            world.configure(intid, true);
        }
        world.raise(0, intid);
        world.service();
        for ends_first in gaps {
            prop_assert_eq!(world.acknowledge(0), Some(intid));
            if ends_first {
                world.end(0);
            }
            world.raise(0, intid);
            world.service();
            if !ends_first {
                world.end(0);
            }
        }
        prop_assert_eq!(drain(&mut world, 0), vec![intid]);
    }
}

// hvisor issue 282: on GICv2 the source CPU of an SGI was ignored, so two senders melted into one.

proptest! {
    #[test]
    fn hvisor_282_every_sender_of_an_sgi_is_seen_by_the_receiver(
        rounds in prop::collection::vec(1u8..=255, 1..6), lrs in 2usize..=16, disable: bool,
    ) {
        let mut world = World::ready(1, lrs, &[5]);
        for senders in rounds {
            for source in (0..8).filter(|source| senders >> source & 1 != 0) {
                world.sgi_from(source, 0, 5);
            }
            world.service();
            if disable {
                world.enable(0, 5, false);
                world.service();
                world.enable(0, 5, true);
                world.service();
            }
            let mut seen = 0u8;
            while let Some(lr) = world.cpus[0].hw.acknowledge(IDLE) {
                prop_assert_eq!(seen >> lr.source & 1, 0, "a sender was seen twice");
                seen |= 1 << lr.source;
                world.cpus[0].hw.deactivate_virtual(5);
                world.service();
            }
            prop_assert_eq!(seen, senders);
        }
    }
}

#[test]
fn hvisor_282_a_second_sender_waits_until_the_first_is_ended() {
    let mut world = World::ready(1, 4, &[5]);
    world.sgi_from(3, 0, 5);
    world.service();
    assert_eq!(world.cpus[0].hw.acknowledge(IDLE).unwrap().source, 3);
    world.sgi_from(6, 0, 5);
    world.service();
    let lr = world.cpus[0].hw.holds(5).unwrap();
    assert!(lr.active && !lr.pending && lr.eoi && lr.source == 3);
    world.sgi_from(3, 0, 5);
    world.service();
    let lr = world.cpus[0].hw.holds(5).unwrap();
    assert!(lr.active && lr.pending && lr.source == 3, "the same sender again can wait in the register");
}

// hvisor issue 361: IPIs lost in a queue that senders shared.

proptest! {
    #[test]
    fn hvisor_361_every_sgi_reaches_every_target(
        sends in prop::collection::vec((0usize..4, 0usize..4, 0u32..16), 1..60), lrs in 2usize..=4,
    ) {
        let all: Vec<u32> = (0..16).collect();
        let mut world = World::ready(4, lrs, &all);
        let mut expected = [0u32; 4];
        for (from, to, sgi) in sends {
            world.sgi(from, to, sgi);
            expected[to] |= 1 << sgi;
        }
        world.service();
        for (v, expected) in expected.into_iter().enumerate() {
            let seen = drain(&mut world, v);
            prop_assert_eq!(seen.iter().fold(0, |mask, sgi| mask | 1 << sgi), expected);
            prop_assert_eq!(seen.len() as u32, expected.count_ones(), "one came twice");
        }
    }
}

// libvmm issues 56 and 138, pull request 179: pending and active states were forgotten while an interrupt was
// disabled, and a timer interrupt dropped. Pull request 238: the same for SGIs.

proptest! {
    #[test]
    fn libvmm_56_138_an_interrupt_raised_while_disabled_is_delivered_when_enabled(
        intid in prop_oneof![0u32..16, 16u32..27, 32u32..96], raised_before: bool, reloads: bool,
    ) {
        let mut world = World::ready(1, 4, &[intid]);
        if raised_before {
            world.raise(0, intid);
            world.service();
        }
        world.enable(0, intid, false);
        world.service();
        if !raised_before {
            world.raise(0, intid);
            world.service();
        }
        if reloads {
            world.unload(0);
            world.load(0);
        }
        prop_assert_eq!(world.acknowledge(0), None);
        prop_assert!(world.read_bit(0, intid, 0x200), "ISPENDR forgot it");
        world.enable(0, intid, true);
        world.service();
        prop_assert_eq!(drain(&mut world, 0), vec![intid]);
    }

    #[test]
    fn libvmm_56_138_an_active_interrupt_stays_active_while_disabled(
        intid in prop_oneof![0u32..16, 16u32..27, 32u32..96], raised_again: bool,
    ) {
        let mut world = World::ready(1, 4, &[intid]);
        world.raise(0, intid);
        world.service();
        world.acknowledge(0);
        world.enable(0, intid, false);
        if raised_again {
            world.raise(0, intid);
        }
        world.service();
        world.compare();
        prop_assert!(world.read_bit(0, intid, 0x300));
        world.end(0);
        world.service();
        prop_assert_eq!(world.acknowledge(0), None);
        world.enable(0, intid, true);
        world.service();
        prop_assert_eq!(drain(&mut world, 0), if raised_again { vec![intid] } else { vec![] });
    }
}

#[test]
fn libvmm_179_a_timer_interrupt_that_comes_while_disabled_is_delivered_when_enabled() {
    let mut world = World::ready(1, 4, &[TIMER]);
    world.enable(0, TIMER, false);
    world.set_timer(0, true);
    world.service();
    assert_eq!(world.acknowledge(0), None);
    world.enable(0, TIMER, true);
    world.service();
    assert_eq!(world.acknowledge(0), Some(TIMER));
    world.set_timer(0, false);
    world.end(0);
    world.service();
    assert_eq!(world.cpus[0].hw.active_ppis, 0);
    world.set_timer(0, true);
    world.service();
    assert_eq!(world.acknowledge(0), Some(TIMER), "the next one comes too");
}

// seL4 issue 1023, seL4_projects_libs pull request 28: more interrupts than list registers.

proptest! {
    #[test]
    fn sel4_1023_more_pending_than_list_registers_are_all_delivered_most_urgent_first(
        count in 1u32..64, lrs in 2usize..=16, seed: u64,
    ) {
        let intids: Vec<u32> = (32..32 + count).collect();
        let mut world = World::ready(1, lrs, &intids);
        for &intid in &intids {
            world.configure(intid, true);
            world.priority(0, intid, (seed.rotate_left(intid * 7) as u8) & 0xf8);
            world.raise(0, intid);
        }
        world.service();
        // `World::acknowledge` checks the order against the model.
        let mut ready: Vec<u32> = drain(&mut world, 0);
        ready.sort_unstable();
        let masked = intids.iter().filter(|&&n| world.model.irq(0, n).priority == 0xf8).count();
        prop_assert!(ready.len() + masked >= intids.len());
        ready.dedup();
        prop_assert_eq!(ready.len() + world.model.best(0, IDLE).len(), intids.len());
    }

    #[test]
    fn sel4_1023_an_end_costs_no_exit_where_all_pending_interrupts_fit(count in 1usize..3) {
        let intids = &[1, 2, 3][..count];
        let mut world = World::ready(1, 4, intids);
        for &intid in intids {
            world.raise(0, intid);
        }
        world.service();
        for _ in intids {
            world.acknowledge(0).unwrap();
            world.end(0);
            prop_assert!(!world.cpus[0].hw.calls());
        }
    }
}

#[test]
fn sel4_1023_interrupts_nested_deeper_than_the_list_registers_end_in_order() {
    let intids: Vec<u32> = (40..50).collect();
    let mut world = World::ready(1, 3, &intids);
    for (depth, &intid) in intids.iter().enumerate() {
        world.configure(intid, true);
        world.priority(0, intid, 0xf0 - 8 * depth as u8);
        world.raise(0, intid);
        world.service();
        assert_eq!(world.acknowledge(0), Some(intid));
        world.compare();
    }
    for &intid in intids.iter().rev() {
        assert_eq!(world.end(0), Some(intid));
        world.service();
        world.compare();
    }
}

// tgoskits issue 2021: the virtual GIC stalled under load.

proptest! {
    #[test]
    fn tgoskits_2021_under_load_there_is_always_a_next_interrupt_or_nothing_pending(
        lrs in 2usize..=5, rounds in prop::collection::vec(prop::collection::vec((0u32..48, any::<bool>()), 0..24), 1..12),
    ) {
        let intids: Vec<u32> = (0..16).chain(32..64).collect();
        let mut world = World::ready(1, lrs, &intids);
        for round in rounds {
            for (n, by_line) in round {
                let intid = intids[n as usize];
                if by_line && intid >= 32 {
                    world.line(0, intid, true);
                } else {
                    world.raise(0, intid);
                }
            }
            world.service();
            while let Some(intid) = world.acknowledge(0) {
                if intid >= 32 {
                    world.line(0, intid, false);
                }
                world.end(0);
                world.service();
                world.compare();
            }
            prop_assert_eq!(world.model.ready(0).count(), 0);
        }
    }
}

#[test]
fn what_is_pending_behind_its_active_self_does_not_overtake_what_waits() {
    let mut world = World::ready(1, 3, &[0, 2, 3, 20]);
    world.priority(0, 0, 0x20);
    world.priority(0, 20, 0x20);
    for sgi in [2, 3] {
        world.raise(0, sgi);
    }
    world.service();
    assert_eq!(world.acknowledge(0), Some(2));
    for intid in [2, 20, 0] {
        world.raise(0, intid);
        world.service();
    }
    assert_eq!(world.end(0), Some(2));
    for urgent in [0, 20] {
        world.service();
        world.compare();
        assert_eq!(world.acknowledge(0), Some(urgent));
        world.end(0);
    }
    world.service();
    world.compare();
}
