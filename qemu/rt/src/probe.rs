//! Things that no well-behaved domU does, for those that test how a hypervisor bears it.
//!
//! Most of them cause an exception: call them inside [`crate::exception::catch`]. Nothing here touches memory that
//! Rust knows of, if the address is none of the image's.

use core::arch::asm;
use core::cell::UnsafeCell;

/// Ways to access an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `ldrb`.
    Load8,
    /// `ldrh`.
    Load16,
    /// `ldr w`.
    Load32,
    /// `ldr x`.
    Load64,
    /// `strb`.
    Store8,
    /// `strh`.
    Store16,
    /// `str w`.
    Store32,
    /// `str x`.
    Store64,
    /// `ldp`: two registers, so no syndrome.
    LoadPair,
    /// `stp`.
    StorePair,
    /// `ldr` that moves its base: no syndrome either.
    LoadMove,
    /// `str` that moves its base.
    StoreMove,
    /// `ldxr`.
    LoadExclusive,
    /// `ldar`.
    LoadAcquire,
    /// `stlr`.
    StoreRelease,
    /// `dc civac`.
    Clean,
    /// `dc ivac`.
    Invalidate,
    /// `dc zva`.
    Zero,
    /// A jump.
    Execute,
}

/// All of them.
pub const ACCESSES: [Access; 19] = [
    Access::Load8,
    Access::Load16,
    Access::Load32,
    Access::Load64,
    Access::Store8,
    Access::Store16,
    Access::Store32,
    Access::Store64,
    Access::LoadPair,
    Access::StorePair,
    Access::LoadMove,
    Access::StoreMove,
    Access::LoadExclusive,
    Access::LoadAcquire,
    Access::StoreRelease,
    Access::Clean,
    Access::Invalidate,
    Access::Zero,
    Access::Execute,
];

macro_rules! one {
    ($instruction:literal, $address:expr) => {
        // SAFETY: the caller names an address that is none of Rust's; x9 to x11 are given up.
        unsafe {
            asm!($instruction, inout("x9") $address => _, out("x10") _, out("x11") _, options(nostack))
        }
    };
}

/// Accesses `address`.
pub fn access(how: Access, address: u64) {
    match how {
        Access::Load8 => one!("ldrb w10, [x9]", address),
        Access::Load16 => one!("ldrh w10, [x9]", address),
        Access::Load32 => one!("ldr w10, [x9]", address),
        Access::Load64 => one!("ldr x10, [x9]", address),
        Access::Store8 => one!("strb wzr, [x9]", address),
        Access::Store16 => one!("strh wzr, [x9]", address),
        Access::Store32 => one!("str wzr, [x9]", address),
        Access::Store64 => one!("str xzr, [x9]", address),
        Access::LoadPair => one!("ldp x10, x11, [x9]", address),
        Access::StorePair => one!("stp xzr, xzr, [x9]", address),
        Access::LoadMove => one!("ldr w10, [x9], #4", address),
        Access::StoreMove => one!("str wzr, [x9], #4", address),
        Access::LoadExclusive => one!("ldxr w10, [x9]", address),
        Access::LoadAcquire => one!("ldar w10, [x9]", address),
        Access::StoreRelease => one!("stlr wzr, [x9]", address),
        Access::Clean => one!("dc civac, x9", address),
        Access::Invalidate => one!("dc ivac, x9", address),
        Access::Zero => one!("dc zva, x9", address),
        Access::Execute => call(address, 0),
    }
}

/// Calls the code at `address` with `x0`; a fault there returns here.
fn call(address: u64, x0: u64) {
    // SAFETY: code that is run this way obeys the calling convention or faults at once.
    unsafe {
        asm!("blr x9", in("x9") address, inlateout("x0") x0 => _, clobber_abi("C"), options(nostack));
    }
}

#[repr(C, align(64))]
struct Code(UnsafeCell<[u32; 16]>);

// SAFETY: used by one vCPU at a time, as `run` demands.
unsafe impl Sync for Code {}

static CODE: Code = Code(UnsafeCell::new([0; 16]));

/// Executes one instruction, given as its encoding, with `x0` as its register. For one vCPU at a time. The caller
/// chooses instructions that change nothing but x0, or that fault.
pub fn run(instruction: u32, x0: u64) {
    const RET: u32 = 0xd65f_03c0;
    let code = CODE.0.get();
    // SAFETY: the buffer is executable memory of this image, and no reference to it exists. What is written reaches
    // the instruction fetch by the sequence of the Arm ARM (DDI 0487, B2.4.4): clean, invalidate, with barriers.
    unsafe {
        code.cast::<u32>().write_volatile(instruction);
        code.cast::<u32>().add(1).write_volatile(RET);
        asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) code, options(nostack));
    }
    call(code as u64, x0);
}

/// `mrs x0, S<op0>_<op1>_C<crn>_C<crm>_<op2>` for the register with this number: op0 (2 bits, 2 or 3), op1, CRn, CRm, op2.
#[must_use]
pub const fn mrs(register: u32) -> u32 {
    0xd530_0000 & !(3 << 19) | register << 5
}

/// `msr`, likewise.
#[must_use]
pub const fn msr(register: u32) -> u32 {
    mrs(register) & !(1 << 21)
}
