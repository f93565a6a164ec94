//! The map of EL2: one set of tables, shared by all CPUs, that only grows.
//!
//! It begins with the image and its permissions, built by Rust that runs with the MMU off: memory is
//! Device-nGnRnE then, so there is no unaligned access (the target has strict alignment), no atomic and no lock
//! here. The tree, the UART, RAM and the interrupt controller are added while the map is in use, which needs no
//! break-before-make because an invalid entry is never cached in a TLB (Arm ARM DDI 0487, D8.16.1).

use core::cell::UnsafeCell;

use portunus::addr::{PAGE_SIZE, Pa, PaSpan};
use portunus::mm::stage1::{self, Kind};
use portunus::mm::{MapError, TableMemory};

use super::sysreg::{ID_AA64MMFR0_EL1, TTBR0_EL2};

/// The four registers that make a translation regime; `boot/head.S` loads them in this order.
#[repr(C)]
pub struct Regime {
    /// TTBR0_EL2.
    pub ttbr: u64,
    /// TCR_EL2.
    pub tcr: u64,
    /// MAIR_EL2.
    pub mair: u64,
    /// SCTLR_EL2.
    pub sctlr: u64,
}

/// Pages for tables. The image, the tree and the UART take about ten; a bank of RAM takes two or three for each
/// hole in it. A machine with more holes than that keeps the RAM behind them unused, and says so.
const POOL_PAGES: usize = 32;

#[repr(C, align(4096))]
struct Page([u64; 512]);

struct Boot {
    pool: UnsafeCell<[Page; POOL_PAGES]>,
    used: UnsafeCell<usize>,
    regime: UnsafeCell<Regime>,
}

// SAFETY: touched by the boot CPU only, before any other CPU runs.
unsafe impl Sync for Boot {}

static BOOT: Boot = Boot {
    pool: UnsafeCell::new([const { Page([0; 512]) }; POOL_PAGES]),
    used: UnsafeCell::new(0),
    regime: UnsafeCell::new(Regime { ttbr: 0, tcr: 0, mair: 0, sctlr: 0 }),
};

/// The pool as table memory. At most one exists at a time: it is made by the boot CPU's straight-line code.
struct Pool;

impl TableMemory for Pool {
    fn allocate(&mut self) -> Option<Pa> {
        // SAFETY: see `Boot`; the reference ends with this statement.
        let used = unsafe { &mut *BOOT.used.get() };
        let page = BOOT.pool.get().cast::<Page>().wrapping_add(*used);
        if *used == POOL_PAGES {
            return None;
        }
        *used += 1;
        Some(Pa::new(page as u64))
    }

    fn read(&self, table: Pa, index: usize) -> u64 {
        // SAFETY: `table` came from `allocate`, `index` is below 512 (TableMemory's contract).
        unsafe { (table.get() as *const u64).add(index).read_volatile() }
    }

    fn write(&mut self, table: Pa, index: usize, entry: u64) {
        // SAFETY: as for `read`. Volatile: the table walker is the reader.
        unsafe { (table.get() as *mut u64).add(index).write_volatile(entry) }
        // SAFETY: a barrier. The walker must see the entry before anyone uses the address, and this CPU must
        // not have fetched ahead of it (Arm ARM D8.2.6). Needless with the MMU off, harmless too.
        unsafe { core::arch::asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    }
}

unsafe extern "C" {
    static __image_start: u8;
    static __rodata_start: u8;
    static __data_start: u8;
    static __bss_end: u8;
    static __boot_stack_bottom: u8;
    static __boot_stack_top: u8;
    static __report_stack_bottom: u8;
    static __report_stack_top: u8;
    static __heap_start: u8;
    static __heap_end: u8;
    static __image_end: u8;
}

/// The bytes between two linker symbols.
fn between(start: *const u8, end: *const u8) -> Result<PaSpan, MapError> {
    PaSpan::from_bounds(Pa::new(start as u64), Pa::new(end as u64)).ok_or(MapError::TooHigh)
}

/// Where the hypervisor lies, `.bss` and stacks included.
#[must_use]
pub fn image() -> Option<PaSpan> {
    between(&raw const __image_start, &raw const __image_end).ok()
}

/// The boot CPU's stack.
#[must_use]
pub fn boot_stack() -> Option<PaSpan> {
    between(&raw const __boot_stack_bottom, &raw const __boot_stack_top).ok()
}

/// The heap's first memory.
#[must_use]
pub fn heap() -> Option<PaSpan> {
    between(&raw const __heap_start, &raw const __heap_end).ok()
}

/// The parts of the image. Constants and what the relocation loop wrote are both read-only from here on; the
/// pages between the parts of the stack area stay unmapped and catch overflows.
fn map_image(root: Pa) -> Result<(), MapError> {
    let parts = [
        (&raw const __image_start, &raw const __rodata_start, Kind::Code),
        (&raw const __rodata_start, &raw const __data_start, Kind::Constants),
        (&raw const __data_start, &raw const __bss_end, Kind::Ram),
        (&raw const __boot_stack_bottom, &raw const __boot_stack_top, Kind::Ram),
        (&raw const __report_stack_bottom, &raw const __report_stack_top, Kind::Ram),
        (&raw const __heap_start, &raw const __heap_end, Kind::Ram),
    ];
    for (start, end, kind) in parts {
        stage1::map(&mut Pool, root, between(start, end)?, kind)?;
    }
    Ok(())
}

/// Builds the map of the image; answers the [`Regime`] to switch to. Called once, with the MMU off.
#[unsafe(no_mangle)]
extern "C" fn first_map() -> *const Regime {
    // The pool cannot run out here: a root and at most five more pages are needed.
    if let Some(root) = Pool.allocate() {
        let _ = map_image(root);
        // SAFETY: see `Boot`.
        let regime = unsafe { &mut *BOOT.regime.get() };
        *regime = Regime {
            ttbr: root.get(),
            tcr: stage1::tcr(ID_AA64MMFR0_EL1::read() & 0xf),
            mair: stage1::MAIR,
            sctlr: stage1::SCTLR_MMU_ON,
        };
    }
    BOOT.regime.get()
}

/// The regime for every other CPU: the same tables.
#[must_use]
pub fn regime() -> *const Regime {
    BOOT.regime.get()
}

/// Adds `span`, widened to whole pages, to the map in use. For the boot CPU, before others run.
///
/// # Errors
///
/// See [`MapError`]; what overlaps the image or an earlier addition is [`MapError::Occupied`].
pub fn add(span: PaSpan, kind: Kind) -> Result<(), MapError> {
    stage1::map(&mut Pool, root(), whole_pages(span)?, kind)
}

/// The same for RAM of which a part may be in the map already, because something else begins or ends there.
///
/// # Errors
///
/// See [`MapError`].
pub fn add_rest(span: PaSpan) -> Result<(), MapError> {
    stage1::map_rest(&mut Pool, root(), whole_pages(span)?, Kind::Ram)
}

fn root() -> Pa {
    Pa::new(TTBR0_EL2::read() & !1)
}

fn whole_pages(span: PaSpan) -> Result<PaSpan, MapError> {
    let end = span.end().align_up(PAGE_SIZE).ok_or(MapError::TooHigh)?;
    PaSpan::from_bounds(span.start().page(), end).ok_or(MapError::TooHigh)
}
