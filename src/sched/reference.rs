//! The scheduler's reference model: what it decides, said as plainly as possible. It looks through all vCPUs each time.

use super::runstate::{RunState, RunTimes};
use super::{Slot, Slots};

#[derive(Clone, Copy, Debug)]
struct Entry {
    times: RunTimes,
    /// Virtual run time, in ticks.
    used: u64,
    /// When to wake it although nothing happened.
    alarm: Option<u64>,
    /// Order in which it became runnable: who waited longest wins a tie.
    queued: u64,
}

impl Entry {
    const fn can_run(&self) -> bool {
        matches!(self.times.state, RunState::Running | RunState::Runnable)
    }
}

/// The vCPUs of one pCPU, owned by that pCPU. Times are ticks of the system counter, and never go back.
#[derive(Debug)]
pub struct Reference {
    entries: Vec<Entry>,
    current: Option<Slot>,
    slice: u64,
    slice_end: u64,
    /// Whether somebody else is to be considered before the slice ends.
    preempt: bool,
    /// Virtual run time that every runnable vCPU has reached. Never goes back.
    floor: u64,
    /// When the current vCPU's run time was last added to its account.
    charged: u64,
    queued: u64,
}

impl Reference {
    /// Without vCPUs yet, for slices of `slice` ticks (10 ms: the counter's frequency / 100).
    pub const fn new(slice: u64) -> Self {
        Self {
            entries: Vec::new(),
            current: None,
            slice,
            slice_end: 0,
            preempt: false,
            floor: 0,
            charged: 0,
            queued: 0,
        }
    }

    /// Adds a vCPU that is off; `None` if there are 64.
    pub fn add(&mut self, now: u64) -> Option<Slot> {
        let slot = Slot::new(self.entries.len())?;
        let times = RunTimes::new(RunState::Offline, now);
        self.entries.push(Entry { times, used: 0, alarm: None, queued: 0 });
        Some(slot)
    }

    /// Whether vCPUs share this pCPU now: WFI must trap, and FP registers and timers be switched. With one vCPU that
    /// is on, WFI waits natively. Ask again after every [`Reference::wake`] and [`Reference::turn_off`].
    pub fn is_shared(&self) -> bool {
        self.entries.iter().filter(|entry| entry.times.state != RunState::Offline).count() > 1
    }

    /// Who runs now.
    pub const fn current(&self) -> Option<Slot> {
        self.current
    }

    /// Something happened for the vCPU in `slot`, or it was turned on: it can run, and does so at once if it has
    /// run less than the current one. Call [`Reference::pick`] before entering a guest.
    pub fn wake(&mut self, slot: Slot, now: u64) {
        self.charge(now);
        let (floor, queued) = (self.floor, self.queued);
        let Some(entry) = self.entries.get_mut(slot.index()) else { return };
        let credit = match entry.times.state {
            RunState::Running | RunState::Runnable => return,
            RunState::Blocked => self.slice / 2,
            RunState::Offline => 0,
        };
        entry.used = entry.used.max(floor.saturating_sub(credit));
        entry.alarm = None;
        entry.queued = queued;
        entry.times.enter(RunState::Runnable, now);
        let woken = entry.used;
        self.queued = queued.saturating_add(1);
        self.preempt |= self.running().is_some_and(|running| woken <= running.used);
    }

    /// The current vCPU waits for an interrupt, but no longer than until `alarm` (the earliest of its virtual timers
    /// and the time-out of a poll). Call [`Reference::pick`] next.
    pub fn block(&mut self, alarm: Option<u64>, now: u64) {
        self.stop(RunState::Blocked, now);
        if let Some(entry) = self.current.take().and_then(|slot| self.entries.get_mut(slot.index())) {
            entry.alarm = alarm;
        }
    }

    /// The current vCPU lets the others go first, once. Call [`Reference::pick`] next.
    pub fn give_way(&mut self, now: u64) {
        self.charge(now);
        let others = self.entries.iter().filter(|entry| entry.times.state == RunState::Runnable);
        let Some(least) = others.map(|entry| entry.used).min() else { return };
        let Some(entry) = self.current.and_then(|slot| self.entries.get_mut(slot.index())) else { return };
        entry.used = entry.used.max(least.saturating_add(1));
        self.preempt = true;
    }

    /// The vCPU in `slot` is off, whatever it did. If it was the current one, call [`Reference::pick`] next.
    pub fn turn_off(&mut self, slot: Slot, now: u64) {
        self.charge(now);
        if let Some(entry) = self.entries.get_mut(slot.index()) {
            entry.times.enter(RunState::Offline, now);
            entry.alarm = None;
        }
        if self.current == Some(slot) {
            self.current = None;
        }
    }

    /// Wakes the vCPUs whose alarm has come. Their timer interrupts are to be made pending by the caller.
    pub fn ring_alarms(&mut self, now: u64) -> Slots {
        let mut woken = 0;
        for index in 0..self.entries.len() {
            let due = self.entries.get(index).and_then(|entry| entry.alarm).is_some_and(|alarm| alarm <= now);
            if due && let Some(slot) = Slot::new(index) {
                self.wake(slot, now);
                woken |= 1 << index;
            }
        }
        Slots::from_bits(woken)
    }

    /// Chooses who runs from here on: the one that ran, or another whose context is to be switched in. `None` if
    /// nobody can: then the pCPU waits for an interrupt. Changes nothing if nothing has happened.
    pub fn pick(&mut self, now: u64) -> Option<Slot> {
        self.charge(now);
        if self.current.is_some() && now < self.slice_end && !self.preempt {
            return self.current;
        }
        let next = self.least_used()?;
        if self.current != Some(next) {
            self.stop(RunState::Runnable, now);
            if let Some(entry) = self.entries.get_mut(next.index()) {
                entry.times.enter(RunState::Running, now);
            }
            self.current = Some(next);
        }
        self.preempt = false;
        self.slice_end = now.saturating_add(self.slice);
        Some(next)
    }

    /// When the timer has to interrupt: at the end of the slice if somebody waits for it, or at the first alarm.
    /// `None` if it need not.
    pub fn next_interrupt(&self) -> Option<u64> {
        let waiting = self.entries.iter().any(|entry| entry.times.state == RunState::Runnable);
        let slice = (waiting && self.current.is_some()).then_some(self.slice_end);
        self.entries.iter().filter_map(|entry| entry.alarm).chain(slice).min()
    }

    /// How the vCPU in `slot` has spent its time up to `now`.
    pub fn times(&self, slot: Slot, now: u64) -> Option<RunTimes> {
        self.entries.get(slot.index()).map(|entry| entry.times.at(now))
    }

    fn running(&self) -> Option<&Entry> {
        self.current.and_then(|slot| self.entries.get(slot.index()))
    }

    /// Adds what the current vCPU ran to its account, and raises the floor.
    fn charge(&mut self, now: u64) {
        let ran = now.saturating_sub(self.charged);
        self.charged = self.charged.max(now);
        if let Some(entry) = self.current.and_then(|slot| self.entries.get_mut(slot.index())) {
            entry.used = entry.used.saturating_add(ran);
        }
        let least = self.entries.iter().filter(|entry| entry.can_run()).map(|entry| entry.used).min();
        self.floor = self.floor.max(least.unwrap_or(0));
    }

    /// The current vCPU stops running and is in `state`.
    fn stop(&mut self, state: RunState, now: u64) {
        self.charge(now);
        let queued = self.queued;
        if let Some(entry) = self.current.and_then(|slot| self.entries.get_mut(slot.index())) {
            entry.times.enter(state, now);
            entry.queued = queued;
            self.queued = queued.saturating_add(1);
        }
    }

    /// Of those that can run, who has run least; in a tie not the one that runs, but who has waited longest.
    fn least_used(&self) -> Option<Slot> {
        let candidates = self.entries.iter().enumerate().filter(|(_, entry)| entry.can_run());
        let rank = |entry: &Entry| (entry.used, entry.times.state == RunState::Running, entry.queued);
        candidates.min_by_key(|(_, entry)| rank(entry)).and_then(|(index, _)| Slot::new(index))
    }
}
