//! Whether a vCPU is on, and how it is turned on from another one.
//!
//! Several vCPUs may call CPU_ON for the same target at once: one of them claims it, writes where it is to start,
//! and publishes that. Only the target's home pCPU turns it from pending to on, and from on to off.

use crate::sync::{AtomicU8, AtomicU64, Ordering};

const OFF: u8 = 0;
/// Claimed by a CPU_ON that is still writing where to start.
const CLAIMED: u8 = 1;
const PENDING: u8 = 2;
const ON: u8 = 3;

/// The power state of a vCPU, as PSCI's AFFINITY_INFO tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, or could.
    On,
    /// It is off.
    Off,
    /// It was turned on, and its home pCPU has not noticed yet.
    OnPending,
}

/// Where a vCPU starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Its first PC.
    pub entry: u64,
    /// Its first x0.
    pub context: u64,
}

/// The power switch of one vCPU.
#[derive(Debug)]
pub struct Power {
    state: AtomicU8,
    entry: AtomicU64,
    context: AtomicU64,
}

impl Power {
    /// A vCPU that is off.
    #[must_use]
    pub fn new() -> Self {
        Self { state: AtomicU8::new(OFF), entry: AtomicU64::new(0), context: AtomicU64::new(0) }
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            OFF => State::Off,
            ON => State::On,
            _ => State::OnPending,
        }
    }

    /// Any CPU: asks for the vCPU to be turned on. Its home pCPU needs to be told.
    ///
    /// # Errors
    ///
    /// The state it is in, if it is not off.
    pub fn request(&self, start: Start) -> Result<(), State> {
        if self.state.compare_exchange(OFF, CLAIMED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Err(match self.state() {
                State::On => State::On,
                State::Off | State::OnPending => State::OnPending,
            });
        }
        self.entry.store(start.entry, Ordering::Relaxed);
        self.context.store(start.context, Ordering::Relaxed);
        self.state.store(PENDING, Ordering::Release);
        Ok(())
    }

    /// Home pCPU: where to start the vCPU, if it was asked for; it is on from here.
    #[must_use]
    pub fn take_start(&self) -> Option<Start> {
        if self.state.load(Ordering::Acquire) != PENDING {
            return None;
        }
        let start = Start {
            entry: self.entry.load(Ordering::Relaxed),
            context: self.context.load(Ordering::Relaxed),
        };
        self.state.store(ON, Ordering::Release);
        Some(start)
    }

    /// Home pCPU: the vCPU is off, and nothing of it runs any more.
    pub fn turn_off(&self) {
        self.state.store(OFF, Ordering::Release);
    }
}

impl Default for Power {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn a_vcpu_goes_from_off_by_pending_to_on_and_back() {
        let power = Power::new();
        let start = Start { entry: 0x4000_0000, context: 7 };
        assert_eq!((power.state(), power.take_start()), (State::Off, None));
        assert_eq!(power.request(start), Ok(()));
        assert_eq!((power.state(), power.request(start)), (State::OnPending, Err(State::OnPending)));
        assert_eq!(power.take_start(), Some(start));
        assert_eq!((power.state(), power.request(start)), (State::On, Err(State::On)));
        assert_eq!(power.take_start(), None);
        power.turn_off();
        assert_eq!(power.request(start), Ok(()));
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[test]
    fn loom_of_two_that_turn_a_vcpu_on_one_wins_and_its_start_arrives_whole() {
        loom::model(|| {
            let power = Arc::new(Power::new());
            let ask = |power: &Power, value| power.request(Start { entry: value, context: value });
            let (one, two) = (power.clone(), power.clone());
            let first = thread::spawn(move || ask(&one, 1));
            let second = thread::spawn(move || ask(&two, 2));
            let early = power.take_start();
            let results = [first.join().unwrap(), second.join().unwrap()];
            let start = early.or_else(|| power.take_start()).unwrap();
            assert_eq!(start.entry, start.context);
            let winner = (start.entry - 1) as usize;
            assert_eq!(results[winner], Ok(()));
            assert!(results[1 - winner].is_err());
            assert_eq!(power.state(), State::On);
        });
    }
}
