//! A domain's memory: its RAM, the pages of the hypervisor's that it may map, and the way into both.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;

use portunus::addr::{Gva, Ipa, IpaSpan, PAGE_SHIFT, PAGE_SIZE, Pa, PaSpan};
use portunus::domain::map;
use portunus::domain::ram::Extent;
use portunus::evtchn::{SharedInfo, VcpuInfo};
use portunus::hypercall::{Fault, MapError, PlaceError, SpecialPage};
use portunus::mm;
use portunus::mm::TableMemory;
use portunus::mm::stage2::{Access, Stage2, vttbr};
use spin::Mutex;

use crate::arch::aarch64::stage2::{ByVmid, Tables, forget_all, read_only};
use crate::arch::aarch64::translate::{both_stages, ordinary};
use crate::arch::aarch64::{bytes, cache, gic, timer};

/// Grant-table frames of a domain. Nobody maps what is granted; guests want to find a table. Linux divides what all
/// frames hold (512 entries of 8 bytes each) by what one of its own pages holds in references of 4 bytes, and takes the
/// quotient as the length of an array whose first element it writes (drivers/xen/grant-table.c, gnttab_init). So with
/// pages of 16 KiB fewer than 8 frames crash it, and with pages of 64 KiB fewer than 32.
pub const GRANT_FRAMES: usize = 32;
/// Pages behind `shared_info` and the grant-table frames. The last frames are all one page: nobody reads what guests
/// write there, and few write at all.
pub const SPECIAL_PAGES: usize = 1 + 4;
/// Pages for the stage 2 tables that a domain may cause to be made while it runs: two for each page it maps.
pub const TABLE_PAGES: usize = 2 * (1 + GRANT_FRAMES) + 6;

/// The memory of one domain.
pub struct GuestMemory {
    banks: Vec<IpaSpan>,
    stage2: Stage2,
    root: PaSpan,
    ipa_bits: u32,
    special: [Pa; 1 + GRANT_FRAMES],
    book: Mutex<Book>,
}

/// What changes while the domain runs. Nobody waits for it: who finds it taken comes again.
struct Book {
    pool: Pool,
    /// Where each special page is mapped, by guest frame.
    places: [Option<u64>; 1 + GRANT_FRAMES],
}

/// Pages for stage 2 tables, zeroed when they are handed out, in order: a restart hands them out anew.
struct Pool {
    pages: Box<[Pa]>,
    used: usize,
}

impl Pool {
    fn take(&mut self) -> Option<Pa> {
        let page = self.pages.get(self.used).copied()?;
        self.used += 1;
        clear(page);
        Some(page)
    }
}

/// The pages that build provides, the domain's for good.
pub struct Pages {
    /// The root of its tables.
    pub root: PaSpan,
    /// `shared_info` first, then the grant-table frames, all zeroed.
    pub special: [Pa; 1 + GRANT_FRAMES],
    /// For tables: so many of them are used by now, the rest is for those made while the domain runs.
    pub tables: (Vec<Pa>, usize),
}

impl GuestMemory {
    /// Memory of `banks`, mapped in `stage2`.
    #[must_use]
    pub fn new(banks: Vec<IpaSpan>, stage2: Stage2, ipa_bits: u32, pages: Pages) -> Self {
        let (tables, used) = pages.tables;
        let pool = Pool { pages: tables.into_boxed_slice(), used };
        let book = Mutex::new(Book { pool, places: [None; 1 + GRANT_FRAMES] });
        Self { banks, stage2, root: pages.root, ipa_bits, special: pages.special, book }
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

    /// Tells the guest the time of its start, in seconds and nanoseconds of UTC. It may look with its caches off.
    pub fn tell_time(&self, utc: Option<(u64, u32)>) {
        if let (Some(page), Some((seconds, nanoseconds))) = (self.shared_info(), utc) {
            page.set_wall_clock(seconds, nanoseconds);
        }
        self.clean_shared_info();
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
        let mut tables = Tables(|| pool.take());
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
        let mut tables = Tables(|| pool.take());
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
}

/// How far [`GuestMemory::restore`] has come.
#[derive(Default)]
pub struct Restoring {
    extents: usize,
    pages: usize,
}

/// Pages, or extents of RAM, that one step of a restoration takes on.
const AT_ONCE: usize = 8;

impl GuestMemory {
    /// Forgets what the domain is made of, on every CPU: the first step of a restart. No vCPU of the domain runs, and none
    /// of any is loaded here.
    pub fn forget(&self, vmid: u8) {
        // SAFETY: the root of tables that nobody walks: no vCPU of the domain is loaded anywhere.
        unsafe { cache::zero(self.root) };
        forget_all(vttbr(self.root(), vmid));
    }

    /// Makes the address space and the grant-table frames what they were at first, a little at a time, after
    /// [`forget`](Self::forget). Whether that was all.
    pub fn restore(&self, extents: &[Extent], done: &mut Restoring) -> bool {
        // Nobody else is at it: no vCPU of the domain runs.
        let Some(mut book) = self.book.try_lock() else { return false };
        let Book { pool, places } = &mut *book;
        if done.extents == 0 {
            pool.used = 0;
            *places = [None; 1 + GRANT_FRAMES];
        }
        if done.extents < extents.len() {
            let some = extents.get(done.extents..).unwrap_or_default();
            let some = some.get(..AT_ONCE.min(some.len())).unwrap_or_default();
            // The same as at boot, with the same pages: it cannot fail now.
            let _ = map_ram(&self.stage2, &mut Tables(|| pool.take()), some);
            done.extents += AT_ONCE;
            if done.extents >= extents.len() {
                let _ = map_interrupt_interface(&self.stage2, &mut Tables(|| pool.take()));
            }
            return false;
        }
        // Not the first page, `shared_info`: peers may be sending there.
        let grants = self.special.iter().skip(1 + done.pages).take(AT_ONCE);
        grants.for_each(|page| clear(*page));
        done.pages += AT_ONCE;
        done.pages >= GRANT_FRAMES
    }

    /// Writes what events have done to `shared_info` back: the next life may read it before it has caches.
    pub fn clean_shared_info(&self) {
        let [page, ..] = self.special;
        if let Some(page) = PaSpan::new(page, PAGE_SIZE) {
            cache::clean_and_invalidate(page);
        }
    }
}

/// Zeroes a page of the domain's.
fn clear(page: Pa) {
    if let Some(page) = PaSpan::new(page, PAGE_SIZE) {
        // SAFETY: a page that is the domain's for good, and nobody uses it: no vCPU of the domain runs, or it is in no table
        // yet.
        unsafe { cache::zero(page) };
    }
}

/// Maps pieces of RAM. At build, and at each restart.
///
/// # Errors
///
/// The piece, and why it cannot be mapped.
pub fn map_ram(
    stage2: &Stage2,
    tables: &mut impl TableMemory,
    extents: &[Extent],
) -> Result<(), (IpaSpan, mm::MapError)> {
    extents.iter().try_for_each(|Extent { span, to }| {
        stage2.map(tables, *span, *to, Access::Ram).map_err(|why| (*span, why))
    })
}

/// Maps the CPU interface of the interrupt controller, where that is in memory. At build, and at each restart.
///
/// # Errors
///
/// Why it cannot be mapped.
pub fn map_interrupt_interface(stage2: &Stage2, tables: &mut impl TableMemory) -> Result<(), mm::MapError> {
    let Some(pages) = gic::guest_pages() else { return Ok(()) };
    let span = IpaSpan::new(map::GICC, map::GICC_SIZE).filter(|span| span.size() == pages.size());
    stage2.map(tables, span.ok_or(mm::MapError::Unaligned)?, pages.start(), Access::Device)
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
