//! The timer: a PPI that is linked to the physical one.

use super::super::Width;
use super::world::{TIMER, World, vcpu};
use crate::addr::IntId;

const TIMER_ID: IntId = IntId::new(TIMER);

/// Resyncs without a look at the timer's output.
fn resync_blindly(world: &mut World) {
    let cpu = &mut world.cpus[0];
    let _ = world.vgic.resync(&mut cpu.local, &mut cpu.hw, false);
}

#[test]
fn a_timer_whose_line_drops_before_the_acknowledge_is_retracted_and_can_fire_again() {
    let mut world = World::ready(1, 4, &[TIMER]);
    world.set_timer(0, true);
    world.service();
    assert_eq!(world.cpus[0].hw.holds(TIMER).unwrap().hw, Some(TIMER_ID));
    world.set_timer(0, false);
    world.service();
    assert!(world.cpus[0].hw.holds(TIMER).is_none());
    assert_eq!(world.cpus[0].hw.active_ppis, 0);
    world.set_timer(0, true);
    world.service();
    assert_eq!(world.acknowledge(0), Some(TIMER));
}

#[test]
fn an_active_timer_survives_a_change_of_vcpu_without_blocking_the_next_ones_timer() {
    let mut world = World::ready(1, 4, &[TIMER]);
    world.set_timer(0, true);
    world.service();
    world.acknowledge(0);
    world.unload(0);
    assert_eq!(world.cpus[0].hw.active_ppis, 0);
    world.load(0);
    assert_eq!(world.cpus[0].hw.active_ppis, 1 << TIMER);
    let lr = world.cpus[0].hw.holds(TIMER).unwrap();
    assert!(lr.active && !lr.pending && lr.hw == Some(TIMER_ID));
    world.set_timer(0, false);
    world.end(0);
    assert_eq!(world.cpus[0].hw.active_ppis, 0);
}

#[test]
fn a_timer_that_the_guest_ended_comes_again_only_if_it_fires_again() {
    let mut world = World::ready(1, 4, &[TIMER]);
    world.set_timer(0, true);
    world.service();
    world.acknowledge(0);
    world.cpus[0].timer = false;
    world.end(0);
    resync_blindly(&mut world);
    assert!(world.cpus[0].hw.holds(TIMER).is_none());
    assert!(!world.vgic.deliverable(&world.cpus[0].local, false, 0xff));
}

#[test]
fn a_timer_that_fires_again_before_anybody_saw_it_end_is_delivered_again() {
    let mut world = World::ready(1, 4, &[TIMER]);
    world.set_timer(0, true);
    world.service();
    for _ in 0..3 {
        assert_eq!(world.acknowledge(0), Some(TIMER));
        world.end(0);
        assert!(world.physical(0).is_some(), "the line is still high");
        world.resync(0);
    }
    assert_eq!(world.cpus[0].hw.holds(TIMER).unwrap().hw, Some(TIMER_ID));
}

#[test]
fn a_timer_made_inactive_by_the_guest_can_fire_again() {
    let mut world = World::ready(1, 4, &[TIMER]);
    world.set_timer(0, true);
    world.service();
    world.acknowledge(0);
    world.cpus[0].running.clear();
    world.fold(0);
    world.write(World::array(0, TIMER, 0x380, 1), Width::Word, 1 << TIMER);
    world.model.irq(0, TIMER).active = false;
    world.set_timer(0, false);
    world.service();
    assert_eq!(world.cpus[0].hw.active_ppis, 0);
    world.set_timer(0, true);
    world.service();
    assert_eq!(world.acknowledge(0), Some(TIMER));
}

#[test]
fn a_timer_made_pending_by_the_guest_while_active_waits_for_its_end() {
    let mut world = World::ready(1, 4, &[TIMER]);
    world.set_timer(0, true);
    world.service();
    world.acknowledge(0);
    world.pend(0, TIMER, true);
    world.service();
    let lr = world.cpus[0].hw.holds(TIMER).unwrap();
    assert!(lr.active && !lr.pending, "linked: never both");
    world.set_timer(0, false);
    world.end(0);
    world.service();
    let lr = world.cpus[0].hw.holds(TIMER).unwrap();
    assert!(lr.pending && lr.hw.is_none(), "no physical interrupt belongs to this one");
    assert_eq!(world.acknowledge(0), Some(TIMER));
    world.set_timer(0, true);
    world.service();
    assert!(world.cpus[0].hw.holds(TIMER).unwrap().hw.is_none(), "the link waits for the end");
    world.end(0);
    world.service();
    assert_eq!(world.cpus[0].hw.holds(TIMER).unwrap().hw, Some(TIMER_ID));
    assert_eq!(world.acknowledge(0), Some(TIMER));
}

#[test]
fn a_timer_ended_without_a_list_register_is_deactivated_for_real() {
    let mut world = World::ready(1, 2, &[1, TIMER]);
    world.priority(0, 1, 0x20);
    world.set_timer(0, true);
    world.service();
    world.acknowledge(0);
    world.raise(0, 1);
    world.service();
    assert!(world.cpus[0].hw.holds(TIMER).is_none(), "the more urgent one needed the register");
    assert_eq!(world.acknowledge(0), Some(1));
    world.cpus[0].timer = false;
    assert_eq!((world.end(0), world.end(0)), (Some(1), Some(TIMER)));
    resync_blindly(&mut world);
    assert_eq!(world.cpus[0].hw.active_ppis, 0);
    assert!(world.cpus[0].hw.holds(TIMER).is_none());
}

#[test]
fn only_a_linked_interrupt_is_taken_and_only_so_does_it_rise() {
    let mut world = World::ready(1, 4, &[20, TIMER]);
    let cpu = &mut world.cpus[0];
    assert_eq!(world.vgic.taken(&mut cpu.local, &mut cpu.hw, IntId::new(20)), None);
    assert_eq!(world.vgic.taken(&mut cpu.local, &mut cpu.hw, IntId::new(40)), None);
    assert!(world.vgic.set_line(vcpu(0), TIMER_ID, true).is_empty());
    resync_blindly(&mut world);
    assert!(world.cpus[0].hw.holds(TIMER).is_none());
}
