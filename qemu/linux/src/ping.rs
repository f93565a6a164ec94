//! Sends an event, waits for the answer, and so on, on every port at once.
//!
//! An event channel carries no count: two signals that meet become one. So a round trip is only counted while both
//! sides are known to be silent otherwise. The first exchange brings that about (see [`crate::pong`]) and is not counted.

use std::fmt;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::{Events, Failure, drain};

/// How long it must be silent before counting starts, and after it ended.
const QUIET: Duration = Duration::from_millis(200);

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Round trips, on all ports together.
    pub trips: u64,
    /// Answers that nobody had asked for.
    pub surplus: usize,
    /// From the first signal to the last answer.
    pub total: Duration,
    /// The fastest round trip.
    pub best: Duration,
    /// All round trips added up.
    pub sum: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = self.sum.as_nanos() / u128::from(self.trips.max(1));
        write!(
            f,
            "{} round trips, 0 lost, {} surplus, best {} ns, mean {mean} ns, {} ms in all",
            self.trips,
            self.surplus,
            self.best.as_nanos(),
            self.total.as_millis()
        )
    }
}

struct Port {
    number: u32,
    left: u64,
    sent: Option<Instant>,
}

/// Plays `arguments.count` round trips on each port.
///
/// # Errors
///
/// A port cannot be used, or an answer did not come in time.
pub fn ping(events: &mut impl Events, arguments: &Arguments) -> Result<Report, Failure> {
    for port in &arguments.ports {
        events.bind(*port)?;
    }
    drain(events, QUIET)?;
    round(events, arguments, 1, arguments.patience)?;
    drain(events, QUIET)?;
    let mut report = round(events, arguments, arguments.count, arguments.limit)?;
    report.surplus += drain(events, QUIET)?;
    Ok(report)
}

fn round(
    events: &mut impl Events,
    arguments: &Arguments,
    count: u64,
    limit: Duration,
) -> Result<Report, Failure> {
    let mut ports: Vec<Port> =
        arguments.ports.iter().map(|&number| Port { number, left: count, sent: None }).collect();
    let mut report = Report { best: Duration::MAX, ..Report::default() };
    let start = Instant::now();
    let mut open = 0;
    for port in ports.iter_mut().filter(|port| port.left > 0) {
        send(events, port)?;
        open += 1;
    }
    while open > 0 {
        let Some(number) = events.wait(limit)? else { return Err(silence(&ports, limit, report.trips)) };
        let arrived = Instant::now();
        events.rearm(number)?;
        let port = ports.iter_mut().find(|port| port.number == number);
        let Some((port, sent)) = port.and_then(|port| port.sent.take().map(|sent| (port, sent))) else {
            report.surplus += 1;
            continue;
        };
        let took = arrived.duration_since(sent);
        report.best = report.best.min(took);
        report.sum += took;
        report.trips += 1;
        port.left -= 1;
        if port.left > 0 {
            if !arguments.rest.is_zero() {
                std::thread::sleep(arguments.rest);
            }
            send(events, port)?;
        } else {
            open -= 1;
        }
    }
    report.total = start.elapsed();
    Ok(report)
}

fn send(events: &mut impl Events, port: &mut Port) -> Result<(), Failure> {
    port.sent = Some(Instant::now());
    events.notify(port.number)
}

fn silence(ports: &[Port], limit: Duration, trips: u64) -> Failure {
    let waiting: Vec<String> =
        ports.iter().filter(|port| port.sent.is_some()).map(|port| port.number.to_string()).collect();
    Failure::new(format!(
        "no answer on port {} within {} s, after {trips} round trips\n\
         is evtchn-pong running in the other domain, and is this the port of this domain's end?",
        waiting.join(", "),
        limit.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Peer, arguments};

    #[test]
    fn every_trip_is_counted_once_on_every_port() {
        let mut fake = Fake::new(Peer::Answers);
        let report = ping(&mut fake, &arguments(100, &[1, 2, 3])).map_err(|failure| failure.to_string());
        assert_eq!(report.map(|report| (report.trips, report.surplus)), Ok((300, 0)));
    }

    #[test]
    fn what_was_pending_before_is_not_taken_for_an_answer() {
        let mut fake = Fake::new(Peer::Answers);
        fake.pending.extend([2, 1, 2]);
        let report = ping(&mut fake, &arguments(5, &[1, 2])).map_err(|failure| failure.to_string());
        assert_eq!(report.map(|report| (report.trips, report.surplus)), Ok((10, 0)));
    }

    #[test]
    fn a_lost_event_and_a_missing_peer_are_failures_that_name_the_port() {
        for peer in [Peer::Silent, Peer::Loses(4)] {
            let mut fake = Fake::new(peer);
            let report = ping(&mut fake, &arguments(10, &[7]));
            assert!(report.is_err_and(|failure| failure.to_string().contains("no answer on port 7")));
        }
    }

    #[test]
    fn an_answer_too_many_is_reported() {
        let mut fake = Fake::new(Peer::Doubles(4));
        let report = ping(&mut fake, &arguments(10, &[7])).map_err(|failure| failure.to_string());
        assert_eq!(report.map(|report| report.trips), Ok(10));
        assert!(report_has_surplus(&mut Fake::new(Peer::Doubles(11))));
    }

    fn report_has_surplus(fake: &mut Fake) -> bool {
        ping(fake, &arguments(10, &[7])).is_ok_and(|report| report.surplus == 1)
    }
}
