//! `sched_op`, and what it remembers.

use super::*;
use crate::addr::{Port, VcpuId};
use crate::evtchn::testing::{Asked, dom};

const SECOND: u64 = 1_000_000_000;

fn call(guest: &Guest, cmd: u64, record: &Raw) -> Outcome {
    guest.put(RAM, &record.0);
    guest.call(SCHED_OP, [cmd, RAM, 0, 0, 0])
}

fn fails(errno: Errno) -> Outcome {
    Outcome::Return(err(errno))
}

#[test]
fn yield_and_block_need_no_argument() {
    let guest = Guest::new();
    assert_eq!(guest.call(SCHED_OP, [0, NOWHERE, 0, 0, 0]), Outcome::Yield);
    assert_eq!(guest.call(SCHED_OP, [1, NOWHERE, 0, 0, 0]), Outcome::Block);
    assert_eq!(guest.call(SCHED_OP, [7, NOWHERE, 0, 0, 0]), fails(EPERM));
    for cmd in [8, 100, u64::from(u32::MAX)] {
        assert_eq!(guest.call(SCHED_OP, [cmd, NOWHERE, 0, 0, 0]), fails(ENOSYS), "{cmd}");
    }
}

#[test]
fn a_shutdown_carries_its_reason_or_the_one_recorded_before() {
    use ShutdownReason::*;
    let reasons = [PowerOff, Reboot, Suspend, Crash, Watchdog, SoftReset, Other(6), Other(255)];
    for (raw, reason) in [0, 1, 2, 3, 4, 5, 6, 255].into_iter().zip(reasons) {
        let guest = Guest::new();
        assert_eq!(reason.raw(), raw as u8);
        let record = Raw::of(4).u32(0, 0x1200 | raw);
        assert_eq!(call(&guest, 2, &record), Outcome::Shutdown(reason), "the low 8 bits count");
        assert_eq!(call(&guest, 5, &record), Outcome::Return(0));
        assert_eq!(call(&guest, 2, &Raw::of(4).u32(0, 3)), Outcome::Shutdown(reason));
        guest.state().reset();
        assert_eq!(call(&guest, 2, &Raw::of(4).u32(0, 3)), Outcome::Shutdown(Crash));
    }
}

#[test]
fn nobody_stops_another_domain() {
    let guest = Guest::new();
    let rows = [(SELF, ESRCH), (NOBODY, ESRCH), (0, ESRCH), (PEER, EPERM), (ME, EPERM)];
    for (domain, want) in rows {
        assert_eq!(call(&guest, 4, &Raw::of(8).u16(0, domain)), fails(want), "{domain:#x}");
    }
}

#[test]
fn a_domain_has_two_watchdogs() {
    let guest = Guest::new();
    let watchdog = |id, timeout| call(&guest, 6, &Raw::of(8).u32(0, id).u32(4, timeout));
    guest.now.set(5 * SECOND);
    assert_eq!(watchdog(1, 10), fails(EINVAL), "not in use");
    assert_eq!(watchdog(0, 10), Outcome::Return(1));
    assert_eq!(watchdog(0, 7), Outcome::Return(2));
    assert_eq!(watchdog(0, 1), fails(ENOSPC));
    for bad in [3, 4, u32::MAX] {
        assert_eq!(watchdog(bad, 1), fails(EINVAL), "{bad}");
    }
    assert_eq!(guest.state().watchdog_deadline(), Some(12 * SECOND));
    assert!(!guest.state().watchdog_expired(12 * SECOND - 1));
    assert!(guest.state().watchdog_expired(12 * SECOND));
    assert_eq!(watchdog(2, 20), Outcome::Return(0));
    assert_eq!(guest.state().watchdog_deadline(), Some(15 * SECOND));
    assert_eq!(watchdog(1, 0), Outcome::Return(0), "0 stops it");
    assert_eq!(watchdog(1, 1), fails(EINVAL));
    assert_eq!(guest.state().watchdog_deadline(), Some(25 * SECOND));
    guest.now.set(u64::MAX);
    assert_eq!(watchdog(0, u32::MAX), Outcome::Return(1), "a deadline does not wrap");
    assert_eq!(watchdog(2, 0), Outcome::Return(0));
    assert!(!guest.state().watchdog_expired(u64::MAX - 2));
    guest.state().reset();
    assert_eq!(guest.state().watchdog_deadline(), None);
    assert_eq!(watchdog(0, 0), Outcome::Return(1), "asked for with no time at all,");
    assert!(guest.state().watchdog_expired(u64::MAX), "it has run out");
}

#[test]
fn whoever_keeps_time_for_watchdogs_is_told_of_each_change() {
    let guest = Guest::new();
    let watchdog = |id, timeout| call(&guest, 6, &Raw::of(8).u32(0, id).u32(4, timeout));
    for (id, timeout, told) in [(0, 5, 1), (1, 5, 1), (2, 5, 0), (1, 0, 1), (1, 0, 0)] {
        let _ = watchdog(id, timeout);
        assert_eq!(guest.effects(), vec![Effect::Watchdogs; told], "{id} {timeout}");
    }
}

/// Ports are listed at `RAM + 64`.
fn poll(guest: &Guest, ports: &[u32], timeout: u64) -> Outcome {
    let list: Vec<u8> = ports.iter().flat_map(|port| port.to_le_bytes()).collect();
    guest.put(RAM + 64, &list);
    poll_at(guest, RAM + 64, ports.len() as u32, timeout)
}

fn poll_at(guest: &Guest, list: u64, count: u32, timeout: u64) -> Outcome {
    call(guest, 3, &Raw::of(24).u64(0, list).u32(8, count).u64(16, timeout))
}

fn polling(guest: &Guest) -> bool {
    guest.events().is_polling(dom(1), guest.vcpu())
}

#[test]
fn a_poll_waits_for_a_port_or_a_time() {
    let guest = Guest::new();
    guest.shared[0].mask[0].put(u64::MAX);
    assert_eq!(poll(&guest, &[10], 0), Outcome::Poll { until: None });
    assert!(polling(&guest));
    guest.events().send(dom(2), Port::new(70), &guest).unwrap();
    assert_eq!((guest.asked(), polling(&guest)), (vec![Asked::Wake(1, 0)], false));
    assert_eq!(poll(&guest, &[10], 0), Outcome::Return(0), "pending, though masked");
    assert!(!polling(&guest));
    guest.shared[0].pending[0].put(0);
    assert_eq!(poll(&guest, &[10, 10], 77), Outcome::Poll { until: Some(77) });
    assert_eq!(poll_at(&guest, NOWHERE, 0, 1), Outcome::Poll { until: Some(1) }, "no ports, only a time");
    assert_eq!(poll(&guest, &[10; 128], 1), Outcome::Poll { until: Some(1) });
}

#[test]
fn an_upcall_that_can_be_taken_ends_a_poll_before_it_begins() {
    let guest = Guest::new();
    guest.shared[0].vcpu_info.upcall.put(1);
    assert_eq!(poll(&guest, &[10], 0), Outcome::Return(0));
    assert_eq!(poll_at(&guest, NOWHERE, 1, 0), Outcome::Return(0), "the list is not looked at");
    guest.masked.set(true);
    assert_eq!(poll(&guest, &[10], 0), Outcome::Poll { until: None });
    guest.masked.set(false);
    guest.vcpu.set(VcpuId::new(1));
    assert_eq!(poll(&guest, &[10], 0), Outcome::Poll { until: None }, "it is another vCPU's upcall");
}

#[test]
fn every_error_of_a_poll() {
    let guest = Guest::new();
    let rows = [
        (NOWHERE, 129, EINVAL),
        (NOWHERE, u32::MAX, EINVAL),
        (NOWHERE, 1, EFAULT),
        (RAM_END - 4, 2, EFAULT),
        (u64::MAX - 3, 2, EFAULT),
    ];
    guest.put(RAM_END - 4, &10_u32.to_le_bytes());
    for (list, count, want) in rows {
        assert_eq!(poll_at(&guest, list, count, 0), fails(want), "{count} at {list:#x}");
    }
    for bad in [0, 1, 4096, u32::MAX] {
        assert_eq!(poll(&guest, &[10, bad], 0), fails(EINVAL), "port {bad}");
        assert!(!polling(&guest), "nobody is left polling");
    }
    guest.shared[0].pending[0].put(1 << 10);
    assert_eq!(poll(&guest, &[10, 4096], 0), Outcome::Return(0), "it ends at the first that is pending");
}
