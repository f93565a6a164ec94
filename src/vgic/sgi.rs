//! The tokens of one SGI to one vCPU: who sent it.
//!
//! On GICv2 the receiver is told the sender, and each sender's SGI is an interrupt of its own, of which a list
//! register holds one at a time (IHI 0048, "GICH_LRn", CPUID). GICv3 knows one sender, number 0.
//!
//! As in a bank of other interrupts, tokens are latched or queued, and both are in one word: bit `s` of the
//! lower half says that sender `s` waits, bit `s` of the upper half that its SGI is the queued one. At most one
//! is. The bank's latch bit of the SGI is a summary: it is set after the token and cleared before the word is
//! looked at for the last time, so it may be set for nothing, but never clear over a token.

use super::sync::{AtomicU16, SeqCst};

/// Pending sendings of one SGI.
pub struct Senders(AtomicU16);

impl Senders {
    /// Nobody sent it.
    pub fn new() -> Self {
        Self(AtomicU16::new(0))
    }

    /// Whether it is pending from anyone.
    pub fn any(&self) -> bool {
        self.0.load(SeqCst) != 0
    }

    /// Sender `source` (0-7) sends.
    pub fn send(&self, source: u8) {
        self.0.fetch_or(u16::from(1u8.wrapping_shl(source.into())), SeqCst);
    }

    /// Whether the token of sender `source` is the queued one and nobody waits.
    pub fn is_queued_alone(&self, source: u8) -> bool {
        self.0.load(SeqCst) == 0x100u16.wrapping_shl(source.into())
    }

    /// Whether anyone sent it since tokens were last queued.
    pub fn wait(&self) -> bool {
        self.0.load(SeqCst) & 0xff != 0
    }

    /// The queued token's sender has sent again, and nobody else has: one token is queued then. The sender; `None`, and
    /// nothing is changed, if it is otherwise. Only the home pCPU calls this.
    pub fn merge(&self) -> Option<u8> {
        let word = self.0.load(SeqCst);
        let waiting = word & 0xff;
        let again = waiting.is_power_of_two()
            && word == waiting << 8 | waiting
            && self.0.compare_exchange(word, waiting << 8, SeqCst, SeqCst).is_ok();
        again.then_some(waiting.trailing_zeros() as u8)
    }

    /// Undoes [`merge`](Self::merge), unless the token was withdrawn meanwhile. Only the home pCPU calls this.
    pub fn unmerge(&self, source: u8) {
        let bit = 1u16.wrapping_shl(source.into());
        let _ = self.0.fetch_update(SeqCst, SeqCst, |word| (word & bit << 8 != 0).then_some(word | bit));
    }

    /// Who has it pending: bit `s` for sender `s`.
    pub fn pending(&self) -> u8 {
        let word = self.0.load(SeqCst);
        (word | word >> 8) as u8
    }

    /// It is no longer pending from the senders in `mask`.
    pub fn withdraw_from(&self, mask: u8) {
        self.0.fetch_and(!u16::from_le_bytes([mask, mask]), SeqCst);
    }

    /// It is no longer pending from anyone.
    pub fn withdraw(&self) {
        self.0.store(0, SeqCst);
    }

    /// Queues one sender's token and says whose is queued now. Only the home pCPU calls this.
    ///
    /// `active`: the sender whose SGI the guest has active; only the same can be pending beside it. Otherwise
    /// the lowest-numbered goes first. A sender that sends again before the acknowledge is not counted twice.
    pub fn claim(&self, active: Option<u8>) -> Option<u8> {
        let step = |word: u16| {
            let (waiting, queued) = (word & 0xff, word >> 8);
            let next = match (queued, active) {
                (0, Some(source)) => waiting & 1u16.wrapping_shl(source.into()),
                (0, None) => waiting & waiting.wrapping_neg(),
                (queued, _) => queued,
            };
            let moved = word & !next | next << 8;
            (moved != word).then_some(moved)
        };
        let word = match self.0.fetch_update(SeqCst, SeqCst, step) {
            Ok(before) => step(before).unwrap_or(before),
            Err(unchanged) => unchanged,
        };
        let queued = (word >> 8) as u8;
        (queued != 0).then_some(queued.trailing_zeros() as u8)
    }

    /// The guest has acknowledged the queued one. Whether anyone still waits. Only the home pCPU calls this.
    pub fn consume(&self) -> bool {
        self.0.fetch_and(0xff, SeqCst) & 0xff != 0
    }

    /// Whether others than `source` wait for their turn.
    pub fn others_wait(&self, source: u8) -> bool {
        self.0.load(SeqCst) & 0xff & !1u16.wrapping_shl(source.into()) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_was_withdrawn_while_it_was_merged_does_not_come_back() {
        let senders = Senders::new();
        senders.send(3);
        assert_eq!(senders.claim(None), Some(3));
        senders.send(3);
        assert_eq!(senders.merge(), Some(3));
        senders.unmerge(3);
        assert!(senders.wait(), "it waits again");
        assert_eq!(senders.merge(), Some(3));
        senders.withdraw_from(1 << 3);
        senders.unmerge(3);
        assert!(!senders.any(), "another vCPU has withdrawn it");
    }
}
