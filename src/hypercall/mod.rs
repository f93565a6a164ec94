//! Xen's hypercalls, as far as a domU of a static system needs them.
//!
//! **Decides** what `HVC #0xEA1` answers: number in x16, arguments in x0-x4, result in x0. **Trusts** nothing:
//! every argument is a guest's word, every pointer an allegation that [`Caller`] checks against the guest's own
//! translation. A structure is read once and in full before it is looked at. **Refuses** what would need a
//! privileged domain, with the error Xen gives.
//!
//! Structures are not Rust structs: `record::Record` reads fields at the offsets of the ABI, and the compiler
//! checks each offset against the structure's size.
//!
//! Each hypercall has its file; [`dispatch`] is the table of contents. Hypercalls and their numbers:
//! xen/include/public/xen.h; what each answers to a domU was compared with Xen itself, version by version. Where
//! versions differ, the answers are those of [`version::MAJOR`].[`version::MINOR`].
#![forbid(unsafe_code)]

mod caller;
mod console;
mod control;
mod errno;
mod event;
mod grant;
mod hvm;
mod memory;
mod multicall;
mod record;
mod sched;
mod state;
#[cfg(test)]
#[cfg(not(loom))]
mod testing;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
mod vcpu;
pub mod version;

pub use caller::{Caller, Fault, MapError, PlaceError, SpecialPage};
pub use errno::Errno;
pub use state::CallState;

use crate::addr::{DomainId, Gva};
pub use crate::domain::life::ShutdownReason;
use crate::evtchn::Refusal;

/// The immediate of the HVC instruction that makes it a hypercall.
pub const HVC_IMMEDIATE: u16 = 0xea1;

/// "The calling domain", where a domain number is asked for.
const DOMID_SELF: u16 = 0x7ff0;

/// What the hypervisor does after a hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Writes this to x0 and goes on after the HVC.
    Return(i64),
    /// Goes back to the HVC itself with the registers as they are: somebody else was at it, or there is no room
    /// yet. Nothing was changed. The guest waits so in the guest, where interrupts and other vCPUs get at it.
    Retry,
    /// Goes back to the HVC itself with these in x0-x4: a long hypercall lets others have a turn.
    Continue([u64; 5]),
    /// Writes 0 to x0; lets another vCPU of this pCPU run, if there is one.
    Yield,
    /// Writes 0 to x0 and clears PSTATE.I of the guest; stops the vCPU until an interrupt is deliverable.
    Block,
    /// Writes 0 to x0; stops the vCPU until an interrupt is deliverable,
    /// [`Events::is_polling`](crate::evtchn::Events::is_polling) answers `false`, or system time (ns) reaches
    /// `until`.
    Poll {
        /// Absolute time, if the wait has an end.
        until: Option<u64>,
    },
    /// Writes 0 to x0; stops the whole domain.
    Shutdown(ShutdownReason),
}

/// How the pieces of a hypercall end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Early {
    Error(Errno),
    Instead(Outcome),
}

/// A result that becomes x0, or an early end.
type Answer = Result<i64, Early>;

impl From<Errno> for Early {
    fn from(errno: Errno) -> Self {
        Self::Error(errno)
    }
}

impl From<Fault> for Early {
    fn from(_: Fault) -> Self {
        Self::Error(Errno::EFAULT)
    }
}

impl From<Refusal> for Early {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Error(errno) => Self::Error(errno),
            Refusal::Busy => Self::Instead(Outcome::Retry),
        }
    }
}

impl From<Answer> for Outcome {
    #[inline(always)]
    fn from(answer: Answer) -> Self {
        match answer {
            Ok(value) => Self::Return(value),
            Err(Early::Error(errno)) => Self::Return(errno.code()),
            Err(Early::Instead(outcome)) => outcome,
        }
    }
}

/// Executes hypercall `number` with arguments `args` for `caller`.
#[inline(always)]
pub fn dispatch(caller: &impl Caller, number: u64, args: &[u64; 5]) -> Outcome {
    // The one that is called a million times a second comes first.
    if number == EVENT_CHANNEL_OP {
        return event::event_channel_op(caller, *args).into();
    }
    if number == MULTICALL {
        return multicall::multicall(caller, *args).into();
    }
    single(caller, number, *args)
}

/// The answer of a hypercall that is the same for everybody and has no effect, for those who would not look further.
#[inline]
#[must_use]
pub const fn constant(number: u64, first: u64) -> Option<i64> {
    match (number, first as u32) {
        (version::NUMBER, 0) => Some(version::VERSION),
        _ => None,
    }
}

const MULTICALL: u64 = 13;
/// The number of `event_channel_op`.
pub const EVENT_CHANNEL_OP: u64 = 32;
/// EVTCHNOP_send, a command of it.
pub const SEND: u32 = 4;

/// All hypercalls but multicall, which is made of these. Not inlined: the way of an event must not pay for it.
#[inline(never)]
fn single(caller: &impl Caller, number: u64, args: [u64; 5]) -> Outcome {
    match number {
        7 => control::platform_op(caller, args),
        12 => memory::memory_op(caller, args),
        version::NUMBER => version::xen_version(caller, args),
        18 => console::console_io(caller, args),
        20 => grant::grant_table_op(caller, args),
        21 => control::vm_assist(caller, args),
        24 => vcpu::vcpu_op(caller, args),
        29 => sched::sched_op(caller, args),
        EVENT_CHANNEL_OP => event::event_channel_op(caller, args),
        34 => hvm::hvm_op(caller, args),
        35 => control::sysctl(caller, args),
        36 => control::domctl(caller, args),
        42 => Err(Errno::EPERM.into()),
        _ => Err(Errno::ENOSYS.into()),
    }
    .into()
}

/// The domain that `raw` names.
///
/// # Errors
///
/// `ESRCH` if there is none.
fn any_domain(caller: &impl Caller, raw: u16) -> Result<DomainId, Errno> {
    let id = if raw == DOMID_SELF { caller.domain() } else { DomainId::new(raw) };
    if caller.events().exists(id) { Ok(id) } else { Err(Errno::ESRCH) }
}

/// Checks that `raw` names the calling domain.
///
/// # Errors
///
/// `ESRCH` if it names no domain, `EPERM` if it names another.
fn own_domain(caller: &impl Caller, raw: u16) -> Result<(), Errno> {
    if any_domain(caller, raw)? == caller.domain() { Ok(()) } else { Err(Errno::EPERM) }
}

/// Why something about *another* domain is refused, whoever it is: only what is said differs. "The calling
/// domain" names no other domain; the caller's own *number* is a number like any other here.
fn refuse_remote(caller: &impl Caller, raw: u16) -> Errno {
    if raw == DOMID_SELF { Errno::ESRCH } else { any_domain(caller, raw).err().unwrap_or(Errno::EPERM) }
}

/// The address `bytes` after `base`.
///
/// # Errors
///
/// `EFAULT` where it would wrap.
fn offset(base: Gva, bytes: u64) -> Result<Gva, Fault> {
    base.checked_add(bytes).ok_or(Fault)
}
