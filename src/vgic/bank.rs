//! The state of 32 interrupts, as the architecture's registers group them: one cache line.
//!
//! # Where a pending interrupt lives
//!
//! What makes an edge, an SGI or a write to ISPENDR pending is a *token*. It is in one of two words:
//!
//! * `latch`: somebody raised the interrupt and no home pCPU has looked yet. Anybody may set or clear it.
//! * `queued`: the home pCPU has moved the token to (or towards) a list register. Only the home sets it;
//!   the home clears it when the guest has acknowledged the interrupt, and anybody clears it to withdraw.
//!
//! Two words, because a raise between the guest's acknowledge and the home's next look at the list register
//! must not melt into the one that was just consumed.
//!
//! The order of the steps makes a withdrawal (ICPENDR) final without a lock. Moving: set `queued`, clear
//! `latch`, and if neither had been set, clear `queued` again. Withdrawing: clear `latch`, then `queued`.
//! Whatever the interleaving, either the mover finds no token, or the withdrawer finds `queued` and clears it,
//! and the home, seeing its list register pending without a token, takes it out again at the next resync (the
//! withdrawal asks for one).
//!
//! A level-sensitive interrupt is pending by its `line` as well, which needs no token: it is looked at afresh
//! each time.

use super::sync::{AtomicU8, AtomicU32, SeqCst, bits};

/// Priority bits implemented: the upper five, as in every Arm GIC (ICH_VTR_EL2.PRIbits).
const PRIORITY_MASK: u8 = 0xf8;

/// 32 interrupts. Bit `n` of each word is interrupt `n` of the bank.
#[repr(C)]
pub struct Bank {
    /// ISENABLER.
    pub enabled: AtomicU32,
    /// IGROUPR: Group 1. Group 0 interrupts are kept but never signalled.
    pub group1: AtomicU32,
    /// ICFGR: edge-triggered.
    pub edge: AtomicU32,
    /// Raised, and not yet looked at by the home pCPU.
    pub latch: AtomicU32,
    /// Moved to the home pCPU, and not yet acknowledged.
    pub queued: AtomicU32,
    /// Level of the input.
    pub line: AtomicU32,
    /// ISACTIVER, as of the last time the home pCPU looked.
    pub active: AtomicU32,
    /// Interrupts that are linked to the physical interrupt of the same number.
    pub linked: u32,
    priority: [AtomicU8; 32],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bank>() == 64);

impl Bank {
    /// A bank in its reset state. `edge`: which interrupts are edge-triggered.
    pub fn new(edge: u32, linked: u32) -> Self {
        let word = AtomicU32::new;
        Self {
            enabled: word(0),
            group1: word(u32::MAX),
            edge: word(edge),
            latch: word(0),
            queued: word(0),
            line: word(0),
            active: word(0),
            linked,
            priority: core::array::from_fn(|_| AtomicU8::new(0)),
        }
    }

    /// Back to the reset state. The domain is stopped.
    ///
    /// Interrupts reset to Group 1, as on a machine whose firmware gave everything to the non-secure world:
    /// guests that never write IGROUPR expect it.
    pub fn reset(&self, edge: u32) {
        self.enabled.store(0, SeqCst);
        self.group1.store(u32::MAX, SeqCst);
        self.edge.store(edge, SeqCst);
        self.line.store(0, SeqCst);
        self.active.store(0, SeqCst);
        self.withdraw(u32::MAX);
        for priority in &self.priority {
            priority.store(0, SeqCst);
        }
    }

    /// Which interrupts are pending, in the words of ISPENDR: until acknowledged, whether enabled or not.
    ///
    /// `latch` is read before `queued`, so that a token on its way from one to the other is never missed.
    pub fn pending(&self) -> u32 {
        let latch = self.latch.load(SeqCst);
        latch | self.queued.load(SeqCst) | self.asserted()
    }

    /// Which interrupts are pending by their input alone.
    pub fn asserted(&self) -> u32 {
        self.line.load(SeqCst) & !self.edge.load(SeqCst)
    }

    /// Which interrupts could be signalled, were they not active already.
    pub fn eligible(&self) -> u32 {
        self.pending() & self.enabled.load(SeqCst) & self.group1.load(SeqCst)
    }

    /// Makes interrupts pending: an edge, or a write to ISPENDR.
    pub fn latch(&self, mask: u32) {
        self.latch.fetch_or(mask, SeqCst);
    }

    /// Makes interrupts not pending, as far as their input lets it: a write to ICPENDR.
    pub fn withdraw(&self, mask: u32) {
        self.latch.fetch_and(!mask, SeqCst);
        self.queued.fetch_and(!mask, SeqCst);
    }

    /// Moves the token of interrupt `bit` (a mask) to the home pCPU; only the home calls this. Whether there
    /// is a token, moved now or earlier.
    pub fn claim(&self, bit: u32) -> bool {
        if self.latch.load(SeqCst) & bit == 0 {
            return self.queued.load(SeqCst) & bit != 0;
        }
        let queued = self.queued.fetch_or(bit, SeqCst) & bit != 0;
        let latched = self.latch.fetch_and(!bit, SeqCst) & bit != 0;
        if !queued && !latched {
            self.consume(bit);
        }
        queued || latched
    }

    /// The guest has acknowledged interrupt `bit`: its token is used up. Only the home calls this.
    pub fn consume(&self, bit: u32) {
        if self.queued.load(SeqCst) & bit != 0 {
            self.queued.fetch_and(!bit, SeqCst);
        }
    }

    /// Drives the inputs in `mask`. Which of them changed. A rising edge-triggered input becomes pending.
    pub fn drive(&self, mask: u32, high: bool) -> u32 {
        if high {
            let risen = mask & !self.line.fetch_or(mask, SeqCst);
            let edges = risen & self.edge.load(SeqCst);
            if edges != 0 {
                self.latch(edges);
            }
            risen
        } else {
            mask & self.line.fetch_and(!mask, SeqCst)
        }
    }

    /// Marks interrupts active or not.
    pub fn set_active(&self, mask: u32, active: bool) {
        if active {
            self.active.fetch_or(mask, SeqCst);
        } else {
            self.active.fetch_and(!mask, SeqCst);
        }
    }

    /// Priority of interrupt `n`; the least urgent one if there is no such interrupt.
    pub fn priority(&self, n: u32) -> u8 {
        self.priority.get(n as usize).map_or(PRIORITY_MASK, |priority| priority.load(SeqCst))
    }

    /// Sets the priority of interrupt `n`. Whether it changed.
    pub fn set_priority(&self, n: u32, value: u8) -> bool {
        let value = value & PRIORITY_MASK;
        self.priority.get(n as usize).is_some_and(|priority| priority.swap(value, SeqCst) != value)
    }

    /// Whether one of the interrupts in `mask` is more urgent than `pmr`.
    pub fn any_above(&self, mask: u32, pmr: u8) -> bool {
        bits(mask).any(|n| self.priority(n) < pmr)
    }
}
