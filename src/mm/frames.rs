//! Physical memory that nobody has claimed, handed out in naturally aligned runs of pages.
//!
//! Given the free ranges once at boot (RAM without reservations, modules, the tree and the hypervisor). A run is a power of
//! two of pages. It is taken from the smallest range that has room for it, so that large runs stay whole as long as they
//! can: a few dozen runs are ever handed out, and a list is looked through for each.

use alloc::vec::Vec;

use super::spans::merged;
use crate::addr::{PAGE_SHIFT, PAGE_SIZE, Pa, PaSpan};

/// The allocator of page frames.
pub struct Frames {
    /// Ranges of whole pages, in no order.
    free: Vec<PaSpan>,
}

impl Frames {
    /// An allocator over `free`: merged ranges of any alignment. Their ends are rounded inwards to pages.
    #[must_use]
    pub fn new(free: &[PaSpan]) -> Self {
        let pages = |span: &PaSpan| {
            PaSpan::from_bounds(span.start().align_up(PAGE_SIZE)?, span.end().align_down(PAGE_SIZE))
        };
        Self { free: free.iter().filter_map(pages).collect() }
    }

    /// A run of at least `pages` pages, rounded up to a power of two and aligned to its size. Not zeroed.
    pub fn allocate(&mut self, pages: usize) -> Option<Pa> {
        let size = (pages.checked_next_power_of_two()? as u64).checked_mul(PAGE_SIZE)?;
        let run_in = |span: &PaSpan| {
            let run = PaSpan::new(span.start().align_up(size)?, size)?;
            span.covers(&run).then_some(run)
        };
        let (mut smallest, mut found) = (u64::MAX, None);
        for (index, span) in self.free.iter().enumerate().filter(|(_, span)| span.size() >= size) {
            if let Some(run) = run_in(span).filter(|_| span.size() < smallest) {
                (smallest, found) = (span.size(), Some((index, *span, run)));
            }
        }
        let (index, span, run) = found?;
        let below = PaSpan::from_bounds(span.start(), run.start())?;
        let above = PaSpan::from_bounds(run.end(), span.end())?;
        *self.free.get_mut(index)? = below;
        if below.is_empty() {
            self.free.swap_remove(index);
        }
        if !above.is_empty() {
            self.free.push(above);
        }
        Some(run.start())
    }

    /// Takes back a run of `pages` pages, as [`Self::allocate`] answered it.
    pub fn give_back(&mut self, run: Pa, pages: usize) {
        self.free.extend(PaSpan::new(run, (pages.next_power_of_two() as u64) << PAGE_SHIFT));
        self.free = merged(core::mem::take(&mut self.free));
    }

    /// Bytes not handed out.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free.iter().map(PaSpan::size).sum()
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
