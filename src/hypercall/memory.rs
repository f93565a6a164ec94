//! `memory_op` (12): placing the hypervisor's pages in a guest's address space.
//!
//! A domain's memory was decided by its plan: no operation gives or takes RAM. Layouts:
//! xen/include/public/memory.h.

use super::record::Record;
use super::{
    Answer, Caller, DOMID_SELF, Early, Errno, MapError, Outcome, SpecialPage, any_domain, offset, own_domain,
    refuse_remote,
};
use crate::addr::Gva;

/// Operations take the low 6 bits of the command; the rest says where a batch goes on.
const OP_BITS: u32 = 6;
/// Entries of a batch done before other work on this pCPU gets a turn.
const BATCH: u64 = 32;

const SPACE_SHARED_INFO: u32 = 0;
const SPACE_GRANT_TABLE: u32 = 1;
const SPACE_GMFN_RANGE: u32 = 3;
const SPACE_GMFN_FOREIGN: u32 = 4;
const SPACE_DEV_MMIO: u32 = 5;

impl From<MapError> for Early {
    fn from(error: MapError) -> Self {
        match error {
            MapError::AlreadyMapped => Errno::EBUSY.into(),
            MapError::OutOfRange => Errno::EINVAL.into(),
            MapError::NoTables | MapError::NotMapped => Errno::ENOENT.into(),
            MapError::Busy => Self::Instead(Outcome::Retry),
        }
    }
}

pub(super) fn memory_op(caller: &impl Caller, args: [u64; 5]) -> Answer {
    let [cmd, arg, ..] = args;
    let (op, start, arg) = (cmd & ((1 << OP_BITS) - 1), cmd >> OP_BITS, Gva::new(arg));
    match op {
        // increase_reservation, decrease_reservation, populate_physmap answer how many extents were done.
        0 | 1 | 6 => Ok(0),
        // None of these goes on anywhere.
        2 | 3 | 4 | 14 | 15 | 26 | 27 if start != 0 => Err(Errno::EINVAL.into()),
        // maximum_ram_page: of the machine the guest sees. The real one is not its affair.
        2 => Ok(caller.highest_frame() as i64),
        3 | 4 => {
            own_domain(caller, Record::<2>::read(caller, arg)?.u16::<0>())?;
            Ok(caller.memory_pages() as i64)
        }
        14 => {
            own_domain(caller, Record::<2>::read(caller, arg)?.u16::<0>())?;
            Ok(caller.highest_frame() as i64)
        }
        7 if start > u16::MAX.into() => Err(Errno::EDOM.into()),
        7 => add_to_physmap(caller, arg),
        15 => remove_from_physmap(caller, arg),
        // Pages shared between domains: there are none.
        18 | 19 => Ok(0),
        23 if start > u16::MAX.into() => Err(Errno::EDOM.into()),
        23 => add_to_physmap_batch(caller, arg, start, args),
        24 => {
            // claim_pages: an unknown domain, and "self", are a mistake; a real one is not for the caller to provide for.
            let raw = Record::<32>::read(caller, arg)?.u16::<24>();
            let known = raw != DOMID_SELF && any_domain(caller, raw).is_ok();
            Err(if known { Errno::EPERM } else { Errno::EINVAL }.into())
        }
        26 => Err(Errno::EOPNOTSUPP.into()),
        27 => reserved_device_memory(caller, arg),
        28 => {
            // acquire_resource of oneself is not a thing; of others, not allowed.
            let raw = Record::<2>::read(caller, arg)?.u16::<0>();
            Err(refuse_remote(caller, raw).into())
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// `domid@0(2) size@2(2) space@4(4) idx@8(8) gpfn@16(8)`.
fn add_to_physmap(caller: &impl Caller, arg: Gva) -> Answer {
    let op = Record::<24>::read(caller, arg)?;
    let space = op.u32::<4>();
    if space == SPACE_GMFN_FOREIGN {
        return Err(Errno::ENOSYS.into());
    }
    let domain = any_domain(caller, op.u16::<0>())?;
    if space == SPACE_DEV_MMIO {
        return Err(Errno::EACCES.into());
    }
    if domain != caller.domain() {
        return Err(Errno::EPERM.into());
    }
    let frame = op.u64::<16>();
    if frame == u64::MAX {
        return Err(Errno::EINVAL.into());
    }
    if space == SPACE_GMFN_RANGE && op.u16::<2>() == 0 {
        return Ok(0);
    }
    place(caller, space, op.u64::<8>(), frame)
}

/// Maps the page that `space` and `index` name at guest frame `frame`.
fn place(caller: &impl Caller, space: u32, index: u64, frame: u64) -> Answer {
    let page = match space {
        SPACE_SHARED_INFO if index == 0 => SpecialPage::SharedInfo,
        SPACE_GRANT_TABLE => match u32::try_from(index) {
            Ok(number) if number < caller.state().grant_frames() => SpecialPage::Grant(number),
            _ => return Err(Errno::EINVAL.into()),
        },
        SPACE_SHARED_INFO => return Err(Errno::EINVAL.into()),
        _ => return Err(Errno::ENOSYS.into()),
    };
    caller.map_special(page, frame)?;
    if let SpecialPage::Grant(number) = page {
        caller.state().grow_grants(number.saturating_add(1));
    }
    Ok(0)
}

/// `domid@0(2) space@2(2) size@4(2) foreign@6(2) idxs@8(8) gpfns@16(8) errs@24(8)`.
fn add_to_physmap_batch(caller: &impl Caller, arg: Gva, start: u64, args: [u64; 5]) -> Answer {
    let op = Record::<32>::read(caller, arg)?;
    let (space, size) = (u32::from(op.u16::<2>()), u64::from(op.u16::<4>()));
    if space == SPACE_GMFN_RANGE {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let domain = any_domain(caller, op.u16::<0>())?;
    if space == SPACE_DEV_MMIO {
        return Err(Errno::EACCES.into());
    }
    if domain != caller.domain() {
        return Err(Errno::EPERM.into());
    }
    if start > size || (start == size && start != 0) {
        return Err(Errno::EILSEQ.into());
    }
    let (indices, frames, errors) =
        (Gva::new(op.u64::<8>()), Gva::new(op.u64::<16>()), Gva::new(op.u64::<24>()));
    for entry in start..size {
        if entry - start == BATCH {
            let [cmd, arg, rest @ ..] = args;
            let [x2, x3, x4] = rest;
            let cmd = cmd & ((1 << OP_BITS) - 1) | entry << OP_BITS;
            return Err(Early::Instead(Outcome::Continue([cmd, arg, x2, x3, x4])));
        }
        let index = Record::<8>::read(caller, offset(indices, entry * 8)?)?.u64::<0>();
        let frame = Record::<8>::read(caller, offset(frames, entry * 8)?)?.u64::<0>();
        if frame == u64::MAX {
            return Err(Errno::EINVAL.into());
        }
        let result = if space == SPACE_GMFN_FOREIGN {
            // Another domain's page can be asked for here, and is refused.
            Err(refuse_remote(caller, op.u16::<6>()).into())
        } else {
            place(caller, space, index, frame)
        };
        let result = match result {
            Ok(_) => 0,
            Err(Early::Error(errno)) => errno.code() as i32,
            Err(instead) => return Err(instead),
        };
        caller.write_guest(offset(errors, entry * 4)?, &result.to_le_bytes())?;
    }
    Ok(0)
}

/// `domid@0(2) gpfn@8(8)`.
fn remove_from_physmap(caller: &impl Caller, arg: Gva) -> Answer {
    let op = Record::<16>::read(caller, arg)?;
    own_domain(caller, op.u16::<0>())?;
    caller.unmap(op.u64::<8>())?;
    Ok(0)
}

/// `flags@0(4) nr_entries@4(4)`: there are no such regions.
fn reserved_device_memory(caller: &impl Caller, arg: Gva) -> Answer {
    let mut op = Record::<8>::read(caller, arg)?;
    if op.u32::<0>() & !1 != 0 {
        return Err(Errno::EINVAL.into());
    }
    op.set_u32::<4>(0);
    op.write(caller, arg)?;
    Ok(0)
}
