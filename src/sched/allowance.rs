//! What is done for vCPUs that do not run, at the expense of the one that does.
//!
//! Whoever signals to a vCPU that waits for its turn interrupts its neighbour, and whoever does so without end would leave
//! it nothing. So a pCPU may spend a quarter of its time on that: behind each piece of it lies a time, three times as long,
//! in which what is rung for waits. A few at once are let through, so that nobody waits who does not make it his habit.

/// Of so many ticks, one may be spent.
const PART: u64 = 4;

/// How much of the time of those who run was spent on others.
#[derive(Debug)]
pub struct Allowance {
    /// Until then, what was spent is more than its part.
    even: u64,
    /// How far ahead that may lie.
    most: u64,
    /// What each time costs at least: to be interrupted is more than what is seen of it here.
    least: u64,
}

impl Allowance {
    /// Nothing is spent yet; at most the part of `most` ticks may be, at once. Each time counts for `least` ticks or more.
    #[must_use]
    pub const fn new(most: u64, least: u64) -> Self {
        Self { even: 0, most, least }
    }

    /// Whether something may be done for others at time `now`.
    ///
    /// # Errors
    ///
    /// When it may.
    pub const fn ask(&self, now: u64) -> Result<(), u64> {
        let first = self.even.saturating_sub(self.most);
        if first <= now { Ok(()) } else { Err(first) }
    }

    /// It took `ticks`, from `start` on. More than may be spent at once counts as that much: it was a sleep for want of work, or
    /// something that is bounded otherwise.
    pub fn spend(&mut self, start: u64, ticks: u64) {
        let ticks = ticks.max(self.least).saturating_mul(PART).min(self.most);
        self.even = self.even.max(start).saturating_add(ticks);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_are_let_through_at_once_and_then_one_in_its_turn() {
        let mut allowance = Allowance::new(1000, 10);
        for _ in 0..3 {
            assert_eq!(allowance.ask(50), Ok(()));
            allowance.spend(50, 100);
        }
        // 1200 ticks are spoken for from 50 on, 1000 may be.
        assert_eq!(allowance.ask(50), Err(250));
        assert_eq!(allowance.ask(250), Ok(()));
    }

    #[test]
    fn what_takes_no_time_at_all_counts_nevertheless() {
        let mut allowance = Allowance::new(1000, 10);
        (0..26).for_each(|_| allowance.spend(0, 0));
        assert_eq!(allowance.ask(0), Err(40));
    }

    #[test]
    fn a_sleep_in_between_does_not_count() {
        let mut allowance = Allowance::new(1000, 10);
        allowance.spend(0, 1_000_000);
        assert_eq!(allowance.ask(1_000_000), Ok(()));
        allowance.spend(1_000_000, 10);
        assert_eq!(allowance.ask(1_000_010), Ok(()));
    }

    #[test]
    fn what_is_not_used_is_not_saved_up() {
        let mut allowance = Allowance::new(1000, 10);
        allowance.spend(1_000_000, 150);
        allowance.spend(1_000_000, 150);
        assert_eq!(allowance.ask(1_000_000), Err(1_000_200));
    }

    proptest! {
        /// However often it is asked, and whatever it costs: of any time, little more than the part is spent.
        #[test]
        fn a_quarter_is_all_that_others_get(costs in prop::collection::vec((1_u64..500, 0_u64..300), 1..200)) {
            let mut allowance = Allowance::new(4000, 1);
            let (mut now, mut spent) = (0, 0);
            for (cost, pause) in costs {
                if let Err(until) = allowance.ask(now) {
                    prop_assert!(until > now);
                    now = until;
                }
                allowance.spend(now, cost);
                spent += cost;
                now += cost + pause;
                prop_assert!(spent <= now / PART + 4000 / PART + 500, "{spent} of {now}");
            }
        }
    }
}
