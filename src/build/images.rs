//! Boot modules: files that the boot loader left in RAM. They are read, never run or changed.

use alloc::format;
use alloc::string::String;

use portunus::addr::PaSpan;
use portunus::plan::Files;

use crate::arch::aarch64::map;

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
