//! Sorted, merged lists of physical ranges.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;

use crate::addr::PaSpan;

/// The items in order. (By the heap sort of the standard library, which takes a tenth of the code of its other ones.)
#[must_use]
pub fn sorted<T: Ord>(items: Vec<T>) -> Vec<T> {
    BinaryHeap::from(items).into_sorted_vec()
}

/// The same bytes as sorted ranges that neither overlap nor touch. Empty ranges are gone.
#[must_use]
pub fn merged(mut spans: Vec<PaSpan>) -> Vec<PaSpan> {
    spans.retain(|span| !span.is_empty());
    let mut result: Vec<PaSpan> = Vec::with_capacity(spans.len());
    for span in sorted(spans) {
        let joined = result
            .last()
            .filter(|last| span.start() <= last.end())
            .and_then(|last| PaSpan::from_bounds(last.start(), last.end().max(span.end())));
        match (joined, result.last_mut()) {
            (Some(joined), Some(last)) => *last = joined,
            _ => result.push(span),
        }
    }
    result
}

/// What is left of `spans` without `holes`. Both sorted and merged, and so is the answer.
#[must_use]
pub fn without(spans: &[PaSpan], holes: &[PaSpan]) -> Vec<PaSpan> {
    let mut result = Vec::new();
    for span in spans {
        let mut start = span.start();
        for hole in holes.iter().filter(|hole| hole.overlaps(span)) {
            result.extend(PaSpan::from_bounds(start, hole.start()));
            start = start.max(hole.end());
        }
        result.extend(PaSpan::from_bounds(start, span.end()));
    }
    result.retain(|span| !span.is_empty());
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Pa;

    fn span(start: u64, end: u64) -> PaSpan {
        PaSpan::from_bounds(Pa::new(start), Pa::new(end)).unwrap()
    }

    #[test]
    fn overlapping_and_touching_ranges_become_one() {
        let spans = vec![span(8, 10), span(0, 4), span(4, 5), span(2, 3), span(7, 7)];
        assert_eq!(merged(spans), [span(0, 5), span(8, 10)]);
    }

    #[test]
    fn holes_are_cut_out() {
        let holes = [span(0, 2), span(4, 5), span(9, 20)];
        assert_eq!(without(&[span(1, 10), span(15, 30)], &holes), [span(2, 4), span(5, 9), span(20, 30)]);
        assert_eq!(without(&[span(4, 5)], &holes), []);
    }

    proptest::proptest! {
        #[test]
        fn a_byte_is_in_the_answer_if_it_was_in_and_not_cut(
            spans in proptest::collection::vec((0u64..60, 0u64..10), 0..8),
            holes in proptest::collection::vec((0u64..60, 0u64..10), 0..8),
        ) {
            let list = |of: &[(u64, u64)]| merged(of.iter().map(|(at, size)| span(*at, at + size)).collect());
            let (spans, holes) = (list(&spans), list(&holes));
            let left = without(&spans, &holes);
            let inside = |list: &[PaSpan], byte| list.iter().any(|span| span.contains(Pa::new(byte)));
            for byte in 0..80 {
                proptest::prop_assert_eq!(inside(&left, byte), inside(&spans, byte) && !inside(&holes, byte));
            }
            proptest::prop_assert!(left.windows(2).all(|pair| pair[0].end() <= pair[1].start()));
        }
    }
}
