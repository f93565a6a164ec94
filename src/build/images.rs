//! Boot modules: files that the boot loader left in RAM. They are read, never run or changed.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use portunus::addr::{IpaSpan, PAGE_SIZE, PaSpan};
use portunus::domain::gzip::Sink;
use portunus::domain::ram::Extent;
use portunus::mm::spans;
use portunus::mm::stage1::Kind;
use portunus::plan::Machine;

use crate::arch::aarch64::{cache, map};
use crate::run::GuestMemory;

/// Maps the pages of all modules, but for those that are mapped already because something else begins or ends in
/// them.
///
/// # Errors
///
/// A sentence, if the tables do not suffice.
pub fn map_modules(machine: &Machine) -> Result<(), String> {
    let whole = |spans: &[PaSpan]| -> Vec<PaSpan> {
        let pages = spans
            .iter()
            .filter_map(|span| PaSpan::from_bounds(span.start().page(), span.end().align_up(PAGE_SIZE)?));
        spans::merged(pages.collect())
    };
    for span in spans::without(&whole(&machine.modules), &whole(&machine.reserved)) {
        map::add(span, Kind::Ram)
            .map_err(|why| format!("the modules at {span} cannot be mapped: {why:?}"))?;
    }
    Ok(())
}

/// The bytes of a module.
pub fn bytes(module: PaSpan) -> &'static [u8] {
    // SAFETY: `map_modules` mapped it, and nobody writes to modules: they are kept out of the free memory.
    unsafe { core::slice::from_raw_parts(module.start().get() as *const u8, module.size() as usize) }
}

/// Copies `from` to guest memory at `to`, clean to the point of coherency: the guest reads it with its caches off.
pub fn copy(from: &[u8], extents: &[Extent], to: IpaSpan) {
    let mut done = 0;
    for (piece, size) in GuestMemory::pieces(extents, to) {
        let rest = from.get(done..).unwrap_or_default();
        let part = rest.get(..(size as usize).min(rest.len())).unwrap_or_default();
        // SAFETY: RAM that was allocated for this domain, which is not running; EL2 maps it.
        unsafe { core::ptr::copy_nonoverlapping(part.as_ptr(), piece.get() as *mut u8, part.len()) };
        if let Some(span) = PaSpan::new(piece, part.len() as u64) {
            cache::clean_and_invalidate(span);
        }
        done += part.len();
    }
}

/// Guest memory that is filled from its start on, as [`copy`] does.
pub struct Filling<'a> {
    extents: &'a [Extent],
    rest: IpaSpan,
}

impl<'a> Filling<'a> {
    /// Starts at the beginning of `to`.
    pub fn new(extents: &'a [Extent], to: IpaSpan) -> Self {
        Self { extents, rest: to }
    }
}

impl Sink for Filling<'_> {
    fn write(&mut self, bytes: &[u8]) -> bool {
        let size = bytes.len() as u64;
        let rest = self.rest.start().checked_add(size).zip(self.rest.size().checked_sub(size));
        let Some(rest) = rest.and_then(|(start, left)| IpaSpan::new(start, left)) else { return false };
        if let Some(to) = IpaSpan::new(self.rest.start(), size) {
            copy(bytes, self.extents, to);
        }
        self.rest = rest;
        true
    }
}
