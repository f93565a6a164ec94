//! The state of 32 interrupts, as the architecture's registers group them: one cache line.
//!
//! # Where a pending interrupt lives
//!
//! What makes an edge or a write to ISPENDR pending is a *token*. It is in one of two places:
//!
//! * `latch`: somebody raised the interrupt and no home pCPU has looked yet. Anybody may put it there.
//! * `queued`: the home pCPU has moved the token to (or towards) a list register, and the guest has not
//!   acknowledged it, as far as the home knows.
//!
//! Two places, because a raise between the guest's acknowledge and the home's next look at the list register
//! must not melt into the one that was just consumed. A withdrawal (ICPENDR) takes both; the home, seeing its
//! list register pending without a token, takes it out again at the next resync, which the withdrawal asks for.
//!
//! Both are halves of one word, so that each step is one atomic change. Kept apart, a withdrawal and a new
//! raise could come between the two halves of a move, and the raise be lost with the withdrawn token. Moving
//! depends on what is there and is therefore a compare-and-swap that repeats when the word changes meanwhile.
//! It is of a kind with the repeated exclusive store of every atomic change on Armv8.0: a repetition means that
//! another pCPU finished a change to this word, and each of those costs it a trap or an interrupt.
//!
//! A level-sensitive interrupt is pending by its `line` as well, which needs no token: it is looked at afresh
//! each time. SGIs have their tokens elsewhere (see `sgi`).

use super::sync::{AtomicU8, AtomicU32, AtomicU64, SeqCst, bits};

/// Priority bits implemented: the upper five, as in every Arm GIC (ICH_VTR_EL2.PRIbits).
const PRIORITY_MASK: u8 = 0xf8;

/// 32 interrupts. Bit `n` of each word is interrupt `n` of the bank.
#[repr(C)]
pub struct Bank {
    /// Tokens: latched in the lower half, queued in the upper.
    tokens: AtomicU64,
    /// ISENABLER.
    pub enabled: AtomicU32,
    /// IGROUPR: Group 1. Group 0 interrupts are kept but never signalled.
    pub group1: AtomicU32,
    /// ICFGR: edge-triggered.
    pub edge: AtomicU32,
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
            tokens: AtomicU64::new(0),
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
    pub fn pending(&self) -> u32 {
        let tokens = self.tokens.load(SeqCst);
        tokens as u32 | (tokens >> 32) as u32 | self.asserted()
    }

    /// Which interrupts have a token that the home pCPU has not claimed yet.
    pub fn latched(&self) -> u32 {
        self.tokens.load(SeqCst) as u32
    }

    /// Whether there is a token for one of the interrupts in `mask`.
    pub fn has_token(&self, mask: u32) -> bool {
        self.tokens.load(SeqCst) & spread(mask) != 0
    }

    /// Which interrupts are pending by their input alone.
    pub fn asserted(&self) -> u32 {
        self.line.load(SeqCst) & !self.edge.load(SeqCst)
    }

    /// Which of the interrupts in `pending` could be signalled, were they not active already.
    pub fn eligible(&self, pending: u32) -> u32 {
        pending & self.enabled.load(SeqCst) & self.group1.load(SeqCst)
    }

    /// Makes interrupts pending: an edge, or a write to ISPENDR.
    pub fn latch(&self, mask: u32) {
        self.tokens.fetch_or(u64::from(mask), SeqCst);
    }

    /// Makes interrupts not pending, as far as their input lets it: a write to ICPENDR.
    pub fn withdraw(&self, mask: u32) {
        self.tokens.fetch_and(!spread(mask), SeqCst);
    }

    /// Moves the token of interrupt `bit` (a mask) to the home pCPU; only the home calls this. Whether there
    /// is a token, moved now or earlier.
    pub fn claim(&self, bit: u32) -> bool {
        let (latched, queued) = (u64::from(bit), u64::from(bit) << 32);
        let step = |tokens: u64| (tokens & latched != 0).then_some(tokens & !latched | queued);
        match self.tokens.fetch_update(SeqCst, SeqCst, step) {
            Ok(_) => true,
            Err(unchanged) => unchanged & queued != 0,
        }
    }

    /// The guest has acknowledged interrupt `bit`: its token is used up. Only the home calls this.
    pub fn consume(&self, bit: u32) {
        let queued = u64::from(bit) << 32;
        if self.tokens.load(SeqCst) & queued != 0 {
            self.tokens.fetch_and(!queued, SeqCst);
        }
    }

    /// Takes a latched bit away: for SGIs, whose tokens are elsewhere.
    pub fn unlatch(&self, mask: u32) {
        self.tokens.fetch_and(!u64::from(mask), SeqCst);
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

/// Both places of the tokens in `mask`.
fn spread(mask: u32) -> u64 {
    u64::from(mask) << 32 | u64::from(mask)
}
