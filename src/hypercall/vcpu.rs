//! `vcpu_op` (24): where a vCPU wants to be told about events, and about its run states.
//!
//! vCPUs are switched on and off by PSCI, not here. Layouts: xen/include/public/vcpu.h.

use super::record::Record;
use super::{Answer, Caller, Errno, PlaceError};
use crate::addr::{Gva, Ipa, PAGE_SIZE, VcpuId};

/// Bytes of a `vcpu_info`.
const INFO_SIZE: u64 = size_of::<crate::evtchn::VcpuInfo>() as u64;

pub(super) fn vcpu_op(caller: &impl Caller, [cmd, vcpu, arg, ..]: [u64; 5]) -> Answer {
    let vcpu = caller.events().vcpu(caller.domain(), vcpu as u32).ok_or(Errno::ENOENT)?;
    let arg = Gva::new(arg);
    match cmd as u32 {
        5 => {
            let area = Gva::new(Record::<8>::read(caller, arg)?.u64::<0>());
            caller.register_runstate(vcpu, area);
            Ok(0)
        }
        10 => register_vcpu_info(caller, vcpu, arg),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `mfn@0(8) offset@8(4) rsvd@12(4)`.
fn register_vcpu_info(caller: &impl Caller, vcpu: VcpuId, arg: Gva) -> Answer {
    let op = Record::<16>::read(caller, arg)?;
    let within = u64::from(op.u32::<8>());
    let frame = Ipa::from_frame(op.u64::<0>()).ok_or(Errno::EINVAL)?;
    if within >= PAGE_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let at = frame.checked_add(within).ok_or(Errno::EINVAL)?;
    if caller.events().has_registered(caller.domain(), vcpu)? {
        return Err(Errno::EBUSY.into());
    }
    if within > PAGE_SIZE - INFO_SIZE || !at.is_aligned(8) {
        return Err(Errno::ENXIO.into());
    }
    let place = caller.vcpu_info_at(at).map_err(|error| match error {
        PlaceError::NotRam => Errno::EINVAL,
        PlaceError::ReadOnly => Errno::EACCES,
    })?;
    caller.events().register_vcpu_info(caller.domain(), vcpu, place, caller)?;
    Ok(0)
}
