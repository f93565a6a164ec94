//! Event channels: what operations do to ports, and to the words that guest and hypervisor share.
//!
//! IRQs stay masked here, so the upcall is seen by its flag and taken by nobody.

use core::sync::atomic::Ordering::SeqCst;

use portunus_guests::verdict::{Verdict, both, split};
use portunus_rt::hypercall::{self, EVENT_CHANNEL_OP};
use portunus_rt::{cpu, event};

use crate::event_table::ROWS;
use crate::table::*;

const CLOSED: i64 = 0;
const UNBOUND: i64 = 1;
const INTERDOMAIN: i64 = 2;
const VIRQ: i64 = 4;
const IPI: i64 = 5;

pub fn check(v: &mut Verdict, other: u32, (port, peer): (u32, u32)) {
    cpu::mask_irqs();
    run(v, "event_channel_op", EVENT_CHANNEL_OP, &ROWS, other);
    unreadable(v, "event_channel_op", EVENT_CHANNEL_OP, 0..15);
    registered(v);
    loopback(v);
    masks(v);
    ipis_and_virqs(v);
    a_static_port(v, other, port, peer);
    exhaustion(v, port);
}

struct Status {
    code: i64,
    vcpu: u32,
    domain: u32,
    port: u32,
}

fn status(port: u32) -> Status {
    let mut record = [OWN, port, 0, 0, 0, 0];
    let answer = hypercall::with(EVENT_CHANNEL_OP, 5, &mut record);
    let code = if answer == 0 { record[2].into() } else { answer };
    Status { code, vcpu: record[3], domain: record[4] & 0xffff, port: record[5] }
}

fn op(command: u64, words: [u32; 3]) -> (i64, [u32; 3]) {
    let mut record = words;
    let answer = hypercall::with(EVENT_CHANNEL_OP, command, &mut record);
    (answer, record)
}

fn is_pending(port: u32) -> bool {
    event::shared().pending[port as usize / 64].load(SeqCst) & 1 << (port % 64) != 0
}

fn is_masked(port: u32) -> bool {
    event::shared().mask[port as usize / 64].load(SeqCst) & 1 << (port % 64) != 0
}

/// The upcall flag and the selector's bit for a port.
fn rung(port: u32) -> (bool, bool) {
    let info = event::vcpu_info();
    (info.upcall_pending.load(SeqCst) != 0, info.pending_sel.load(SeqCst) & 1 << (port / 64) != 0)
}

/// Forgets whatever rang.
fn quiet(ports: &[u32]) {
    for port in ports {
        event::forget(*port);
    }
    event::vcpu_info().upcall_pending.store(0, SeqCst);
    event::vcpu_info().pending_sel.store(0, SeqCst);
}

/// A new place for `vcpu_info` starts with everything to be looked at.
fn registered(v: &mut Verdict) {
    event::register_vcpu_info();
    let info = event::vcpu_info();
    v.check(format_args!("selector after registration"), info.pending_sel.load(SeqCst) as i64, both(-1));
    v.check(format_args!("upcall after registration"), info.upcall_pending.load(SeqCst).into(), both(1));
    let place = info as *const event::VcpuInfo as u64;
    let record = [(place / 4096) as u32, 0, (place % 4096) as u32, 0];
    let again = hypercall::call(hypercall::VCPU_OP, [10, 0, record.as_ptr() as u64, 0, 0]);
    v.check(format_args!("vcpu_info registered twice"), again, split(EBUSY, EINVAL));
    quiet(&[]);
}

/// A channel inside the domain, from offer to close.
fn loopback(v: &mut Verdict) {
    let (answer, [_, near, _]) = op(6, [OWN | OWN << 16, 0, 0]);
    v.check(format_args!("alloc_unbound"), answer, both(0));
    v.check(format_args!("the lowest free port"), near.into(), both(1));
    let offer = status(near);
    v.check(format_args!("status of an offer"), offer.code, both(UNBOUND));
    v.holds(format_args!("an offer to self names domain {}", offer.domain), offer.domain < 0x7ff0);
    v.check(format_args!("send into an offer"), event::send(near), both(0));
    let own = offer.domain;
    v.check(
        format_args!("remote shutdown of the own number"),
        hypercall::with(29, 4, &mut [own, 0]),
        both(EPERM),
    );

    let (answer, [_, _, far]) = op(0, [own, near, 0]);
    v.check(format_args!("bind_interdomain to self"), answer, both(0));
    v.check(format_args!("the next free port"), far.into(), both(2));
    v.holds(format_args!("a bound port starts pending"), is_pending(far) && !is_pending(near));
    for (port, end) in [(near, far), (far, near)] {
        let status = status(port);
        v.check(format_args!("status of an end"), status.code, both(INTERDOMAIN));
        let peer = i64::from(status.domain) << 32 | i64::from(status.port);
        v.check(format_args!("the other end"), peer, both(i64::from(own) << 32 | i64::from(end)));
    }
    v.check(format_args!("bind to a bound port"), op(0, [own, near, 0]).0, both(EINVAL));
    quiet(&[near, far]);
    v.check(format_args!("send"), event::send(near), both(0));
    v.holds(format_args!("a send is pending at the other end"), is_pending(far) && !is_pending(near));
    v.check(format_args!("send again"), event::send(near), both(0));
    v.check(format_args!("bind_vcpu"), event::bind_vcpu(far, 0), both(0));
    v.check(format_args!("bind_vcpu to no vCPU"), event::bind_vcpu(far, 1), both(ENOENT));
    v.check(format_args!("set_priority"), op(13, [far, 0, 0]).0, both(ENOSYS));

    v.check(format_args!("close"), event::close(far), both(0));
    v.holds(format_args!("close forgets the event, keeps the mask"), !is_pending(far) && is_masked(far));
    v.check(format_args!("status after close"), status(far).code, both(CLOSED));
    let left = status(near);
    v.check(format_args!("the end that is left"), left.code, both(UNBOUND));
    v.check(format_args!("it is offered to the closer"), left.domain.into(), both(own.into()));
    v.check(format_args!("send to nobody"), event::send(near), both(0));
    v.check(format_args!("close again"), event::close(far), both(EINVAL));
    v.check(format_args!("close the other end"), event::close(near), both(0));
}

/// The bits of a send, and of an unmask: P, M, the selector and the upcall flag.
fn masks(v: &mut Verdict) {
    let Ok((near, far)) = event::loopback() else { return v.holds(format_args!("a channel to self"), false) };
    quiet(&[near, far]);
    event::mask(far);
    event::send(near);
    v.holds(format_args!("masked: pending, not rung"), is_pending(far) && rung(far) == (false, false));
    v.check(format_args!("unmask"), event::unmask(far), both(0));
    v.holds(format_args!("unmask rings"), !is_masked(far) && rung(far) == (true, true));
    quiet(&[]);
    v.check(format_args!("unmask again"), event::unmask(far), both(0));
    v.holds(format_args!("unmask of an open port does nothing"), rung(far) == (false, false));
    event::send(near);
    v.holds(format_args!("a send to a pending port does nothing"), rung(far) == (false, false));
    quiet(&[far]);
    event::send(near);
    v.holds(format_args!("a send to an open port rings"), is_pending(far) && rung(far) == (true, true));
    event::forget(far);
    event::vcpu_info().upcall_pending.store(0, SeqCst);
    event::send(near);
    v.holds(format_args!("a selector that is set keeps the upcall back"), rung(far) == (false, true));
    quiet(&[far]);
    event::mask(far);
    v.check(format_args!("unmask of a quiet port"), event::unmask(far), both(0));
    v.holds(format_args!("it is open and does not ring"), !is_masked(far) && rung(far) == (false, false));
    event::mask(far);
    v.check(format_args!("closed"), event::close(near) | event::close(far), both(0));
}

fn ipis_and_virqs(v: &mut Verdict) {
    let ipi = event::bind_ipi(0).unwrap_or(0);
    v.check(format_args!("status of an IPI"), status(ipi).code, both(IPI));
    v.check(format_args!("bind_vcpu of an IPI"), event::bind_vcpu(ipi, 0), both(EINVAL));
    v.check(format_args!("send to an IPI"), event::send(ipi), both(0));
    v.holds(format_args!("an IPI rings itself"), is_pending(ipi));
    v.check(format_args!("close of an IPI"), event::close(ipi), both(0));
    quiet(&[ipi]);

    for (virq, per_vcpu) in [(0, true), (1, true), (7, true), (13, true), (11, false)] {
        let (answer, [_, _, port]) = op(1, [virq, 0, 0]);
        v.check(format_args!("bind_virq {virq}"), answer, both(0));
        v.check(format_args!("bind_virq {virq} again"), op(1, [virq, 0, 0]).0, both(EEXIST));
        v.check(format_args!("status of a virq"), status(port).code, both(VIRQ));
        v.check(format_args!("its number"), (status(port).domain & 0xff).into(), both(virq.into()));
        v.check(format_args!("send to a virq"), event::send(port), both(EINVAL));
        let moved = if per_vcpu { EINVAL } else { 0 };
        v.check(format_args!("bind_vcpu of virq {virq}"), event::bind_vcpu(port, 0), both(moved));
        v.check(format_args!("close of virq {virq}"), event::close(port), both(0));
    }
    for virq in [2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 16, 23] {
        let (answer, [_, _, port]) = op(1, [virq, 0, 0]);
        v.check(format_args!("bind_virq {virq}"), answer, split(EBUSY, 0));
        if answer == 0 {
            event::close(port);
        }
    }
}

/// A port of the device tree. Under Portunus it survives what its guest does to it.
fn a_static_port(v: &mut Verdict, other: u32, port: u32, peer: u32) {
    let status = || status(port);
    let state = status();
    v.check(format_args!("status of static port {port}"), state.code, both(INTERDOMAIN));
    v.check(format_args!("its vCPU"), state.vcpu.into(), both(0));
    let end = i64::from(state.domain) << 32 | i64::from(state.port);
    v.check(format_args!("its other end"), end, both(i64::from(other) << 32 | i64::from(peer)));
    v.check(format_args!("send on it"), event::send(port), both(0));
    v.check(format_args!("bind_vcpu of it"), event::bind_vcpu(port, 0), both(0));
    v.check(format_args!("unmask of it"), event::unmask(port), both(0));
    event::mask(port);
    v.check(format_args!("close of it"), event::close(port), both(0));
    v.check(format_args!("status after close"), status().code, split(INTERDOMAIN, CLOSED));
    v.check(format_args!("send after close"), event::send(port), split(0, EINVAL));
    v.check(format_args!("close of it again"), event::close(port), split(0, EINVAL));
    v.check(format_args!("reset"), op(10, [OWN, 0, 0]).0, both(0));
    v.check(format_args!("status after reset"), status().code, split(INTERDOMAIN, CLOSED));
    v.check(format_args!("send after reset"), event::send(port), split(0, EINVAL));
}

/// Ports end where they are said to, and a reset gives all of them back.
fn exhaustion(v: &mut Verdict, port: u32) {
    let mut made = 0;
    let mut highest = 0;
    let last = loop {
        match event::bind_ipi(0) {
            Ok(port) => highest = highest.max(port),
            Err(error) => break error,
        }
        made += 1;
        if made > 5000 {
            break 0;
        }
    };
    v.check(format_args!("no port left"), last, both(ENOSPC));
    v.check(format_args!("the highest port"), highest.into(), split(4095, 1023));
    v.check(format_args!("ports made"), made, split(4094, 1023));
    v.check(format_args!("reset"), op(10, [OWN, 0, 0]).0, both(0));
    v.check(format_args!("after reset: the highest port"), status(highest).code, both(CLOSED));
    v.check(format_args!("after reset: static port"), status(port).code, split(INTERDOMAIN, CLOSED));
    let again = event::bind_ipi(0).map_or_else(|error| error, i64::from);
    v.check(format_args!("after reset: the lowest port"), again, both(1));
    event::close(1);
}
