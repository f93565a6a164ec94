//! Where things go in a guest's RAM: Xen's rules, with the memory that a kernel claims behind its file respected.
//!
//! The kernel goes to the start of RAM. The device tree goes to 128 MiB above it if everything fits there, else as
//! high as possible, and the ramdisk directly behind it. So both stay out of what an old kernel may overwrite, and
//! inside the 1 GiB-aligned 32 GiB window that the arm64 boot protocol asks for.

use alloc::vec::Vec;
use core::fmt;

use super::image::Kernel;
use super::map::RAM_BANKS;
use crate::addr::{Ipa, IpaSpan, MIB, PAGE_SIZE};

/// Distance that Xen keeps between the start of RAM and the device tree where it can.
const USUAL_DISTANCE: u64 = 128 * MIB;
/// Kernel, tree and ramdisk begin at multiples of this, so none shares a block with another.
const STEP: u64 = 2 * MIB;

/// The RAM of a domain and what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// RAM banks in ascending order; the first holds everything below.
    pub banks: Vec<IpaSpan>,
    /// The kernel with the memory it claims. It is entered at its first byte.
    pub kernel: IpaSpan,
    /// Room for the device tree.
    pub tree: IpaSpan,
    /// The ramdisk, exact bytes.
    pub ramdisk: Option<IpaSpan>,
}

/// Why a domain's parts do not fit its memory. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// No memory, not whole pages, or more than the two banks hold.
    BadMemory(u64),
    /// The kernel alone does not fit.
    KernelTooLarge {
        /// What it claims, its offset included.
        needed: u64,
        /// What the first bank has.
        available: u64,
    },
    /// Kernel, tree and ramdisk do not fit together.
    NoRoom {
        /// What the tree and the ramdisk need.
        needed: u64,
        /// What is left behind the kernel.
        available: u64,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadMemory(size) => write!(f, "{size} bytes are no whole pages of the guest's memory map"),
            Self::KernelTooLarge { needed, available } => write!(
                f,
                "the kernel claims {} KiB (image_size in its header), and the domain has {} KiB",
                needed / 1024,
                available / 1024
            ),
            Self::NoRoom { needed, available } => write!(
                f,
                "device tree and ramdisk need {} KiB, and {} KiB are left behind what the kernel claims",
                needed / 1024,
                available / 1024
            ),
        }
    }
}

const fn round_up(size: u64) -> u64 {
    size.saturating_add(STEP - 1) / STEP * STEP
}

/// The banks of a domain with `memory` bytes of RAM.
///
/// # Errors
///
/// [`LayoutError::BadMemory`].
pub fn banks(memory: u64) -> Result<Vec<IpaSpan>, LayoutError> {
    let bad = LayoutError::BadMemory(memory);
    if memory == 0 || !memory.is_multiple_of(PAGE_SIZE) {
        return Err(bad);
    }
    let mut left = memory;
    let banks = RAM_BANKS.iter().map_while(|(start, largest)| {
        let size = left.min(*largest);
        left -= size;
        (size != 0).then(|| IpaSpan::new(*start, size)).flatten()
    });
    let banks = banks.collect();
    if left == 0 { Ok(banks) } else { Err(bad) }
}

/// Lays a domain out: `memory` bytes of RAM, its kernel, a tree of at most `tree` bytes, a ramdisk of `ramdisk`
/// bytes (0 for none).
///
/// # Errors
///
/// See [`LayoutError`].
pub fn plan(memory: u64, kernel: Kernel, tree: u64, ramdisk: u64) -> Result<Layout, LayoutError> {
    let banks = banks(memory)?;
    let bank = *banks.first().ok_or(LayoutError::BadMemory(memory))?;
    let needed = kernel.text_offset.saturating_add(kernel.size);
    let kernel = bank
        .start()
        .checked_add(kernel.text_offset)
        .and_then(|start| IpaSpan::new(start, kernel.size))
        .filter(|span| bank.covers(span))
        .ok_or(LayoutError::KernelTooLarge { needed, available: bank.size() })?;
    let behind_kernel = round_up(needed).min(bank.size());
    let available = bank.size() - behind_kernel;
    let room = round_up(tree).saturating_add(round_up(ramdisk));
    let no_room = LayoutError::NoRoom { needed: room, available };
    if room > available {
        return Err(no_room);
    }
    let highest = (bank.size() - room) / STEP * STEP;
    let usual_fits = behind_kernel <= USUAL_DISTANCE && USUAL_DISTANCE <= highest;
    let offset = if usual_fits { USUAL_DISTANCE } else { highest };
    if offset < behind_kernel {
        return Err(no_room);
    }
    let at = |offset: u64, size: u64| IpaSpan::new(Ipa::new(bank.start().get().checked_add(offset)?), size);
    let tree_span = at(offset, tree).ok_or(no_room)?;
    let ramdisk_span = at(offset + round_up(tree), ramdisk).filter(|span| !span.is_empty());
    Ok(Layout { kernel, tree: tree_span, ramdisk: ramdisk_span, banks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::GIB;

    fn kernel(size: u64) -> Kernel {
        Kernel { text_offset: 0, size }
    }

    #[test]
    fn a_usual_domain_looks_as_under_xen() {
        let layout = plan(256 * MIB, kernel(32 * MIB), 16384, 5 * MIB).unwrap();
        assert_eq!(layout.kernel.start(), Ipa::new(0x4000_0000));
        assert_eq!(layout.tree.start(), Ipa::new(0x4800_0000));
        assert_eq!(layout.ramdisk, IpaSpan::new(Ipa::new(0x4820_0000), 5 * MIB));
    }

    #[test]
    fn a_small_domain_has_its_tree_at_the_end() {
        let layout = plan(32 * MIB, kernel(MIB), 16384, 0).unwrap();
        assert_eq!(layout.tree.start(), Ipa::new(0x4000_0000 + 30 * MIB));
        assert_eq!(layout.ramdisk, None);
    }

    #[test]
    fn more_than_three_gibibytes_take_a_second_bank() {
        assert_eq!(
            banks(4 * GIB).unwrap(),
            [IpaSpan::new(Ipa::new(GIB), 3 * GIB).unwrap(), IpaSpan::new(Ipa::new(8 * GIB), GIB).unwrap()]
        );
        assert!(matches!(banks(2000 * GIB), Err(LayoutError::BadMemory(_))));
        assert!(matches!(banks(1000), Err(LayoutError::BadMemory(1000))));
    }

    #[test]
    fn what_does_not_fit_is_said_in_bytes() {
        let too_large = plan(32 * MIB, kernel(33 * MIB), 4096, 0);
        assert_eq!(too_large, Err(LayoutError::KernelTooLarge { needed: 33 * MIB, available: 32 * MIB }));
        let no_room = plan(32 * MIB, kernel(29 * MIB), 4096, 2 * MIB);
        assert_eq!(no_room, Err(LayoutError::NoRoom { needed: 4 * MIB, available: 2 * MIB }));
    }

    proptest::proptest! {
        #[test]
        fn parts_lie_in_ram_and_never_overlap(
            pages in 1u64..0x20_0000, offset in 0u64..512, kernel_pages in 0u64..0x10_0000,
            tree in 64u64..0x20_0000, ramdisk in 0u64..0x8000_0000,
        ) {
            let kernel = Kernel { text_offset: offset * 4096, size: kernel_pages * 4096 + 1 };
            let Ok(layout) = plan(pages * PAGE_SIZE, kernel, tree, ramdisk) else { return Ok(()) };
            let bank = layout.banks[0];
            let parts: Vec<IpaSpan> = [layout.kernel, layout.tree].into_iter().chain(layout.ramdisk).collect();
            for (n, part) in parts.iter().enumerate() {
                proptest::prop_assert!(bank.covers(part));
                proptest::prop_assert!(parts[n + 1..].iter().all(|other| !other.overlaps(part)));
            }
            proptest::prop_assert!(layout.tree.start().is_aligned(STEP));
            proptest::prop_assert_eq!(layout.ramdisk.map_or(0, |span| span.size()), ramdisk);
            let window = layout.kernel.start().align_down(GIB).get();
            let end = parts.iter().map(|part| part.end().get()).max().unwrap();
            proptest::prop_assert!(end - window <= 32 * GIB, "the ramdisk window of the boot protocol");
        }
    }
}
