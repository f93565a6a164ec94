//! `multicall`.

use super::*;
use crate::addr::PAGE_SIZE;
use crate::evtchn::testing::{Asked, dom};

fn entry(op: u64, args: [u64; 3]) -> Raw {
    let [a, b, c] = args;
    Raw::of(64).u64(0, op).u64(16, a).u64(24, b).u64(32, c)
}

/// Puts `entries` at `RAM`.
fn list(guest: &Guest, entries: &[Raw]) {
    for (at, entry) in (0..).zip(entries) {
        guest.put(RAM + 64 * at, &entry.0);
    }
}

fn result(guest: &Guest, at: u64) -> i64 {
    i64::from_le_bytes(guest.peek(RAM + 64 * at + 8, 8).try_into().unwrap())
}

/// A send on port 10; its argument is on the second page.
fn send(guest: &Guest) -> Raw {
    guest.put(RAM + PAGE_SIZE, &10_u32.to_le_bytes());
    entry(EVENT_CHANNEL_OP, [4, RAM + PAGE_SIZE, 0])
}

#[test]
fn a_list_is_done_in_order_and_each_has_its_result() {
    let guest = Guest::new();
    let entries = [
        entry(XEN_VERSION, [7, 0, 0]),
        entry(99, [0; 3]),
        send(&guest),
        entry(MULTICALL, [RAM, 1, 0]),
        entry(EVENT_CHANNEL_OP, [4, NOWHERE, 0]),
        entry(SCHED_OP, [0, 0, 0]),
        entry(XEN_VERSION, [7, 1, 0]),
    ];
    list(&guest, &entries);
    assert_eq!(guest.finish(MULTICALL, [RAM, 7, 0, 0, 0]), 0);
    let results = [0, 1, 2, 3, 4, 5, 6].map(|at| result(&guest, at));
    assert_eq!(results, [4096, err(ENOSYS), 0, err(EINVAL), err(EFAULT), 0, err(EINVAL)]);
    assert_eq!(guest.asked(), [Asked::Upcall(2, 0)]);
    let after = Raw(guest.peek(RAM, 64));
    assert_eq!(after, entries[0].clone().u64(8, 4096), "only the result is written");
    assert_eq!(guest.finish(MULTICALL, [NOWHERE, 0, 0, 0, 0]), 0, "an empty list is not looked at");
}

#[test]
fn a_list_that_cannot_be_read_or_answered_is_efault() {
    let guest = Guest::new();
    assert_eq!(guest.finish(MULTICALL, [NOWHERE, 1, 0, 0, 0]), err(EFAULT));
    assert_eq!(guest.finish(MULTICALL, [RAM_END - 64, 2, 0, 0, 0]), err(EFAULT), "the second entry");
    assert_eq!(guest.finish(MULTICALL, [u64::MAX - 63, 2, 0, 0, 0]), err(EFAULT));
    guest.put(READ_ONLY, &entry(XEN_VERSION, [7, 0, 0]).0);
    assert_eq!(guest.finish(MULTICALL, [READ_ONLY, 1, 0, 0, 0]), err(EFAULT));
}

#[test]
fn a_long_list_lets_others_have_a_turn() {
    let guest = Guest::new();
    list(&guest, &vec![entry(XEN_VERSION, [7, 0, 0]); 20]);
    let next = Outcome::Continue([RAM + 8 * 64, 12, 2, 3, 4]);
    assert_eq!(guest.call(MULTICALL, [RAM, 20, 2, 3, 4]), next);
    assert_eq!(guest.finish(MULTICALL, [RAM, 20, 0, 0, 0]), 0);
    assert_eq!(result(&guest, 19), 4096);
    let endless = guest.call(MULTICALL, [RAM, u64::MAX, 0, 0, 0]);
    assert_eq!(endless, Outcome::Continue([RAM + 8 * 64, u64::MAX - 8, 0, 0, 0]));
}

#[test]
fn a_long_call_in_a_list_goes_on_where_it_was() {
    let guest = Guest::new();
    guest.put(RAM + PAGE_SIZE, &[b'x'; 3000]);
    list(&guest, &[entry(CONSOLE_IO, [0, 3000, RAM + PAGE_SIZE]), entry(XEN_VERSION, [7, 0, 0])]);
    assert_eq!(guest.call(MULTICALL, [RAM, 2, 0, 0, 0]), Outcome::Continue([RAM, 2, 0, 0, 0]));
    assert_eq!(guest.finish(MULTICALL, [RAM, 2, 0, 0, 0]), 0);
    assert_eq!((guest.console.borrow().len(), result(&guest, 0), result(&guest, 1)), (3000, 0, 4096));
}

#[test]
fn a_call_that_must_come_again_comes_again_without_those_before_it() {
    let guest = Guest::new();
    let map = Raw::of(24).u16(0, SELF).u32(4, 0).u64(8, 0).u64(16, 1);
    guest.put(RAM + PAGE_SIZE + 64, &map.0);
    list(&guest, &[send(&guest), entry(MEMORY_OP, [7, RAM + PAGE_SIZE + 64, 0])]);
    guest.map_error.set(Some(MapError::Busy));
    assert_eq!(guest.call(MULTICALL, [RAM, 2, 0, 0, 0]), Outcome::Continue([RAM + 64, 1, 0, 0, 0]));
    assert_eq!(guest.finish(MULTICALL, [RAM + 64, 1, 0, 0, 0]), 0);
    assert_eq!(guest.effects(), [Effect::Map(SpecialPage::SharedInfo, 1)]);
    assert_eq!(guest.events().traffic(dom(1), crate::addr::Port::new(10)).sent, 1);
}

#[test]
fn a_wait_is_honoured_at_the_end_and_a_shutdown_anywhere() {
    let guest = Guest::new();
    list(&guest, &[entry(SCHED_OP, [1, 0, 0]), entry(SCHED_OP, [1, 0, 0])]);
    assert_eq!(guest.call(MULTICALL, [RAM, 2, 0, 0, 0]), Outcome::Block);
    assert_eq!([result(&guest, 0), result(&guest, 1)], [0, 0]);
    guest.put(RAM + PAGE_SIZE, &3_u32.to_le_bytes());
    list(&guest, &[entry(SCHED_OP, [2, RAM + PAGE_SIZE, 0]), send(&guest)]);
    guest.put(RAM + PAGE_SIZE, &3_u32.to_le_bytes());
    assert_eq!(guest.call(MULTICALL, [RAM, 2, 0, 0, 0]), Outcome::Shutdown(ShutdownReason::Crash));
    assert_eq!(guest.asked(), []);
}

/// A poll in the middle of a list does not wait, so the vCPU must not be taken for one that does.
#[test]
fn a_poll_in_the_middle_leaves_nobody_polling() {
    let guest = Guest::new();
    let poll = Raw::of(24).u64(0, RAM + PAGE_SIZE).u32(8, 1).u64(16, 0);
    guest.put(RAM + PAGE_SIZE + 64, &poll.0);
    let poll = entry(SCHED_OP, [3, RAM + PAGE_SIZE + 64, 0]);
    list(&guest, &[poll.clone(), send(&guest)]);
    assert_eq!(guest.finish(MULTICALL, [RAM, 2, 0, 0, 0]), 0);
    assert!(!guest.events().is_polling(dom(1), guest.vcpu()));
    list(&guest, &[send(&guest), poll]);
    assert_eq!(guest.call(MULTICALL, [RAM, 2, 0, 0, 0]), Outcome::Poll { until: None });
    assert!(guest.events().is_polling(dom(1), guest.vcpu()));
}
