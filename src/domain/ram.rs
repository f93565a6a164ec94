//! Physical memory for a guest's RAM: in runs as large as there are, so that stage 2 maps it in large blocks.

use alloc::vec::Vec;

use crate::addr::{Ipa, IpaSpan, PAGE_SHIFT, PAGE_SIZE, Pa};

/// A piece of a guest's RAM and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What the guest sees.
    pub span: IpaSpan,
    /// Where it begins in physical memory.
    pub to: Pa,
}

/// No memory is left; so many bytes are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage(pub u64);

/// Largest run that is asked for: what one level 1 block of stage 2 maps.
const LARGEST: u64 = 1 << 30;

/// Finds memory for `banks`, whose starts and sizes are whole pages. `allocate` hands out naturally aligned runs of
/// a power of two of pages, or nothing if it has none that large.
///
/// Every run is a power of two, aligned to its size on both sides, and never larger than what is left of its bank.
///
/// # Errors
///
/// [`Shortage`]. What was handed out is not given back: the domain is not built, and nobody asks again.
pub fn provide(
    banks: &[IpaSpan],
    mut allocate: impl FnMut(usize) -> Option<Pa>,
) -> Result<Vec<Extent>, Shortage> {
    let mut extents = Vec::new();
    let mut largest = LARGEST;
    for bank in banks {
        let mut at = bank.start();
        while at < bank.end() {
            let left = bank.end().get() - at.get();
            let size = run(at, left, largest);
            let found = usize::try_from(size >> PAGE_SHIFT).ok().and_then(&mut allocate);
            let piece = found
                .and_then(|to| Some((Extent { span: IpaSpan::new(at, size)?, to }, at.checked_add(size)?)));
            match piece {
                Some((extent, next)) => {
                    extents.push(extent);
                    at = next;
                }
                None if size > PAGE_SIZE => largest = size / 2,
                None => return Err(Shortage(left)),
            }
        }
    }
    Ok(extents)
}

/// The largest power of two that `at` is aligned to, that fits `left`, and that there may be.
fn run(at: Ipa, left: u64, largest: u64) -> u64 {
    let alignment = if at.get() == 0 { LARGEST } else { at.get() & at.get().wrapping_neg() };
    let fits = 1 << left.max(1).ilog2();
    alignment.min(fits).min(largest)
}

/// Where `at` lies in physical memory, and how many bytes of its extent begin there. `extents` ascend.
#[must_use]
pub fn find(extents: &[Extent], at: Ipa) -> Option<(Pa, u64)> {
    let behind = extents.partition_point(|extent| extent.span.start() <= at);
    let extent = extents.get(behind.checked_sub(1)?)?;
    let offset = at.checked_sub(extent.span.start())?;
    let left = extent.span.size().checked_sub(offset).filter(|left| *left != 0)?;
    Some((extent.to.checked_add(offset)?, left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{GIB, MIB};
    use proptest::prelude::*;

    fn bank(start: u64, size: u64) -> IpaSpan {
        IpaSpan::new(Ipa::new(start), size).unwrap()
    }

    /// Hands out runs of at most `largest` bytes from `total`, naturally aligned.
    fn source(total: u64, largest: u64) -> impl FnMut(usize) -> Option<Pa> {
        let (mut left, mut next) = (total, 8 * GIB);
        move |pages| {
            let size = pages as u64 * PAGE_SIZE;
            assert!(size.is_power_of_two());
            if size > largest || size > left {
                return None;
            }
            left -= size;
            let at = next.div_ceil(size) * size;
            next = at + size;
            Some(Pa::new(at))
        }
    }

    #[test]
    fn ninety_six_mebibytes_are_two_runs() {
        let extents = provide(&[bank(0x4000_0000, 96 * MIB)], source(GIB, GIB)).unwrap();
        assert_eq!(extents.iter().map(|e| e.span.size() / MIB).collect::<Vec<_>>(), [64, 32]);
    }

    #[test]
    fn scattered_memory_is_taken_in_smaller_runs() {
        let extents = provide(&[bank(0x4000_0000, 8 * MIB)], source(GIB, 2 * MIB)).unwrap();
        assert_eq!(extents.len(), 4);
    }

    #[test]
    fn a_shortage_says_how_much_is_missing() {
        let error = provide(&[bank(0x4000_0000, 8 * MIB)], source(6 * MIB, GIB)).unwrap_err();
        assert_eq!(error, Shortage(2 * MIB));
    }

    #[test]
    fn an_address_is_found_in_its_extent_and_nowhere_else() {
        let at = |start, size, to| Extent { span: bank(start, size), to: Pa::new(to) };
        let extents = [at(0x4000_0000, MIB, GIB), at(0x4010_0000, MIB, 8 * GIB), at(0x2_0000_0000, MIB, 0)];
        let find = |at| find(&extents, Ipa::new(at)).map(|(to, left)| (to.get(), left));
        assert_eq!(find(0x3fff_ffff), None);
        assert_eq!(find(0x4000_0000), Some((GIB, MIB)));
        assert_eq!(find(0x400f_ffff), Some((GIB + MIB - 1, 1)));
        assert_eq!(find(0x4010_0800), Some((8 * GIB + 0x800, MIB - 0x800)));
        assert_eq!(find(0x4020_0000), None);
        assert_eq!(find(0x2_0000_0010), Some((0x10, MIB - 0x10)));
        assert_eq!(find(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn extents_tile_the_banks_and_keep_alignment(
            first in 1u64..100_000, second in 0u64..5_000, largest in 12u32..31,
        ) {
            let mut banks = vec![bank(0x4000_0000, first * PAGE_SIZE)];
            if second != 0 {
                banks.push(bank(0x2_0000_0000, second * PAGE_SIZE));
            }
            let extents = provide(&banks, source(64 * GIB, 1 << largest)).unwrap();
            let mut expected = banks.iter().flat_map(|b| [b.start(), b.end()]);
            let (mut at, mut end) = (expected.next().unwrap(), expected.next().unwrap());
            for extent in extents {
                if at == end {
                    (at, end) = (expected.next().unwrap(), expected.next().unwrap());
                }
                prop_assert_eq!(extent.span.start(), at);
                prop_assert!(extent.span.start().is_aligned(extent.span.size()));
                prop_assert!(extent.to.is_aligned(extent.span.size()));
                at = extent.span.end();
            }
            prop_assert_eq!((at, expected.next()), (end, None));
        }
    }
}
