//! `event_channel_op`: the numbers in and out. What the operations do is tested in [`crate::evtchn`].

use super::*;
use crate::evtchn::testing::Asked;

/// The static port of the calling domain, and that of its peer.
const STATIC: u32 = 10;
const PEERS: u32 = 70;
/// A port number beyond all.
const BEYOND: u32 = 4096;

fn ask(guest: &Guest, cmd: u64, record: &Raw) -> (i64, Raw) {
    guest.ask(EVENT_CHANNEL_OP, cmd, record)
}

#[track_caller]
fn tell(guest: &Guest, cmd: u64, record: &Raw) -> i64 {
    guest.tell(EVENT_CHANNEL_OP, cmd, record)
}

fn port(number: u32) -> Raw {
    Raw::of(4).u32(0, number)
}

fn bind_interdomain(domain: u16, port: u32) -> Raw {
    Raw::of(12).u16(0, domain).u32(4, port)
}

fn bind_virq(virq: u32, vcpu: u32) -> Raw {
    Raw::of(12).u32(0, virq).u32(4, vcpu)
}

fn alloc_unbound(owner: u16, offered_to: u16) -> Raw {
    Raw::of(8).u16(0, owner).u16(2, offered_to)
}

fn pair(first: u32, second: u32) -> Raw {
    Raw::of(8).u32(0, first).u32(4, second)
}

fn status(domain: u16, port: u32) -> Raw {
    Raw::of(24).u16(0, domain).u32(4, port)
}

fn domain(id: u16) -> Raw {
    Raw::of(2).u16(0, id)
}

/// A guest whose ports are: 1 offered to itself, 2 and 3 a loopback pair, 4 an IPI, 5 a virtual interrupt of vCPU 1,
/// 6 one of the domain, 10 static.
fn furnished() -> Guest {
    let guest = Guest::new();
    assert_eq!(ask(&guest, 6, &alloc_unbound(SELF, SELF)), (0, alloc_unbound(SELF, SELF).u32(4, 1)));
    assert_eq!(ask(&guest, 6, &alloc_unbound(ME, ME)), (0, alloc_unbound(ME, ME).u32(4, 2)));
    assert_eq!(ask(&guest, 0, &bind_interdomain(SELF, 2)), (0, bind_interdomain(SELF, 2).u32(8, 3)));
    assert_eq!(ask(&guest, 7, &Raw::of(8).u32(0, 1)), (0, pair(1, 4)));
    assert_eq!(ask(&guest, 1, &bind_virq(0, 1)), (0, bind_virq(0, 1).u32(8, 5)));
    assert_eq!(ask(&guest, 1, &bind_virq(11, 0)), (0, bind_virq(11, 0).u32(8, 6)));
    guest.asked();
    guest
}

#[test]
fn every_error_of_every_operation() {
    let guest = furnished();
    let rows = [
        // bind_interdomain
        (0, bind_interdomain(NOBODY, STATIC), ESRCH),
        (0, bind_interdomain(SELF, 0), EINVAL),
        (0, bind_interdomain(SELF, 3), EINVAL),
        (0, bind_interdomain(SELF, 100), EINVAL),
        (0, bind_interdomain(SELF, BEYOND), EINVAL),
        (0, bind_interdomain(PEER, PEERS), EINVAL),
        (0, bind_interdomain(PEER, 1), EINVAL),
        // bind_virq
        (1, bind_virq(24, 9), EINVAL),
        (1, bind_virq(u32::MAX, 0), EINVAL),
        (1, bind_virq(2, 9), EINVAL),
        (1, bind_virq(11, 1), EINVAL),
        (1, bind_virq(0, 2), ENOENT),
        (1, bind_virq(0, 0x1_0000), ENOENT),
        (1, bind_virq(2, 0), EBUSY),
        (1, bind_virq(14, 0), EBUSY),
        (1, bind_virq(0, 1), EEXIST),
        (1, bind_virq(11, 0), EEXIST),
        // bind_pirq
        (2, Raw::of(12).u32(0, 0).u32(4, 0), EOPNOTSUPP),
        // close
        (3, port(0), EINVAL),
        (3, port(100), EINVAL),
        (3, port(BEYOND), EINVAL),
        (3, port(u32::MAX), EINVAL),
        // send
        (4, port(0), EINVAL),
        (4, port(5), EINVAL),
        (4, port(100), EINVAL),
        (4, port(BEYOND), EINVAL),
        (4, port(u32::MAX), EINVAL),
        // status
        (5, status(NOBODY, BEYOND), ESRCH),
        (5, status(0x7ff1, 1), ESRCH),
        (5, status(PEER, BEYOND), EINVAL),
        (5, status(PEER, PEERS), EPERM),
        (5, status(SELF, BEYOND), EINVAL),
        // alloc_unbound
        (6, alloc_unbound(NOBODY, SELF), ESRCH),
        (6, alloc_unbound(SELF, NOBODY), ESRCH),
        (6, alloc_unbound(PEER, NOBODY), ESRCH),
        (6, alloc_unbound(SELF, PEER), EPERM),
        (6, alloc_unbound(PEER, SELF), EPERM),
        (6, alloc_unbound(PEER, PEER), EPERM),
        // bind_ipi
        (7, Raw::of(8).u32(0, 2), ENOENT),
        (7, Raw::of(8).u32(0, 0x1_0000), ENOENT),
        // bind_vcpu
        (8, pair(BEYOND, 2), ENOENT),
        (8, pair(BEYOND, 0), EINVAL),
        (8, pair(0, 0), EINVAL),
        (8, pair(100, 0), EINVAL),
        (8, pair(4, 0), EINVAL),
        (8, pair(5, 0), EINVAL),
        // unmask
        (9, port(BEYOND), EINVAL),
        // reset, and its continuation, which is Xen's own
        (10, domain(NOBODY), ESRCH),
        (10, domain(PEER), EPERM),
        (14, domain(NOBODY), ESRCH),
        (14, domain(PEER), EPERM),
        (14, domain(SELF), EBUSY),
        (14, domain(ME), EBUSY),
        // The FIFO ABI: init_control, expand_array, set_priority
        (11, Raw::of(24), EOPNOTSUPP),
        (12, Raw::of(8), EOPNOTSUPP),
        (13, pair(BEYOND, 0), EINVAL),
        (13, pair(1, 0), ENOSYS),
    ];
    for (cmd, record, want) in rows {
        assert_eq!(tell(&guest, cmd, &record), err(want), "event_channel_op {cmd} {record:?}");
    }
    for cmd in [15, 16, u64::from(u32::MAX)] {
        assert_eq!(tell(&guest, cmd, &domain(SELF)), err(ENOSYS), "{cmd}");
    }
    assert_eq!(guest.asked(), [], "nobody was told of a mistake");
    assert_eq!(tell(&guest, 1 << 32 | 4, &port(STATIC)), 0, "the command has 32 bits");
}

#[test]
fn status_names_the_state_and_leaves_what_it_does_not_use() {
    let guest = furnished();
    let free = |port| status(SELF, port).u32(8, 0).u32(12, 0);
    let rows = [
        (0, free(0)),
        (7, free(7)),
        (4095, free(4095)),
        (1, status(SELF, 1).u32(8, 1).u32(12, 0).u16(16, ME)),
        (2, status(SELF, 2).u32(8, 2).u32(12, 0).u16(16, ME).u32(20, 3)),
        (STATIC, status(SELF, STATIC).u32(8, 2).u32(12, 0).u16(16, PEER).u32(20, PEERS)),
        (4, status(SELF, 4).u32(8, 5).u32(12, 1)),
        (5, status(SELF, 5).u32(8, 4).u32(12, 1).u32(16, 0)),
        (6, status(SELF, 6).u32(8, 4).u32(12, 0).u32(16, 11)),
    ];
    for (number, want) in rows {
        assert_eq!(ask(&guest, 5, &status(SELF, number)), (0, want), "port {number}");
    }
    let mine = status(ME, STATIC).u32(8, 2).u32(12, 0).u16(16, PEER).u32(20, PEERS);
    assert_eq!(ask(&guest, 5, &status(ME, STATIC)), (0, mine), "its own number will do");
}

#[test]
fn a_send_reaches_the_peer_and_an_offered_port_drops_it() {
    let guest = furnished();
    assert_eq!(tell(&guest, 4, &port(STATIC)), 0);
    assert_eq!(guest.asked(), [Asked::Upcall(2, 0)]);
    assert_eq!(guest.shared[1].pending[1].get(), 1 << (PEERS - 64));
    assert_eq!(tell(&guest, 4, &port(1)), 0);
    assert_eq!(guest.asked(), []);
}

#[test]
fn unmask_bind_vcpu_close_and_reset_answer_zero() {
    let guest = furnished();
    let page = guest.shared[0];
    page.mask[0].put(1 << STATIC);
    page.pending[0].set(1 << STATIC);
    page.vcpu_info.selector.put(0);
    page.vcpu_info.upcall.put(0);
    for port_number in [0, 100, STATIC] {
        assert_eq!(tell(&guest, 9, &port(port_number)), 0, "unmask {port_number}");
    }
    assert_eq!((guest.asked(), page.mask[0].get()), (vec![Asked::Upcall(1, 0)], 0));
    for movable in [1, 2, 6, STATIC] {
        assert_eq!(tell(&guest, 8, &pair(movable, 1)), 0, "bind_vcpu {movable}");
    }
    assert_eq!(tell(&guest, 3, &port(4)), 0);
    assert_eq!(tell(&guest, 3, &port(4)), err(EINVAL), "a second time");
    assert_eq!(tell(&guest, 3, &port(STATIC)), 0);
    assert_eq!(tell(&guest, 3, &port(STATIC)), 0, "static ports stay");
    assert_eq!(tell(&guest, 10, &domain(ME)), 0);
    assert_eq!(tell(&guest, 10, &domain(SELF)), 0);
    let after = status(SELF, STATIC).u32(8, 2).u32(12, 0).u16(16, PEER).u32(20, PEERS);
    assert_eq!(ask(&guest, 5, &status(SELF, STATIC)), (0, after), "back at vCPU 0");
    assert_eq!(ask(&guest, 5, &status(SELF, 1)), (0, status(SELF, 1).u32(8, 0).u32(12, 0)));
}

#[test]
fn without_a_free_port_enospc_comes_where_xen_checks_it() {
    let guest = Guest::new();
    while ask(&guest, 7, &Raw::of(8).u32(0, 0)).0 == 0 {}
    let rows = [
        (0, bind_interdomain(NOBODY, 1), ESRCH),
        (0, bind_interdomain(SELF, BEYOND), ENOSPC),
        (0, bind_interdomain(PEER, PEERS), ENOSPC),
        (1, bind_virq(2, 0), EBUSY),
        (1, bind_virq(0, 0), ENOSPC),
        (6, alloc_unbound(SELF, NOBODY), ENOSPC),
        (6, alloc_unbound(PEER, NOBODY), ESRCH),
        (7, Raw::of(8).u32(0, 2), ENOENT),
        (7, Raw::of(8).u32(0, 0), ENOSPC),
    ];
    for (cmd, record, want) in rows {
        assert_eq!(tell(&guest, cmd, &record), err(want), "event_channel_op {cmd} {record:?}");
    }
}

/// The action is done, and only its output is lost: so says the ABI.
#[test]
fn an_output_that_cannot_be_written_is_efault() {
    let guest = Guest::new();
    let rows = [
        (6, alloc_unbound(SELF, SELF)),
        (0, bind_interdomain(SELF, 1)),
        (1, bind_virq(0, 0)),
        (7, Raw::of(8).u32(0, 0)),
        (5, status(SELF, 1)),
    ];
    for (cmd, record) in rows {
        guest.put(READ_ONLY, &record.0);
        assert_eq!(guest.finish(EVENT_CHANNEL_OP, [cmd, READ_ONLY, 0, 0, 0]), err(EFAULT), "{cmd}");
        guest.put(READ_ONLY, &port(STATIC).0);
    }
    assert_eq!(ask(&guest, 6, &alloc_unbound(SELF, SELF)).1, alloc_unbound(SELF, SELF).u32(4, 5));
    assert_eq!(guest.finish(EVENT_CHANNEL_OP, [4, READ_ONLY, 0, 0, 0]), 0, "a send only reads");
}
