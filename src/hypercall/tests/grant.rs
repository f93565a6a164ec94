//! `grant_table_op`.

use super::*;

fn call(guest: &Guest, cmd: u64, count: u64, record: &Raw) -> (i64, Raw) {
    guest.put(RAM, &record.0);
    let result = guest.finish(GRANT_TABLE_OP, [cmd, RAM, count, 0, 0]);
    (result, Raw(guest.peek(RAM, record.0.len())))
}

#[test]
fn the_table_has_a_size_and_a_version() {
    let guest = Guest::new();
    let size = |domain| Raw::of(16).u16(0, domain);
    let rows = [
        (SELF, size(SELF).u32(4, 1).u32(8, GRANT_FRAMES).u16(12, 0)),
        (ME, size(ME).u32(4, 1).u32(8, GRANT_FRAMES).u16(12, 0)),
        (NOBODY, size(NOBODY).u16(12, -2_i16 as u16)),
        (PEER, size(PEER).u16(12, -8_i16 as u16)),
    ];
    for (domain, want) in rows {
        assert_eq!(call(&guest, 6, 1, &size(domain)), (0, want));
    }
    let version = |value| Raw::of(4).u32(0, value);
    assert_eq!(call(&guest, 8, 0, &version(1)), (0, version(1)));
    assert_eq!(call(&guest, 8, 0, &version(2)), (err(ENOSYS), version(1)));
    assert_eq!(call(&guest, 8, 0, &version(3)), (err(EINVAL), version(1)));
    let asked = |domain| Raw::of(8).u16(0, domain);
    assert_eq!(call(&guest, 10, 0, &asked(SELF)), (0, asked(SELF).u32(4, 1)));
    assert_eq!(call(&guest, 10, 0, &asked(NOBODY)), (err(ESRCH), asked(NOBODY)));
    assert_eq!(call(&guest, 10, 0, &asked(PEER)), (err(EPERM), asked(PEER)));
}

#[test]
fn every_other_error() {
    let guest = Guest::new();
    let rows = [
        (6, 0, EINVAL),
        (6, 2, EINVAL),
        (2, 1, ENOSYS),
        (3, 1, ENOSYS),
        (4, 1, ENOSYS),
        (7, 1, ENOSYS),
        (9, 1, ENOSYS),
        (11, 1, ENOSYS),
        (12, 1, ENOSYS),
        (13, 1, ENOSYS),
        // Whatever the operation, a count is not negative, and nobody goes on in the middle.
        (0, 0x8000_0000, EINVAL),
        (8, 0x8000_0000, EINVAL),
        (99, 0x8000_0000, EINVAL),
        (1 << 12, 1, EINVAL),
        (1 << 12 | 6, 1, EINVAL),
    ];
    for (cmd, count, want) in rows {
        assert_eq!(call(&guest, cmd, count, &Raw::of(40)), (err(want), Raw::of(40)), "{cmd:#x}, {count:#x}");
    }
    for (cmd, record) in
        [(6, Raw::of(16).u16(0, SELF)), (8, Raw::of(4).u32(0, 1)), (10, Raw::of(8).u16(0, SELF))]
    {
        guest.put(READ_ONLY, &record.0);
        let result = guest.finish(GRANT_TABLE_OP, [cmd, READ_ONLY, 1, 0, 0]);
        assert_eq!(result, err(EFAULT), "{cmd}: nowhere to answer");
    }
}

#[test]
fn granting_fails_entry_by_entry() {
    for (cmd, size, status) in [(0, 32, 18), (1, 24, 20), (5, 40, 36)] {
        let guest = Guest::new();
        let want = Raw::of(size).u16(status, -1_i16 as u16).0.repeat(3);
        assert_eq!(call(&guest, cmd, 3, &Raw::of(3 * size)), (0, Raw(want)), "{cmd}");
        assert_eq!(call(&guest, cmd, 0, &Raw::of(size)), (0, Raw::of(size)), "{cmd}: none");
        let args = [cmd, RAM, 100, 7, 8];
        let next = [cmd, RAM + 32 * size as u64, 68, 7, 8];
        assert_eq!(guest.call(GRANT_TABLE_OP, args), Outcome::Continue(next), "{cmd}: in turns");
        assert_eq!(guest.finish(GRANT_TABLE_OP, args), 0);
        let edge = RAM_END - size as u64;
        assert_eq!(guest.finish(GRANT_TABLE_OP, [cmd, edge, 1, 0, 0]), 0);
        assert_eq!(guest.finish(GRANT_TABLE_OP, [cmd, edge, 2, 0, 0]), err(EFAULT));
        assert_eq!(guest.finish(GRANT_TABLE_OP, [cmd, READ_ONLY, 1, 0, 0]), err(EFAULT));
        assert_eq!(guest.finish(GRANT_TABLE_OP, [cmd, u64::MAX - 4, 1, 0, 0]), err(EFAULT));
    }
}
