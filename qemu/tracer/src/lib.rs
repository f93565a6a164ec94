//! A plugin of QEMU that records what a machine executes between two marks.
//!
//! A mark is a HINT that the architecture leaves without a meaning, so that it is a NOP everywhere: `qemu/rt/src/marks.rs`
//! lists them. From an opening mark on any CPU until the closing one, every instruction of every CPU is written to a
//! file, and on request every access of the hypervisor to a device. Marks are always written, with the number of
//! instructions executed since reset.
//!
//! QEMU tells a callback which vCPU translated a block, not which one executes it, as long as all vCPUs share one host
//! thread (tcg/plugin-gen.c, `gen_cpu_index`). So CPUs are told apart by TPIDR_EL2, in which hypervisors keep what belongs
//! to a CPU; they are numbered in the order in which they appear.
//!
//! `-plugin libportunus_tracer.so,out=FILE[,devices=from-to][,totals=from-to]`, where the accesses wanted are those of
//! instructions at these addresses, in hexadecimal. With `totals` nothing is recorded but how many instructions there
//! were since the mark before, from the first opening mark on: for runs that would fill the disk. The hypervisor's are
//! those at these addresses.
//!
//! The file is a sequence of 64-bit little-endian records. Bits 63:60 say what it is, 59:56 which CPU, the rest is:
//!
//! | kind | 55:0 |
//! | --- | --- |
//! | 0, an instruction | its virtual address |
//! | 1, a mark | 55:48 its number, 47:0 the instructions executed before it |
//! | 2, an access to a device | the physical address |
//! | 3, a total | 55:48 whose: 0 the hypervisor's, 1 a kernel's, 2 a program's; 47:0 how many instructions |
// QEMU decides what is called; nothing here is for Rust.
#![allow(missing_docs)]

mod api;

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use api::{Block, Instruction, Register};

/// The HINT instruction without its number, and the numbers that are marks.
const HINT: u32 = 0xd503_201f;
const MARKS: Range<u32> = 0x60..0x80;
/// Closes what another mark opened; the numbers from `POINT` on open nothing.
const CLOSE: u64 = 0x60;
const POINT: u64 = 0x78;

const MARK: u64 = 1;
const ACCESS: u64 = 2;
const TOTAL: u64 = 3;
/// CPUs that are told apart.
const MOST_CPUS: usize = 16;
/// A kernel's addresses begin with ones.
const KERNEL_SPACE: u64 = 0xff << 56;

#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = api::VERSION;

/// Whether instructions are being recorded.
static OPEN: AtomicBool = AtomicBool::new(false);
/// Instructions since reset, on all CPUs.
static EXECUTED: AtomicU64 = AtomicU64::new(0);
static OUT: Mutex<Option<BufWriter<File>>> = Mutex::new(None);
/// The instructions whose accesses to devices are recorded.
static DEVICES: OnceLock<Range<u64>> = OnceLock::new();
/// The hypervisor's addresses, if only totals are wanted.
static TOTALS: OnceLock<Range<u64>> = OnceLock::new();
/// Instructions of each CPU since the last mark: the hypervisor's, kernels', programs'.
static SUMS: [[AtomicU64; 3]; MOST_CPUS] = [const { [const { AtomicU64::new(0) }; 3] }; MOST_CPUS];

/// TPIDR_EL2.
static OWN: AtomicPtr<Register> = AtomicPtr::new(ptr::null_mut());
/// What each CPU has in it, by the CPU's number.
static CPUS: Mutex<Vec<u64>> = Mutex::new(Vec::new());
/// The CPU that executes.
static CURRENT: AtomicU64 = AtomicU64::new(0);

/// Finds out which CPU executes.
fn look_at_cpu() {
    let own = api::read(OWN.load(Ordering::Relaxed));
    if let Ok(mut cpus) = CPUS.lock() {
        let number = cpus.iter().position(|other| *other == own).unwrap_or_else(|| {
            cpus.push(own);
            cpus.len() - 1
        });
        CURRENT.store(number as u64, Ordering::Relaxed);
    }
}

fn record(kind: u64, value: u64) {
    write(kind, CURRENT.load(Ordering::Relaxed), value);
}

fn write(kind: u64, cpu: u64, value: u64) {
    let word = kind << 60 | (cpu & 0xf) << 56 | value & ((1 << 56) - 1);
    if let Ok(mut out) = OUT.lock()
        && let Some(out) = out.as_mut()
        && out.write_all(&word.to_le_bytes()).is_err()
    {
        OPEN.store(false, Ordering::Relaxed);
    }
}

fn flush() {
    if let Ok(mut out) = OUT.lock()
        && let Some(out) = out.as_mut()
    {
        let _ = out.flush();
    }
}

extern "C" fn on_start(_: u64, _: c_uint) {
    OWN.store(api::register("TPIDR_EL2"), Ordering::Relaxed);
}

/// A block begins; another CPU may execute it than the block before, but within a block the CPU is the same.
extern "C" fn on_entry(_: u32, _: *mut c_void) {
    if OPEN.load(Ordering::Relaxed) {
        look_at_cpu();
    }
}

extern "C" fn on_instruction(_: u32, address: *mut c_void) {
    EXECUTED.fetch_add(1, Ordering::Relaxed);
    if !OPEN.load(Ordering::Relaxed) {
        return;
    }
    let address = address as u64;
    let Some(hypervisor) = TOTALS.get() else { return record(0, address) };
    let whose = match address {
        KERNEL_SPACE.. => 1,
        address if hypervisor.contains(&address) => 0,
        _ => 2,
    };
    let sums = SUMS.get(CURRENT.load(Ordering::Relaxed) as usize);
    if let Some(sum) = sums.and_then(|sums: &[AtomicU64; 3]| sums.get(whose)) {
        sum.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes how many instructions there were since the last mark.
fn totals() {
    for (cpu, sums) in (0..).zip(&SUMS) {
        for (whose, sum) in (0..).zip(sums) {
            let sum = sum.swap(0, Ordering::Relaxed);
            if sum != 0 {
                write(TOTAL, cpu, whose << 48 | sum);
            }
        }
    }
}

extern "C" fn on_mark(_: u32, number: *mut c_void) {
    let number = number as u64;
    look_at_cpu();
    let before = EXECUTED.fetch_add(1, Ordering::Relaxed);
    let only_totals = TOTALS.get().is_some();
    if only_totals {
        totals();
    }
    record(MARK, number << 48 | before);
    if number < POINT {
        OPEN.store(number != CLOSE || only_totals, Ordering::Relaxed);
    } else {
        // Whoever waits for the run may end it from here on.
        flush();
    }
}

extern "C" fn on_access(_: u32, info: u32, address: u64, _: *mut c_void) {
    if !OPEN.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: this is the callback of an access, where QEMU allows the question; what it answers is valid until the
    // callback returns, or null.
    let device = unsafe {
        let physical = api::qemu_plugin_get_hwaddr(info, address);
        (!physical.is_null() && api::qemu_plugin_hwaddr_is_io(physical))
            .then(|| api::qemu_plugin_hwaddr_phys_addr(physical))
    };
    if let Some(physical) = device {
        record(ACCESS, physical);
    }
}

extern "C" fn on_block(_: u64, block: *mut Block) {
    // SAFETY: QEMU passes the block that it is translating; its instructions are valid until this returns.
    let instructions = (0..unsafe { api::qemu_plugin_tb_n_insns(block) })
        .map(|index| unsafe { api::qemu_plugin_tb_get_insn(block, index) });
    instructions.for_each(watch);
    // SAFETY: as above.
    unsafe {
        api::qemu_plugin_register_vcpu_tb_exec_cb(block, on_entry, api::READS_REGISTERS, ptr::null_mut());
    }
}

/// Asks to be called when the instruction is executed.
fn watch(instruction: *mut Instruction) {
    let mut code = [0; 4];
    // SAFETY: called by `on_block` with an instruction of its block; `code` has the bytes that it says.
    let address = unsafe {
        api::qemu_plugin_insn_data(instruction, code.as_mut_ptr().cast(), code.len());
        api::qemu_plugin_insn_vaddr(instruction)
    };
    let code = u32::from_le_bytes(code);
    let hint = code >> 5 & 0x7f;
    let is_mark = code == HINT | hint << 5 && MARKS.contains(&hint);
    let (callback, registers, data): (api::OnExecution, _, u64) = if is_mark {
        (on_mark, api::READS_REGISTERS, hint.into())
    } else {
        (on_instruction, api::NO_REGISTERS, address)
    };
    let data = ptr::without_provenance_mut(usize::try_from(data).unwrap_or(0));
    // SAFETY: as above; the callbacks take `data` for the number that it is.
    unsafe {
        api::qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, registers, data);
        if DEVICES.get().is_some_and(|range| range.contains(&address)) {
            let (registers, which) = (api::NO_REGISTERS, api::LOADS_AND_STORES);
            api::qemu_plugin_register_vcpu_mem_cb(instruction, on_access, registers, which, ptr::null_mut());
        }
    }
}

extern "C" fn on_exit(_: u64, _: *mut c_void) {
    flush();
}

/// Reads `out=FILE`, `devices=from-to` and `totals=from-to`.
fn configure(arguments: &[String]) -> Option<()> {
    for argument in arguments {
        match argument.split_once('=')? {
            ("out", path) => *OUT.lock().ok()? = Some(BufWriter::new(File::create(path).ok()?)),
            ("devices", addresses) => DEVICES.set(range(addresses)?).ok()?,
            ("totals", addresses) => TOTALS.set(range(addresses)?).ok()?,
            _ => return None,
        }
    }
    Some(())
}

/// `from-to`, in hexadecimal.
fn range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(number(from)?..number(to)?)
}

/// Called by QEMU when it loads the plugin. Another answer than 0 ends QEMU.
///
/// # Safety
///
/// `arguments` points to `count` strings that end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    plugin: u64,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU keeps the promise.
    let arguments = unsafe { api::texts(count, arguments) };
    if configure(&arguments).is_none() {
        eprintln!("tracer: out=FILE, devices=from-to and totals=from-to are understood, not {arguments:?}");
        return 1;
    }
    // SAFETY: QEMU passes its own handle, and the callbacks stay for as long as the plugin is loaded.
    unsafe {
        api::qemu_plugin_register_vcpu_init_cb(plugin, on_start);
        api::qemu_plugin_register_vcpu_tb_trans_cb(plugin, on_block);
        api::qemu_plugin_register_atexit_cb(plugin, on_exit, ptr::null_mut());
    }
    0
}
