//! Physical memory that nobody has claimed, handed out in naturally aligned runs of pages.
//!
//! Given the free ranges once at boot (RAM without reservations, modules, the tree and the hypervisor). A run is a power of two of pages, as the buddy allocator underneath has it.

use buddy_system_allocator::FrameAllocator;

use crate::addr::{PAGE_SHIFT, PAGE_SIZE, Pa, PaSpan};

/// Orders of the buddy allocator: runs up to 2^31 pages, more than 48 bits of address ever hold in one piece.
const ORDERS: usize = 32;

/// The allocator of page frames.
pub struct Frames {
    free: FrameAllocator<ORDERS>,
    pages: u64,
}

impl Frames {
    /// An allocator over `free`: sorted, merged ranges of any alignment. Their ends are rounded inwards to pages.
    #[must_use]
    pub fn new(free: &[PaSpan]) -> Self {
        let mut frames = Self { free: FrameAllocator::new(), pages: 0 };
        for span in free {
            let start = span.start().align_up(PAGE_SIZE).unwrap_or(span.end());
            let (start, end) = (start.frame(), span.end().frame());
            if let (Ok(first), Ok(behind), true) = (usize::try_from(start), usize::try_from(end), start < end)
            {
                frames.free.add_frame(first, behind);
                frames.pages += end - start;
            }
        }
        frames
    }

    /// A run of at least `pages` pages, rounded up to a power of two and aligned to its size. Not zeroed.
    pub fn allocate(&mut self, pages: usize) -> Option<Pa> {
        let rounded =
            pages.checked_next_power_of_two().filter(|rounded| rounded.trailing_zeros() < ORDERS as u32)?;
        let frame = self.free.alloc(rounded)?;
        self.pages = self.pages.saturating_sub(rounded as u64);
        Pa::from_frame(frame as u64)
    }

    /// Takes back a run of `pages` pages, as [`Self::allocate`] answered it.
    pub fn give_back(&mut self, run: Pa, pages: usize) {
        let rounded = pages.next_power_of_two();
        if let Ok(first) = usize::try_from(run.frame()) {
            self.free.dealloc(first, rounded);
            self.pages = self.pages.saturating_add(rounded as u64);
        }
    }

    /// Bytes not handed out.
    #[must_use]
    pub const fn free_bytes(&self) -> u64 {
        self.pages << PAGE_SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> PaSpan {
        PaSpan::from_bounds(Pa::new(start), Pa::new(end)).unwrap()
    }

    #[test]
    fn partial_pages_at_the_ends_are_not_used() {
        let mut frames = Frames::new(&[span(0x1800, 0x3800), span(0x5001, 0x5fff)]);
        assert_eq!(frames.free_bytes(), 4096);
        assert_eq!(frames.allocate(1), Some(Pa::new(0x2000)));
        assert_eq!(frames.allocate(1), None);
    }

    #[test]
    fn what_is_given_back_is_handed_out_again() {
        let mut frames = Frames::new(&[span(0, 16 << 12)]);
        let run = frames.allocate(5).unwrap();
        assert_eq!((frames.free_bytes(), frames.allocate(16)), (8 << 12, None));
        frames.give_back(run, 5);
        assert_eq!((frames.free_bytes(), frames.allocate(16)), (16 << 12, Some(Pa::new(0))));
    }

    proptest::proptest! {
        #[test]
        fn runs_are_aligned_free_and_disjoint(
            banks in proptest::collection::vec((0u64..200, 1u64..60), 1..5),
            wanted in proptest::collection::vec(1usize..40, 0..30),
        ) {
            let banks = crate::mm::spans::merged(
                banks.iter().map(|(page, count)| span(page << 12, (page + count) << 12)).collect());
            let mut frames = Frames::new(&banks);
            let mut taken: Vec<PaSpan> = Vec::new();
            for pages in wanted {
                let before = frames.free_bytes();
                let Some(start) = frames.allocate(pages) else { continue };
                let size = (pages.next_power_of_two() as u64) << 12;
                let run = PaSpan::new(start, size).unwrap();
                proptest::prop_assert!(start.is_aligned(size));
                proptest::prop_assert!(banks.iter().any(|bank| bank.covers(&run)));
                proptest::prop_assert!(taken.iter().all(|other| !other.overlaps(&run)));
                proptest::prop_assert_eq!(frames.free_bytes(), before - size);
                taken.push(run);
            }
        }
    }
}
