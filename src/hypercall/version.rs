//! `xen_version` (17): what this hypervisor says it is.
//!
//! No guest depends on the strings, but some choose their behaviour by version and features, so these agree with
//! what the other hypercalls answer: `bind_virq` refuses global interrupts (Xen since 4.21), `bind_pirq` is gone
//! (4.19), the sized strings exist (4.20), a second registration of vCPU information is "busy" (4.18).
//!
//! Layouts: xen/include/public/version.h, features.h.

use super::record::Record;
use super::{Answer, Caller, Errno, Fault, offset};
use crate::addr::{Gva, PAGE_SIZE};

/// Major version of the Xen ABI answered here; also for the guest's `/hypervisor` node.
pub const MAJOR: u32 = 4;
/// Minor version likewise.
pub const MINOR: u32 = 21;

const EXTRA: &str = "-portunus";
const CHANGESET: &str = concat!("portunus-", env!("CARGO_PKG_VERSION"));
/// EL1 in AArch32 state is not offered.
const CAPABILITIES: &str = "xen-3.0-aarch64 ";
/// The command line is the administrator's.
const DENIED: &str = "<denied>";

/// Feature bits of submap 0 (xen/include/public/features.h).
///
/// Not bit 18 (`runstate_phys_area`): the operation it announces is refused, on Arm by Xen too. Bit 16 says that
/// guest frames are not machine frames, so that Linux does not bring up its bounce buffers.
const FEATURES: u32 = 1 << 0 // writable_page_tables
    | 1 << 2 // auto_translated_physmap: Linux would otherwise set up grants as a PV guest
    | 1 << 13 // memory_op_vnode_supported
    | 1 << 14 // ARM_SMCCC_supported
    | 1 << 16; // not_direct_mapped

/// The number of this hypercall.
pub(super) const NUMBER: u64 = 17;
/// The answer of the commonest question: XENVER_version.
pub(super) const VERSION: i64 = (MAJOR << 16 | MINOR) as i64;

pub(super) fn xen_version(caller: &impl Caller, [cmd, arg, ..]: [u64; 5]) -> Answer {
    let to = Gva::new(arg);
    match cmd as u32 {
        0 => Ok(VERSION),
        1 => write_string(caller, to, EXTRA, 16),
        2 => compile_info(caller, to),
        3 => write_string(caller, to, CAPABILITIES, 1024),
        4 => write_string(caller, to, CHANGESET, 64),
        // platform_parameters: where a PV guest would find the hypervisor.
        5 => write_string(caller, to, "", 8),
        6 => get_features(caller, to),
        7 if arg != 0 => Err(Errno::EINVAL.into()),
        7 => Ok(PAGE_SIZE as i64),
        // guest_handle: a dom0less domain's UUID is all zeros.
        8 => write_string(caller, to, "", 16),
        9 => write_string(caller, to, DENIED, 1024),
        10 | 14 => Err(Errno::EPERM.into()),
        11 => sized_string(caller, to, EXTRA),
        12 => sized_string(caller, to, CAPABILITIES),
        13 => sized_string(caller, to, CHANGESET),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Writes `text` to an array of `size` bytes, the rest zeros.
fn write_string(caller: &impl Caller, to: Gva, text: &str, size: u64) -> Answer {
    const ZEROS: [u8; 64] = [0; 64];
    caller.write_guest(to, text.as_bytes())?;
    let mut at = text.len() as u64;
    while at < size {
        let chunk = ZEROS.get(..(size - at).min(64) as usize).unwrap_or(&ZEROS);
        caller.write_guest(offset(to, at)?, chunk)?;
        at += chunk.len() as u64;
    }
    Ok(0)
}

fn compile_info(caller: &impl Caller, to: Gva) -> Answer {
    // Constant, so that the same source gives the same image.
    for (at, size, text) in [(0, 64, "rustc"), (64, 16, "portunus"), (80, 32, ""), (112, 32, "")] {
        write_string(caller, offset(to, at)?, text, size)?;
    }
    Ok(0)
}

fn get_features(caller: &impl Caller, to: Gva) -> Answer {
    let mut op = Record::<8>::read(caller, to)?;
    if op.u32::<0>() != 0 {
        return Err(Errno::EINVAL.into());
    }
    op.set_u32::<4>(FEATURES);
    op.write(caller, to)?;
    Ok(0)
}

/// `len@0(4) buf@4`: the text without a terminator if it fits; a null pointer asks for its length.
fn sized_string(caller: &impl Caller, to: Gva, text: &str) -> Answer {
    if to != Gva::new(0) {
        let room = Record::<4>::read(caller, to)?.u32::<0>();
        if (room as usize) < text.len() {
            return Err(Errno::ENOBUFS.into());
        }
        caller.write_guest(to.checked_add(4).ok_or(Fault)?, text.as_bytes())?;
    }
    Ok(text.len() as i64)
}

const _: () = assert!(FEATURES == 0x1_6005 && EXTRA.len() < 16 && CHANGESET.len() < 64);
