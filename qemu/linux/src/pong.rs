//! Answers every event by one on the same channel.
//!
//! What is pending at the start may be old, so it is thrown away, and one event is sent on each port afterwards. If
//! the peer had asked already, this is its answer; if not, the peer throws it away when it starts.

use std::fmt;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::{Events, Failure, drain};

const QUIET: Duration = Duration::from_millis(50);

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each port with the number of its events.
    pub answered: Vec<(u32, u64)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.answered.iter().map(|(_, count)| count).sum();
        write!(f, "{total} events answered")?;
        self.answered.iter().try_for_each(|(port, count)| write!(f, ", port {port}: {count}"))
    }
}

/// Answers until each port had `arguments.count` events, or none came for a while. With count 0 and a long limit:
/// for ever.
///
/// # Errors
///
/// A port cannot be used, or not a single event came.
pub fn pong(events: &mut impl Events, arguments: &Arguments) -> Result<Report, Failure> {
    for port in &arguments.ports {
        events.bind(*port)?;
    }
    drain(events, QUIET)?;
    for port in &arguments.ports {
        events.notify(*port)?;
    }
    let mut report = Report { answered: arguments.ports.iter().map(|port| (*port, 0)).collect() };
    let mut limit = arguments.patience;
    let unfinished = |report: &Report| {
        arguments.count == 0 || report.answered.iter().any(|(_, count)| *count < arguments.count)
    };
    while unfinished(&report) {
        let Some(number) = events.wait(limit)? else { break };
        limit = arguments.limit;
        events.rearm(number)?;
        if let Some((_, count)) = report.answered.iter_mut().find(|(port, _)| *port == number) {
            *count += 1;
            events.notify(number)?;
        }
    }
    if report.answered.iter().all(|(_, count)| *count == 0) {
        return Err(Failure::new(format!(
            "no event within {} s\nis evtchn-ping running in the other domain, and is this the port of this \
             domain's end?",
            limit.as_secs()
        )));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Peer, arguments};

    #[test]
    fn every_event_is_answered_after_a_greeting() {
        let mut fake = Fake::new(Peer::Silent);
        fake.later.extend([3, 4, 3]);
        let report = pong(&mut fake, &arguments(0, &[3, 4])).map_err(|failure| failure.to_string());
        assert_eq!(report, Ok(Report { answered: vec![(3, 2), (4, 1)] }));
        assert_eq!(fake.sent, [3, 4, 3, 4, 3]);
    }

    #[test]
    fn a_count_ends_it() {
        let mut fake = Fake::new(Peer::Answers);
        let report = pong(&mut fake, &arguments(5, &[3])).map_err(|failure| failure.to_string());
        assert_eq!(report, Ok(Report { answered: vec![(3, 5)] }));
    }

    #[test]
    fn silence_is_a_failure() {
        let mut fake = Fake::new(Peer::Silent);
        fake.pending.push_back(3);
        assert!(pong(&mut fake, &arguments(0, &[3])).is_err());
    }
}
