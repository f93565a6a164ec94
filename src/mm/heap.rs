//! The heap of the boot, and the promise that nothing allocates afterwards.
//!
//! Everything that lives for good is allocated before the domains run; then the heap is sealed. An allocation
//! after that is our own broken invariant: it is refused and counted, so that a test can see it.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use buddy_system_allocator::Heap;
use spin::mutex::TicketMutex;

/// A buddy heap behind a lock, for `#[global_allocator]`. Blocks are powers of two up to 2 GiB.
pub struct SealedHeap {
    heap: TicketMutex<Heap<32>>,
    sealed: AtomicBool,
    refused: AtomicU64,
}

impl SealedHeap {
    /// A heap without memory: it refuses everything until [`Self::give`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            heap: TicketMutex::new(Heap::new()),
            sealed: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        }
    }

    /// Adds `size` bytes at `start`.
    ///
    /// # Safety
    ///
    /// The memory is writable, belongs to nobody else for good, and does not begin at address 0.
    pub unsafe fn give(&self, start: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.heap.lock().init(start as usize, size) };
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

    /// Bytes handed out, rounded up to blocks, and bytes there are.
    #[must_use]
    pub fn usage(&self) -> (usize, usize) {
        let heap = self.heap.lock();
        (heap.stats_alloc_actual(), heap.stats_total_bytes())
    }
}

impl Default for SealedHeap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `Heap` hands out blocks of at least the size and alignment asked for, none of them twice; the lock makes
// that hold for several CPUs.
unsafe impl GlobalAlloc for SealedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.sealed.load(Ordering::Acquire) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return ptr::null_mut();
        }
        self.heap.lock().alloc(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got `block` from `alloc` with this layout.
            unsafe { self.heap.lock().dealloc(block, layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(4096))]
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
}
