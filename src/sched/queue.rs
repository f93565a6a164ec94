//! Slots in the order of a key: the least first, whoever else there is.
//!
//! Whoever is first is kept apart, for on most CPUs nobody else is there. The rest is a binary heap that knows the place
//! of each slot, so that any of them can leave it. Every step is bounded by the height of the heap: six for 63 slots.

use super::scheduler::{MAX_VCPUS, Slot};

/// What slots are ordered by: the first number, and of equals the second.
pub type Key = (u64, u64);

/// Slots, each with a key.
#[derive(Debug)]
pub struct Queue {
    /// Who has the least key.
    first: Option<Slot>,
    /// That key; [`Queue::NEVER`] if nobody is in.
    least: Key,
    /// The other slots in heap order: the parent of place `n` is at `(n - 1) / 2`, and its key is no greater.
    order: [u8; MAX_VCPUS],
    /// Where each slot is in `order`, if it is in the heap.
    place: [u8; MAX_VCPUS],
    /// The key of each slot that is in the heap.
    keys: [Key; MAX_VCPUS],
    len: usize,
}

/// The place of a slot that is not in the heap.
const NOWHERE: u8 = u8::MAX;

/// Every index here is below 64; this tells the compiler.
const fn index(of: u8) -> usize {
    of as usize % MAX_VCPUS
}

impl Queue {
    /// Greater than any key.
    const NEVER: Key = (u64::MAX, u64::MAX);

    /// An empty one.
    pub const fn new() -> Self {
        Self {
            first: None,
            least: Self::NEVER,
            order: [0; MAX_VCPUS],
            place: [NOWHERE; MAX_VCPUS],
            keys: [(0, 0); MAX_VCPUS],
            len: 0,
        }
    }

    /// Who has the least key.
    #[inline(always)]
    pub const fn first(&self) -> Option<Slot> {
        self.first
    }

    /// The first number of the least key; `u64::MAX` if nobody is in.
    #[inline(always)]
    pub const fn least(&self) -> u64 {
        self.least.0
    }

    /// Puts `slot`, which is not in it, in with this key.
    #[inline]
    pub fn insert(&mut self, slot: Slot, key: Key) {
        if key >= self.least {
            return self.push(slot, key);
        }
        let least = core::mem::replace(&mut self.least, key);
        if let Some(second) = self.first.replace(slot) {
            self.push(second, least);
        }
    }

    /// Takes `slot` out, if it is in.
    #[inline]
    pub fn remove(&mut self, slot: Slot) {
        if self.first == Some(slot) {
            self.remove_first();
        } else if self.len != 0 {
            self.pull(slot);
        }
    }

    /// Takes out who is first.
    #[inline]
    pub fn remove_first(&mut self) {
        if self.len != 0 {
            return self.promote();
        }
        self.first = None;
        self.least = Self::NEVER;
    }

    /// The first of the heap becomes the first of all.
    #[inline(never)]
    fn promote(&mut self) {
        let [slot, ..] = self.order;
        self.first = Some(Slot::wrapping(slot));
        self.least = self.key(slot);
        self.take_out(slot, 0);
    }

    #[inline(never)]
    fn push(&mut self, slot: Slot, key: Key) {
        let slot = slot.index() as u8;
        if self.len < MAX_VCPUS && self.place_of(slot) == NOWHERE {
            let at = self.len as u8;
            self.len += 1;
            if let Some(cell) = self.keys.get_mut(index(slot)) {
                *cell = key;
            }
            self.rise(at, slot);
        }
    }

    #[inline(never)]
    fn pull(&mut self, slot: Slot) {
        let slot = slot.index() as u8;
        let at = self.place_of(slot);
        if at != NOWHERE {
            self.take_out(slot, at);
        }
    }

    fn take_out(&mut self, slot: u8, at: u8) {
        self.set_place(slot, NOWHERE);
        self.len -= 1;
        let last = self.at(self.len as u8);
        if last != slot {
            // The last one fills the hole; it may belong further down, or further up.
            self.sink(at, last);
            self.rise(self.place_of(last), last);
        }
    }

    /// Puts `slot` at `at`, or above where its key is less.
    fn rise(&mut self, mut at: u8, slot: u8) {
        let key = self.key(slot);
        while at != 0 {
            let above = (at - 1) / 2;
            let parent = self.at(above);
            if self.key(parent) <= key {
                break;
            }
            self.put(at, parent);
            at = above;
        }
        self.put(at, slot);
    }

    /// Puts `slot` at `at`, or below where a key is less.
    fn sink(&mut self, mut at: u8, slot: u8) {
        let key = self.key(slot);
        loop {
            let left = 2 * at + 1;
            if usize::from(left) >= self.len {
                break;
            }
            let right = left + 1;
            let right_is_less =
                usize::from(right) < self.len && self.key(self.at(right)) < self.key(self.at(left));
            let least = if right_is_less { right } else { left };
            let child = self.at(least);
            if key <= self.key(child) {
                break;
            }
            self.put(at, child);
            at = least;
        }
        self.put(at, slot);
    }

    fn put(&mut self, at: u8, slot: u8) {
        if let Some(cell) = self.order.get_mut(index(at)) {
            *cell = slot;
        }
        self.set_place(slot, at);
    }

    fn at(&self, at: u8) -> u8 {
        self.order.get(index(at)).copied().unwrap_or(0)
    }

    fn place_of(&self, slot: u8) -> u8 {
        self.place.get(index(slot)).copied().unwrap_or(NOWHERE)
    }

    fn set_place(&mut self, slot: u8, at: u8) {
        if let Some(cell) = self.place.get_mut(index(slot)) {
            *cell = at;
        }
    }

    fn key(&self, slot: u8) -> Key {
        self.keys.get(index(slot)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes and goes, the least is first.
        #[test]
        fn the_least_is_first(steps in prop::collection::vec((0_usize..MAX_VCPUS, 0_u64..50, any::<bool>()), 1..400)) {
            let (mut queue, mut model) = (Queue::new(), BTreeMap::new());
            for (which, key, comes) in steps {
                let slot = Slot::new(which).unwrap();
                if comes && !model.contains_key(&which) {
                    queue.insert(slot, (key, which as u64));
                    model.insert(which, key);
                } else {
                    queue.remove(slot);
                    model.remove(&which);
                }
                let least = model.iter().map(|(which, key)| (*key, *which as u64)).min();
                prop_assert_eq!(queue.first().map(Slot::index), least.map(|least| least.1 as usize));
                prop_assert_eq!(queue.least(), least.map_or(u64::MAX, |least| least.0));
            }
        }
    }
}
