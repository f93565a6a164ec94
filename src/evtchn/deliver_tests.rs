//! Sending, masking, registering, polling: one thread, every rule of the two-level ABI.

use core::sync::atomic::AtomicU64;

use super::testing::{Asked, Witness, dom, domains, end, forever};
use super::*;
use crate::addr::{DomainId, Port, VcpuId};
use crate::hypercall::Errno;

const A: DomainId = dom(1);
const B: DomainId = dom(2);
const V0: VcpuId = VcpuId::new(0);
const V1: VcpuId = VcpuId::new(1);

fn port(number: u32) -> Port {
    Port::new(number)
}

/// Two domains, two vCPUs each, connected by A:10 - B:70 and A:11 - B:71.
fn pair() -> (Events, Vec<&'static SharedInfo>, Witness) {
    let (events, pages) = domains(&[2, 2], &[[end(1, 10), end(2, 70)], [end(1, 11), end(2, 71)]]);
    (events, pages, Witness::default())
}

#[test]
fn a_send_sets_pending_selector_and_upcall_of_the_peer() {
    let (events, pages, witness) = pair();
    events.send(A, port(10), &witness).unwrap();
    let b = pages[1];
    assert_eq!(b.pending[1].get(), 1 << 6);
    assert_eq!(b.vcpu_info.selector.get(), 1 << 1);
    assert_eq!(b.vcpu_info.upcall.get(), 1);
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
    assert!(events.upcall_line(B, V0));
    assert!(!events.upcall_line(A, V0));
    assert_eq!(pages[0].pending[0].get(), 0);
}

#[test]
fn no_end_of_a_static_channel_starts_out_pending() {
    let (events, pages, _) = pair();
    for page in pages {
        assert!(page.pending.iter().all(|word| word.get() == 0));
        assert_eq!(page.vcpu_info.upcall.get(), 0);
    }
    assert!(!events.upcall_line(A, V0) && !events.upcall_line(B, V0));
}

#[test]
fn sends_to_a_pending_port_are_merged_and_counted() {
    let (events, pages, witness) = pair();
    for _ in 0..5 {
        events.send(A, port(10), &witness).unwrap();
    }
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
    assert_eq!(events.traffic(A, port(10)), Traffic { sent: 5, coalesced: 4 });
    pages[1].pending[1].put(0);
    events.send(A, port(10), &witness).unwrap();
    assert_eq!(events.traffic(A, port(10)), Traffic { sent: 6, coalesced: 4 });
    assert_eq!(events.traffic(B, port(70)), Traffic::default());
    assert_eq!(events.traffic(B, port(99_999)), Traffic::default());
}

#[test]
fn a_second_port_of_a_selected_word_raises_no_second_upcall() {
    let (events, pages, witness) = pair();
    events.send(A, port(10), &witness).unwrap();
    events.send(A, port(11), &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
    assert_eq!(pages[1].pending[1].get(), 0b11 << 6);
}

#[test]
fn an_upcall_that_is_still_asserted_is_not_raised_again() {
    let (events, pages, witness) = pair();
    events.send(A, port(10), &witness).unwrap();
    pages[1].vcpu_info.selector.put(0);
    events.send(A, port(11), &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
    assert_eq!(pages[1].vcpu_info.selector.get(), 1 << 1);
}

#[test]
fn a_masked_port_still_collects_its_pending_bit() {
    let (events, pages, witness) = pair();
    pages[1].mask[1].put(u64::MAX);
    events.send(A, port(10), &witness).unwrap();
    assert_eq!(pages[1].pending[1].get(), 1 << 6);
    assert_eq!(pages[1].vcpu_info.selector.get(), 0);
    assert_eq!(witness.take(), []);
}

#[test]
fn an_unmask_announces_what_waited_behind_the_mask() {
    let (events, pages, witness) = pair();
    pages[1].mask[1].put(u64::MAX);
    events.send(A, port(10), &witness).unwrap();
    events.unmask(B, port(70), &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
    assert_eq!(pages[1].mask[1].get(), !(1 << 6));
    assert_eq!(pages[1].vcpu_info.selector.get(), 1 << 1);
}

#[test]
fn an_unmask_of_a_port_that_is_not_masked_does_nothing() {
    let (events, pages, witness) = pair();
    pages[1].pending[1].put(1 << 6);
    events.unmask(B, port(70), &witness).unwrap();
    assert_eq!(witness.take(), []);
    assert_eq!(pages[1].vcpu_info.selector.get(), 0);
}

#[test]
fn an_unmask_of_an_idle_or_selected_port_raises_no_upcall() {
    let (events, pages, witness) = pair();
    pages[1].mask[1].put(0b11 << 6);
    events.unmask(B, port(70), &witness).unwrap();
    assert_eq!((witness.take(), pages[1].mask[1].get()), (vec![], 1 << 7));
    pages[1].pending[1].put(1 << 7);
    pages[1].vcpu_info.selector.put(1 << 1);
    events.unmask(B, port(71), &witness).unwrap();
    assert_eq!((witness.take(), pages[1].mask[1].get()), (vec![], 0));
}

#[test]
fn an_unmask_of_a_free_or_reserved_port_is_accepted_and_touches_nothing() {
    let (events, pages, witness) = pair();
    pages[0].mask[0].put(0b11);
    pages[0].pending[0].put(0b11);
    assert_eq!(events.unmask(A, port(0), &witness), Ok(()));
    assert_eq!(events.unmask(A, port(1), &witness), Ok(()));
    assert_eq!(pages[0].mask[0].get(), 0b11);
    assert_eq!(events.unmask(A, port(4096), &witness), Err(Errno::EINVAL));
}

#[test]
fn what_cannot_be_sent_on_is_invalid() {
    let (events, _, witness) = pair();
    let virq = events.bind_virq(A, 1, 0).unwrap();
    for bad in [port(0), port(500), port(4096), port(u32::MAX), virq] {
        assert_eq!(events.send(A, bad, &witness), Err(Errno::EINVAL), "{bad:?}");
    }
    assert_eq!(witness.take(), []);
}

#[test]
fn a_send_on_an_unbound_port_is_dropped() {
    let (events, pages, witness) = pair();
    let offered = events.alloc_unbound(A, A, A).unwrap();
    assert_eq!(events.send(A, offered, &witness), Ok(()));
    assert_eq!((witness.take(), pages[0].pending[0].get()), (vec![], 0));
    assert_eq!(events.traffic(A, offered), Traffic::default());
}

#[test]
fn an_ipi_is_pending_on_its_own_port_and_told_to_its_vcpu() {
    let (events, pages, witness) = pair();
    let info = forever(VcpuInfo::new());
    events.register_vcpu_info(A, V1, info, &witness).unwrap();
    info.selector.put(0);
    info.upcall.put(0);
    witness.take();
    let ipi = events.bind_ipi(A, 1).unwrap();
    events.send(A, ipi, &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Upcall(1, 1)]);
    assert_eq!(pages[0].pending[0].get(), 1 << ipi.get());
    assert_eq!((info.selector.get(), pages[0].vcpu_info.selector.get()), (1, 0));
}

#[test]
fn events_for_a_vcpu_without_information_are_pending_and_told_to_nobody() {
    let (events, pages, witness) = pair();
    events.bind_vcpu(B, port(70), 1).unwrap();
    events.send(A, port(10), &witness).unwrap();
    assert_eq!(pages[1].pending[1].get(), 1 << 6);
    assert_eq!(pages[1].vcpu_info.selector.get(), 0);
    assert_eq!(witness.take(), []);
    assert!(!events.upcall_line(B, V1));
}

#[test]
fn a_moved_port_tells_its_new_vcpu_of_new_events_only() {
    let (events, _, witness) = pair();
    let info = forever(VcpuInfo::new());
    events.register_vcpu_info(B, V1, info, &witness).unwrap();
    info.selector.put(0);
    info.upcall.put(0);
    events.send(A, port(10), &witness).unwrap();
    witness.take();
    events.bind_vcpu(B, port(70), 1).unwrap();
    events.bind_vcpu(B, port(71), 1).unwrap();
    assert_eq!(witness.take(), []);
    events.send(A, port(11), &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Upcall(2, 1)]);
    assert_eq!(info.selector.get(), 1 << 1);
}

#[test]
fn whatever_a_guest_writes_into_its_page_stays_its_own_affair() {
    let (events, pages, witness) = pair();
    for word in pages[1].pending.iter().chain(&pages[1].mask) {
        word.put(u64::MAX);
    }
    pages[1].vcpu_info.selector.put(u64::MAX);
    pages[1].vcpu_info.upcall.put(0xff);
    assert_eq!(events.send(A, port(10), &witness), Ok(()));
    assert_eq!(events.unmask(B, port(70), &witness), Ok(()));
    assert_eq!(events.close(B, port(70)), Ok(()));
    assert_eq!(witness.take(), []);
    assert!(events.upcall_line(B, V0));
}

#[test]
fn registering_keeps_what_was_pending_and_raises_one_upcall() {
    let (events, pages, witness) = pair();
    events.send(A, port(10), &witness).unwrap();
    witness.take();
    let place = forever(VcpuInfo::new());
    events.register_vcpu_info(B, V0, place, &witness).unwrap();
    assert_eq!((place.selector.get(), place.upcall.get()), (u64::MAX, 1));
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
    assert!(events.upcall_line(B, V0));
    pages[1].vcpu_info.upcall.put(0);
    assert!(events.upcall_line(B, V0), "the line follows the new place");
}

#[test]
fn vcpu_information_is_registered_once() {
    let (events, _, witness) = pair();
    assert_eq!(events.has_registered(B, V0), Ok(false));
    assert_eq!(events.has_registered(B, V1), Ok(false));
    assert_eq!(events.has_registered(B, VcpuId::new(2)), Err(Errno::ENOENT));
    for vcpu in [V0, V1] {
        let place = forever(VcpuInfo::new());
        events.register_vcpu_info(B, vcpu, place, &witness).unwrap();
        assert_eq!(events.has_registered(B, vcpu), Ok(true));
        assert_eq!(events.register_vcpu_info(B, vcpu, place, &witness), Err(Refusal::Error(Errno::EBUSY)));
    }
}

#[test]
fn two_vcpus_cannot_share_a_place() {
    let (events, _, witness) = pair();
    let page = forever([const { AtomicU64::new(0) }; 512]);
    let place = |word: usize| view::tests::info_in(page, word);
    events.register_vcpu_info(B, V0, place(10), &witness).unwrap();
    for shared in [5, 9, 10, 11, 15] {
        let refused = events.register_vcpu_info(B, V1, place(shared), &witness);
        assert_eq!(refused, Err(Refusal::Error(Errno::EINVAL)), "word {shared}");
    }
    assert_eq!(events.register_vcpu_info(B, V1, place(16), &witness), Ok(()));
    assert_eq!(
        events.register_vcpu_info(A, V1, place(4), &witness),
        Ok(()),
        "another domain's are elsewhere"
    );
}

#[test]
fn a_poll_of_a_pending_port_is_ready_even_if_masked() {
    let (events, pages, witness) = pair();
    pages[1].mask[1].put(u64::MAX);
    events.send(A, port(10), &witness).unwrap();
    assert_eq!(events.poll(B, V0, [71, 70].into_iter()), Ok(Poll::Ready));
    assert!(!events.is_polling(B, V0));
}

#[test]
fn a_poller_is_woken_by_an_event_even_if_masked() {
    let (events, pages, witness) = pair();
    pages[1].mask[1].put(u64::MAX);
    assert_eq!(events.poll(B, V1, [70].into_iter()), Ok(Poll::Wait));
    assert!(events.is_polling(B, V1));
    events.send(A, port(10), &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Wake(2, 1)]);
    assert!(!events.is_polling(B, V1));
    events.send(A, port(11), &witness).unwrap();
    assert_eq!(witness.take(), []);
}

#[test]
fn all_pollers_of_a_domain_are_woken() {
    let (events, _, witness) = pair();
    assert_eq!(events.poll(B, V0, core::iter::empty()), Ok(Poll::Wait));
    assert_eq!(events.poll(B, V1, [71].into_iter()), Ok(Poll::Wait));
    events.send(A, port(10), &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Upcall(2, 0), Asked::Wake(2, 0), Asked::Wake(2, 1)]);
}

#[test]
fn a_poll_that_ended_otherwise_is_not_woken() {
    let (events, _, witness) = pair();
    assert_eq!(events.poll(B, V1, [71].into_iter()), Ok(Poll::Wait));
    events.stop_polling(B, V1);
    events.send(A, port(10), &witness).unwrap();
    assert_eq!(witness.take(), [Asked::Upcall(2, 0)]);
}

#[test]
fn a_poll_of_a_free_port_is_invalid_and_leaves_nobody_polling() {
    let (events, _, _) = pair();
    for bad in [0, 1, 4096, u32::MAX] {
        assert_eq!(events.poll(B, V0, [70, bad].into_iter()), Err(Errno::EINVAL));
        assert!(!events.is_polling(B, V0));
    }
}

#[test]
fn a_million_sends_from_two_cpus_are_counted_exactly() {
    let (events, pages, _) = pair();
    const EACH: u64 = if cfg!(miri) { 50 } else { 500_000 };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let witness = Witness::default();
                for _ in 0..EACH {
                    events.send(A, port(10), &witness).unwrap();
                    pages[1].pending[1].clear(1 << 6);
                }
            });
        }
    });
    assert_eq!(events.traffic(A, port(10)).sent, 2 * EACH);
}
