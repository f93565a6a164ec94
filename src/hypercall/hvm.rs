//! `hvm_op` (34): parameters a toolstack would have set. There is no toolstack: all are 0, "not there".
//!
//! Layout of both operations: `domid@0(2) pad@2(2) index@4(4) value@8(8)` (xen/include/public/hvm/hvm_op.h).

use super::record::Record;
use super::{Answer, Caller, Errno, own_domain};
use crate::addr::Gva;

/// The interrupt of upcalls; the page and port of the store, and of the console.
const READABLE: [u32; 5] = [0, 1, 2, 17, 18];
/// Where the monitor's ring would be: privileged.
const MONITOR_RING: u32 = 28;

pub(super) fn hvm_op(caller: &impl Caller, [op, arg, ..]: [u64; 5]) -> Answer {
    match op {
        0 | 1 => parameter(caller, op == 0, Gva::new(arg)),
        // guest_request_vm_event, with nobody to hear of it.
        24 if arg == 0 => Ok(0),
        24 => Err(Errno::EINVAL.into()),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn parameter(caller: &impl Caller, set: bool, arg: Gva) -> Answer {
    let mut op = Record::<16>::read(caller, arg)?;
    own_domain(caller, op.u16::<0>())?;
    let index = op.u32::<4>();
    if index == MONITOR_RING || (set && READABLE.contains(&index)) {
        return Err(Errno::EPERM.into());
    }
    if !READABLE.contains(&index) {
        return Err(Errno::EINVAL.into());
    }
    op.set_u64::<8>(0);
    op.write(caller, arg)?;
    Ok(0)
}
