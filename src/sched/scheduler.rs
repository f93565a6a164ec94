//! The scheduler of one pCPU.
//!
//! Nothing here looks through all vCPUs: who waits for its turn, and who sleeps until a time, are in a [`Queue`] each, so
//! that a step costs about the same however many there are.

use super::queue::Queue;
use super::runstate::{RunState, RunTimes};

/// Most vCPUs that one pCPU can have: their attention bits fill one word.
pub const MAX_VCPUS: usize = 64;

/// A vCPU by its place on its home pCPU, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u8);

impl Slot {
    /// The place as an index, below [`MAX_VCPUS`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Its bit in a word with one for each place.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << (self.0 % MAX_VCPUS as u8)
    }

    /// The place with this index modulo [`MAX_VCPUS`].
    pub(super) const fn wrapping(index: u8) -> Self {
        Self(index % MAX_VCPUS as u8)
    }

    /// The place with this index, if there can be one.
    #[must_use]
    pub const fn new(index: usize) -> Option<Self> {
        if index < MAX_VCPUS { Some(Self(index as u8)) } else { None }
    }
}

/// A set of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots(u64);

impl Slots {
    /// As a bitmap: bit n for the slot with index n.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set that this bitmap stands for.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The slots in it, lowest first.
    pub fn iter(self) -> impl Iterator<Item = Slot> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let slot = Slot::new(rest.trailing_zeros() as usize)?;
            rest &= rest.wrapping_sub(1);
            Some(slot)
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    times: RunTimes,
    /// Virtual run time, in ticks, when it last began or ceased to run.
    used: u64,
}

/// The vCPUs of one pCPU, owned by that pCPU. Times are ticks of the system counter, and never go back. Slots are those
/// that [`Scheduler::add`] has handed out.
#[derive(Debug)]
pub struct Scheduler {
    entries: [Entry; MAX_VCPUS],
    /// How many there are, and how many of them are not off.
    count: usize,
    on: usize,
    current: Option<Slot>,
    /// Virtual run time of the current one, when it was `charged` last; [`NEVER`] if there is none.
    running: u64,
    charged: u64,
    /// Who could run and does not, by virtual run time; of equals, who has waited longest comes first.
    waiting: Queue,
    /// When to wake those who sleep although nothing happened.
    alarms: Queue,
    slice: u64,
    slice_end: u64,
    /// Whether somebody else is to be considered before the slice ends.
    preempt: bool,
    /// Virtual run time that every runnable vCPU has reached. Never goes back.
    floor: u64,
    /// How often somebody began to wait.
    queued: u64,
}

/// More than any time.
const NEVER: u64 = u64::MAX;

impl Scheduler {
    /// Without vCPUs yet, for slices of `slice` ticks (10 ms: the counter's frequency / 100).
    #[must_use]
    pub const fn new(slice: u64) -> Self {
        Self {
            entries: [Entry { times: RunTimes::new(RunState::Offline, 0), used: 0 }; MAX_VCPUS],
            count: 0,
            on: 0,
            current: None,
            running: NEVER,
            charged: 0,
            waiting: Queue::new(),
            alarms: Queue::new(),
            slice,
            slice_end: 0,
            preempt: false,
            floor: 0,
            queued: 0,
        }
    }

    /// Adds a vCPU that is off; `None` if there are 64.
    pub fn add(&mut self, now: u64) -> Option<Slot> {
        let slot = Slot::new(self.count)?;
        self.entry(slot)?.times = RunTimes::new(RunState::Offline, now);
        self.count += 1;
        Some(slot)
    }

    /// Whether vCPUs share this pCPU now: WFI must trap, and FP registers and timers be switched. With one vCPU that
    /// is on, WFI waits natively. Ask again after every [`Scheduler::wake`] and [`Scheduler::turn_off`].
    #[inline(always)]
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.on > 1
    }

    /// Who runs now.
    #[must_use]
    pub const fn current(&self) -> Option<Slot> {
        self.current
    }

    /// Something happened for the vCPU in `slot`, or it was turned on: it can run, and does so at once if it has
    /// run less than the current one. Call [`Scheduler::pick`] before entering a guest.
    pub fn wake(&mut self, slot: Slot, now: u64) {
        self.charge(now);
        self.raise_floor();
        let (floor, credit) = (self.floor, self.slice / 2);
        let Some(entry) = self.entry(slot) else { return };
        let (credit, was_off) = match entry.times.state {
            RunState::Running | RunState::Runnable => return,
            RunState::Blocked => (credit, false),
            RunState::Offline => (0, true),
        };
        entry.used = entry.used.max(floor.saturating_sub(credit));
        entry.times.enter(RunState::Runnable, now);
        let woken = entry.used;
        self.on += usize::from(was_off);
        self.alarms.remove(slot);
        self.enqueue(slot, woken);
        self.preempt |= woken <= self.running;
    }

    /// The current vCPU waits for an interrupt, but no longer than until `alarm` (the earliest of its virtual timers
    /// and the time-out of a poll). Call [`Scheduler::pick`] next.
    pub fn block(&mut self, alarm: Option<u64>, now: u64) {
        self.charge(now);
        self.raise_floor();
        let Some(slot) = self.stop(RunState::Blocked, now) else { return };
        if let Some(alarm) = alarm {
            self.alarms.insert(slot, (alarm, 0));
        }
    }

    /// The current vCPU lets the others go first, once. Call [`Scheduler::pick`] next.
    pub fn give_way(&mut self, now: u64) {
        self.charge(now);
        if self.current.is_some() && self.waiting.first().is_some() {
            self.running = self.running.max(self.waiting.least().saturating_add(1));
            self.preempt = true;
        }
    }

    /// The vCPU in `slot` is off, whatever it did. If it was the current one, call [`Scheduler::pick`] next.
    pub fn turn_off(&mut self, slot: Slot, now: u64) {
        self.charge(now);
        self.raise_floor();
        let Some(entry) = self.entry(slot) else { return };
        let was_on = entry.times.state != RunState::Offline;
        entry.times.enter(RunState::Offline, now);
        self.on -= usize::from(was_on);
        if self.current == Some(slot) {
            let _ = self.stop(RunState::Offline, now);
        }
        self.waiting.remove(slot);
        self.alarms.remove(slot);
    }

    /// Wakes the vCPUs whose alarm has come. Their timer interrupts are to be made pending by the caller.
    #[must_use = "the timers of these vCPUs have fired"]
    pub fn ring_alarms(&mut self, now: u64) -> Slots {
        let mut due = Slots::default();
        while let Some(slot) = self.alarms.first().filter(|_| self.alarms.least() <= now) {
            self.alarms.remove_first();
            due.0 |= 1 << slot.index();
        }
        for slot in due.iter() {
            self.wake(slot, now);
        }
        due
    }

    /// Chooses who runs from here on: the one that ran, or another whose context is to be switched in. `None` if
    /// nobody can: then the pCPU waits for an interrupt. Changes nothing if nothing has happened.
    #[must_use]
    pub fn pick(&mut self, now: u64) -> Option<Slot> {
        self.charge(now);
        if self.current.is_some() && now < self.slice_end && !self.preempt {
            return self.current;
        }
        match self.waiting.first() {
            // In a tie not the one that runs.
            Some(next) if self.waiting.least() <= self.running => {
                self.waiting.remove_first();
                let running = self.running;
                if let Some(last) = self.stop(RunState::Runnable, now) {
                    self.enqueue(last, running);
                }
                let entry = self.entry(next)?;
                entry.times.enter(RunState::Running, now);
                self.running = entry.used;
                self.current = Some(next);
            }
            None if self.current.is_none() => return None,
            _ => {}
        }
        self.preempt = false;
        self.slice_end = now.saturating_add(self.slice);
        self.current
    }

    /// When the timer has to interrupt: at the end of the slice if somebody waits for it, or at the first alarm.
    /// `None` if it need not.
    #[inline]
    #[must_use]
    pub fn next_interrupt(&self) -> Option<u64> {
        let waits = self.current.is_some() && self.waiting.first().is_some();
        let slice = if waits { self.slice_end } else { NEVER };
        Some(slice.min(self.alarms.least())).filter(|time| *time != NEVER)
    }

    /// How the vCPU in `slot` has spent its time up to `now`.
    #[must_use]
    pub fn times(&self, slot: Slot, now: u64) -> Option<RunTimes> {
        self.account(slot).map(|times| times.at(now))
    }

    /// How the vCPU in `slot` had spent its time when it entered its present state.
    #[must_use]
    pub fn account(&self, slot: Slot) -> Option<&RunTimes> {
        self.entries.get(..self.count)?.get(slot.index()).map(|entry| &entry.times)
    }

    /// There always is one: slots are below [`MAX_VCPUS`], which the compiler sees here.
    #[inline(always)]
    fn entry(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(slot.index() % MAX_VCPUS)
    }

    /// Adds what the current vCPU ran to its account.
    #[inline(always)]
    fn charge(&mut self, now: u64) {
        self.running = self.running.saturating_add(now.saturating_sub(self.charged));
        self.charged = self.charged.max(now);
    }

    /// Raises the floor to what the one that can run and has run least has run. It matters to those who wake, and whenever
    /// somebody ceases to be among those who can run; in between it only rises.
    #[inline(always)]
    fn raise_floor(&mut self) {
        let least = self.running.min(self.waiting.least());
        if least != NEVER {
            self.floor = self.floor.max(least);
        }
    }

    /// The current vCPU, if there is one, stops running and is in `state`.
    #[inline(always)]
    fn stop(&mut self, state: RunState, now: u64) -> Option<Slot> {
        let slot = self.current.take()?;
        let running = core::mem::replace(&mut self.running, NEVER);
        let entry = self.entry(slot)?;
        entry.used = running;
        entry.times.enter(state, now);
        Some(slot)
    }

    /// The vCPU in `slot`, which has used so much, waits for its turn from now on.
    #[inline(always)]
    fn enqueue(&mut self, slot: Slot, used: u64) {
        self.waiting.insert(slot, (used, self.queued));
        // A count of 64 bits does not come round.
        self.queued = self.queued.wrapping_add(1);
    }
}
