//! `event_channel_op` (32): arguments in and out of guest memory; the work is in [`crate::evtchn`].
//!
//! Layouts: xen/include/public/event_channel.h.

use super::record::Record;
use super::{Answer, Caller, DOMID_SELF, Errno, SEND, any_domain};
use crate::addr::{DomainId, Gva, Port};
use crate::evtchn::Binding;

/// One `match` arm reads one structure; a failed read is `EFAULT` before anything else is looked at.
#[inline(always)]
pub(super) fn event_channel_op(caller: &impl Caller, [cmd, arg, ..]: [u64; 5]) -> Answer {
    let arg = Gva::new(arg);
    if cmd as u32 == SEND {
        let port = Port::new(Record::<4>::read(caller, arg)?.u32::<0>());
        caller.events().send(caller.domain(), port, caller)?;
        return Ok(0);
    }
    configure(caller, cmd as u32, arg)
}

#[inline(never)]
fn configure(caller: &impl Caller, cmd: u32, arg: Gva) -> Answer {
    match cmd {
        0 => bind_interdomain(caller, arg),
        1 => {
            let mut op = Record::<12>::read(caller, arg)?;
            let port = caller.events().bind_virq(caller.domain(), op.u32::<0>(), op.u32::<4>())?;
            op.set_u32::<8>(port.get());
            answer(op.write(caller, arg))
        }
        2 => unsupported::<12>(caller, arg),
        3 => {
            let op = Record::<4>::read(caller, arg)?;
            caller.events().close(caller.domain(), Port::new(op.u32::<0>()))?;
            Ok(0)
        }
        5 => status(caller, arg),
        6 => alloc_unbound(caller, arg),
        7 => {
            let mut op = Record::<8>::read(caller, arg)?;
            let port = caller.events().bind_ipi(caller.domain(), op.u32::<0>())?;
            op.set_u32::<4>(port.get());
            answer(op.write(caller, arg))
        }
        8 => {
            let op = Record::<8>::read(caller, arg)?;
            caller.events().bind_vcpu(caller.domain(), Port::new(op.u32::<0>()), op.u32::<4>())?;
            Ok(0)
        }
        9 => {
            let op = Record::<4>::read(caller, arg)?;
            caller.events().unmask(caller.domain(), Port::new(op.u32::<0>()), caller)?;
            Ok(0)
        }
        10 => {
            let op = Record::<2>::read(caller, arg)?;
            caller.events().reset(caller.domain(), named(caller, op.u16::<0>()))?;
            Ok(0)
        }
        // The FIFO ABI is not offered; guests fall back to two levels.
        11 => unsupported::<24>(caller, arg),
        12 => unsupported::<8>(caller, arg),
        13 => {
            let op = Record::<8>::read(caller, arg)?;
            caller.events().status(caller.domain(), caller.domain(), Port::new(op.u32::<0>()))?;
            Err(Errno::ENOSYS.into())
        }
        // Xen's own continuation of a reset: here, no reset is ever half done.
        14 => {
            let op = Record::<2>::read(caller, arg)?;
            caller.events().may_reset(caller.domain(), named(caller, op.u16::<0>()))?;
            Err(Errno::EBUSY.into())
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// The result of an operation that was done, if its outputs could be written.
fn answer(written: Result<(), super::Fault>) -> Answer {
    written?;
    Ok(0)
}

fn unsupported<const N: usize>(caller: &impl Caller, arg: Gva) -> Answer {
    Record::<N>::read(caller, arg)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// The domain `raw` stands for, which need not exist.
fn named(caller: &impl Caller, raw: u16) -> DomainId {
    if raw == DOMID_SELF { caller.domain() } else { DomainId::new(raw) }
}

fn bind_interdomain(caller: &impl Caller, arg: Gva) -> Answer {
    let mut op = Record::<12>::read(caller, arg)?;
    let remote = named(caller, op.u16::<0>());
    let remote_port = Port::new(op.u32::<4>());
    let port = caller.events().bind_interdomain(caller.domain(), remote, remote_port, caller)?;
    op.set_u32::<8>(port.get());
    answer(op.write(caller, arg))
}

fn alloc_unbound(caller: &impl Caller, arg: Gva) -> Answer {
    let mut op = Record::<8>::read(caller, arg)?;
    let (owner, offered_to) = (named(caller, op.u16::<0>()), named(caller, op.u16::<2>()));
    let port = caller.events().alloc_unbound(caller.domain(), owner, offered_to)?;
    op.set_u32::<4>(port.get());
    answer(op.write(caller, arg))
}

fn status(caller: &impl Caller, arg: Gva) -> Answer {
    let mut op = Record::<24>::read(caller, arg)?;
    let target = any_domain(caller, op.u16::<0>())?;
    let status = caller.events().status(caller.domain(), target, Port::new(op.u32::<4>()))?;
    let code = match status.binding {
        Binding::Free | Binding::Reserved => 0,
        Binding::Unbound { domain } => {
            op.set_u16::<16>(domain.get());
            1
        }
        Binding::Interdomain { domain, port } => {
            op.set_u16::<16>(domain.get());
            op.set_u32::<20>(port.get());
            2
        }
        Binding::Virq { virq } => {
            op.set_u32::<16>(virq.into());
            4
        }
        Binding::Ipi => 5,
    };
    op.set_u32::<8>(code);
    op.set_u32::<12>(status.vcpu.get().into());
    answer(op.write(caller, arg))
}
