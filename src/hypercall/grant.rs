//! `grant_table_op` (20): a grant table that a guest can set up and that nobody uses.
//!
//! Guests find a version-1 table with private, zeroed frames, so that their start-up code runs as usual. Granting
//! memory to another domain is not offered: mapping and copying fail, entry by entry. Layouts:
//! xen/include/public/grant_table.h.

use super::record::Record;
use super::{Answer, Caller, Early, Errno, Outcome, any_domain, offset, own_domain};
use crate::addr::Gva;

/// `GNTST_general_error`, `GNTST_bad_domain` and `GNTST_permission_denied`.
const GENERAL_ERROR: i16 = -1;
const BAD_DOMAIN: i16 = -2;
const PERMISSION_DENIED: i16 = -8;

/// Operations take the low 12 bits of the command.
const CMD_BITS: u32 = 12;
/// Entries refused before other work on this pCPU gets a turn.
const BATCH: u32 = 32;

pub(super) fn grant_table_op(caller: &impl Caller, args: [u64; 5]) -> Answer {
    let [cmd, arg, count, ..] = args;
    let (cmd, arg, count) = (cmd as u32, Gva::new(arg), count as u32);
    // Xen keeps where it was in the bits above the command, and finds nothing there to go on from.
    if count > i32::MAX as u32 || cmd >> CMD_BITS != 0 {
        return Err(Errno::EINVAL.into());
    }
    match cmd {
        // map_grant_ref, unmap_grant_ref, copy: size of an entry, and where its status is.
        0 => refuse_all(caller, args, 32, 18),
        1 => refuse_all(caller, args, 24, 20),
        5 => refuse_all(caller, args, 40, 36),
        6 if count != 1 => Err(Errno::EINVAL.into()),
        6 => query_size(caller, arg),
        8 => set_version(caller, arg),
        10 => {
            let mut op = Record::<8>::read(caller, arg)?;
            own_domain(caller, op.u16::<0>())?;
            op.set_u32::<4>(1);
            op.write(caller, arg)?;
            Ok(0)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Writes "general error" into each of `count` entries.
fn refuse_all(caller: &impl Caller, args: [u64; 5], size: u64, status: u64) -> Answer {
    let [cmd, base, count, x3, x4] = args;
    let count = count as u32;
    let now = count.min(BATCH);
    let mut entry = Gva::new(base);
    for _ in 0..now {
        caller.write_guest(offset(entry, status)?, &GENERAL_ERROR.to_le_bytes())?;
        entry = offset(entry, size)?;
    }
    if now == count {
        return Ok(0);
    }
    let rest = [cmd, entry.get(), (count - now).into(), x3, x4];
    Err(Early::Instead(Outcome::Continue(rest)))
}

/// `dom@0(2) nr_frames@4(4) max_nr_frames@8(4) status@12(2)`. A wrong domain is the entry's trouble, not the call's.
fn query_size(caller: &impl Caller, arg: Gva) -> Answer {
    let mut op = Record::<16>::read(caller, arg)?;
    let status = match any_domain(caller, op.u16::<0>()) {
        Err(_) => BAD_DOMAIN,
        Ok(domain) if domain != caller.domain() => PERMISSION_DENIED,
        Ok(_) => {
            op.set_u32::<4>(caller.state().granted());
            op.set_u32::<8>(caller.state().grant_frames());
            0
        }
    };
    op.set_u16::<12>(status as u16);
    op.write(caller, arg)?;
    Ok(0)
}

/// `version@0(4)`: 1 it is, and stays; the guest is told so whatever it asked for.
fn set_version(caller: &impl Caller, arg: Gva) -> Answer {
    let mut op = Record::<4>::read(caller, arg)?;
    let result = match op.u32::<0>() {
        1 => Ok(0),
        2 => Err(Errno::ENOSYS.into()),
        _ => Err(Errno::EINVAL.into()),
    };
    op.set_u32::<0>(1);
    op.write(caller, arg)?;
    result
}
