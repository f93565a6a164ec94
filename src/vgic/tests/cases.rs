//! Single cases: ends, nesting, priorities, changes of vCPU, and starting over.

use proptest::prelude::*;

use super::super::{LrBank, Width};
use super::world::{IDLE, TIMER, UPCALL, World, vcpu};

#[test]
fn a_level_interrupt_that_is_still_asserted_at_its_end_calls_for_a_resync() {
    let mut world = World::ready(1, 4, &[32]);
    world.line(0, 32, true);
    world.service();
    assert_eq!(world.acknowledge(0), Some(32));
    world.end(0);
    assert!(world.cpus[0].hw.calls(), "or the guest would wait for an exit that may never come");
    world.service();
    assert_eq!(world.acknowledge(0), Some(32));
}

#[test]
fn an_spi_made_inactive_behind_the_back_of_a_vcpu_that_sleeps_is_free_again() {
    let mut world = World::ready(2, 4, &[40]);
    world.configure(40, true);
    world.raise(0, 40);
    world.service();
    assert_eq!(world.acknowledge(0), Some(40));
    world.unload(0);
    world.route(40, 1);
    world.raise(1, 40);
    world.service();
    assert_eq!(world.acknowledge(1), None, "it is active elsewhere");
    world.write(World::array(1, 40, 0x380, 1), Width::Word, 1 << 8);
    world.model.irq(0, 40).active = false;
    world.service();
    assert_eq!(world.acknowledge(1), Some(40));
}

#[test]
fn a_vcpu_that_is_switched_on_again_has_nothing_of_its_former_life_pending() {
    let mut world = World::ready(2, 4, &[1, 2, 40]);
    world.configure(40, true);
    world.raise(0, 40);
    world.raise(0, 1);
    world.service();
    world.acknowledge(0);
    world.sgi(1, 0, 2);
    world.service();
    world.unload(0);
    let woken = world.vgic.reset_cpu(&mut world.cpus[0].local);
    assert!(woken.is_empty());
    assert!(world.cpus[0].hw.lrs.iter().all(|lr| !lr.is_valid()));
    assert!(!world.read_bit(0, 1, 0x300) && !world.read_bit(0, 1, 0x200) && !world.read_bit(0, 2, 0x200));
    assert!(world.read_bit(0, 2, 0x100), "the configuration stays");
    world.load(0);
    assert!(world.cpus[0].hw.holds(1).is_none() && world.cpus[0].hw.holds(2).is_none());
}

#[test]
fn a_domain_that_starts_again_finds_the_virtual_gic_as_new() {
    let mut world = World::ready(2, 4, &[1, 40, TIMER, UPCALL]);
    world.configure(40, true);
    world.route(40, 1);
    world.raise(0, 40);
    world.sgi(1, 0, 1);
    world.event(0, true);
    world.set_timer(0, true);
    world.service();
    world.acknowledge(1);
    for v in 0..2 {
        world.unload(v);
    }
    world.vgic.reset();
    let fresh = World::new(2, 64, 4);
    let frames = (0x0300_1000..0x0301_1000u64).chain(0x0302_0000..0x0306_0000).step_by(4);
    for ipa in frames {
        assert_eq!(world.read(ipa, Width::Word), fresh.read(ipa, Width::Word), "register at {ipa:#x}");
    }
    assert!(!world.vgic.deliverable(&LrBank::new(vcpu(0)), false, 0xff));
}

proptest! {
    #[test]
    fn an_upcall_by_the_short_way_leaves_the_list_registers_as_a_resync_would(
        acknowledged: bool, ended: bool, enabled: bool, distributor: bool, lrs in 2usize..=4,
        others in prop::collection::vec((0u32..8, 1u8..16), 0..6),
    ) {
        let intids: Vec<u32> = (0..8).chain([UPCALL]).collect();
        let mut world = World::ready(1, lrs, &intids);
        if acknowledged {
            world.event(0, false);
            world.service();
            world.acknowledge(0);
            if ended {
                world.end(0);
                world.clear_upcall(0);
            }
        }
        for (sgi, priority) in others {
            world.priority(0, sgi, priority << 4);
            world.raise(0, sgi);
        }
        world.enable(0, UPCALL, enabled);
        world.enable_distributor(distributor);
        world.service();
        world.event(0, true);
        let before = world.cpus[0].hw.lrs.clone();
        if world.attention.is_empty() {
            world.resync(0);
            prop_assert_eq!(before, world.cpus[0].hw.lrs.clone());
        }
        world.service();
        world.compare();
    }
}

#[test]
fn an_spi_made_inactive_while_its_vcpu_slept_is_let_go_when_that_wakes() {
    let mut world = World::ready(2, 4, &[40]);
    world.configure(40, true);
    world.raise(0, 40);
    world.service();
    world.acknowledge(0);
    world.unload(0);
    world.route(40, 1);
    world.write(World::array(1, 40, 0x380, 1), Width::Word, 1 << 8);
    world.model.irq(0, 40).active = false;
    world.load(0);
    world.raise(1, 40);
    world.service();
    assert_eq!(world.acknowledge(1), Some(40));
}

#[test]
fn an_upcall_gives_way_to_a_more_urgent_interrupt_that_waits_for_a_list_register() {
    let mut world = World::ready(1, 2, &[1, 2, UPCALL]);
    for (intid, priority) in [(1, 0x20), (2, 0x40), (UPCALL, 0x60)] {
        world.priority(0, intid, priority);
    }
    world.raise(0, 1);
    world.raise(0, 2);
    world.event(0, false);
    world.service();
    for expected in [1, 2, UPCALL] {
        // The end of an edge costs no exit, so nobody would correct a wrong choice.
        assert_eq!(world.acknowledge(0), Some(expected));
        world.end(0);
        world.service();
    }
}

#[test]
fn what_eoi_count_counted_before_it_was_needed_ends_nothing() {
    let mut world = World::ready(1, 2, &[1, 2]);
    world.priority(0, 2, 0x20);
    world.cpus[0].hw.eoi_count = 3;
    world.raise(0, 1);
    world.service();
    world.acknowledge(0);
    world.raise(0, 2);
    world.service();
    assert_eq!(world.acknowledge(0), Some(2));
    world.service();
    world.compare();
    assert!(world.read_bit(0, 1, 0x300), "SGI 1 is still active, though in no list register");
    world.end(0);
    world.end(0);
    world.service();
    world.compare();
    assert_eq!(world.cpus[0].running_priority(), IDLE);
}

#[test]
fn the_whole_virtual_gic_of_a_small_domain_fits_two_pages() {
    use super::super::{spi::SpiBank, state::Private};
    let bytes = size_of::<super::super::Vgic>()
        + size_of::<SpiBank>() * 256 / 32
        + size_of::<Private>()
        + size_of::<LrBank>();
    assert!(bytes <= 2048, "{bytes}");
}
