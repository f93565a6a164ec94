//! A ring of bytes between one producer and one consumer, neither of which ever waits.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::sync::{AtomicU8, AtomicU32, Ordering};

/// A single-producer, single-consumer ring of bytes.
///
/// The producer *stages* bytes and *commits* them. A consumer normally takes committed bytes only, so that it
/// sees whole lines; it may choose to take staged ones too (a domain that has the input focus shows what it
/// wrote at once). The three counters run freely and wrap; a counter modulo the capacity is a place.
///
/// Ordering: `staged` and `committed` are stored with release after the bytes they cover and loaded with acquire
/// by the consumer; `taken` likewise the other way round, so a place is reused only after its byte was read.
///
/// Who plays a role may change, if the change itself is ordered (by a lock's acquire and release).
#[derive(Debug)]
pub struct Ring {
    bytes: Box<[AtomicU8]>,
    taken: AtomicU32,
    staged: AtomicU32,
    committed: AtomicU32,
}

/// Which bytes a consumer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upto {
    /// Only what the producer has committed.
    Committed,
    /// Also what is merely staged.
    Staged,
}

impl Ring {
    /// A ring for at least `capacity` bytes (rounded up to a power of two), or `None` if there is no memory for
    /// it or it is larger than half the range of a counter.
    #[must_use]
    pub fn new(capacity: u32) -> Option<Self> {
        let capacity = capacity.checked_next_power_of_two().filter(|places| *places <= 1 << 31)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(capacity as usize).ok()?;
        bytes.resize_with(capacity as usize, || AtomicU8::new(0));
        Some(Self {
            bytes: bytes.into_boxed_slice(),
            taken: AtomicU32::new(0),
            staged: AtomicU32::new(0),
            committed: AtomicU32::new(0),
        })
    }

    fn place(&self, counter: u32) -> Option<&AtomicU8> {
        let mask = (self.bytes.len() as u32).wrapping_sub(1);
        self.bytes.get((counter & mask) as usize)
    }

    /// Producer: appends a byte without committing it; `false` if the ring is full.
    #[must_use]
    pub fn stage(&self, byte: u8) -> bool {
        let staged = self.staged.load(Ordering::Relaxed);
        let used = staged.wrapping_sub(self.taken.load(Ordering::Acquire));
        if used >= self.bytes.len() as u32 {
            return false;
        }
        let Some(place) = self.place(staged) else { return false };
        place.store(byte, Ordering::Relaxed);
        self.staged.store(staged.wrapping_add(1), Ordering::Release);
        true
    }

    /// Producer: commits all that is staged.
    pub fn commit(&self) {
        self.committed.store(self.staged.load(Ordering::Relaxed), Ordering::Release);
    }

    /// Producer: forgets what is staged but not committed. Only for rings whose consumer never takes that.
    pub fn roll_back(&self) {
        self.staged.store(self.committed.load(Ordering::Relaxed), Ordering::Release);
    }

    /// Producer: bytes staged since the last commit.
    #[must_use]
    pub fn uncommitted(&self) -> u32 {
        self.staged.load(Ordering::Relaxed).wrapping_sub(self.committed.load(Ordering::Relaxed))
    }

    /// Consumer: takes the oldest byte.
    #[must_use]
    pub fn take(&self, upto: Upto) -> Option<u8> {
        let taken = self.taken.load(Ordering::Relaxed);
        if self.readable(taken, upto) == 0 {
            return None;
        }
        let byte = self.place(taken)?.load(Ordering::Relaxed);
        self.taken.store(taken.wrapping_add(1), Ordering::Release);
        Some(byte)
    }

    /// Committed bytes that wait for the consumer. Exact for the consumer, a recent value for anybody else.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.readable(self.taken.load(Ordering::Acquire), Upto::Committed)
    }

    /// A consumer that took staged bytes is ahead of what is committed: then nothing is readable.
    fn readable(&self, taken: u32, upto: Upto) -> u32 {
        let limit = match upto {
            Upto::Committed => self.committed.load(Ordering::Acquire),
            Upto::Staged => self.staged.load(Ordering::Acquire),
        };
        let ahead = limit.wrapping_sub(taken);
        if ahead <= self.bytes.len() as u32 { ahead } else { 0 }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_show_when_they_are_committed_or_when_the_consumer_wants_them_all() {
        let ring = Ring::new(8).unwrap();
        assert!(ring.stage(b'a'));
        assert_eq!(ring.take(Upto::Committed), None);
        assert_eq!(ring.take(Upto::Staged), Some(b'a'));
        assert_eq!(ring.take(Upto::Committed), None, "the consumer is ahead of the commit");
        assert!(ring.stage(b'b'));
        ring.commit();
        assert_eq!(ring.take(Upto::Committed), Some(b'b'));
    }

    #[test]
    fn a_rolled_back_line_was_never_there() {
        let ring = Ring::new(4).unwrap();
        assert!(ring.stage(1) && ring.stage(2));
        ring.commit();
        assert!(ring.stage(3) && ring.stage(4) && !ring.stage(5));
        ring.roll_back();
        assert_eq!(ring.take(Upto::Committed), Some(1));
        assert_eq!(ring.take(Upto::Committed), Some(2));
        assert_eq!(ring.take(Upto::Staged), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Stage(u8),
        Commit,
        Take(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Stage),
            1 => Just(Step::Commit),
            3 => any::<bool>().prop_map(Step::Take),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_queue_that_wraps(start in any::<u32>(), steps in prop::collection::vec(step(), 0..200)) {
            let ring = Ring::new(8).unwrap();
            for counter in [&ring.taken, &ring.staged, &ring.committed] {
                counter.store(start, Ordering::Relaxed);
            }
            let mut queue = VecDeque::new();
            let mut committed = 0_usize;
            for step in steps {
                match step {
                    Step::Stage(byte) => {
                        prop_assert_eq!(ring.stage(byte), queue.len() < 8);
                        if queue.len() < 8 {
                            queue.push_back(byte);
                        }
                    }
                    Step::Commit => {
                        ring.commit();
                        committed = queue.len();
                    }
                    Step::Take(all) => {
                        let upto = if all { Upto::Staged } else { Upto::Committed };
                        let want = if all || committed > 0 { queue.pop_front() } else { None };
                        prop_assert_eq!(ring.take(upto), want);
                        if want.is_some() {
                            committed = committed.saturating_sub(1);
                        }
                    }
                }
                prop_assert_eq!(ring.waiting() as usize, committed);
            }
        }
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[test]
    fn loom_a_ring_delivers_every_byte_once_and_in_order() {
        loom::model(|| {
            let ring = Arc::new(Ring::new(2).unwrap());
            let producer = {
                let ring = ring.clone();
                thread::spawn(move || {
                    let mut sent = 0;
                    for byte in 1..=3 {
                        if ring.stage(byte) {
                            ring.commit();
                            sent = byte;
                        } else {
                            break;
                        }
                    }
                    sent
                })
            };
            let mut seen = 0;
            for _ in 0..2 {
                if let Some(byte) = ring.take(Upto::Committed) {
                    assert_eq!(byte, seen + 1);
                    seen = byte;
                }
            }
            let sent = producer.join().unwrap();
            while let Some(byte) = ring.take(Upto::Committed) {
                assert_eq!(byte, seen + 1);
                seen = byte;
            }
            assert_eq!(seen, sent);
        });
    }
}
