//! A device in memory, whose peer answers, or does so badly.

use std::collections::VecDeque;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::{Events, Failure};

/// What the other end does.
#[derive(Clone, Copy)]
pub enum Peer {
    /// Answers every event.
    Answers,
    /// Answers none.
    Silent,
    /// Answers all but the one with this number.
    Loses(usize),
    /// Answers the one with this number twice.
    Doubles(usize),
}

/// The device: what is pending, what was sent, who is at the other end.
pub struct Fake {
    bound: Vec<u32>,
    /// Arrives at once.
    pub pending: VecDeque<u32>,
    /// Arrives after the first silence.
    pub later: VecDeque<u32>,
    /// Everything that was sent.
    pub sent: Vec<u32>,
    peer: Peer,
}

impl Fake {
    /// A device with nothing pending.
    pub fn new(peer: Peer) -> Self {
        Self { bound: Vec::new(), pending: VecDeque::new(), later: VecDeque::new(), sent: Vec::new(), peer }
    }
}

/// `count` events on `ports`.
pub fn arguments(count: u64, ports: &[u32]) -> Arguments {
    let second = Duration::from_secs(1);
    Arguments { count, limit: second, patience: second, rest: Duration::ZERO, ports: ports.to_vec() }
}

impl Events for Fake {
    fn bind(&mut self, port: u32) -> Result<(), Failure> {
        self.bound.push(port);
        Ok(())
    }

    fn notify(&mut self, port: u32) -> Result<(), Failure> {
        if !self.bound.contains(&port) {
            return Err(Failure::new("not bound"));
        }
        self.sent.push(port);
        let answers = match self.peer {
            Peer::Answers => 1,
            Peer::Silent => 0,
            Peer::Loses(number) => usize::from(self.sent.len() != number),
            Peer::Doubles(number) => 1 + usize::from(self.sent.len() == number),
        };
        self.pending.extend(std::iter::repeat_n(port, answers));
        Ok(())
    }

    fn wait(&mut self, _limit: Duration) -> Result<Option<u32>, Failure> {
        if self.pending.is_empty() {
            self.pending.append(&mut self.later);
            return Ok(None);
        }
        Ok(self.pending.pop_front())
    }

    fn rearm(&mut self, port: u32) -> Result<(), Failure> {
        if self.bound.contains(&port) { Ok(()) } else { Err(Failure::new("not bound")) }
    }
}
