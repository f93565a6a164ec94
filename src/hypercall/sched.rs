//! `sched_op` (29): waiting, stopping, watchdogs. Layouts: xen/include/public/sched.h.

use super::record::Record;
use super::{Answer, Caller, Early, Errno, Outcome, ShutdownReason, refuse_remote};
use crate::addr::Gva;
use crate::evtchn::Poll;

/// Ports one poll may list.
const MAX_PORTS: u32 = 128;
const NS_PER_S: u64 = 1_000_000_000;

pub(super) fn sched_op(caller: &impl Caller, [cmd, arg, ..]: [u64; 5]) -> Answer {
    let arg = Gva::new(arg);
    match cmd as u32 {
        0 => Err(Early::Instead(Outcome::Yield)),
        1 => Err(Early::Instead(Outcome::Block)),
        2 => {
            let reason = ShutdownReason::from_raw(Record::<4>::read(caller, arg)?.u32::<0>());
            Err(Early::Instead(Outcome::Shutdown(caller.state().final_reason(reason))))
        }
        3 => poll(caller, arg),
        4 => {
            let raw = Record::<8>::read(caller, arg)?.u16::<0>();
            Err(refuse_remote(caller, raw).into())
        }
        5 => {
            let reason = ShutdownReason::from_raw(Record::<4>::read(caller, arg)?.u32::<0>());
            caller.state().record_reason(reason);
            Ok(0)
        }
        6 => watchdog(caller, arg),
        7 => Err(Errno::EPERM.into()),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// `ports@0(8) nr_ports@8(4) timeout@16(8)`.
fn poll(caller: &impl Caller, arg: Gva) -> Answer {
    let op = Record::<24>::read(caller, arg)?;
    let count = op.u32::<8>();
    if count > MAX_PORTS {
        return Err(Errno::EINVAL.into());
    }
    let (events, domain, vcpu) = (caller.events(), caller.domain(), caller.vcpu());
    if !caller.interrupts_masked() && events.upcall_line(domain, vcpu) {
        return Ok(0);
    }
    let mut raw = [[0; 4]; MAX_PORTS as usize];
    let listed = raw.get_mut(..count as usize).unwrap_or_default();
    if count > 0 {
        caller.read_guest(Gva::new(op.u64::<0>()), listed.as_flattened_mut())?;
    }
    let ports = listed.iter().map(|port| u32::from_le_bytes(*port));
    match events.poll(domain, vcpu, ports)? {
        Poll::Ready => Ok(0),
        Poll::Wait => {
            let until = Some(op.u64::<16>()).filter(|&time| time != 0);
            Err(Early::Instead(Outcome::Poll { until }))
        }
    }
}

/// `id@0(4) timeout@4(4)`, in seconds. Number 0 asks for a new one.
fn watchdog(caller: &impl Caller, arg: Gva) -> Answer {
    let op = Record::<8>::read(caller, arg)?;
    let (number, timeout) = (op.u32::<0>(), u64::from(op.u32::<4>()));
    let deadline = caller.now().saturating_add(timeout.saturating_mul(NS_PER_S));
    let answer = match number {
        0 => caller.state().start_watchdog(deadline)?,
        _ => caller.state().feed_watchdog(number, (timeout != 0).then_some(deadline)).map(|()| 0)?,
    };
    caller.watchdogs_changed();
    Ok(answer.into())
}
