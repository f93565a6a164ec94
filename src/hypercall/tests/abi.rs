//! What holds for all of them: numbers, errors, and the sizes of what is read.

use super::*;
use crate::addr::PAGE_SIZE;

#[test]
fn errors_have_the_numbers_of_xen() {
    let numbers = [
        (EPERM, 1),
        (ENOENT, 2),
        (ESRCH, 3),
        (ENXIO, 6),
        (E2BIG, 7),
        (EACCES, 13),
        (EFAULT, 14),
        (EBUSY, 16),
        (EEXIST, 17),
        (EINVAL, 22),
        (ENOSPC, 28),
        (EDOM, 33),
        (ENOSYS, 38),
        (EILSEQ, 84),
        (EOPNOTSUPP, 95),
        (ENOBUFS, 105),
    ];
    for (errno, number) in numbers {
        assert_eq!(errno.code(), -number, "{errno:?}");
    }
    assert_eq!(EINVAL.code() as u64, 0xffff_ffff_ffff_ffea, "sign-extended to 64 bits");
}

#[test]
fn what_is_not_a_hypercall_is_enosys() {
    let guest = Guest::new();
    let offered = [7, 12, 13, 17, 18, 20, 21, 24, 29, 32, 34, 35, 36, 42];
    for number in (0..=80).filter(|number| !offered.contains(number)) {
        assert_eq!(guest.finish(number, [0; 5]), err(ENOSYS), "{number}");
    }
    for number in [u64::MAX, 1 << 32 | 17, 1 << 63 | 32] {
        assert_eq!(guest.finish(number, [0; 5]), err(ENOSYS), "all 64 bits count: {number:#x}");
    }
    assert_eq!(guest.finish(42, [0; 5]), err(EPERM), "hypfs_op");
}

/// Hypercall, arguments with `P` where the pointer goes, and how many bytes are read there.
type Reader = (u64, [u64; 3], u64);
const P: u64 = u64::MAX;

/// Everything that reads one structure first.
const READERS: &[Reader] = &[
    (7, [P, 0, 0], 136),
    (35, [P, 0, 0], 8),
    (36, [P, 0, 0], 8),
    (MEMORY_OP, [3, P, 0], 2),
    (MEMORY_OP, [4, P, 0], 2),
    (MEMORY_OP, [7, P, 0], 24),
    (MEMORY_OP, [14, P, 0], 2),
    (MEMORY_OP, [15, P, 0], 16),
    (MEMORY_OP, [23, P, 0], 32),
    (MEMORY_OP, [27, P, 0], 8),
    (MEMORY_OP, [28, P, 0], 2),
    (MULTICALL, [P, 1, 0], 64),
    (XEN_VERSION, [6, P, 0], 8),
    (CONSOLE_IO, [0, 1, P], 1),
    (GRANT_TABLE_OP, [6, P, 1], 16),
    (GRANT_TABLE_OP, [8, P, 1], 4),
    (GRANT_TABLE_OP, [10, P, 1], 8),
    (VCPU_OP, [5, 0, P], 8),
    (VCPU_OP, [10, 0, P], 16),
    (SCHED_OP, [2, P, 0], 4),
    (SCHED_OP, [3, P, 0], 24),
    (SCHED_OP, [4, P, 0], 8),
    (SCHED_OP, [5, P, 0], 4),
    (SCHED_OP, [6, P, 0], 8),
    (EVENT_CHANNEL_OP, [0, P, 0], 12),
    (EVENT_CHANNEL_OP, [1, P, 0], 12),
    (EVENT_CHANNEL_OP, [2, P, 0], 12),
    (EVENT_CHANNEL_OP, [3, P, 0], 4),
    (EVENT_CHANNEL_OP, [4, P, 0], 4),
    (EVENT_CHANNEL_OP, [5, P, 0], 24),
    (EVENT_CHANNEL_OP, [6, P, 0], 8),
    (EVENT_CHANNEL_OP, [7, P, 0], 8),
    (EVENT_CHANNEL_OP, [8, P, 0], 8),
    (EVENT_CHANNEL_OP, [9, P, 0], 4),
    (EVENT_CHANNEL_OP, [10, P, 0], 2),
    (EVENT_CHANNEL_OP, [11, P, 0], 24),
    (EVENT_CHANNEL_OP, [12, P, 0], 8),
    (EVENT_CHANNEL_OP, [13, P, 0], 8),
    (EVENT_CHANNEL_OP, [14, P, 0], 2),
    (HVM_OP, [0, P, 0], 16),
    (HVM_OP, [1, P, 0], 16),
];

fn call(&(number, args, _): &Reader, pointer: u64) -> Outcome {
    let [x0, x1, x2] = args.map(|arg| if arg == P { pointer } else { arg });
    Guest::new().call(number, [x0, x1, x2, 0, 0])
}

/// The structure is as long as the ABI says: it may end where memory ends, and not one byte later.
#[test]
fn a_structure_is_read_in_full_and_no_further() {
    const FAULT: Outcome = Outcome::Return(-14);
    for reader in READERS {
        let (number, args, size) = reader;
        let shown = format!("hypercall {number} {args:?}");
        assert_ne!(call(reader, RAM_END - size), FAULT, "{shown}: more than its {size} bytes were read");
        assert_eq!(call(reader, RAM_END - size + 1), FAULT, "{shown}: less than its {size} bytes were read");
        assert_ne!(call(reader, RAM + PAGE_SIZE - size / 2), FAULT, "{shown}: it may cross a page");
        for bad in [0, NOWHERE, 1 << 63, u64::MAX - size + 1, u64::MAX - size / 2] {
            assert_eq!(call(reader, bad), FAULT, "{shown}: {bad:#x} is not mapped");
        }
    }
}

#[test]
fn what_only_a_privileged_domain_may_do_is_refused() {
    let guest = Guest::new();
    let version = |version| Raw::of(136).u32(0, 62).u32(4, version);
    let call = |number, version: Raw| {
        guest.put(RAM, &version.0);
        guest.finish(number, [RAM, 0, 0, 0, 0])
    };
    assert_eq!(call(7, version(0x0300_0001)), err(EPERM));
    for (number, version) in [(7, version(0x0300_0000)), (35, version(21)), (36, version(21))] {
        assert_eq!(call(number, version), err(EACCES));
    }
}

#[test]
fn vm_assist_knows_one_type() {
    let guest = Guest::new();
    let rows = [(0, 5, 0), (1, 5, 0), (0, 4, err(EINVAL)), (1, 0, err(EINVAL)), (2, 5, err(ENOSYS))];
    for (cmd, kind, want) in rows {
        assert_eq!(guest.finish(21, [cmd, kind, 0, 0, 0]), want, "vm_assist({cmd}, {kind})");
        assert_eq!(guest.state().marks_updates(), (cmd, kind) == (0, 5), "enabled, and disabled again");
    }
    assert_eq!(guest.finish(21, [0, 5, 0, 0, 0]), 0);
    guest.state().reset();
    assert!(!guest.state().marks_updates(), "a domain that starts again has not asked for anything");
}

#[test]
fn hvm_parameters_are_there_and_zero_and_cannot_be_set() {
    let guest = Guest::new();
    let param = |domain, index| Raw::of(16).u16(0, domain).u32(4, index);
    for index in [0, 1, 2, 17, 18] {
        for me in [SELF, ME] {
            let after = param(me, index).u64(8, 0);
            assert_eq!(guest.ask(HVM_OP, 1, &param(me, index)), (0, after));
            assert_eq!(guest.tell(HVM_OP, 0, &param(me, index)), err(EPERM));
        }
    }
    let rows = [
        (1, param(SELF, 28), EPERM),
        (0, param(SELF, 28), EPERM),
        (1, param(SELF, 3), EINVAL),
        (0, param(SELF, 3), EINVAL),
        (0, param(SELF, u32::MAX), EINVAL),
        // The domain is checked before the index.
        (1, param(NOBODY, 3), ESRCH),
        (0, param(NOBODY, 0), ESRCH),
        (1, param(PEER, 3), EPERM),
        (0, param(PEER, 3), EPERM),
        (2, param(SELF, 0), ENOSYS),
        (1 << 32, param(SELF, 0), ENOSYS),
        (24, param(SELF, 0), EINVAL),
    ];
    for (op, record, want) in rows {
        assert_eq!(guest.tell(HVM_OP, op, &record), err(want), "hvm_op {op} {record:?}");
    }
    assert_eq!(guest.finish(HVM_OP, [24, 0, 0, 0, 0]), 0);
    guest.put(READ_ONLY, &param(SELF, 1).0);
    assert_eq!(guest.finish(HVM_OP, [1, READ_ONLY, 0, 0, 0]), err(EFAULT));
}
