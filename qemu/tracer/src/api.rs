//! The part of QEMU's plugin interface that is used here (QEMU, include/qemu/qemu-plugin.h; version 3, of QEMU 9.1, and
//! later ones). Debian ships no header, so it is declared by hand.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};

/// Version of the interface that these declarations are of.
pub const VERSION: c_int = 3;
/// A callback that reads and writes no registers (`QEMU_PLUGIN_CB_NO_REGS`).
pub const NO_REGISTERS: c_int = 0;
/// A callback that reads registers (`QEMU_PLUGIN_CB_R_REGS`).
pub const READS_REGISTERS: c_int = 1;
/// Loads and stores (`QEMU_PLUGIN_MEM_RW`).
pub const LOADS_AND_STORES: c_int = 3;

/// A block of instructions that is being translated.
#[repr(C)]
pub struct Block {
    opaque: [u8; 0],
}

/// One of its instructions.
#[repr(C)]
pub struct Instruction {
    opaque: [u8; 0],
}

/// The physical side of an access.
#[repr(C)]
pub struct Physical {
    opaque: [u8; 0],
}

/// A register.
#[repr(C)]
pub struct Register {
    opaque: [u8; 0],
}

/// A register and what it is called (`qemu_plugin_reg_descriptor`).
#[repr(C)]
pub struct Description {
    /// To read it with.
    pub register: *mut Register,
    /// Its name, as gdb has it.
    pub name: *const c_char,
    feature: *const c_char,
}

/// GLib's `GArray` and `GByteArray`: the part of them that is public.
#[repr(C)]
pub struct Array<T> {
    /// The first element.
    pub data: *mut T,
    /// How many there are.
    pub length: c_uint,
}

/// Called for each new vCPU.
pub type OnStart = extern "C" fn(plugin: u64, vcpu: c_uint);
/// Called with what `qemu_plugin_register_vcpu_insn_exec_cb` was given.
pub type OnExecution = extern "C" fn(vcpu: u32, data: *mut c_void);
/// Called after an access.
pub type OnAccess = extern "C" fn(vcpu: u32, info: u32, address: u64, data: *mut c_void);
/// Called for each new block.
pub type OnTranslation = extern "C" fn(plugin: u64, block: *mut Block);
/// Called at the end.
pub type OnExit = extern "C" fn(plugin: u64, data: *mut c_void);

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(plugin: u64, callback: OnTranslation);
    pub fn qemu_plugin_register_atexit_cb(plugin: u64, callback: OnExit, data: *mut c_void);
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    pub fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    pub fn qemu_plugin_insn_data(instruction: *const Instruction, to: *mut c_void, length: usize) -> usize;
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: OnExecution,
        registers: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut Instruction,
        callback: OnAccess,
        registers: c_int,
        which: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_init_cb(plugin: u64, callback: OnStart);
    pub fn qemu_plugin_register_vcpu_tb_exec_cb(
        block: *mut Block,
        callback: OnExecution,
        registers: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_get_registers() -> *mut Array<Description>;
    pub fn qemu_plugin_read_register(register: *mut Register, to: *mut Array<u8>) -> c_int;
    pub fn qemu_plugin_get_hwaddr(info: u32, address: u64) -> *mut Physical;
    pub fn qemu_plugin_hwaddr_is_io(physical: *const Physical) -> bool;
    pub fn qemu_plugin_hwaddr_phys_addr(physical: *const Physical) -> u64;
    fn g_byte_array_new() -> *mut Array<u8>;
    fn g_byte_array_unref(array: *mut Array<u8>);
    fn g_array_unref(array: *mut Array<Description>);
}

/// The register with this name. Only while a vCPU is being started.
pub fn register(name: &str) -> *mut Register {
    // SAFETY: QEMU answers an array of so many descriptions, their names end with a zero and live as long as it does.
    unsafe {
        let all = qemu_plugin_get_registers();
        let descriptions = core::slice::from_raw_parts((*all).data, (*all).length as usize);
        let named = descriptions.iter().find(|d| CStr::from_ptr(d.name).to_bytes() == name.as_bytes());
        let found = named.map_or(core::ptr::null_mut(), |description| description.register);
        g_array_unref(all);
        found
    }
}

/// What is in a register of the vCPU that runs. Only in a callback that reads registers.
pub fn read(register: *mut Register) -> u64 {
    let mut value = [0; 8];
    // SAFETY: a register that QEMU named; it appends as many bytes as the register has and says how many there are.
    unsafe {
        let bytes = g_byte_array_new();
        qemu_plugin_read_register(register, bytes);
        if (*bytes).length as usize >= value.len() {
            core::ptr::copy_nonoverlapping((*bytes).data, value.as_mut_ptr(), value.len());
        }
        g_byte_array_unref(bytes);
    }
    u64::from_le_bytes(value)
}

/// `argc` and `argv` of `qemu_plugin_install`, as the texts that they are.
///
/// # Safety
///
/// `arguments` points to `count` strings that end with a zero.
pub unsafe fn texts(count: c_int, arguments: *const *const c_char) -> Vec<String> {
    let text = |index| {
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(*arguments.add(index)) };
        text.to_string_lossy().into_owned()
    };
    (0..usize::try_from(count).unwrap_or(0)).map(text).collect()
}
