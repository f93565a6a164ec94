//! Xen's hypercalls: HVC #0xEA1, number in x16, arguments in x0 to x4, answer in x0
//! (xen/include/public/arch-arm.h). Pointers are virtual addresses; memory handed over must be Normal Write-Back
//! Inner-Shareable, which all RAM here is.

use core::arch::asm;

/// `memory_op`.
pub const MEMORY_OP: u64 = 12;
/// `xen_version`.
pub const XEN_VERSION: u64 = 17;
/// `console_io`.
pub const CONSOLE_IO: u64 = 18;
/// `vcpu_op`.
pub const VCPU_OP: u64 = 24;
/// `sched_op`.
pub const SCHED_OP: u64 = 29;
/// `event_channel_op`.
pub const EVENT_CHANNEL_OP: u64 = 32;

/// The caller's own domain.
pub const DOMID_SELF: u16 = 0x7ff0;

/// Makes a hypercall; negative answers are Xen's error numbers.
#[inline]
pub fn call(number: u64, args: [u64; 5]) -> i64 {
    let [x0, x1, x2, x3, x4] = args;
    let result: i64;
    // SAFETY: the hypervisor changes no register but x0 to x4 and x16, and of memory only what the arguments name,
    // which is the caller's to give.
    unsafe {
        asm!(
            "hvc #0xEA1",
            inlateout("x0") x0 => result,
            inlateout("x1") x1 => _,
            inlateout("x2") x2 => _,
            inlateout("x3") x3 => _,
            inlateout("x4") x4 => _,
            inlateout("x16") number => _,
            options(nostack)
        );
    }
    result
}

/// A hypercall with a command and a structure of `N` words of 32 bits, which the hypervisor may write to.
#[inline]
pub fn with<const N: usize>(number: u64, command: u64, words: &mut [u32; N]) -> i64 {
    call(number, [command, words.as_mut_ptr() as u64, 0, 0, 0])
}

/// Version of the interface: major in bits 31:16, minor in 15:0.
#[inline]
pub fn version() -> u64 {
    call(XEN_VERSION, [0; 5]) as u64
}

/// Maps page `index` of `space` at guest frame `frame` (`XENMEM_add_to_physmap`); space 0 is `shared_info`.
pub fn add_to_physmap(space: u32, index: u64, frame: u64) -> i64 {
    let mut record = [0; 6];
    // domid@0(2) size@2(2) space@4(4) idx@8(8) gpfn@16(8)
    record[0] = DOMID_SELF.into();
    record[1] = space;
    (record[2], record[3]) = halves(index);
    (record[4], record[5]) = halves(frame);
    with(MEMORY_OP, 7, &mut record)
}

/// Takes whatever is mapped at guest frame `frame` away (`XENMEM_remove_from_physmap`).
pub fn remove_from_physmap(frame: u64) -> i64 {
    // domid@0(2) gpfn@8(8)
    let (low, high) = halves(frame);
    with(MEMORY_OP, 15, &mut [DOMID_SELF.into(), 0, low, high])
}

/// Splits a 64-bit field into the two words that it takes in a structure.
#[must_use]
pub const fn halves(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}

/// Ends the domain (`SCHEDOP_shutdown`): 0 poweroff, 1 reboot, 3 crash. Comes back only if the hypervisor refuses.
pub fn shutdown(reason: u32) -> i64 {
    with(SCHED_OP, 2, &mut [reason])
}

/// Starts a watchdog that runs out after so many seconds (`SCHEDOP_watchdog`, number 0), or feeds number 1 or 2, or stops
/// it with 0 seconds. Answers the number of one that was started.
pub fn watchdog(number: u32, seconds: u32) -> i64 {
    with(SCHED_OP, 6, &mut [number, seconds])
}

/// Writes to the hypervisor's console.
pub fn console_write(bytes: &[u8]) {
    call(CONSOLE_IO, [0, bytes.len() as u64, bytes.as_ptr() as u64, 0, 0]);
}

/// HVC with another immediate: no hypercall, but an exception to [`crate::exception::catch`].
pub fn hvc<const IMMEDIATE: u16>() {
    // SAFETY: what an unknown call may do is change x0 to x17, as every call.
    unsafe { asm!("hvc #{}", const IMMEDIATE, clobber_abi("C"), options(nostack)) };
}

/// SMC with another immediate than 0: an exception to [`crate::exception::catch`].
pub fn smc<const IMMEDIATE: u16>() {
    // SAFETY: as for `hvc`.
    unsafe { asm!("smc #{}", const IMMEDIATE, clobber_abi("C"), options(nostack)) };
}
