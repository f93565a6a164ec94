//! What only a privileged domain may do, and `vm_assist`. There is no privileged domain.

use super::record::Record;
use super::{Answer, Caller, Errno};
use crate::addr::Gva;

/// `XENPF_INTERFACE_VERSION` (xen/include/public/platform.h).
const PLATFORM_VERSION: u32 = 0x0300_0001;
/// `VMASST_TYPE_runstate_update_flag`: marks updates of a run-state area.
const RUNSTATE_UPDATE_FLAG: u32 = 5;

/// `platform_op` (7): `cmd@0(4) interface_version@4(4) u@8(128)`.
pub(super) fn platform_op(caller: &impl Caller, [arg, ..]: [u64; 5]) -> Answer {
    let op = Record::<136>::read(caller, Gva::new(arg))?;
    Err(if op.u32::<4>() == PLATFORM_VERSION { Errno::EPERM } else { Errno::EACCES }.into())
}

/// `sysctl` (35): no version of this interface is spoken here.
pub(super) fn sysctl(caller: &impl Caller, [arg, ..]: [u64; 5]) -> Answer {
    Record::<8>::read(caller, Gva::new(arg))?;
    Err(Errno::EACCES.into())
}

/// `domctl` (36): no version of this interface is spoken here.
pub(super) fn domctl(caller: &impl Caller, [arg, ..]: [u64; 5]) -> Answer {
    Record::<8>::read(caller, Gva::new(arg))?;
    Err(Errno::EACCES.into())
}

/// `vm_assist` (21): 0 enables, 1 disables.
pub(super) fn vm_assist(caller: &impl Caller, [cmd, kind, ..]: [u64; 5]) -> Answer {
    match (cmd as u32, kind as u32) {
        (cmd @ (0 | 1), RUNSTATE_UPDATE_FLAG) => {
            caller.state().mark_updates(cmd == 0);
            Ok(0)
        }
        (0 | 1, _) => Err(Errno::EINVAL.into()),
        _ => Err(Errno::ENOSYS.into()),
    }
}
