//! The atomics of the rooms that loom checks, and the ways in which CPUs take turns without waiting.
//!
//! Under `cfg(loom)` the atomics are loom's, so that its model checker sees every access. Nothing here ever
//! waits: whoever comes second either goes back to its guest ([`TryLock`]) or leaves a sign that the first
//! one is sure to see ([`Baton`]).
#![forbid(unsafe_code)]

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Not now: somebody else is at it, or there is no room. Nothing was changed; re-execute the trapping instruction,
/// so that the guest waits in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry;

/// A lock that nobody waits for: who finds it taken re-executes the guest's instruction, so that the guest
/// waits in the guest.
#[derive(Debug)]
pub struct TryLock(AtomicBool);

/// Proof that a [`TryLock`] is held; dropping it lets go.
#[derive(Debug)]
pub struct Held<'a>(&'a AtomicBool);

impl TryLock {
    /// A free lock.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Takes the lock, or answers `None` if somebody holds it.
    ///
    /// (`then`, not `then_some`: a [`Held`] made and thrown away would let go of the other's lock.)
    pub fn try_take(&self) -> Option<Held<'_>> {
        self.0
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| Held(&self.0))
    }
}

impl Default for TryLock {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Nobody holds the baton.
const FREE: u8 = 0;
/// Somebody holds it, and nobody has rung since the work was last begun.
const HELD: u8 = 1;
/// Somebody holds it, and must do the work once more before letting go.
const RUNG: u8 = 2;

/// Work that one CPU at a time does for all.
///
/// A CPU that has published something calls [`Baton::ring`]. If nobody holds the baton it does the work itself;
/// otherwise it leaves, and the holder, which tries to let go by a compare-and-swap, finds the bell rung and
/// does the work again. All of it happens on one atomic by read-modify-write operations, which read the newest
/// value and continue each other's release sequences (so acquire and release suffice): the holder that hears a
/// bell also sees what was published before it was rung.
#[derive(Debug)]
pub struct Baton(AtomicU8);

/// What became of a [`Baton::ring`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Somebody else holds the baton and will do the work.
    Left,
    /// The work was done, and nobody rang since.
    Done,
    /// The work was done as often as allowed and somebody rang again: call once more, later.
    Unfinished,
}

impl Baton {
    /// A baton that nobody holds.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU8::new(FREE))
    }

    /// Sees to it that `work` is done after this call began: here, at most `rounds` times, or by the holder.
    pub fn ring(&self, rounds: u32, mut work: impl FnMut()) -> Turn {
        if self.0.swap(RUNG, Ordering::AcqRel) != FREE {
            return Turn::Left;
        }
        for _ in 0..rounds {
            self.0.swap(HELD, Ordering::AcqRel);
            work();
            if self.let_go() {
                return Turn::Done;
            }
        }
        self.0.swap(FREE, Ordering::AcqRel);
        Turn::Unfinished
    }

    /// Does `first` if nobody holds the baton, then `again` for as long as somebody rang meanwhile; otherwise
    /// answers `None` and leaves no sign. Who may ring must do so at a bounded rate.
    pub fn try_enter<R>(&self, first: impl FnOnce() -> R, mut again: impl FnMut()) -> Option<R> {
        self.0.compare_exchange(FREE, HELD, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        let result = first();
        while !self.let_go() {
            self.0.swap(HELD, Ordering::AcqRel);
            again();
        }
        Some(result)
    }

    fn let_go(&self) -> bool {
        self.0.compare_exchange(HELD, FREE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Default for Baton {
    fn default() -> Self {
        Self::new()
    }
}

/// A way to know that no CPU is still using what it found before a change.
///
/// Code that is called with a reference that anybody may replace ([`Events`](crate::evtchn::Events) has such) holds it for
/// as long as one visit to EL2. Whoever replaced it calls [`Epochs::turn`], then waits, without waiting *there*, until
/// [`Observer::has_seen`] answers `true` for every CPU: each of them has come to [`Epochs::observe`] between two visits.
///
/// The counter and the observers are sequentially consistent, as the replaced reference has to be. A CPU that observed the
/// new epoch looks later at what was replaced before that, and finds the new; what it did with the old came before its
/// observation, and so before everything that follows the answer `true`.
#[derive(Debug)]
pub struct Epochs(AtomicU64);

/// What one CPU has seen of the [`Epochs`].
#[derive(Debug)]
pub struct Observer(AtomicU64);

/// An epoch that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epochs {
    /// The first epoch, which every observer has seen.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Begins the next epoch.
    #[must_use]
    pub fn turn(&self) -> Epoch {
        Epoch(self.0.fetch_add(1, Ordering::SeqCst).wrapping_add(1))
    }

    /// `observer`'s own CPU holds nothing that it found earlier.
    #[inline]
    pub fn observe(&self, observer: &Observer) {
        observer.0.store(self.0.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl Observer {
    /// A CPU that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether its CPU has been at [`Epochs::observe`] since `epoch` began.
    #[must_use]
    pub fn has_seen(&self, epoch: Epoch) -> bool {
        self.0.load(Ordering::SeqCst) >= epoch.0
    }
}

impl Default for Epochs {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use core::cell::Cell;

    use super::*;

    #[test]
    fn a_lock_is_free_again_when_its_proof_is_dropped() {
        let lock = TryLock::new();
        let held = lock.try_take();
        assert!(held.is_some());
        assert!(lock.try_take().is_none());
        assert!(lock.try_take().is_none(), "who fails to take it does not let go of it");
        drop(held);
        assert!(lock.try_take().is_some());
    }

    #[test]
    fn a_bell_rung_during_the_work_makes_the_holder_work_again() {
        let (baton, done) = (Baton::new(), Cell::new(0));
        let turn = baton.ring(8, || {
            done.set(done.get() + 1);
            if done.get() < 3 {
                assert_eq!(baton.ring(8, || unreachable!()), Turn::Left);
            }
        });
        assert_eq!((turn, done.get()), (Turn::Done, 3));
    }

    #[test]
    fn endless_ringing_does_not_hold_the_holder() {
        let (baton, done) = (Baton::new(), Cell::new(0));
        let turn = baton.ring(4, || {
            done.set(done.get() + 1);
            baton.ring(4, || unreachable!());
        });
        assert_eq!((turn, done.get()), (Turn::Unfinished, 4));
        assert_eq!(baton.ring(4, || {}), Turn::Done);
    }

    #[test]
    fn an_epoch_is_seen_by_who_observes_after_it_began() {
        let (epochs, one, two) = (Epochs::new(), Observer::new(), Observer::new());
        let first = epochs.turn();
        assert!(!one.has_seen(first));
        epochs.observe(&one);
        assert!(one.has_seen(first) && !two.has_seen(first));
        let second = epochs.turn();
        assert!(one.has_seen(first) && !one.has_seen(second));
        epochs.observe(&two);
        assert!(two.has_seen(first) && two.has_seen(second));
    }

    #[test]
    fn who_only_tries_leaves_no_sign() {
        let baton = Baton::new();
        let turn = baton.ring(1, || assert_eq!(baton.try_enter(|| (), || ()), None));
        assert_eq!(turn, Turn::Done);
        let again = Cell::new(0);
        let first = || baton.ring(1, || unreachable!());
        assert_eq!(baton.try_enter(first, || again.set(again.get() + 1)), Some(Turn::Left));
        assert_eq!(again.get(), 1);
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Two posters and one pile of work; everything but the baton is relaxed, so that only the baton orders it.
    #[derive(Default)]
    struct Office {
        baton: Baton,
        posted: [AtomicU32; 2],
        handled: [AtomicU32; 2],
    }

    impl Office {
        fn post(&self, who: usize) {
            self.posted[who].store(1, Ordering::Relaxed);
        }

        fn work(&self) {
            for (posted, handled) in self.posted.iter().zip(&self.handled) {
                let new = posted.load(Ordering::Relaxed) - handled.load(Ordering::Relaxed);
                handled.store(handled.load(Ordering::Relaxed) + new, Ordering::Relaxed);
            }
        }

        fn all_handled(&self) -> bool {
            self.handled.iter().all(|count| count.load(Ordering::Relaxed) == 1)
        }
    }

    #[test]
    fn loom_whatever_is_published_before_the_bell_is_worked_on() {
        loom::model(|| {
            let office = Arc::new(Office::default());
            let other = office.clone();
            let thread = thread::spawn(move || {
                other.post(0);
                other.baton.ring(2, || other.work())
            });
            office.post(1);
            let mine = office.baton.ring(2, || office.work());
            let theirs = thread.join().unwrap();
            assert!(mine != Turn::Unfinished && theirs != Turn::Unfinished, "two ringers need two rounds");
            assert!(office.all_handled());
        });
    }

    #[test]
    fn loom_a_holder_that_entered_hears_the_bell_too() {
        loom::model(|| {
            let office = Arc::new(Office::default());
            office.posted[1].store(1, Ordering::Relaxed);
            let other = office.clone();
            let thread = thread::spawn(move || {
                other.post(0);
                other.baton.ring(2, || other.work())
            });
            let entered = office.baton.try_enter(|| office.work(), || office.work());
            let turn = thread.join().unwrap();
            assert!(entered.is_some() || turn == Turn::Done);
            assert!(office.all_handled());
        });
    }

    #[test]
    fn loom_a_lock_hands_over_what_was_written_under_it() {
        loom::model(|| {
            let shared = Arc::new((TryLock::new(), AtomicU32::new(0)));
            let add = |shared: &(TryLock, AtomicU32)| {
                shared.0.try_take().map(|_held| {
                    shared.1.store(shared.1.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                })
            };
            let other = shared.clone();
            let thread = thread::spawn(move || u32::from(add(&other).is_some()));
            let mine = u32::from(add(&shared).is_some());
            let sum = mine + thread.join().unwrap();
            assert!(sum >= 1);
            assert_eq!(shared.1.load(Ordering::Relaxed), sum);
        });
    }
}
