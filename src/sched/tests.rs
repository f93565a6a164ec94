//! The scheduler against simulated vCPUs.

use proptest::prelude::*;

use super::reference::Reference;
use super::*;

const SLICE: u64 = 10_000;

fn scheduler(count: usize) -> (Scheduler, Vec<Slot>) {
    let mut scheduler = Scheduler::new(SLICE);
    let slots: Vec<Slot> = (0..count).filter_map(|_| scheduler.add(0)).collect();
    for slot in &slots {
        scheduler.wake(*slot, 0);
    }
    (scheduler, slots)
}

/// What a simulated vCPU does.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// Computes without end.
    Hog,
    /// Computes so long, then sleeps so long.
    Cycle(u64, u64),
}

/// Runs the loads for `span` ticks; answers how long each ran, and the longest time that each was kept waiting.
fn simulate(loads: &[Load], span: u64) -> Vec<(u64, u64)> {
    let (mut scheduler, slots) = scheduler(loads.len());
    let work = |load: &Load| if let Load::Cycle(run, _) = load { *run } else { u64::MAX };
    let mut left: Vec<u64> = loads.iter().map(work).collect();
    let (mut ran, mut waiting) = (vec![0; loads.len()], vec![0; loads.len()]);
    let mut longest = vec![0; loads.len()];
    let mut now = 0;
    while now < span {
        let _ = scheduler.ring_alarms(now);
        let Some(slot) = scheduler.pick(now) else {
            now = scheduler.next_interrupt().unwrap_or(span);
            continue;
        };
        let index = slot.index();
        let until = scheduler.next_interrupt().unwrap_or(span).max(now + 1);
        let step = (until - now).min(left[index]);
        for other in 0..loads.len() {
            let runnable =
                scheduler.times(slots[other], now).is_some_and(|times| times.state == RunState::Runnable);
            waiting[other] = if runnable { waiting[other] + step } else { 0 };
            longest[other] = longest[other].max(waiting[other]);
        }
        now += step;
        ran[index] += step;
        left[index] -= step;
        if let (0, Load::Cycle(run, sleep)) = (left[index], loads[index]) {
            left[index] = run;
            scheduler.block(Some(now + sleep), now);
        }
    }
    ran.into_iter().zip(longest).collect()
}

#[test]
fn a_vcpu_alone_has_no_slice_and_waits_natively() {
    let (mut scheduler, slots) = scheduler(1);
    assert_eq!(scheduler.pick(0), Some(slots[0]));
    assert!(!scheduler.is_shared());
    assert_eq!(scheduler.next_interrupt(), None);
    assert_eq!(scheduler.pick(100 * SLICE), Some(slots[0]));
}

#[test]
fn a_second_vcpu_makes_the_pcpu_shared_when_it_is_turned_on() {
    let mut scheduler = Scheduler::new(SLICE);
    let slots = [scheduler.add(0).unwrap(), scheduler.add(0).unwrap()];
    scheduler.wake(slots[0], 0);
    assert_eq!(scheduler.pick(0), Some(slots[0]));
    assert!(!scheduler.is_shared());
    scheduler.wake(slots[1], 5);
    assert!(scheduler.is_shared());
    assert_eq!(scheduler.pick(5), Some(slots[1]), "it has run no more");
    scheduler.turn_off(slots[1], 9);
    assert_eq!((scheduler.pick(9), scheduler.is_shared()), (Some(slots[0]), false));
}

#[test]
fn slices_end_only_where_somebody_waits() {
    let (mut scheduler, slots) = scheduler(2);
    let first = scheduler.pick(0).unwrap();
    assert_eq!(scheduler.next_interrupt(), Some(SLICE));
    assert_eq!(scheduler.pick(SLICE - 1), Some(first), "asking changes nothing");
    assert_eq!(scheduler.pick(SLICE), Some(slots[1]));
    scheduler.block(None, SLICE + 1);
    assert_eq!((scheduler.pick(SLICE + 1), scheduler.next_interrupt()), (Some(first), None));
}

#[test]
fn an_event_wakes_its_receiver_at_once() {
    let (mut scheduler, slots) = scheduler(3);
    assert_eq!(scheduler.pick(0), Some(slots[0]));
    scheduler.block(None, 10);
    assert_eq!(scheduler.pick(10), Some(slots[1]));
    scheduler.wake(slots[0], 500);
    scheduler.turn_off(slots[2], 500);
    assert_eq!(scheduler.pick(500), Some(slots[0]), "it has had less than the one it interrupts");
}

#[test]
fn a_vcpu_that_has_had_its_share_waits_for_the_slice_to_end() {
    let (mut scheduler, slots) = scheduler(2);
    assert_eq!(scheduler.pick(0), Some(slots[0]));
    scheduler.block(None, 9_000);
    assert_eq!(scheduler.pick(9_000), Some(slots[1]));
    scheduler.wake(slots[0], 9_100);
    assert_eq!(scheduler.pick(9_100), Some(slots[1]));
    assert_eq!(scheduler.next_interrupt(), Some(9_000 + SLICE));
    assert_eq!(scheduler.pick(9_000 + SLICE), Some(slots[0]));
}

#[test]
fn an_alarm_wakes_a_sleeper_and_is_then_forgotten() {
    let (mut scheduler, slots) = scheduler(1);
    assert_eq!(scheduler.pick(0), Some(slots[0]));
    scheduler.block(Some(700), 5);
    assert_eq!((scheduler.pick(5), scheduler.next_interrupt()), (None, Some(700)));
    assert_eq!(scheduler.ring_alarms(699), Slots::default());
    let woken = scheduler.ring_alarms(701);
    assert_eq!((woken.bits(), woken.iter().collect::<Vec<_>>()), (1, vec![slots[0]]));
    assert_eq!((scheduler.pick(701), scheduler.next_interrupt()), (Some(slots[0]), None));
}

#[test]
fn who_gives_way_is_not_picked_next() {
    let (mut scheduler, slots) = scheduler(2);
    assert_eq!(scheduler.pick(0), Some(slots[0]));
    scheduler.give_way(1);
    assert_eq!(scheduler.pick(1), Some(slots[1]));
    scheduler.block(None, 2);
    assert_eq!(scheduler.pick(2), Some(slots[0]));
    scheduler.give_way(3);
    assert_eq!(scheduler.pick(3), Some(slots[0]), "nobody to give way to");
}

#[test]
fn sixty_four_is_the_limit() {
    let (mut scheduler, slots) = scheduler(MAX_VCPUS);
    assert_eq!(slots.last().map(|slot| slot.index()), Some(63));
    assert_eq!(scheduler.add(0), None);
}

#[test]
fn two_that_wake_each_other_have_two_shares_of_three() {
    let (mut scheduler, slots) = scheduler(3);
    // The second of the pair waits for the first.
    assert_eq!(scheduler.pick(0), Some(slots[0]));
    scheduler.give_way(0);
    assert_eq!(scheduler.pick(0), Some(slots[1]));
    scheduler.block(None, 0);
    let (mut now, mut ran, mut work) = (0, [0_u64; 3], 50);
    while now < 3000 * SLICE {
        let index = scheduler.pick(now).unwrap().index();
        let slice = scheduler.next_interrupt().unwrap_or(now + SLICE).max(now + 1);
        let until = if index == 2 { slice } else { slice.min(now + work) };
        ran[index] += until - now;
        if index != 2 {
            work -= until - now;
        }
        now = until;
        if work == 0 {
            work = 50;
            scheduler.wake(slots[1 - index], now);
            scheduler.block(None, now);
        }
    }
    let third = now / 3;
    for share in ran {
        assert!(share.abs_diff(third) <= third / 20, "{ran:?}");
    }
}

#[test]
fn turning_off_and_on_gains_nothing() {
    let (mut scheduler, slots) = scheduler(2);
    let (mut now, mut ran) = (0, [0_u64; 2]);
    while now < 1000 * SLICE {
        let slot = scheduler.pick(now).unwrap();
        let step = SLICE / 4;
        ran[slot.index()] += step;
        now += step;
        if slot == slots[1] {
            scheduler.turn_off(slots[1], now);
            scheduler.wake(slots[1], now);
        }
    }
    assert!(ran[1] <= ran[0] + ran[0] / 20, "{ran:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn those_that_compute_share_evenly(count in 2_usize..9) {
        let span = 1000 * SLICE;
        for (ran, _) in simulate(&vec![Load::Hog; count], span) {
            let share = span / count as u64;
            prop_assert!(ran.abs_diff(share) <= share / 20, "{} of {}", ran, share);
        }
    }

    /// Hogs share what is left evenly, no sleeper gets more than a hog, and nobody waits long.
    #[test]
    fn nobody_starves_and_nobody_gets_more_than_a_fair_part(
        hogs in 1_usize..4,
        cycles in prop::collection::vec((1_u64..30_000, 1_u64..60_000), 1..6),
    ) {
        let mut loads = vec![Load::Hog; hogs];
        loads.extend(cycles.iter().map(|(run, sleep)| Load::Cycle(*run, *sleep)));
        let count = loads.len() as u64;
        let span = 1000 * SLICE;
        let results = simulate(&loads, span);
        let fair = span / count;
        let hog = results[0].0;
        for (index, (ran, longest)) in results.iter().enumerate() {
            prop_assert!(*longest <= 2 * count * SLICE, "{} waited {}", index, longest);
            match loads[index] {
                Load::Hog => prop_assert!(*ran >= fair - fair / 20 && ran.abs_diff(hog) <= hog / 20),
                Load::Cycle(run, sleep) => {
                    prop_assert!(*ran <= hog + hog / 20, "{} ran {} of {}", index, ran, hog);
                    // One that asks for little gets most of it, whatever the others do.
                    let wanted = span / (run + sleep) * run;
                    if wanted < fair / 4 && run < SLICE / 4 {
                        prop_assert!(*ran >= wanted / 4 * 3, "{} wanted {}, got {}", index, wanted, ran);
                    }
                }
            }
        }
    }

    /// Who has run no more than the current one when it wakes runs at once.
    #[test]
    fn a_wake_has_no_latency_for_those_below_their_share(before in 0_u64..5_000, later in 0_u64..9_999) {
        let (mut scheduler, slots) = scheduler(2);
        prop_assert_eq!(scheduler.pick(0), Some(slots[0]));
        scheduler.block(None, before);
        let _ = scheduler.pick(before);
        let now = before + later;
        let _ = scheduler.pick(now);
        scheduler.wake(slots[0], now);
        let runs = scheduler.pick(now) == Some(slots[0]);
        prop_assert_eq!(runs, before <= later, "{} against {}", before, later);
    }

    /// Whatever is called in whatever order: at most one runs, times add up, and the chosen one can run.
    #[test]
    fn any_order_of_calls_keeps_the_books(
        steps in prop::collection::vec((0_u8..6, 0_usize..5, 0_u64..20_000), 0..200),
    ) {
        let mut scheduler = Scheduler::new(SLICE);
        let slots: Vec<Slot> = (0..5).map(|_| scheduler.add(0).unwrap()).collect();
        let mut now = 0;
        for (what, which, time) in steps {
            now += time;
            match what {
                0 | 1 => scheduler.wake(slots[which], now),
                2 => scheduler.block((time % 2 == 0).then_some(now + time), now),
                3 => scheduler.turn_off(slots[which], now),
                4 => scheduler.give_way(now),
                _ => drop(scheduler.ring_alarms(now)),
            }
            let chosen = scheduler.pick(now);
            prop_assert_eq!(chosen, scheduler.current());
            for slot in &slots {
                let times = scheduler.times(*slot, now).unwrap();
                prop_assert_eq!(times.spent.iter().sum::<u64>(), now);
                prop_assert_eq!(times.state == RunState::Running, chosen == Some(*slot));
                prop_assert!(chosen.is_some() || times.state != RunState::Runnable);
            }
        }
    }

    /// Whatever is called in whatever order, with few vCPUs or many: the same is decided as by the reference.
    #[test]
    fn it_decides_as_the_reference_does(
        count in prop_oneof![1_usize..6, Just(16), Just(MAX_VCPUS)],
        steps in prop::collection::vec((0_u8..10, any::<prop::sample::Index>(), 0_u64..30_000, any::<bool>()), 0..300),
    ) {
        let (mut scheduler, mut reference) = (Scheduler::new(SLICE), Reference::new(SLICE));
        let slots: Vec<Slot> = (0..count).filter_map(|_| scheduler.add(7)).collect();
        prop_assert_eq!(slots.iter().filter_map(|_| reference.add(7)).collect::<Vec<_>>(), slots.clone());
        let mut now = 7;
        for (what, which, time, hurried) in steps {
            let slot = slots[which.index(count)];
            // Often nothing passes, so that there are ties.
            now += if hurried { 0 } else { time };
            match what {
                0..4 => {
                    scheduler.wake(slot, now);
                    reference.wake(slot, now);
                }
                4 | 5 => {
                    let alarm = (time % 3 != 0).then_some(now + time * 2);
                    scheduler.block(alarm, now);
                    reference.block(alarm, now);
                }
                6 => {
                    scheduler.turn_off(slot, now);
                    reference.turn_off(slot, now);
                }
                7 => {
                    scheduler.give_way(now);
                    reference.give_way(now);
                }
                8 => prop_assert_eq!(scheduler.ring_alarms(now), reference.ring_alarms(now)),
                _ => {}
            }
            if what != 9 || time % 2 == 0 {
                prop_assert_eq!(scheduler.pick(now), reference.pick(now));
            }
            prop_assert_eq!(scheduler.current(), reference.current());
            prop_assert_eq!(scheduler.next_interrupt(), reference.next_interrupt());
            prop_assert_eq!(scheduler.is_shared(), reference.is_shared());
            for slot in &slots {
                prop_assert_eq!(scheduler.times(*slot, now), reference.times(*slot, now));
            }
        }
    }
}
