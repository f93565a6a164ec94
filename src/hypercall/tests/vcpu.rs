//! `vcpu_op`.

use super::*;
use crate::addr::VcpuId;
use crate::evtchn::testing::{Asked, dom};

fn call(guest: &Guest, cmd: u64, vcpu: u64, record: &Raw) -> i64 {
    guest.put(RAM, &record.0);
    guest.finish(VCPU_OP, [cmd, vcpu, RAM, 0, 0])
}

fn info(frame: u64, offset: u32) -> Raw {
    Raw::of(16).u64(0, frame).u32(8, offset)
}

#[test]
fn vcpu_information_moves_into_guest_memory() {
    let guest = Guest::new();
    guest.shared[0].vcpu_info.selector.put(5);
    assert_eq!(call(&guest, 10, 0, &info(INFO_FRAME, 4048)), 0);
    assert_eq!(guest.asked(), [Asked::Upcall(1, 0)]);
    let place = *guest.infos.borrow().get(&(INFO_FRAME << 12 | 4048)).unwrap();
    assert_eq!((place.selector.get(), place.upcall.get()), (u64::MAX, 1));
    assert_eq!(call(&guest, 10, 1, &info(INFO_FRAME, 0)), 0, "any vCPU registers for any other");
    assert_eq!(guest.asked(), [Asked::Upcall(1, 1)]);
    assert_eq!(guest.events().has_registered(dom(1), VcpuId::new(1)), Ok(true));
}

#[test]
fn every_error_in_the_order_of_xen() {
    let guest = Guest::new();
    assert_eq!(call(&guest, 10, 0, &info(INFO_FRAME, 64)), 0);
    guest.asked();
    let rows = [
        // vCPU 0 has registered, vCPU 1 has not: the frame is looked at first, then that, then the offset.
        (10, 0, info(INFO_FRAME, 4096), EINVAL),
        (10, 0, info(1 << 52, 0), EINVAL),
        (10, 0, info(INFO_FRAME, 4049), EBUSY),
        (10, 0, info(0, 0), EBUSY),
        (10, 1, info(u64::MAX, 0), EINVAL),
        (10, 1, info(u64::MAX, u32::MAX), EINVAL),
        (10, 1, info(INFO_FRAME, u32::MAX), EINVAL),
        (10, 1, info(INFO_FRAME, 4049), ENXIO),
        (10, 1, info(INFO_FRAME, 4095), ENXIO),
        (10, 1, info((1 << 52) - 1, 4095), ENXIO),
        (10, 1, info(INFO_FRAME, 4), ENXIO),
        (10, 1, info(0, 1), ENXIO),
        (10, 1, info(0, 0), EINVAL),
        (10, 1, info((1 << 52) - 1, 0), EINVAL),
        (10, 1, info(LOCKED_FRAME, 0), EACCES),
        // The vCPU is looked at before anything else, the command too.
        (10, 2, info(INFO_FRAME, 0), ENOENT),
        (99, 2, info(INFO_FRAME, 0), ENOENT),
        (10, 0x1_0000, info(INFO_FRAME, 0), ENOENT),
        (5, u32::MAX.into(), info(INFO_FRAME, 0), ENOENT),
    ];
    for (cmd, vcpu, record, want) in rows {
        assert_eq!(call(&guest, cmd, vcpu, &record), err(want), "vcpu_op({cmd}, {vcpu}) {record:?}");
    }
    assert_eq!(guest.finish(VCPU_OP, [10, 2, NOWHERE, 0, 0]), err(ENOENT), "before the argument is read");
    for cmd in (0..20).filter(|cmd| ![5, 10].contains(cmd)) {
        assert_eq!(guest.finish(VCPU_OP, [cmd, 0, NOWHERE, 0, 0]), err(EINVAL), "{cmd}, and not ENOSYS");
    }
    assert_eq!((guest.asked(), guest.effects()), (vec![], vec![]));
}

#[test]
fn run_states_are_accepted_wherever_they_should_go() {
    let guest = Guest::new();
    for (vcpu, area) in [(0, RAM), (1, NOWHERE), (1, u64::MAX)] {
        assert_eq!(call(&guest, 5, vcpu.into(), &Raw::of(8).u64(0, area)), 0);
        assert_eq!(guest.effects(), [Effect::Runstate(vcpu, area)]);
    }
    assert_eq!(guest.finish(VCPU_OP, [5, 0, RAM_END - 7, 0, 0]), err(EFAULT));
    assert_eq!(guest.effects(), []);
}
