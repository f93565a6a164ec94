//! What becomes of a domain that has stopped: the policy of its node in the tree, applied.
//!
//! Decides whether it starts again, and when. Trusts the plan and the counter; a guest can end as often as it likes, and
//! gets no more restarts than its limit. The limit counts as systemd's does: a span begins with the first restart in it.

use core::fmt;

use crate::plan::{Action, LifePlan};

/// Why a domain stopped (`SHUTDOWN_*`, xen/include/public/sched.h). Also what PSCI's system functions mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// It finished.
    PowerOff,
    /// It wants to start again.
    Reboot,
    /// It saved its state.
    Suspend,
    /// It gave up.
    Crash,
    /// Its watchdog was not fed.
    Watchdog,
    /// It wants to start again, with its memory left alone.
    SoftReset,
    /// A number without a meaning.
    Other(u8),
}

impl ShutdownReason {
    /// The reason numbered `raw`, of which Xen uses the low 8 bits.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        match raw as u8 {
            0 => Self::PowerOff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            4 => Self::Watchdog,
            5 => Self::SoftReset,
            other => Self::Other(other),
        }
    }

    /// The number of the reason.
    #[must_use]
    pub const fn raw(self) -> u8 {
        match self {
            Self::PowerOff => 0,
            Self::Reboot => 1,
            Self::Suspend => 2,
            Self::Crash => 3,
            Self::Watchdog => 4,
            Self::SoftReset => 5,
            Self::Other(raw) => raw,
        }
    }
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays off.
    Stop,
    /// It would have started again, and has done so too often.
    Enough,
    /// It starts again at this counter value, which may have passed already.
    Restart(u64),
    /// The machine is reset.
    ResetMachine,
    /// The machine is switched off.
    PowerOffMachine,
}

/// The lives of one domain so far. Owned by the pCPU that decides about it.
pub struct Lives {
    plan: LifePlan,
    /// Ticks of the counter in a second.
    frequency: u32,
    /// When the present span began.
    since: u64,
    /// Restarts in it.
    recent: u32,
    /// All restarts.
    restarts: u64,
}

impl Lives {
    /// A domain that starts for the first time.
    #[must_use]
    pub const fn new(plan: LifePlan, frequency: u32) -> Self {
        Self { plan, frequency, since: 0, recent: 0, restarts: 0 }
    }

    /// The domain has stopped for `reason` at counter value `now`.
    pub fn end(&mut self, reason: ShutdownReason, now: u64) -> Verdict {
        let action = match reason {
            ShutdownReason::PowerOff => self.plan.poweroff,
            ShutdownReason::Reboot | ShutdownReason::SoftReset => self.plan.reboot,
            ShutdownReason::Crash | ShutdownReason::Other(_) => self.plan.crash,
            ShutdownReason::Watchdog => self.plan.watchdog,
            // Somebody would have to keep what it saved.
            ShutdownReason::Suspend => Action::Stop,
        };
        match action {
            Action::Stop => Verdict::Stop,
            Action::Restart if self.may_restart(now) => {
                let delay = u64::from(self.plan.delay).saturating_mul(self.frequency.into()) / 1000;
                Verdict::Restart(now.saturating_add(delay))
            }
            Action::Restart => Verdict::Enough,
            Action::ResetMachine => Verdict::ResetMachine,
            Action::PowerOffMachine => Verdict::PowerOffMachine,
        }
    }

    /// How often it has been started again.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    fn may_restart(&mut self, now: u64) -> bool {
        let limit = self.plan.limit;
        if let Some(seconds) = limit.seconds {
            let span = u64::from(seconds).saturating_mul(self.frequency.into());
            if self.recent == 0 || now.saturating_sub(self.since) >= span {
                (self.since, self.recent) = (now, 0);
            }
        }
        let may = self.recent < limit.count;
        if may {
            self.recent = self.recent.saturating_add(1);
            self.restarts = self.restarts.saturating_add(1);
        }
        may
    }
}

/// The end of a domain as the console tells it.
pub struct Obituary<'a> {
    /// Why it stopped.
    pub reason: ShutdownReason,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Its lives.
    pub lives: &'a Lives,
}

impl fmt::Display for Obituary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            ShutdownReason::PowerOff => "has powered off",
            ShutdownReason::Reboot | ShutdownReason::SoftReset => "asked to be restarted",
            ShutdownReason::Suspend => "suspended itself",
            ShutdownReason::Watchdog => "was stopped by its watchdog",
            ShutdownReason::Crash | ShutdownReason::Other(_) => "has crashed",
        })?;
        match self.verdict {
            Verdict::Stop if self.reason == ShutdownReason::PowerOff => Ok(()),
            Verdict::Stop => f.write_str("; it stays off"),
            Verdict::Enough => match self.lives.plan.limit.seconds {
                Some(seconds) => {
                    write!(f, "; restarts in {seconds} s: {}, so it stays off", self.lives.recent)
                }
                None => write!(f, "; restarts: {}, so it stays off", self.lives.recent),
            },
            Verdict::Restart(_) => write!(f, "; restart {}", self.lives.restarts),
            Verdict::ResetMachine => f.write_str("; so the machine is reset"),
            Verdict::PowerOffMachine => f.write_str("; so the machine is switched off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::RestartLimit;

    const HZ: u32 = 1000;

    fn lives(count: u32, seconds: Option<u32>) -> Lives {
        Lives::new(LifePlan { limit: RestartLimit { count, seconds }, ..LifePlan::default() }, HZ)
    }

    #[test]
    fn each_end_has_its_own_action() {
        let plan = LifePlan {
            poweroff: Action::PowerOffMachine,
            reboot: Action::Stop,
            crash: Action::Restart,
            watchdog: Action::ResetMachine,
            delay: 250,
            ..LifePlan::default()
        };
        let mut lives = Lives::new(plan, HZ);
        assert_eq!(lives.end(ShutdownReason::PowerOff, 0), Verdict::PowerOffMachine);
        assert_eq!(lives.end(ShutdownReason::Reboot, 0), Verdict::Stop);
        assert_eq!(lives.end(ShutdownReason::SoftReset, 0), Verdict::Stop);
        assert_eq!(lives.end(ShutdownReason::Crash, 7), Verdict::Restart(257));
        assert_eq!(lives.end(ShutdownReason::Other(77), 7), Verdict::Restart(257));
        assert_eq!(lives.end(ShutdownReason::Watchdog, 0), Verdict::ResetMachine);
        assert_eq!(lives.end(ShutdownReason::Suspend, 0), Verdict::Stop);
        assert_eq!(lives.restarts(), 2);
    }

    #[test]
    fn without_a_word_who_reboots_comes_back_and_who_is_done_does_not() {
        let mut lives = Lives::new(LifePlan::default(), HZ);
        assert_eq!(lives.end(ShutdownReason::PowerOff, 5), Verdict::Stop);
        assert_eq!(lives.end(ShutdownReason::Crash, 5), Verdict::Stop);
        assert_eq!(lives.end(ShutdownReason::Reboot, 5), Verdict::Restart(5));
        assert_eq!(lives.end(ShutdownReason::Watchdog, 5), Verdict::Restart(5));
    }

    #[test]
    fn a_loop_ends_at_the_limit_and_a_pause_forgives() {
        let mut lives = lives(3, Some(10));
        for now in [100, 200, 300] {
            assert_eq!(lives.end(ShutdownReason::Reboot, now), Verdict::Restart(now));
        }
        assert_eq!(lives.end(ShutdownReason::Reboot, 10_099), Verdict::Enough);
        assert_eq!(lives.end(ShutdownReason::Reboot, 10_100), Verdict::Restart(10_100));
    }

    #[test]
    fn a_limit_without_a_span_is_for_good() {
        let mut lives = lives(2, None);
        let far = u64::MAX / 2;
        let verdicts = [0, far, far].map(|now| lives.end(ShutdownReason::Reboot, now));
        assert_eq!(verdicts, [Verdict::Restart(0), Verdict::Restart(far), Verdict::Enough]);
        assert_eq!(self::lives(0, None).end(ShutdownReason::Reboot, 0), Verdict::Enough);
    }

    #[test]
    fn the_console_says_why_and_what_follows() {
        let mut lives = lives(1, Some(60));
        let mut tell = |reason| {
            let verdict = lives.end(reason, 0);
            Obituary { reason, verdict, lives: &lives }.to_string()
        };
        assert_eq!(tell(ShutdownReason::PowerOff), "has powered off");
        assert_eq!(tell(ShutdownReason::Crash), "has crashed; it stays off");
        assert_eq!(tell(ShutdownReason::Reboot), "asked to be restarted; restart 1");
        assert_eq!(
            tell(ShutdownReason::Watchdog),
            "was stopped by its watchdog; restarts in 60 s: 1, so it stays off"
        );
    }

    proptest! {
        /// However it ends: no span of that length, wherever it begins, has more than twice as many restarts as allowed,
        /// and none that begins with the first of a burst has more than allowed.
        #[test]
        fn restarts_are_bounded_in_any_span(count in 0_u32..5, steps in prop::collection::vec(0_u64..3000, 1..100)) {
            let (mut lives, span) = (lives(count, Some(2)), 2 * u64::from(HZ));
            let (mut now, mut restarts) = (0, Vec::new());
            for step in steps {
                now += step;
                if let Verdict::Restart(at) = lives.end(ShutdownReason::Reboot, now) {
                    prop_assert_eq!(at, now);
                    restarts.push(now);
                }
            }
            for start in &restarts {
                let within = restarts.iter().filter(|at| (*start..start + span).contains(at)).count();
                prop_assert!(within as u32 <= 2 * count);
            }
            prop_assert_eq!(lives.restarts(), restarts.len() as u64);
        }
    }
}
