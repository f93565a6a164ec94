//! What a guest maps: the shared information page and the per-vCPU part of it.
//!
//! Layout: xen/include/public/xen.h and arch-arm.h, for a 64-bit guest. The guest writes these pages at any time,
//! so every byte that is ever touched is an atomic, and none is believed.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use super::WORDS;
use super::word::{Byte, Word};

/// Bytes at the end of the page that the ABI does not use.
const UNUSED: usize = 4096 - 1088;

/// `vcpu_info`: where one vCPU is told that events are waiting, and in which words of the bitmap.
#[derive(Debug)]
#[repr(C)]
pub struct VcpuInfo {
    /// U: non-zero while an upcall is asserted.
    pub(crate) upcall: Byte,
    /// The guest's `evtchn_upcall_mask`, which Arm does not interpret, and padding.
    pad: [AtomicU8; 7],
    /// S: bit w is set when some port of word w may be pending.
    pub(crate) selector: Word,
    /// `vcpu_time_info`: always zero on Arm, where guests have an architected timer.
    time: [AtomicU64; 4],
}

/// `shared_info`: one page of the hypervisor's, mapped by the guest at a frame of its choice.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct SharedInfo {
    /// Information of vCPU 0, until that vCPU registers another place.
    pub(crate) vcpu_info: VcpuInfo,
    /// P: one bit a port.
    pub(crate) pending: [Word; WORDS],
    /// M: one bit a port. The hypervisor only ever clears these, in an unmask.
    pub(crate) mask: [Word; WORDS],
    /// Wall clock: a version, seconds, nanoseconds, upper half of the seconds. Linux waits for ever on an odd version.
    wall_clock: [AtomicU32; 4],
    unused: [AtomicU64; UNUSED / 8],
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<VcpuInfo>() == 48);
    assert!(offset_of!(VcpuInfo, upcall) == 0);
    assert!(offset_of!(VcpuInfo, selector) == 8);
    assert!(offset_of!(VcpuInfo, time) == 16);
    assert!(size_of::<SharedInfo>() == 4096);
    assert!(offset_of!(SharedInfo, vcpu_info) == 0);
    assert!(offset_of!(SharedInfo, pending) == 48);
    assert!(offset_of!(SharedInfo, mask) == 560);
    assert!(offset_of!(SharedInfo, wall_clock) == 1072);
    assert!(offset_of!(SharedInfo, unused) == 1088);
};

impl VcpuInfo {
    /// Zeroed information: no upcall, nothing selected.
    #[must_use]
    pub fn new() -> Self {
        Self {
            upcall: Byte::new(0),
            pad: core::array::from_fn(|_| AtomicU8::new(0)),
            selector: Word::new(0),
            time: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Whether the two share a byte.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let [one, two] = [self, other].map(|info| core::ptr::from_ref(info).addr());
        one.abs_diff(two) < size_of::<Self>()
    }

    /// Takes over what `old` holds, or zeros where there is nothing to take over, except upcall and selector.
    pub(super) fn take_over(&self, old: Option<&Self>) {
        for (at, byte) in self.pad.iter().enumerate() {
            let value = old.and_then(|old| old.pad.get(at)).map_or(0, |byte| byte.load(Ordering::Relaxed));
            byte.store(value, Ordering::Relaxed);
        }
        for (at, word) in self.time.iter().enumerate() {
            let value = old.and_then(|old| old.time.get(at)).map_or(0, |word| word.load(Ordering::Relaxed));
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl Default for VcpuInfo {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedInfo {
    /// A zeroed page: every port unmasked, none pending.
    #[must_use]
    pub fn new() -> Self {
        Self {
            vcpu_info: VcpuInfo::new(),
            pending: core::array::from_fn(|_| Word::new(0)),
            mask: core::array::from_fn(|_| Word::new(0)),
            wall_clock: core::array::from_fn(|_| AtomicU32::new(0)),
            unused: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Writes the time at the start of the guest, in seconds and nanoseconds of UTC. Who reads while the version is odd, or finds
    /// another one afterwards, reads again.
    pub fn set_wall_clock(&self, seconds: u64, nanoseconds: u32) {
        let [version, low, fraction, high] = &self.wall_clock;
        let odd = version.load(Ordering::Relaxed) | 1;
        version.store(odd, Ordering::Relaxed);
        // The odd version before what it warns of.
        fence(Ordering::Release);
        low.store(seconds as u32, Ordering::Relaxed);
        high.store((seconds >> 32) as u32, Ordering::Relaxed);
        fraction.store(nanoseconds, Ordering::Relaxed);
        version.store(odd.wrapping_add(1), Ordering::Release);
    }

    /// Makes the page what it was before the guest first ran, while peers may be sending to it.
    ///
    /// The order is that of a sender, backwards: upcall, selector, mask, pending. A sender whose pending bit
    /// survives set it after the last step, so everything it looks at next is clean and it announces the event.
    /// A sender that was overtaken leaves at worst a selector bit or an upcall with nothing behind it.
    pub(super) fn make_pristine(&self) {
        self.vcpu_info.upcall.swap(0);
        self.vcpu_info.selector.swap(0);
        self.vcpu_info.take_over(None);
        for word in &self.mask {
            word.swap(0);
        }
        for word in &self.pending {
            word.swap(0);
        }
        for word in &self.wall_clock {
            word.store(0, Ordering::Relaxed);
        }
        for word in &self.unused {
            word.store(0, Ordering::Relaxed);
        }
    }
}

impl Default for SharedInfo {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_was_written_is_whole_and_its_version_another_even_one() {
        let page = SharedInfo::new();
        let words = || page.wall_clock.each_ref().map(|word| word.load(Ordering::Relaxed));
        page.set_wall_clock(0x1_6957_3525, 7);
        assert_eq!(words(), [2, 0x6957_3525, 7, 1]);
        // As a guest may leave it.
        page.wall_clock[0].store(u32::MAX, Ordering::Relaxed);
        page.set_wall_clock(5, 6);
        assert_eq!(words(), [0, 5, 6, 0]);
        page.make_pristine();
        assert_eq!(words(), [0; 4]);
    }
}
