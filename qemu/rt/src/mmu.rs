//! Stage 1 of this domain: everything at its own address, RAM as Normal Write-Back Inner-Shareable memory, the rest
//! as devices.
//!
//! The 2 MiB behind the first RAM bank are mapped like RAM too: there is nothing there, and what the hypervisor is
//! asked to map there ([`window`]) is shared in the way that its interface demands. One level-1 table of 512 GiB; what
//! is not whole GiB of one kind takes a level-2 table out of a handful.

use core::cell::UnsafeCell;

use crate::machine::{self, Span};
use crate::{read_sysreg, write_sysreg};

const GIB: usize = 1 << 30;
const BLOCK: usize = 2 << 20;
const ENTRIES: usize = 512;
/// Level-2 tables: the end of each bank lies in one GiB, the start in another.
const SECOND_LEVEL: usize = 4;

/// Descriptor bits (Arm ARM DDI 0487, D8.3): a block or table that is there, accessed.
const VALID: u64 = 1;
const TABLE: u64 = 0b11;
const ACCESSED: u64 = 1 << 10;
/// Normal memory: MAIR attribute 0, Inner-Shareable.
const NORMAL: u64 = VALID | ACCESSED | 0b11 << 8;
/// Device memory: MAIR attribute 1, never executed.
const DEVICE: u64 = VALID | ACCESSED | 1 << 2 | 1 << 53 | 1 << 54;

/// MAIR_EL1: attribute 0 Normal Write-Back, attribute 1 Device-nGnRE.
const MAIR: u64 = 0x04ff;
/// TCR_EL1: 39-bit addresses in TTBR0, 4 KiB granule, walks cached and Inner-Shareable, no TTBR1; IPS is added.
const TCR: u64 = 25 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12 | 1 << 23;
/// SCTLR_EL1: the bits that are one in Armv8.0, MMU, data and instruction caches.
const SCTLR: u64 = 0x30d0_0800 | 1 | 1 << 2 | 1 << 12;

#[repr(C, align(4096))]
struct Table(UnsafeCell<[u64; ENTRIES]>);

impl Table {
    const fn empty() -> Self {
        Self(UnsafeCell::new([0; ENTRIES]))
    }
}

// SAFETY: written by vCPU 0 before it or any other turns its MMU on, and never again.
unsafe impl Sync for Table {}

static FIRST: Table = Table::empty();
static SECOND: [Table; SECOND_LEVEL] = [const { Table::empty() }; SECOND_LEVEL];

/// What start.S loads to turn the MMU on, in this order.
#[repr(C)]
pub(crate) struct Regime(UnsafeCell<[u64; 4]>);

// SAFETY: as for `Table`.
unsafe impl Sync for Regime {}

pub(crate) static REGIME: Regime = Regime(UnsafeCell::new([0; 4]));

/// Makes the map. Runs with the MMU off: no atomics, no printing.
#[unsafe(no_mangle)]
extern "C" fn first_map(tree: usize) {
    let mut tables = Tables { used: 0 };
    for gib in 0..ENTRIES {
        tables.set(&FIRST, gib, (gib * GIB) as u64 | DEVICE);
    }
    let banks = machine::ram(tree);
    for bank in banks.into_iter().filter(|bank| bank.size != 0) {
        tables.normal(bank);
    }
    if banks[0].size == 0 {
        // No tree: at least this image is memory, so that the report of it works.
        let here = (&raw const FIRST) as usize / GIB;
        tables.set(&FIRST, here, (here * GIB) as u64 | NORMAL);
    } else {
        tables.normal(window_behind(banks[0]));
    }
    // ID_AA64MMFR0_EL1.PARange and TCR_EL1.IPS have the same encoding; 48 bits is the most this map can use.
    let size = (read_sysreg!("id_aa64mmfr0_el1") & 0xf).min(5);
    let regime = [(&raw const FIRST) as u64, TCR | size << 32, MAIR, SCTLR];
    // SAFETY: the only vCPU that runs, before anything reads it.
    unsafe { REGIME.0.get().write_volatile(regime) };
}

struct Tables {
    used: usize,
}

impl Tables {
    fn set(&mut self, table: &Table, index: usize, descriptor: u64) {
        if index < ENTRIES {
            // SAFETY: inside the table, which only vCPU 0 writes, before its MMU is on.
            unsafe { table.0.get().cast::<u64>().add(index).write_volatile(descriptor) };
        }
    }

    fn get(&self, index: usize) -> u64 {
        // SAFETY: callers keep the index below 512; the table is vCPU 0's alone until the MMU is on.
        unsafe { FIRST.0.get().cast::<u64>().add(index).read_volatile() }
    }

    /// Maps `span` as Normal memory: whole GiB as they are, else the 2 MiB blocks that it touches.
    fn normal(&mut self, span: Span) {
        let mut at = span.start & !(BLOCK - 1);
        while at < span.end() && at / GIB < ENTRIES {
            if at.is_multiple_of(GIB) && span.end() - at >= GIB {
                self.set(&FIRST, at / GIB, at as u64 | NORMAL);
                at += GIB;
                continue;
            }
            if let Some(table) = self.second(at / GIB) {
                self.set(table, at % GIB / BLOCK, at as u64 | NORMAL);
            }
            at += BLOCK;
        }
    }

    /// The level-2 table of a GiB; a new one says the same as the block it replaces.
    fn second(&mut self, gib: usize) -> Option<&'static Table> {
        let descriptor = self.get(gib);
        if descriptor & TABLE == TABLE {
            return SECOND.iter().find(|table| (&raw const **table) as u64 == descriptor & !0xfff);
        }
        let table = SECOND.get(self.used)?;
        self.used += 1;
        for block in 0..ENTRIES {
            self.set(table, block, descriptor + (block * BLOCK) as u64);
        }
        self.set(&FIRST, gib, (&raw const *table) as u64 | TABLE);
        Some(table)
    }
}

fn window_behind(bank: Span) -> Span {
    Span { start: bank.end().next_multiple_of(BLOCK), size: BLOCK }
}

/// Guest-physical addresses behind the first RAM bank where nothing is, mapped like RAM: for pages that the hypervisor
/// is asked to map. The first page is the runtime's own, for `shared_info`.
#[must_use]
pub fn window() -> Span {
    machine::get().ram().next().map(window_behind).unwrap_or_default()
}

/// What a tampered entry points at.
#[derive(Clone, Copy, Debug)]
pub enum Tampered {
    /// Nothing.
    Invalid,
    /// A GiB at this address, as Normal memory.
    Block(u64),
    /// A table of the next level at this address.
    Table(u64),
}

/// The highest GiB of the map, where there is nothing that anybody uses.
pub const SPARE: u64 = (ENTRIES as u64 - 1) * GIB as u64;

/// Changes what the spare GiB is mapped to, for those who test how a hypervisor bears bad tables.
pub fn tamper(with: Tampered) {
    let descriptor = match with {
        Tampered::Invalid => 0,
        Tampered::Block(address) => address | NORMAL,
        Tampered::Table(address) => address | TABLE,
    };
    for value in [0, descriptor] {
        // SAFETY: the last entry of the level-1 table, which maps nothing that Rust uses; invalid first, then new
        // (Arm ARM DDI 0487, D8.13, break-before-make).
        unsafe {
            FIRST.0.get().cast::<u64>().add(ENTRIES - 1).write_volatile(value);
            core::arch::asm!("dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", options(nostack));
        }
    }
}

/// The first address that TTBR1 translates, once [`second_root`] has set it.
pub const UPPER: u64 = 0xffff_ff80_0000_0000;

/// Makes TTBR1_EL1 translate the upper half with a level-1 table at `root`, or nothing. Nobody uses that half.
pub fn second_root(root: Option<u64>) {
    const TCR_UPPER: u64 = 25 << 16 | 0b01 << 24 | 0b01 << 26 | 0b11 << 28 | 0b10 << 30;
    const EPD1: u64 = 1 << 23;
    let tcr = read_sysreg!("tcr_el1") & !(EPD1 | 0x3f << 16 | 0xff << 24);
    write_sysreg!("ttbr1_el1", root.unwrap_or(0));
    write_sysreg!("tcr_el1", tcr | TCR_UPPER | if root.is_none() { EPD1 } else { 0 });
    // SAFETY: dropping translations is always sound.
    unsafe { core::arch::asm!("tlbi vmalle1", "dsb nsh", "isb", options(nostack)) };
}
