//! What a busy vCPU does between two looks at its list registers: interrupts come, are taken and end, and nothing but the
//! short ways runs at EL2.

use proptest::prelude::*;

use super::super::{Listed, Lr, Upcall, Version};
use super::world::{TIMER, UPCALL, World};
use crate::addr::IntId;

#[derive(Clone, Debug)]
pub enum Beat {
    /// An SGI to itself: an even one, so that it takes the short way.
    Sgi(u32),
    /// The timer runs out.
    Fire,
    /// An event is sent to it.
    Event,
    /// The guest acknowledges. Its handler first stops the timer, or clears `evtchn_upcall_pending`.
    Take,
    /// The guest ends what it acknowledged last.
    End,
    /// Another vCPU has the pCPU for a while, and leaves something of its own in the list registers.
    Away,
}

pub fn beats() -> impl Strategy<Value = Vec<Beat>> {
    let beat = prop_oneof![
        2 => prop::sample::select(vec![0u32, 2]).prop_map(Beat::Sgi),
        1 => Just(Beat::Fire),
        2 => Just(Beat::Event),
        4 => Just(Beat::Take),
        4 => Just(Beat::End),
        1 => Just(Beat::Away),
    ];
    prop::collection::vec(beat, 1..24)
}

impl World {
    /// What EL2 does for vCPU `v` before it is entered, without a look at its list registers that nothing calls for.
    fn serve_quietly(&mut self, v: usize) {
        for _ in 0..8 {
            self.shortly = false;
            let fired = self.physical(v);
            if !self.attention.is_empty() {
                self.service();
            } else if fired == Some(Listed::Resync) || self.cpus[v].hw.calls() {
                self.resync(v);
            } else if fired.is_none() {
                return;
            }
        }
        panic!("the pCPU never comes to rest");
    }

    /// Plays `beats` on vCPU `v`, which is loaded, and compares what it is offered after each.
    pub fn beat(&mut self, v: usize, beats: &[Beat]) {
        for beat in beats {
            match beat {
                Beat::Sgi(sgi) => self.sgi(v, v, *sgi),
                Beat::Fire => {
                    self.cpus[v].timer = true;
                    self.model.drive(v, TIMER, true);
                }
                // The flag is set already: nobody is told.
                Beat::Event if self.cpus[v].upcall => {}
                Beat::Event => self.event(v, true),
                Beat::Take => {
                    let taken = self.acknowledge(v);
                    if taken == Some(UPCALL) {
                        self.cpus[v].upcall = false;
                        self.model.drive(v, UPCALL, false);
                    } else if taken == Some(TIMER) {
                        self.cpus[v].timer = false;
                        self.model.drive(v, TIMER, false);
                    }
                }
                Beat::End => self.end_quietly(v),
                Beat::Away => {
                    self.unload(v);
                    for (lr, vintid) in self.cpus[v].hw.lrs.iter_mut().zip([31, 9, 10]) {
                        *lr = Lr { vintid: IntId::new(vintid), priority: 8, ..Lr::EMPTY };
                    }
                    self.load(v);
                }
            }
            self.serve_quietly(v);
            self.compare_offer(v);
        }
    }
}

/// The n-th time that each of them comes.
fn steady(version: Version) -> World {
    let mut world = World::ready_with(version, 1, 4, &[2, TIMER, UPCALL]);
    for _ in 0..3 {
        for cause in [Beat::Sgi(2), Beat::Fire, Beat::Event] {
            world.beat(0, &[cause, Beat::Take, Beat::End]);
        }
    }
    world
}

#[test]
fn what_comes_again_comes_by_the_shortest_way_and_is_seen_when_somebody_looks() {
    for version in [Version::V2, Version::V3] {
        let mut world = steady(version);
        let cpu = &mut world.cpus[0];
        let source = super::super::SgiSource::new(0).unwrap();
        assert!(world.vgic.sgi_again(&cpu.local, &mut cpu.hw, IntId::new(2), source));
        assert!(!world.vgic.sgi_again(&cpu.local, &mut cpu.hw, IntId::new(2), source), "it is pending");
        cpu.hw.active_ppis |= 1 << TIMER;
        assert!(world.vgic.taken_again(&cpu.local, &mut cpu.hw, IntId::new(TIMER)));
        assert_eq!(world.vgic.upcall(&mut cpu.local, &mut cpu.hw), Upcall::Queued);
        for intid in [2, TIMER, UPCALL] {
            assert!(cpu.hw.holds(intid).unwrap().pending, "INTID {intid}");
        }
        world.model.irq(0, 2).latch = 1;
        world.set_timer(0, true);
        world.cpus[0].upcall = true;
        world.model.drive(0, UPCALL, true);
        world.service();
        world.compare();
    }
}

#[test]
fn nothing_comes_again_that_was_disabled_or_withdrawn_meanwhile() {
    type Change = fn(&mut World);
    let changes: [Change; 4] = [
        |world| world.enable(0, 2, false),
        |world| world.enable_distributor(false),
        |world| world.pend(0, 2, false),
        |world| world.sgi_from(1, 0, 2),
    ];
    for change in changes {
        let mut world = steady(Version::V3);
        change(&mut world);
        let cpu = &mut world.cpus[0];
        let source = super::super::SgiSource::ANONYMOUS;
        assert!(!world.vgic.sgi_again(&cpu.local, &mut cpu.hw, IntId::new(2), source));
    }
    let mut world = steady(Version::V3);
    world.pend(0, TIMER, true);
    let cpu = &mut world.cpus[0];
    assert!(!world.vgic.taken_again(&cpu.local, &mut cpu.hw, IntId::new(TIMER)));
}
