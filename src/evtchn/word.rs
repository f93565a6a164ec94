//! The atomic words everything in this room is made of, with the few orderings it needs.
//!
//! There is one set of operations and two engines behind it: the core library's atomics, and, under `cfg(loom)`,
//! loom's. Nothing else in the room names an `Ordering`.
//!
//! On AArch64 every operation here is one of the acquire/release instructions, whose mutual order is sequentially
//! consistent ("RCsc": Arm DDI 0487, B2.3, "Barrier-ordered-before": a Store-Release is ordered before a later
//! Load-Acquire of the same observer, whatever their addresses). A read-modify-write is LDAXR … STLXR, or one LSE
//! instruction with both A and L; [`Word::get`] is LDAR. So a `get` after a `set` in program order cannot be
//! satisfied before the `set` is visible to every observer, without a DMB. LDAPR would not do: it is RCpc.
//!
//! Loom treats a sequentially consistent load as an acquire load only, which would let it report lost events that
//! the architecture forbids; there, a fence restores the order. Nor does loom keep a plain store and a
//! read-modify-write that race in one order for all observers. So, outside the guest, a word that others may be
//! writing is written by `set`, `clear` or `swap`, which also pass on what those others released.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// Under loom, orders all that follows after all that came before, in one total order of such points.
#[inline(always)]
pub(super) fn settle() {
    #[cfg(loom)]
    loom::sync::atomic::fence(SeqCst);
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $atomic:ident, $raw:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name($atomic);

        impl $name {
            /// A word that holds `value`.
            #[must_use]
            pub fn new(value: $raw) -> Self {
                Self($atomic::new(value))
            }
            /// Reads the word. Not satisfied before an earlier `put`, `set`, `clear` or `swap` of this CPU is
            /// visible to all others.
            #[inline(always)]
            pub fn get(&self) -> $raw {
                settle();
                self.0.load(SeqCst)
            }
            /// Reads the word, in no order with anything else.
            #[inline(always)]
            pub fn peek(&self) -> $raw {
                self.0.load(Relaxed)
            }
            /// Writes the word; visible to all others before anything this CPU does later.
            #[inline(always)]
            pub fn put(&self, value: $raw) {
                self.0.store(value, SeqCst);
                settle();
            }
            /// Sets `bits` and returns what the word held before.
            #[inline(always)]
            pub fn set(&self, bits: $raw) -> $raw {
                self.0.fetch_or(bits, SeqCst)
            }
            /// Clears `bits` and returns what the word held before.
            #[inline(always)]
            pub fn clear(&self, bits: $raw) -> $raw {
                self.0.fetch_and(!bits, SeqCst)
            }
            /// Writes the word and returns what it held before.
            #[inline(always)]
            pub fn swap(&self, value: $raw) -> $raw {
                self.0.swap(value, SeqCst)
            }
        }
    };
}

word!(
    /// A 64-bit word: 64 ports of a bitmap, or a selector.
    Word, AtomicU64, u64
);
word!(
    /// A 32-bit word: one packed port.
    Half, AtomicU32, u32
);
word!(
    /// A byte, for the one flag of the ABI that is a byte.
    Byte, AtomicU8, u8
);
