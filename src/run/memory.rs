//! A domain's memory: its RAM, the pages of the hypervisor's that it may map, and the way into both.

use alloc::vec::Vec;
use core::ptr::NonNull;

use arrayvec::ArrayVec;
use portunus::addr::{Gva, Ipa, IpaSpan, PAGE_SHIFT, PAGE_SIZE, Pa};
use portunus::domain::ram::Extent;
use portunus::evtchn::{SharedInfo, VcpuInfo};
use portunus::hypercall::{Fault, MapError, PlaceError, SpecialPage};
use portunus::mm;
use portunus::mm::stage2::{Access, Stage2};
use spin::Mutex;

use crate::arch::aarch64::stage2::{ByVmid, Tables, read_only};
use crate::arch::aarch64::translate::{both_stages, ordinary};
use crate::arch::aarch64::{bytes, timer};

/// Grant-table frames of a domain. Nobody maps what is granted; guests want to find a table. Linux divides what all
/// frames hold (512 entries of 8 bytes each) by what one of its own pages holds in references of 4 bytes, and takes the
/// quotient as the length of an array whose first element it writes (drivers/xen/grant-table.c, gnttab_init). So with
/// pages of 16 KiB fewer than 8 frames crash it, and with pages of 64 KiB fewer than 32.
pub const GRANT_FRAMES: usize = 32;
/// Pages for the stage 2 tables that a domain may cause to be made while it runs: two for each page it maps.
pub const TABLE_PAGES: usize = 2 * (1 + GRANT_FRAMES) + 6;

/// The memory of one domain.
pub struct GuestMemory {
    banks: Vec<IpaSpan>,
    stage2: Stage2,
    ipa_bits: u32,
    special: [Pa; 1 + GRANT_FRAMES],
    book: Mutex<Book>,
}

/// What changes while the domain runs. Nobody waits for it: who finds it taken comes again.
struct Book {
    pool: ArrayVec<Pa, TABLE_PAGES>,
    /// Where each special page is mapped, by guest frame.
    places: [Option<u64>; 1 + GRANT_FRAMES],
}

/// The pages that build provides: zeroed, and the domain's for good.
pub struct Pages {
    /// `shared_info` first, then the grant-table frames.
    pub special: [Pa; 1 + GRANT_FRAMES],
    /// For tables made while the domain runs.
    pub tables: ArrayVec<Pa, TABLE_PAGES>,
}

impl GuestMemory {
    /// Memory of `banks`, mapped in `stage2`.
    #[must_use]
    pub fn new(banks: Vec<IpaSpan>, stage2: Stage2, ipa_bits: u32, pages: Pages) -> Self {
        let book = Mutex::new(Book { pool: pages.tables, places: [None; 1 + GRANT_FRAMES] });
        Self { banks, stage2, ipa_bits, special: pages.special, book }
    }

    /// Its RAM, as the guest sees it.
    pub fn banks(&self) -> impl Iterator<Item = IpaSpan> {
        self.banks.iter().copied()
    }

    /// Root of its stage 2 tables.
    #[must_use]
    pub const fn root(&self) -> Pa {
        self.stage2.root()
    }

    /// Its `shared_info`.
    #[must_use]
    pub fn shared_info(&self) -> Option<&'static SharedInfo> {
        let [page, ..] = self.special;
        // SAFETY: a zeroed page of RAM that was allocated for this and is never given back.
        unsafe { SharedInfo::at(NonNull::new(page.get() as *mut u8)?) }
    }

    /// RAM in 4 KiB pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.banks.iter().map(|bank| bank.size() >> PAGE_SHIFT).sum()
    }

    /// The highest guest frame that is RAM.
    #[must_use]
    pub fn highest_frame(&self) -> u64 {
        self.banks.last().map_or(0, |bank| bank.end().frame().saturating_sub(1))
    }

    /// See [`Caller::map_special`](portunus::hypercall::Caller::map_special). For the domain of the executing vCPU.
    pub fn place(&self, page: SpecialPage, frame: u64) -> Result<(), MapError> {
        let index = match page {
            SpecialPage::SharedInfo => 0,
            SpecialPage::Grant(number) => number as usize + 1,
        };
        let to = *self.special.get(index).ok_or(MapError::OutOfRange)?;
        let mut book = self.book.try_lock().ok_or(MapError::Busy)?;
        let Book { pool, places } = &mut *book;
        if places.get(index).copied().flatten().is_some() {
            return Err(MapError::AlreadyMapped);
        }
        let ipa = self.page(frame).ok_or(MapError::OutOfRange)?;
        let mut tables = Tables(|| pool.pop());
        self.stage2.replace_page(&mut tables, &mut ByVmid, ipa, to, Access::Shared).map_err(refusal)?;
        forget_place(places, frame);
        if let Some(place) = places.get_mut(index) {
            *place = Some(frame);
        }
        Ok(())
    }

    /// See [`Caller::unmap`](portunus::hypercall::Caller::unmap). For the domain of the executing vCPU.
    pub fn unmap(&self, frame: u64) -> Result<(), MapError> {
        let mut book = self.book.try_lock().ok_or(MapError::Busy)?;
        let Book { pool, places } = &mut *book;
        let ipa = self.page(frame).ok_or(MapError::NotMapped)?;
        let mut tables = Tables(|| pool.pop());
        if !self.stage2.unmap_page(&mut tables, &mut ByVmid, ipa).map_err(refusal)? {
            return Err(MapError::NotMapped);
        }
        forget_place(places, frame);
        Ok(())
    }

    /// See [`Caller::vcpu_info_at`](portunus::hypercall::Caller::vcpu_info_at).
    pub fn vcpu_info(&self, at: Ipa) -> Result<&'static VcpuInfo, PlaceError> {
        let ram = self.banks.iter().any(|bank| bank.contains(at));
        let place = self.steadily(|| self.stage2.translate(&read_only(), at)).filter(|_| ram);
        let place = place.ok_or(PlaceError::NotRam)?;
        if self.special.contains(&place.page()) {
            return Err(PlaceError::NotRam);
        }
        let place = NonNull::new(place.get() as *mut u8).ok_or(PlaceError::NotRam)?;
        // SAFETY: RAM of the domain (stage 2 maps nothing else there but special pages, which were just excluded),
        // mapped at EL2 Write-Back; it stays the domain's for good. Accessed atomically only.
        unsafe { VcpuInfo::at(place) }.ok_or(PlaceError::NotRam)
    }

    /// Whether a translation fault at `ipa` is over when the guest tries again: another vCPU was just replacing an entry,
    /// and by the rules of break-before-make everything that the old entry mapped was away for a moment (Arm ARM
    /// D8.16.1), perhaps 1 GiB of RAM for the sake of one page. Faults are not cached, so trying again tells.
    pub fn was_passing(&self, ipa: Ipa) -> bool {
        let Some(_still) = self.book.try_lock() else { return true };
        self.stage2.translate(&read_only(), ipa).is_some()
    }

    /// What `look` finds in the tables, though another vCPU may be replacing an entry just now. That takes this other
    /// pCPU a few TLB invalidations with interrupts masked, and is waited for: the guest cannot make it last. (An
    /// emulated pCPU may be held up, but not for a second.)
    #[cold]
    fn steadily<R>(&self, look: impl Fn() -> Option<R>) -> Option<R> {
        let (start, patience) = (timer::now(), u64::from(timer::frequency()));
        loop {
            let still = self.book.try_lock();
            let found = look();
            if found.is_some() || still.is_some() || timer::now().wrapping_sub(start) > patience {
                return found;
            }
            core::hint::spin_loop();
        }
    }

    /// Where the guest that trapped, which is this domain's, finds `address`.
    #[inline(always)]
    fn locate(&self, address: Gva, write: bool) -> Result<Pa, Fault> {
        both_stages(address, write).or_else(|| self.steadily(|| both_stages(address, write))).ok_or(Fault)
    }

    fn page(&self, frame: u64) -> Option<Ipa> {
        Ipa::from_frame(frame).filter(|ipa| ipa.get() >> self.ipa_bits == 0)
    }

    /// The pieces of physical memory behind `span`, in order, while the domain is built.
    pub fn pieces(extents: &[Extent], span: IpaSpan) -> impl Iterator<Item = (Pa, u64)> + '_ {
        extents.iter().filter_map(move |extent| {
            let start = extent.span.start().max(span.start());
            let end = extent.span.end().min(span.end());
            let piece = IpaSpan::from_bounds(start, end).filter(|piece| !piece.is_empty())?;
            Some((extent.to.checked_add(piece.start().checked_sub(extent.span.start())?)?, piece.size()))
        })
    }
}

/// Something else is at guest frame `frame` from now on.
fn forget_place(places: &mut [Option<u64>], frame: u64) {
    for place in places.iter_mut().filter(|place| **place == Some(frame)) {
        *place = None;
    }
}

const fn refusal(error: mm::MapError) -> MapError {
    match error {
        mm::MapError::OutOfTables => MapError::NoTables,
        _ => MapError::OutOfRange,
    }
}

impl GuestMemory {
    /// An aligned word of the guest that trapped, as its own load at EL1 would read it. `None` where that takes a second
    /// look: then [`read`](Self::read) does.
    #[inline(always)]
    pub fn peek_word(at: Gva) -> Option<u32> {
        if !at.is_aligned(4) {
            return None;
        }
        // SAFETY: as for `read`; a word that is aligned is in one page.
        Some(unsafe { bytes::read_word(ordinary(at)?) })
    }

    /// Reads memory of the guest that trapped, which is this domain's, as its own load at EL1 would.
    ///
    /// # Errors
    ///
    /// [`Fault`] if that load would fault.
    #[inline(always)]
    pub fn read(&self, from: Gva, into: &mut [u8]) -> Result<(), Fault> {
        if from.page_offset() + into.len() as u64 <= PAGE_SIZE {
            // SAFETY: stage 2 maps nothing but RAM of the domain and its special pages, all of which EL2 maps.
            unsafe { bytes::read(self.locate(from, false)?, into) };
            return Ok(());
        }
        self.read_across_pages(from, into)
    }

    #[cold]
    fn read_across_pages(&self, from: Gva, into: &mut [u8]) -> Result<(), Fault> {
        let mut done = 0;
        while done < into.len() {
            let at = from.checked_add(done as u64).ok_or(Fault)?;
            let room = (PAGE_SIZE - at.page_offset()) as usize;
            let chunk = into.get_mut(done..).unwrap_or_default();
            let length = chunk.len().min(room);
            let chunk = chunk.get_mut(..length).unwrap_or_default();
            // SAFETY: as for `read`.
            unsafe { bytes::read(self.locate(at, false)?, chunk) };
            done += length;
        }
        Ok(())
    }

    /// Writes memory of the guest that trapped, which is this domain's, as its own store at EL1 would.
    ///
    /// # Errors
    ///
    /// [`Fault`] if that store would fault; a part may have been written.
    pub fn write(&self, to: Gva, from: &[u8]) -> Result<(), Fault> {
        let mut done = 0;
        while done < from.len() {
            let at = to.checked_add(done as u64).ok_or(Fault)?;
            let room = (PAGE_SIZE - at.page_offset()) as usize;
            let chunk = from.get(done..).unwrap_or_default();
            let length = chunk.len().min(room);
            let chunk = chunk.get(..length).unwrap_or_default();
            // SAFETY: as for `read`.
            unsafe { bytes::write(self.locate(at, true)?, chunk) };
            done += length;
        }
        Ok(())
    }
}
