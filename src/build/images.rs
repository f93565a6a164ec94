//! Boot modules: files that the boot loader left in RAM. They are read, never run or changed.

use alloc::format;
use alloc::string::String;

use portunus::addr::{IpaSpan, PaSpan};
use portunus::domain::gzip::Sink;
use portunus::domain::ram::Extent;
use portunus::plan::Files;

use crate::arch::aarch64::{cache, map};
use crate::run::GuestMemory;

/// The bytes of a module, mapped if they are not yet: it may share pages with others, or lie in memory that the boot
/// loader has reserved.
///
/// # Errors
///
/// A sentence, if the tables of EL2 do not suffice.
pub fn bytes(module: PaSpan) -> Result<&'static [u8], String> {
    map::add_rest(module).map_err(|why| format!("its module at {module} cannot be mapped: {why:?}"))?;
    // SAFETY: mapped, in RAM as the plan has seen to, and nobody writes to modules: they are kept out of the free
    // memory.
    Ok(unsafe { core::slice::from_raw_parts(module.start().get() as *const u8, module.size() as usize) })
}

/// The modules where the boot loader left them, for the plan to look into.
pub struct InMemory;

impl Files for InMemory {
    fn bytes(&self, span: PaSpan) -> Option<&[u8]> {
        bytes(span).ok()
    }
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
