//! The heap of the boot, and the promise that nothing allocates afterwards.
//!
//! Everything that lives for good is allocated before the domains run; then the heap is sealed. An allocation
//! after that is our own broken invariant: it is refused and counted, so that a test can see it.
//!
//! Planning may take much more memory than what it leaves behind. So memory can be lent for a while: it is used first
//! until [`SealedHeap::stop_borrowing`], then only for what fits nowhere else, and [`SealedHeap::give_back`] hands it out
//! again if nothing lives in it.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use buddy_system_allocator::Heap;
use spin::mutex::TicketMutex;

/// Buddy heaps behind a lock, for `#[global_allocator]`. Blocks are powers of two up to 2 GiB.
pub struct SealedHeap {
    heaps: TicketMutex<Heaps>,
    sealed: AtomicBool,
    refused: AtomicU64,
}

struct Heaps {
    own: Heap<32>,
    lent: Heap<32>,
    /// Where the lent memory begins, and its size; a size of 0 if there is none.
    loan: (usize, usize),
    borrowing: bool,
}

impl Heaps {
    fn lent_holds(&self, block: usize) -> bool {
        block.wrapping_sub(self.loan.0) < self.loan.1
    }
}

impl SealedHeap {
    /// A heap without memory: it refuses everything until [`Self::give`].
    #[must_use]
    pub const fn new() -> Self {
        let heaps = Heaps { own: Heap::new(), lent: Heap::new(), loan: (0, 0), borrowing: false };
        Self { heaps: TicketMutex::new(heaps), sealed: AtomicBool::new(false), refused: AtomicU64::new(0) }
    }

    /// Adds `size` bytes at `start`.
    ///
    /// # Safety
    ///
    /// The memory is writable, belongs to nobody else for good, and does not begin at address 0.
    pub unsafe fn give(&self, start: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.heaps.lock().own.init(start as usize, size) };
    }

    /// Lends `size` bytes at `start`, from which allocations come as long as they fit. One loan at a time.
    ///
    /// # Safety
    ///
    /// As for [`Self::give`], until [`Self::give_back`] answers with the memory. None is lent now.
    pub unsafe fn lend(&self, start: *mut u8, size: usize) {
        let mut heaps = self.heaps.lock();
        // SAFETY: the caller's promise.
        unsafe { heaps.lent.init(start as usize, size) };
        heaps.loan = (start as usize, size);
        heaps.borrowing = true;
    }

    /// From here on allocations come from the heap's own memory again, as long as they fit. Answers how many bytes were lent out, rounded
    /// up to blocks.
    pub fn stop_borrowing(&self) -> usize {
        let mut heaps = self.heaps.lock();
        heaps.borrowing = false;
        heaps.lent.stats_alloc_actual()
    }

    /// The start of the lent memory, if there is some and nothing lives in it; it is the caller's again.
    pub fn give_back(&self) -> Option<usize> {
        let mut heaps = self.heaps.lock();
        let (start, size) = heaps.loan;
        if size == 0 || heaps.lent.stats_alloc_actual() != 0 {
            return None;
        }
        heaps.lent = Heap::new();
        heaps.loan = (0, 0);
        heaps.borrowing = false;
        Some(start)
    }

    /// Bytes that are lent.
    #[must_use]
    pub fn loan(&self) -> usize {
        self.heaps.lock().loan.1
    }

    /// From here on every allocation is refused and counted. Freeing stays possible.
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Allocations refused since [`Self::seal`].
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Bytes handed out, rounded up to blocks, and bytes there are, of the heap's own memory.
    #[must_use]
    pub fn usage(&self) -> (usize, usize) {
        let heaps = self.heaps.lock();
        (heaps.own.stats_alloc_actual(), heaps.own.stats_total_bytes())
    }
}

impl Default for SealedHeap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each `Heap` hands out blocks of at least the size and alignment asked for, none of them twice; the two have no
// memory in common, and the lock makes that hold for several CPUs.
unsafe impl GlobalAlloc for SealedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.sealed.load(Ordering::Acquire) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return ptr::null_mut();
        }
        let mut heaps = self.heaps.lock();
        let borrowing = heaps.borrowing;
        let Heaps { own, lent, .. } = &mut *heaps;
        let (first, second) = if borrowing { (lent, own) } else { (own, lent) };
        first.alloc(layout).or_else(|_| second.alloc(layout)).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            let mut heaps = self.heaps.lock();
            let lent = heaps.lent_holds(block.as_ptr() as usize);
            let heap = if lent { &mut heaps.lent } else { &mut heaps.own };
            // SAFETY: the caller got `block` from `alloc` with this layout, and this is the heap that holds it.
            unsafe { heap.dealloc(block, layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16384))]
    struct Memory([u8; 16384]);

    #[test]
    fn miri_a_sealed_heap_refuses_and_counts() {
        let mut memory = Box::new(Memory([0; 16384]));
        let heap = SealedHeap::new();
        let layout = Layout::from_size_align(100, 8).unwrap();
        // SAFETY: the box outlives the heap's use; blocks are written within their size.
        unsafe {
            assert!(heap.alloc(layout).is_null(), "it has no memory yet");
            heap.give(memory.0.as_mut_ptr(), 16384);
            let block = heap.alloc(layout);
            assert!(!block.is_null());
            block.write_bytes(0xaa, 100);
            assert_eq!(heap.usage(), (128, 16384));
            heap.seal();
            assert!(heap.alloc(layout).is_null());
            assert_eq!(heap.refused(), 1);
            heap.dealloc(block, layout);
            assert_eq!(heap.usage().0, 0);
        }
    }
    #[test]
    fn miri_lent_memory_is_used_first_and_comes_back_when_nothing_lives_in_it() {
        let mut memory = Box::new([Memory([0; 16384]), Memory([0; 16384])]);
        let [own, lent] = &mut *memory;
        let start = lent.0.as_ptr() as usize;
        let heap = SealedHeap::new();
        let (small, large) =
            (Layout::from_size_align(100, 8).unwrap(), Layout::from_size_align(16384, 8).unwrap());
        // SAFETY: the box outlives the heap's use; blocks are freed once, with their layout.
        unsafe {
            heap.give(own.0.as_mut_ptr(), 16384);
            assert_eq!(heap.give_back(), None, "there is none");
            heap.lend(lent.0.as_mut_ptr(), 16384);
            let first = heap.alloc(small);
            assert!((start..start + 16384).contains(&(first as usize)));
            let too_large = heap.alloc(large);
            assert_eq!(heap.usage(), (16384, 16384), "what does not fit the rest comes from the own memory");
            heap.dealloc(too_large, large);
            assert_eq!(heap.stop_borrowing(), 128);
            let second = heap.alloc(small);
            assert_eq!(heap.usage().0, 128);
            assert_eq!(heap.give_back(), None, "something lives in it");
            heap.dealloc(first, small);
            let another = heap.alloc(large);
            assert!(!another.is_null(), "what fits nowhere else still comes from the lent memory");
            assert_eq!(heap.give_back(), None);
            heap.dealloc(another, large);
            assert_eq!(heap.give_back(), Some(start));
            heap.dealloc(second, small);
            assert_eq!(heap.usage().0, 0);
        }
    }
}
