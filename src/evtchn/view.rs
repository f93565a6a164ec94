//! The only place in this room that turns addresses into references.
//!
//! Two facts make it sound: the pages live as long as the machine runs, and every byte of [`SharedInfo`] and
//! [`VcpuInfo`] is an atomic, so that a guest (or another CPU) writing at the same time is no data race.
#![allow(unsafe_code)]

use core::ptr::NonNull;

#[cfg(not(loom))]
use core::sync::atomic::{AtomicPtr, Ordering::SeqCst};
#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use super::page::{SharedInfo, VcpuInfo};
use super::word::settle;

impl SharedInfo {
    /// Views the page at `page` as a shared information page; `None` if `page` is not page-aligned.
    ///
    /// # Safety
    ///
    /// `page` points to 4096 initialised bytes, mapped Normal Write-Back for the rest of the machine's life, which
    /// EL2 accesses only through views like this one. Guests may write them at any time.
    #[must_use]
    pub unsafe fn at(page: NonNull<u8>) -> Option<&'static Self> {
        let page = page.cast::<Self>();
        if !page.is_aligned() {
            return None;
        }
        // SAFETY: aligned (checked), initialised, valid for ever and only accessed atomically (the caller).
        Some(unsafe { page.as_ref() })
    }
}

impl VcpuInfo {
    /// Views the 48 bytes at `place` as the information of a vCPU; `None` if `place` is not 8-byte aligned.
    ///
    /// # Safety
    ///
    /// `place` points to 48 initialised bytes of one page of the domain's RAM, mapped Normal Write-Back for the
    /// rest of the machine's life. EL2 accesses them only through views like this one, except while the domain
    /// is stopped and no other CPU is inside a hypercall. The guest may write them at any time.
    #[must_use]
    pub unsafe fn at(place: NonNull<u8>) -> Option<&'static Self> {
        let place = place.cast::<Self>();
        if !place.is_aligned() {
            return None;
        }
        // SAFETY: aligned (checked), initialised, valid for ever and only accessed atomically (the caller).
        Some(unsafe { place.as_ref() })
    }
}

/// A reference that can be replaced while others read it.
#[derive(Debug)]
pub(super) struct AtomicRef<T: 'static>(AtomicPtr<T>);

impl<T: Sync> AtomicRef<T> {
    /// Starts out as `target`.
    pub(super) fn new(target: Option<&'static T>) -> Self {
        Self(AtomicPtr::new(address(target)))
    }

    /// The current target, with the ordering of [`Word::get`](super::word::Word::get).
    #[inline(always)]
    pub(super) fn get(&self) -> Option<&'static T> {
        settle();
        let target = self.0.load(SeqCst);
        // SAFETY: `new` and `put` store nothing but null and addresses of `&'static T`, and `T: Sync`.
        unsafe { target.as_ref() }
    }

    /// Replaces the target, with the ordering of [`Word::put`](super::word::Word::put).
    pub(super) fn put(&self, target: Option<&'static T>) {
        self.0.store(address(target), SeqCst);
        settle();
    }
}

fn address<T>(target: Option<&'static T>) -> *mut T {
    target.map_or(core::ptr::null_mut(), |target| core::ptr::from_ref(target).cast_mut())
}

#[cfg(test)]
#[cfg(not(loom))]
pub(super) mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    /// The information that begins at word `word` of a page.
    pub(in super::super) fn info_in(page: &'static [AtomicU64; 512], word: usize) -> &'static VcpuInfo {
        let words = page.get(word..word + 6).unwrap();
        // SAFETY: the 48 bytes are initialised, live for ever, and are atomics; the pointer covers all of them.
        unsafe { VcpuInfo::at(NonNull::from(words).cast()) }.unwrap()
    }

    fn with_page(test: impl FnOnce(NonNull<u8>)) {
        let layout = Layout::from_size_align(4096, 4096).unwrap();
        // SAFETY: the layout has a size.
        let page = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
        test(page);
        // SAFETY: allocated above with this layout; no test keeps its view.
        unsafe { dealloc(page.as_ptr(), layout) };
    }

    #[test]
    fn a_view_of_a_page_shows_the_bits_where_the_abi_puts_them() {
        with_page(|page| {
            // SAFETY: the page is zeroed and outlives the view.
            let shared = unsafe { SharedInfo::at(page) }.unwrap();
            shared.pending.get(1).unwrap().set(1 << 3);
            shared.mask.get(63).unwrap().set(1 << 63);
            shared.vcpu_info.selector.set(0b10);
            shared.vcpu_info.upcall.set(1);
            // SAFETY: all within the page; nobody writes.
            let byte = |at: usize| unsafe { page.add(at).read() };
            assert_eq!(byte(48 + 8), 1 << 3);
            assert_eq!(byte(560 + 511), 0x80);
            assert_eq!(byte(8), 0b10);
            assert_eq!(byte(0), 1);
        });
    }

    #[test]
    fn a_misaligned_address_has_no_view() {
        with_page(|page| {
            // SAFETY: within the page; a refused address is not accessed.
            unsafe {
                assert!(SharedInfo::at(page.add(8)).is_none());
                assert!(VcpuInfo::at(page.add(4)).is_none());
                assert!(VcpuInfo::at(page.add(4048)).is_some());
            }
        });
    }

    #[test]
    fn vcpu_information_inside_a_page_is_seen_through_both_views() {
        with_page(|page| {
            // SAFETY: zeroed, aligned, and outlives the views.
            let (shared, info) = unsafe { (SharedInfo::at(page).unwrap(), VcpuInfo::at(page).unwrap()) };
            info.selector.put(7);
            assert_eq!(shared.vcpu_info.selector.get(), 7);
        });
    }

    #[test]
    fn a_replaced_reference_shows_the_new_target() {
        static FIRST: u32 = 1;
        static SECOND: u32 = 2;
        let current = AtomicRef::new(None);
        assert!(current.get().is_none());
        current.put(Some(&FIRST));
        assert_eq!(current.get(), Some(&1));
        current.put(Some(&SECOND));
        assert_eq!(current.get(), Some(&2));
        current.put(None);
        assert!(current.get().is_none());
    }
}
