//! How a vCPU spends its time, as the Xen ABI accounts it (`vcpu_runstate_info`, xen/include/public/vcpu.h).

/// What a vCPU does. The numbers are those of the Xen ABI (`RUNSTATE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It runs.
    Running = 0,
    /// It could run, and another one does.
    Runnable = 1,
    /// It waits for an interrupt.
    Blocked = 2,
    /// It is off.
    Offline = 3,
}

/// The time a vCPU has spent in each state, in ticks of the system counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTimes {
    /// The present state.
    pub state: RunState,
    /// When it was entered.
    pub since: u64,
    /// Time spent in each state before that, by its number.
    pub spent: [u64; 4],
}

impl RunTimes {
    /// A vCPU in `state` from time `now` on.
    #[must_use]
    pub const fn new(state: RunState, now: u64) -> Self {
        Self { state, since: now, spent: [0; 4] }
    }

    /// Time spent in the present state, up to `now`.
    #[must_use]
    pub const fn present(&self, now: u64) -> u64 {
        now.saturating_sub(self.since)
    }

    /// The same account with the present state's time up to `now` added; `since` stays when it was entered.
    #[must_use]
    pub fn at(mut self, now: u64) -> Self {
        let since = self.since;
        self.enter(self.state, now);
        self.since = since;
        self
    }

    /// The same as the ABI writes it (`vcpu_runstate_info`, arm64): the state, when it was entered, and the time spent in
    /// each state before that, in ns of system time, which began at counter value `started`.
    #[must_use]
    pub fn record(&self, started: u64, frequency: u32) -> [u64; 6] {
        let [running, runnable, blocked, offline] = self.spent.map(|ticks| nanoseconds(ticks, frequency));
        let since = nanoseconds(self.since.saturating_sub(started), frequency);
        [self.state as u64, since, running, runnable, blocked, offline]
    }

    /// Enters `state` at time `now`.
    pub(super) fn enter(&mut self, state: RunState, now: u64) {
        let present = self.present(now);
        if let Some(spent) = self.spent.get_mut(self.state as usize) {
            // All of it together is no more than the counter has counted.
            *spent = spent.wrapping_add(present);
        }
        self.state = state;
        self.since = self.since.wrapping_add(present);
    }
}

/// `ticks` of a counter of `frequency` Hz in nanoseconds, without loss for 500 years. A frequency of 0 counts as 1.
#[must_use]
pub const fn nanoseconds(ticks: u64, frequency: u32) -> u64 {
    const NANO: u64 = 1_000_000_000;
    let frequency = if frequency == 0 { 1 } else { frequency as u64 };
    let (seconds, rest) = (ticks / frequency, ticks % frequency);
    // rest < 2^32, so the product stays below 2^62.
    seconds.saturating_mul(NANO).saturating_add(rest * NANO / frequency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_is_accounted_once() {
        let mut times = RunTimes::new(RunState::Offline, 100);
        times.enter(RunState::Runnable, 110);
        times.enter(RunState::Running, 115);
        times.enter(RunState::Blocked, 120);
        let later = times.at(150);
        assert_eq!(later.spent, [5, 5, 30, 10]);
        assert_eq!(later.spent.iter().sum::<u64>(), 150 - 100);
        assert_eq!((later.state, later.since), (RunState::Blocked, 120));
    }

    #[test]
    fn the_record_sums_up_to_the_time_of_its_last_change() {
        let mut times = RunTimes::new(RunState::Offline, 1000);
        times.enter(RunState::Runnable, 1100);
        times.enter(RunState::Running, 1130);
        assert_eq!(times.record(1000, 1_000_000_000), [0, 130, 0, 30, 0, 100]);
        assert_eq!(times.record(1000, 500_000_000), [0, 260, 0, 60, 0, 200]);
    }

    #[test]
    fn ticks_become_nanoseconds_without_drift() {
        assert_eq!(nanoseconds(62_500_000, 62_500_000), 1_000_000_000);
        assert_eq!(nanoseconds(1, 62_500_000), 16);
        assert_eq!(nanoseconds(54_000_000 * 3600 + 27, 54_000_000), 3_600_000_000_500);
        assert_eq!(nanoseconds(u64::MAX, 0), u64::MAX);
        assert_eq!(nanoseconds(u64::from(u32::MAX) * 2 - 1, u32::MAX), 1_999_999_999);
    }
}
