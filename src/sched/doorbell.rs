//! How CPUs ask a pCPU to look at some of its vCPUs.
//!
//! A doorbell *decides* who sends the SGI, and which bits its pCPU takes; it *trusts* that whoever is to send one does, and
//! that the pCPU looks here after it has taken one. Nobody waits here, and nothing is said twice.
//!
//! # Who sends the SGI
//!
//! The pCPU clears the bits first and looks after. Whoever finds a word empty sends the SGI; whoever does not knows
//! that the pCPU has not looked yet, and will see this bit too.
//!
//! A pCPU that has no time for others leaves bits set and looks again when its timer says so. Meanwhile `awake` has the
//! bit of the vCPU that runs: whoever sets that one sends the SGI though the word is not empty. The pCPU stores `awake` and
//! then clears the bit; the sender sets the bit and then loads `awake`. Both change the same word, so one of them is first. If
//! it is the sender, the pCPU takes the bit; if it is the pCPU, the sender has acquired what that one released, and
//! finds its bit in `awake`, which needs no order of its own. Loom looks for a third way.
//!
//! # SGIs of guests
//!
//! An SGI to a vCPU that runs is for now and nothing else, so it has a word and an interrupt of its own: whoever sets
//! a bit there sends it, the pCPU takes it and then the bits. If another vCPU runs by then, the pCPU rings for itself.
//!
//! # Epochs
//!
//! Whoever waits for an [epoch](Epochs) rings at each pCPU, whichever slot, and waits until its observer has seen the epoch. So
//! taking a bit and observing are one: a bit taken without would leave the other waiting for good.

use super::Slot;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::{AtomicU64, Epoch, Epochs, Observer};

/// Bits by which any CPU asks a pCPU to look at some of its vCPUs: bit `n` for the vCPU in slot `n`.
///
/// A cache line of its own: others write it, and find there all that they need to ring.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Doorbell<Sgi> {
    /// An event was sent: the upcall flag was set.
    upcalls: AtomicU64,
    /// Anything else.
    others: AtomicU64,
    /// Whose bits are heard although others are left set.
    awake: AtomicU64,
    /// SGIs were sent to a vCPU that ran.
    sgis: AtomicU64,
    /// When its pCPU last held nothing that it had found in the world before.
    observer: Observer,
    /// How others send the pCPU an SGI.
    pub sgi: Sgi,
}

/// A bit was set.
#[derive(Debug)]
#[must_use = "somebody may have to be interrupted"]
pub struct Rung<'a> {
    bit: u64,
    before: u64,
    awake: &'a AtomicU64,
}

impl<Sgi> Doorbell<Sgi> {
    /// Nobody has rung.
    #[must_use]
    pub fn new(sgi: Sgi) -> Self {
        let word = || AtomicU64::new(0);
        Self { upcalls: word(), others: word(), awake: word(), sgis: word(), observer: Observer::new(), sgi }
    }

    /// An event was sent to the vCPU in the slot that `slot` is modulo 64.
    #[inline(always)]
    pub fn ring_upcall(&self, slot: u32) -> Rung<'_> {
        self.ring(&self.upcalls, slot)
    }

    /// The vCPU in `slot` needs attention for another reason.
    #[inline(always)]
    pub fn ring_other(&self, slot: Slot) -> Rung<'_> {
        self.ring(&self.others, slot.index() as u32)
    }

    /// SGIs were sent to the vCPU in `slot`. Whether the interrupt for that must be sent.
    #[inline]
    #[must_use = "nothing else will"]
    pub fn ring_sgis(&self, slot: Slot) -> bool {
        self.sgis.fetch_or(slot.bit(), SeqCst) & slot.bit() == 0
    }

    /// Takes the bits of all to whom SGIs were sent, when the interrupt for that was taken. On its pCPU.
    pub fn take_sgis(&self) -> u64 {
        self.sgis.swap(0, SeqCst)
    }

    /// Takes the bit of `slot` if SGIs were sent to nobody else; otherwise nothing is taken.
    #[inline]
    pub fn take_sgis_alone(&self, slot: Slot) -> bool {
        self.sgis.compare_exchange(slot.bit(), 0, SeqCst, SeqCst).is_ok()
    }

    #[inline(always)]
    fn ring<'a>(&'a self, word: &AtomicU64, slot: u32) -> Rung<'a> {
        let bit = 1u64.wrapping_shl(slot);
        Rung { bit, before: word.fetch_or(bit, SeqCst), awake: &self.awake }
    }

    /// Whether anything is to be looked at.
    #[inline(always)]
    pub fn is_rung(&self) -> bool {
        self.upcalls.load(SeqCst) | self.others.load(SeqCst) != 0
    }

    /// Whether anybody but the vCPU in `slot` is to be looked at.
    #[inline]
    pub fn is_rung_beside(&self, slot: Slot) -> bool {
        (self.upcalls.load(SeqCst) | self.others.load(SeqCst)) & !slot.bit() != 0
    }

    /// Takes all bits: upcalls, and others. On its pCPU, which holds nothing that it found earlier.
    #[inline(always)]
    pub fn take(&self, epochs: &Epochs) -> (u64, u64) {
        // If that is seen late, an SGI comes for nothing; if early, the bit is taken below.
        if self.awake.load(Relaxed) != 0 {
            self.awake.store(0, Relaxed);
        }
        let take = |word: &AtomicU64| if word.load(SeqCst) == 0 { 0 } else { word.swap(0, SeqCst) };
        let taken = (take(&self.upcalls), take(&self.others));
        epochs.observe(&self.observer);
        taken
    }

    /// Takes the bits of `slot` alone: an upcall, and anything else. From here on, until all are taken, that slot is heard: it
    /// is said first, so that whoever sets a bit that is not taken here finds it said. On its pCPU, which holds nothing
    /// that it found earlier.
    #[inline]
    pub fn take_of(&self, slot: Slot, epochs: &Epochs) -> (bool, bool) {
        self.awake.store(slot.bit(), Relaxed);
        let take = |word: &AtomicU64| word.fetch_and(!slot.bit(), SeqCst) & slot.bit() != 0;
        let taken = (take(&self.upcalls), take(&self.others));
        epochs.observe(&self.observer);
        taken
    }

    /// Takes all upcalls if none of the slots in `but`, a bit for each, and nothing else, was rung for; otherwise nothing is
    /// taken. No epoch is rung for by an upcall.
    #[inline(always)]
    pub fn take_upcalls_but(&self, but: u64) -> bool {
        let upcalls = self.upcalls.load(SeqCst);
        upcalls & but == 0
            && self.others.load(SeqCst) == 0
            && self.upcalls.compare_exchange(upcalls, 0, SeqCst, SeqCst).is_ok()
    }

    /// Takes the upcall of `slot` if that is all that was rung for; otherwise nothing is taken.
    #[inline]
    pub fn take_upcall_alone(&self, slot: Slot) -> bool {
        self.others.load(SeqCst) == 0 && self.upcalls.compare_exchange(slot.bit(), 0, SeqCst, SeqCst).is_ok()
    }

    /// Whether its pCPU has looked here since `epoch` began, and so holds nothing that it found before.
    #[must_use]
    pub fn has_seen(&self, epoch: Epoch) -> bool {
        self.observer.has_seen(epoch)
    }
}

impl Rung<'_> {
    /// Whether the SGI must be sent, unless the pCPU has rung its own doorbell: it has no other way to hear of this bit in time.
    #[inline(always)]
    #[must_use]
    pub fn needs_sgi(&self) -> bool {
        let Self { bit, before, awake } = self;
        *before == 0 || before & bit == 0 && awake.load(Relaxed) & bit != 0
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    /// A pCPU that runs the vCPU in the first slot and has left rung what is for the one in the second.
    fn left_rung() -> (Doorbell<()>, Epochs, Slot, Slot) {
        let (doorbell, epochs) = (Doorbell::new(()), Epochs::new());
        let [running, other] = [0, 1].map(|index| Slot::new(index).unwrap());
        assert!(doorbell.ring_upcall(1).needs_sgi());
        assert!(doorbell.ring_other(other).needs_sgi());
        assert_eq!(doorbell.take_of(running, &epochs), (false, false));
        (doorbell, epochs, running, other)
    }

    #[test]
    fn the_first_to_ring_sends_the_sgi_and_all_bits_are_taken_at_once() {
        let (doorbell, epochs) = (Doorbell::new(()), Epochs::new());
        assert!(doorbell.ring_upcall(3).needs_sgi());
        assert!(!doorbell.ring_upcall(5).needs_sgi());
        assert!(doorbell.ring_other(Slot::new(63).unwrap()).needs_sgi(), "the other word was empty");
        assert_eq!(doorbell.take(&epochs), (1 << 3 | 1 << 5, 1 << 63));
        assert!(!doorbell.is_rung());
        assert!(doorbell.ring_upcall(3).needs_sgi());
    }

    #[test]
    fn the_one_that_runs_is_heard_once_while_others_wait_unheard() {
        let (doorbell, epochs, running, other) = left_rung();
        assert!(!doorbell.ring_upcall(1).needs_sgi() && !doorbell.ring_other(other).needs_sgi());
        assert!(doorbell.ring_upcall(0).needs_sgi() && doorbell.ring_other(running).needs_sgi());
        assert!(!doorbell.ring_upcall(0).needs_sgi(), "it has one already");
        assert_eq!(doorbell.take_of(running, &epochs), (true, true));
        assert!(doorbell.is_rung() && doorbell.is_rung_beside(running) && !doorbell.is_rung_beside(other));
        assert!(doorbell.ring_upcall(0).needs_sgi());
        assert_eq!(doorbell.take(&epochs), (0b11, 0b10));
    }

    #[test]
    fn once_all_are_taken_nobody_is_heard_more_than_others() {
        let (doorbell, epochs, ..) = left_rung();
        let _ = doorbell.take(&epochs);
        assert!(doorbell.ring_upcall(1).needs_sgi());
        assert!(!doorbell.ring_upcall(0).needs_sgi());
    }

    #[test]
    fn an_upcall_is_taken_alone_or_not_at_all() {
        let (doorbell, epochs, running, other) = left_rung();
        let _ = doorbell.ring_upcall(0);
        assert!(!doorbell.take_upcall_alone(running) && !doorbell.take_upcalls_but(0));
        let _ = doorbell.take(&epochs);
        let _ = doorbell.ring_upcall(0);
        assert!(!doorbell.take_upcall_alone(other) && !doorbell.take_upcalls_but(running.bit()));
        assert!(doorbell.take_upcall_alone(running) && !doorbell.is_rung());
        let _ = (doorbell.ring_upcall(0), doorbell.ring_upcall(1));
        assert!(doorbell.take_upcalls_but(1 << 2) && !doorbell.is_rung());
    }

    #[test]
    fn an_sgi_to_one_that_runs_has_a_bit_and_an_interrupt_of_its_own() {
        let (doorbell, epochs, running, other) = left_rung();
        assert!(doorbell.ring_sgis(running) && !doorbell.ring_sgis(running) && doorbell.ring_sgis(other));
        assert_eq!(doorbell.take(&epochs), (0b10, 0b10));
        assert!(!doorbell.is_rung(), "the interrupt will say it");
        assert!(!doorbell.take_sgis_alone(running));
        assert_eq!(doorbell.take_sgis(), 0b11);
        assert!(doorbell.ring_sgis(running));
        assert!(!doorbell.take_sgis_alone(other) && doorbell.take_sgis_alone(running));
        assert_eq!(doorbell.take_sgis(), 0);
    }

    /// What a restart waits for: it rings at every pCPU, and one that has no time for others takes that bit alone.
    #[test]
    fn an_epoch_is_seen_by_whoever_takes_the_bit_that_was_rung_for_it() {
        let (doorbell, epochs, running, _) = left_rung();
        for take in [
            |doorbell: &Doorbell<()>, slot, epochs: &Epochs| doorbell.take_of(slot, epochs).1,
            |doorbell: &Doorbell<()>, slot: Slot, epochs: &Epochs| doorbell.take(epochs).1 & slot.bit() != 0,
        ] {
            let epoch = epochs.turn();
            let _ = doorbell.ring_other(running);
            assert!(!doorbell.has_seen(epoch));
            assert!(take(&doorbell, running, &epochs));
            assert!(doorbell.has_seen(epoch), "it will not be rung for again");
        }
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::{AtomicBool, AtomicU32};

    /// The one that runs, and one that waits.
    const A: u32 = 0;
    const B: u32 = 1;

    /// A pCPU, its interrupt, and what is to be seen when one looks.
    struct Pcpu {
        doorbell: Doorbell<()>,
        epochs: Epochs,
        sgi: AtomicBool,
        shown: AtomicU32,
    }

    fn slot(index: u32) -> Slot {
        Slot::new(index as usize).unwrap()
    }

    impl Pcpu {
        fn new() -> Arc<Self> {
            let (doorbell, epochs) = (Doorbell::new(()), Epochs::new());
            Arc::new(Self { doorbell, epochs, sgi: AtomicBool::new(false), shown: AtomicU32::new(0) })
        }

        /// One that has left rung what is for [`B`], long ago.
        fn busy() -> Arc<Self> {
            let pcpu = Self::new();
            let _ = (pcpu.doorbell.ring_upcall(B), pcpu.doorbell.ring_other(slot(B)));
            pcpu
        }

        fn send(&self, rung: &Rung<'_>) {
            if rung.needs_sgi() {
                self.sgi.swap(true, SeqCst);
            }
        }

        fn upcall(&self, slot: u32) {
            self.shown.fetch_or(1 << slot, Relaxed);
            self.send(&self.doorbell.ring_upcall(slot));
        }

        /// Without time for others. Whether an upcall was taken.
        fn look_for_a(&self) -> bool {
            let (upcall, _) = self.doorbell.take_of(slot(A), &self.epochs);
            assert!(!upcall || self.shown.load(Relaxed) & 1 << A != 0, "the sign came before the event");
            upcall
        }

        fn is_interrupted(&self) -> bool {
            self.sgi.swap(false, SeqCst)
        }
    }

    #[test]
    fn loom_what_is_rung_for_the_one_that_runs_is_taken_or_an_sgi_is_sent() {
        loom::model(|| {
            let pcpu = Pcpu::busy();
            let sender = pcpu.clone();
            let thread = thread::spawn(move || sender.upcall(A));
            let taken = pcpu.look_for_a();
            thread.join().unwrap();
            assert!(taken || pcpu.is_interrupted());
        });
    }

    /// The same for the other word, from one who waits until the pCPU holds nothing of what it had found.
    #[test]
    fn loom_an_epoch_is_seen_or_an_sgi_is_sent() {
        loom::model(|| {
            let pcpu = Pcpu::busy();
            let keeper = pcpu.clone();
            let thread = thread::spawn(move || {
                let epoch = keeper.epochs.turn();
                keeper.send(&keeper.doorbell.ring_other(slot(A)));
                epoch
            });
            pcpu.look_for_a();
            let epoch = thread.join().unwrap();
            assert!(pcpu.doorbell.has_seen(epoch) || pcpu.is_interrupted());
        });
    }

    /// Two senders, and a pCPU that is interrupted, has no time for others, is interrupted again, and has. At the end,
    /// whatever is left rung is known: of an SGI for the one that runs, and of that or the timer for the other.
    #[test]
    fn loom_nothing_is_left_that_nothing_will_bring() {
        loom::model(|| {
            let pcpu = Pcpu::new();
            let threads = [A, B].map(|slot| {
                let sender = pcpu.clone();
                thread::spawn(move || sender.upcall(slot))
            });
            let (mut taken, mut timer) = (0, false);
            if pcpu.is_interrupted() {
                taken |= u64::from(pcpu.look_for_a());
                timer = pcpu.doorbell.is_rung_beside(slot(A));
            }
            if pcpu.is_interrupted() {
                taken |= pcpu.doorbell.take(&pcpu.epochs).0;
                timer = false;
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            let sgi = pcpu.is_interrupted();
            assert!(taken & 1 << A != 0 || sgi, "the one that runs is not heard");
            assert!(taken & 1 << B != 0 || sgi || timer, "the other is never looked at");
        });
    }

    #[test]
    fn loom_sgis_are_taken_or_their_interrupt_is_sent() {
        loom::model(|| {
            let pcpu = Pcpu::new();
            let threads = [0, 1].map(|sgi| {
                let sender = pcpu.clone();
                thread::spawn(move || {
                    sender.shown.fetch_or(1 << sgi, Relaxed);
                    if sender.doorbell.ring_sgis(slot(A)) {
                        sender.sgi.swap(true, SeqCst);
                    }
                })
            });
            let mut seen = 0;
            if pcpu.is_interrupted() && pcpu.doorbell.take_sgis() != 0 {
                seen = pcpu.shown.load(Relaxed);
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(seen == 0b11 || pcpu.is_interrupted());
        });
    }

    /// The pCPU has no time for others, then has: a bit that comes in between is taken, or an SGI is.
    #[test]
    fn loom_who_rings_as_the_time_for_all_comes_is_heard() {
        loom::model(|| {
            let pcpu = Pcpu::busy();
            let sender = pcpu.clone();
            let thread = thread::spawn(move || sender.upcall(A));
            let mut taken = u64::from(pcpu.look_for_a());
            taken |= pcpu.doorbell.take(&pcpu.epochs).0;
            // The next one that has no time.
            taken |= u64::from(pcpu.look_for_a());
            thread.join().unwrap();
            assert!(taken & 1 << A != 0 || pcpu.is_interrupted());
            assert!(taken & 1 << B != 0);
        });
    }
}
