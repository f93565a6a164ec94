//! Binding and closing: every error of every operation, and what static channels survive.

#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use super::testing::{Asked, Witness, dom, domains, end, forever};
use super::*;
use crate::addr::{DomainId, Port, VcpuId};
use crate::hypercall::Errno;

const A: DomainId = dom(1);
const B: DomainId = dom(2);
const NOBODY: DomainId = dom(9);
const V0: VcpuId = VcpuId::new(0);

fn port(number: u32) -> Port {
    Port::new(number)
}

fn error<T>(errno: Errno) -> Result<T, Refusal> {
    Err(Refusal::Error(errno))
}

/// Two domains, two vCPUs each, connected by A:2 - B:70.
fn pair() -> (Events, Vec<&'static SharedInfo>, Witness) {
    let (events, pages) = domains(&[2, 2], &[[end(1, 2), end(2, 70)]]);
    (events, pages, Witness::default())
}

fn binding(events: &Events, domain: DomainId, number: u32) -> Binding {
    events.status(domain, domain, port(number)).unwrap().binding
}

/// Takes every port of A that is left.
fn exhaust(events: &Events) {
    while events.bind_ipi(A, 0).is_ok() {}
}

#[test]
fn allocation_takes_the_lowest_free_port_and_steps_over_static_ones() {
    let (events, _, _) = pair();
    assert_eq!(events.alloc_unbound(A, A, A), Ok(port(1)));
    assert_eq!(events.bind_ipi(A, 1), Ok(port(3)));
    assert_eq!(events.bind_virq(A, 0, 1), Ok(port(4)));
    events.close(A, port(3)).unwrap();
    assert_eq!(events.alloc_unbound(A, A, A), Ok(port(3)));
    assert_eq!(binding(&events, A, 2), Binding::Interdomain { domain: B, port: port(70) });
}

#[test]
fn a_domain_has_4095_ports_and_no_more() {
    let (events, _, witness) = pair();
    exhaust(&events);
    assert_eq!(binding(&events, A, 4095), Binding::Ipi);
    assert_eq!(events.alloc_unbound(A, A, A), error(Errno::ENOSPC));
    assert_eq!(events.bind_interdomain(A, A, port(1), &witness), error(Errno::ENOSPC));
    assert_eq!(events.bind_ipi(A, 0), error(Errno::ENOSPC));
    assert_eq!(events.bind_virq(A, 0, 0), error(Errno::ENOSPC));
}

#[test]
fn alloc_unbound_checks_in_the_order_of_xen() {
    let (events, _, _) = pair();
    assert_eq!(events.alloc_unbound(A, NOBODY, A), error(Errno::ESRCH));
    assert_eq!(events.alloc_unbound(A, A, NOBODY), error(Errno::ESRCH));
    assert_eq!(events.alloc_unbound(A, B, NOBODY), error(Errno::ESRCH));
    assert_eq!(events.alloc_unbound(A, A, B), error(Errno::EPERM));
    assert_eq!(events.alloc_unbound(A, B, A), error(Errno::EPERM));
    assert_eq!(events.alloc_unbound(A, B, B), error(Errno::EPERM));
    exhaust(&events);
    assert_eq!(events.alloc_unbound(B, A, NOBODY), error(Errno::ENOSPC));
    assert_eq!(binding(&events, B, 1), Binding::Free);
}

#[test]
fn a_loopback_channel_carries_events_both_ways_and_starts_pending_at_the_binder() {
    let (events, pages, witness) = pair();
    let offered = events.alloc_unbound(A, A, A).unwrap();
    assert_eq!(binding(&events, A, 1), Binding::Unbound { domain: A });
    let bound = events.bind_interdomain(A, A, offered, &witness).unwrap();
    assert_eq!((offered, bound), (port(1), port(3)));
    assert_eq!(pages[0].pending[0].get(), 1 << 3);
    assert_eq!(witness.take(), [Asked::Upcall(1, 0)]);
    assert_eq!(binding(&events, A, 1), Binding::Interdomain { domain: A, port: bound });
    events.send(A, bound, &witness).unwrap();
    assert_eq!(pages[0].pending[0].get(), 1 << 3 | 1 << 1);
}

#[test]
fn bind_interdomain_keeps_the_vcpu_that_the_offered_port_notified() {
    let (events, _, witness) = pair();
    let offered = events.alloc_unbound(A, A, A).unwrap();
    events.bind_vcpu(A, offered, 1).unwrap();
    let bound = events.bind_interdomain(A, A, offered, &witness).unwrap();
    assert_eq!(events.status(A, A, offered).unwrap().vcpu, VcpuId::new(1));
    assert_eq!(events.status(A, A, bound).unwrap().vcpu, V0);
}

#[test]
fn bind_interdomain_refuses_what_is_not_offered() {
    let (events, _, witness) = pair();
    assert_eq!(events.bind_interdomain(A, NOBODY, port(1), &witness), error(Errno::ESRCH));
    for bad in [0, 1, 70, 4096, u32::MAX] {
        assert_eq!(events.bind_interdomain(A, B, port(bad), &witness), error(Errno::EINVAL), "{bad}");
    }
    let theirs = events.alloc_unbound(B, B, B).unwrap();
    assert_eq!(events.bind_interdomain(A, B, theirs, &witness), error(Errno::EINVAL));
    assert_eq!(events.bind_interdomain(A, A, port(2), &witness), error(Errno::EINVAL));
    assert_eq!(witness.take(), []);
}

#[test]
fn a_port_that_a_half_built_channel_offers_cannot_be_taken_by_another_domain() {
    // Domain 9 was not built, so B:5 stays offered to it; and were it offered to A, SILO would still say no.
    let (events, _) = domains(&[1, 1], &[[end(2, 5), end(9, 1)]]);
    let witness = Witness::default();
    assert_eq!(binding(&events, B, 5), Binding::Unbound { domain: NOBODY });
    assert_eq!(events.bind_interdomain(A, B, port(5), &witness), error(Errno::EINVAL));
    assert_eq!(events.bind_interdomain(B, B, port(5), &witness), error(Errno::EINVAL));
    assert_eq!(events.send(B, port(5), &witness), Ok(()));
    events.close(B, port(5)).unwrap();
    assert_eq!(binding(&events, B, 5), Binding::Unbound { domain: NOBODY });
}

#[test]
fn virtual_interrupts_are_bound_as_their_kind_allows() {
    let (events, _, _) = pair();
    for per_vcpu in [0, 1, 7, 13] {
        for vcpu in [0, 1] {
            events.bind_virq(A, per_vcpu, vcpu).unwrap();
            assert_eq!(events.bind_virq(A, per_vcpu, vcpu), error(Errno::EEXIST));
        }
        assert_eq!(events.bind_virq(A, per_vcpu, 2), error(Errno::ENOENT));
    }
    assert_eq!(events.bind_virq(A, 11, 1), error(Errno::EINVAL));
    let argo = events.bind_virq(A, 11, 0).unwrap();
    events.bind_vcpu(A, argo, 1).unwrap();
    assert_eq!(events.bind_virq(A, 11, 0), error(Errno::EEXIST));
    for global in (2..=6).chain(8..=10).chain([12]).chain(14..24) {
        assert_eq!(events.bind_virq(A, global, 0), error(Errno::EBUSY), "{global}");
        assert_eq!(events.bind_virq(A, global, 1), error(Errno::EINVAL), "{global}");
    }
    assert_eq!(events.bind_virq(A, 24, 0), error(Errno::EINVAL));
    assert_eq!(events.bind_virq(A, u32::MAX, 0), error(Errno::EINVAL));
}

#[test]
fn an_ipi_needs_a_vcpu_that_exists() {
    let (events, _, _) = pair();
    for bad in [2, 65_536, u32::MAX] {
        assert_eq!(events.bind_ipi(A, bad), error(Errno::ENOENT));
    }
}

#[test]
fn bind_vcpu_moves_what_is_not_tied_to_its_vcpu() {
    let (events, _, _) = pair();
    let ipi = events.bind_ipi(A, 0).unwrap();
    let timer = events.bind_virq(A, 0, 0).unwrap();
    let argo = events.bind_virq(A, 11, 0).unwrap();
    let offered = events.alloc_unbound(A, A, A).unwrap();
    for movable in [port(2), argo, offered] {
        assert_eq!(events.bind_vcpu(A, movable, 1), Ok(()));
        assert_eq!(events.status(A, A, movable).unwrap().vcpu, VcpuId::new(1));
    }
    for tied in [ipi, timer, port(0), port(600), port(4096)] {
        assert_eq!(events.bind_vcpu(A, tied, 1), error(Errno::EINVAL));
    }
    assert_eq!(events.bind_vcpu(A, port(4096), 2), error(Errno::ENOENT), "the vCPU is checked first");
}

#[test]
fn closing_one_end_of_a_loopback_leaves_the_other_unbound() {
    let (events, pages, witness) = pair();
    let offered = events.alloc_unbound(A, A, A).unwrap();
    let bound = events.bind_interdomain(A, A, offered, &witness).unwrap();
    events.send(A, bound, &witness).unwrap();
    pages[0].mask[0].put(u64::MAX);
    assert_eq!(events.close(A, bound), Ok(()));
    assert_eq!(binding(&events, A, bound.get()), Binding::Free);
    assert_eq!(binding(&events, A, offered.get()), Binding::Unbound { domain: A });
    assert_eq!(pages[0].pending[0].get(), 1 << offered.get(), "only the closed port is cleared");
    assert_eq!(pages[0].mask[0].get(), u64::MAX);
    assert_eq!(events.close(A, bound), error(Errno::EINVAL));
    assert_eq!(events.send(A, offered, &witness), Ok(()));
    assert_eq!(events.bind_interdomain(A, A, offered, &witness), Ok(bound));
}

#[test]
fn the_other_end_of_a_closed_loopback_keeps_its_vcpu() {
    let (events, _, witness) = pair();
    let offered = events.alloc_unbound(A, A, A).unwrap();
    let bound = events.bind_interdomain(A, A, offered, &witness).unwrap();
    events.bind_vcpu(A, offered, 1).unwrap();
    events.close(A, bound).unwrap();
    assert_eq!(events.status(A, A, offered).unwrap().vcpu, VcpuId::new(1));
}

#[test]
fn what_is_not_in_use_cannot_be_closed() {
    let (events, _, _) = pair();
    for bad in [0, 1, 600, 4096, u32::MAX] {
        assert_eq!(events.close(A, port(bad)), error(Errno::EINVAL));
    }
}

#[test]
fn a_closed_port_notifies_vcpu_0_when_it_is_used_again() {
    let (events, _, _) = pair();
    let first = events.alloc_unbound(A, A, A).unwrap();
    events.bind_vcpu(A, first, 1).unwrap();
    events.close(A, first).unwrap();
    assert_eq!(events.status(A, A, first).unwrap().vcpu, V0);
    assert_eq!(events.alloc_unbound(A, A, A), Ok(first));
    assert_eq!(events.status(A, A, first).unwrap().vcpu, V0);
}

#[test]
fn a_bit_left_on_a_free_port_does_not_swallow_the_first_event_of_its_next_life() {
    let (events, pages, _) = pair();
    pages[0].pending[0].put(1 << 1);
    assert_eq!(events.bind_ipi(A, 0), Ok(port(1)));
    assert_eq!(pages[0].pending[0].get(), 0);
}

#[test]
fn status_checks_domain_then_port_then_permission() {
    let (events, _, _) = pair();
    assert_eq!(events.status(A, NOBODY, port(4096)), Err(Errno::ESRCH));
    assert_eq!(events.status(A, B, port(4096)), Err(Errno::EINVAL));
    assert_eq!(events.status(A, B, port(70)), Err(Errno::EPERM));
    assert_eq!(binding(&events, A, 0), Binding::Reserved);
    assert_eq!(binding(&events, A, 4095), Binding::Free);
    assert_eq!(binding(&events, B, 70), Binding::Interdomain { domain: A, port: port(2) });
}

#[test]
fn a_guest_that_closes_a_static_port_is_told_it_worked_and_keeps_the_channel() {
    let (events, pages, witness) = pair();
    events.bind_vcpu(B, port(70), 1).unwrap();
    events.send(A, port(2), &witness).unwrap();
    for _ in 0..3 {
        assert_eq!(events.close(B, port(70)), Ok(()));
    }
    assert_eq!(pages[1].pending[1].get(), 0);
    assert_eq!(binding(&events, B, 70), Binding::Interdomain { domain: A, port: port(2) });
    assert_eq!(binding(&events, A, 2), Binding::Interdomain { domain: B, port: port(70) });
    assert_eq!(events.status(B, B, port(70)).unwrap().vcpu, V0);
    events.send(A, port(2), &witness).unwrap();
    assert_eq!(pages[1].pending[1].get(), 1 << 6);
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
}

#[test]
fn reset_frees_dynamic_ports_and_keeps_static_ones() {
    let (events, pages, witness) = pair();
    let offered = events.alloc_unbound(A, A, A).unwrap();
    let bound = events.bind_interdomain(A, A, offered, &witness).unwrap();
    let ipi = events.bind_ipi(A, 1).unwrap();
    events.send(B, port(70), &witness).unwrap();
    events.bind_vcpu(A, port(2), 1).unwrap();
    assert_eq!(events.reset(A, A), Ok(()));
    for freed in [offered, bound, ipi] {
        assert_eq!(binding(&events, A, freed.get()), Binding::Free);
    }
    assert_eq!(pages[0].pending[0].get(), 0);
    let status = events.status(A, A, port(2)).unwrap();
    assert_eq!((status.binding, status.vcpu), (Binding::Interdomain { domain: B, port: port(70) }, V0));
    assert_eq!(events.reset(A, B), error(Errno::EPERM));
    assert_eq!(events.reset(A, NOBODY), error(Errno::ESRCH));
}

#[test]
fn a_domain_that_starts_again_finds_its_channels_as_at_boot_and_its_peer_notices_nothing() {
    let (events, pages, witness) = pair();
    let (a, b) = (pages[0], pages[1]);
    let place = forever(VcpuInfo::new());
    events.register_vcpu_info(B, V0, place, &witness).unwrap();
    let ipi = events.bind_ipi(B, 1).unwrap();
    events.bind_vcpu(B, port(70), 1).unwrap();
    events.bind_vcpu(A, port(2), 1).unwrap();
    b.mask[1].put(u64::MAX);
    events.send(A, port(2), &witness).unwrap();
    events.send(B, port(70), &witness).unwrap();
    assert_eq!(events.poll(B, VcpuId::new(1), core::iter::empty()), Ok(Poll::Wait));
    witness.take();

    assert_eq!(events.rearm(B), Ok(()));

    assert!(b.pending.iter().chain(&b.mask).all(|word| word.get() == 0));
    assert_eq!((b.vcpu_info.selector.get(), b.vcpu_info.upcall.get()), (0, 0));
    assert!(!events.is_polling(B, VcpuId::new(1)));
    assert_eq!(events.has_registered(B, V0), Ok(false));
    assert_eq!(binding(&events, B, ipi.get()), Binding::Free);
    assert_eq!(events.status(B, B, port(70)).unwrap().vcpu, V0);
    assert_eq!(a.pending[0].get(), 1 << 2, "the peer keeps its event");
    assert_eq!(events.status(A, A, port(2)).unwrap().vcpu, VcpuId::new(1));

    place.selector.put(0);
    events.send(A, port(2), &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
    assert_eq!(b.vcpu_info.selector.get(), 1 << 1);
    assert_eq!(place.selector.get(), 0, "the old place is not written any more");
    assert_eq!(events.traffic(A, port(2)).sent, 2);
}

#[test]
fn a_channel_survives_any_number_of_restarts_of_either_end() {
    let (events, pages, witness) = pair();
    for round in 0..10 {
        let domain = if round % 2 == 0 { A } else { B };
        events.close(A, port(2)).unwrap();
        events.close(B, port(70)).unwrap();
        events.rearm(domain).unwrap();
        pages[0].pending[0].put(0);
        pages[1].pending[1].put(0);
        events.send(A, port(2), &witness).unwrap();
        events.send(B, port(70), &witness).unwrap();
        assert_eq!((pages[0].pending[0].get(), pages[1].pending[1].get()), (1 << 2, 1 << 6));
    }
    assert_eq!(events.rearm(NOBODY), error(Errno::ESRCH));
}

#[test]
fn a_static_channel_may_loop_back_into_its_own_domain() {
    let (events, pages) = domains(&[1], &[[end(1, 5), end(1, 6)]]);
    let witness = Witness::default();
    events.send(A, port(5), &witness).unwrap();
    assert_eq!(pages[0].pending[0].get(), 1 << 6);
    events.close(A, port(5)).unwrap();
    assert_eq!(binding(&events, A, 6), Binding::Interdomain { domain: A, port: port(5) });
}

#[test]
fn boot_refuses_ports_that_are_taken_or_do_not_exist() {
    let mut builder = Builder::new();
    let page = forever(SharedInfo::new());
    assert_eq!(builder.add_domain(dom(0), 1, page), Err(Errno::EINVAL));
    assert_eq!(builder.add_domain(dom(256), 1, page), Err(Errno::EINVAL));
    assert_eq!(builder.add_domain(dom(1), 1, page), Ok(()));
    assert_eq!(builder.add_domain(dom(1), 1, page), Err(Errno::EEXIST));
    assert_eq!(builder.bind_static([end(1, 1), end(1, 4095)]), Ok(Bound::Both));
    assert_eq!(builder.bind_static([end(1, 2), end(1, 1)]), Err(Errno::EBUSY));
    assert_eq!(builder.bind_static([end(1, 2), end(1, 2)]), Err(Errno::EBUSY));
    assert_eq!(builder.bind_static([end(1, 0), end(1, 2)]), Err(Errno::EINVAL));
    assert_eq!(builder.bind_static([end(1, 3), end(1, 4096)]), Err(Errno::EINVAL));
    assert_eq!(builder.bind_static([end(1, 3), end(300, 1)]), Err(Errno::EINVAL));
    assert_eq!(builder.bind_static([end(7, 3), end(1, 3)]), Ok(Bound::OneEnd));
    assert_eq!(builder.bind_static([end(7, 3), end(8, 3)]), Ok(Bound::Neither));
    let events = builder.freeze();
    assert_eq!(binding(&events, A, 2), Binding::Free);
    assert_eq!(binding(&events, A, 3), Binding::Unbound { domain: dom(7) });
}

#[test]
fn a_second_vcpu_in_a_configuration_operation_is_sent_back_to_try_again() {
    let (events, _, witness) = pair();
    let held = events.domain(A).unwrap().config.try_take().unwrap();
    let place = forever(VcpuInfo::new());
    assert_eq!(events.alloc_unbound(A, A, A), Err(Refusal::Busy));
    assert_eq!(events.bind_interdomain(A, A, port(1), &witness), Err(Refusal::Busy));
    assert_eq!(events.bind_ipi(A, 0), Err(Refusal::Busy));
    assert_eq!(events.bind_virq(A, 0, 0), Err(Refusal::Busy));
    assert_eq!(events.bind_vcpu(A, port(2), 0), Err(Refusal::Busy));
    assert_eq!(events.close(A, port(2)), Err(Refusal::Busy));
    assert_eq!(events.reset(A, A), Err(Refusal::Busy));
    assert_eq!(events.rearm(A), Err(Refusal::Busy));
    assert_eq!(events.register_vcpu_info(A, V0, place, &witness), Err(Refusal::Busy));
    assert_eq!(events.send(A, port(2), &witness), Ok(()), "a send asks nobody");
    assert_eq!(events.unmask(A, port(2), &witness), Ok(()));
    assert_eq!(events.bind_ipi(B, 0), Ok(port(1)), "another domain is not concerned");
    drop(held);
    assert_eq!(events.bind_ipi(A, 0), Ok(port(1)));
}
