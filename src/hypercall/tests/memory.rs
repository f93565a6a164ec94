//! `memory_op`.

use super::*;

const SHARED_INFO: u32 = 0;
const GRANT_TABLE: u32 = 1;
const GMFN_RANGE: u32 = 3;
const FOREIGN: u32 = 4;
const DEV_MMIO: u32 = 5;

fn tell(guest: &Guest, cmd: u64, record: &Raw) -> i64 {
    guest.tell(MEMORY_OP, cmd, record)
}

fn add(domain: u16, space: u32, index: u64, frame: u64) -> Raw {
    Raw::of(24).u16(0, domain).u32(4, space).u64(8, index).u64(16, frame)
}

#[test]
fn the_pages_of_the_hypervisor_are_mapped_where_the_guest_wants_them() {
    let guest = Guest::new();
    assert_eq!(tell(&guest, 7, &add(SELF, SHARED_INFO, 0, 0x4_0000)), 0);
    assert_eq!(tell(&guest, 7, &add(ME, GRANT_TABLE, 2, 0x3_8000)), 0);
    let grant = Effect::Map(SpecialPage::Grant(2), 0x3_8000);
    assert_eq!(guest.effects(), [Effect::Map(SpecialPage::SharedInfo, 0x4_0000), grant]);
    let size = Raw::of(16).u16(0, SELF);
    guest.put(RAM, &size.0);
    assert_eq!(guest.finish(GRANT_TABLE_OP, [6, RAM, 1, 0, 0]), 0);
    assert_eq!(Raw(guest.peek(RAM, 16)), size.u32(4, 3).u32(8, GRANT_FRAMES).u16(12, 0), "it grew");
    assert_eq!(tell(&guest, 7, &add(SELF, GMFN_RANGE, 0, 1).u16(2, 0)), 0, "an empty range");
    assert_eq!(tell(&guest, 15, &Raw::of(16).u16(0, SELF).u64(8, 0x4_0000)), 0);
    assert_eq!(guest.effects(), [Effect::Unmap(0x4_0000)]);
}

#[test]
fn every_error_of_mapping_in_the_order_of_xen() {
    const ALL: u64 = u64::MAX;
    let guest = Guest::new();
    let rows = [
        (7, add(NOBODY, FOREIGN, ALL, ALL), ENOSYS),
        (7, add(NOBODY, DEV_MMIO, ALL, ALL), ESRCH),
        (7, add(0x7ff1, SHARED_INFO, 0, 1), ESRCH),
        (7, add(PEER, DEV_MMIO, ALL, ALL), EACCES),
        (7, add(SELF, DEV_MMIO, 0, 1), EACCES),
        (7, add(PEER, SHARED_INFO, 1, ALL), EPERM),
        (7, add(SELF, SHARED_INFO, 0, ALL), EINVAL),
        (7, add(SELF, GMFN_RANGE, 0, ALL).u16(2, 0), EINVAL),
        (7, add(SELF, 99, 0, ALL), EINVAL),
        (7, add(SELF, SHARED_INFO, 1, 1), EINVAL),
        (7, add(SELF, GRANT_TABLE, GRANT_FRAMES.into(), 1), EINVAL),
        (7, add(SELF, GRANT_TABLE, 1 << 31, 1), EINVAL),
        (7, add(SELF, GRANT_TABLE, 1 << 32, 1), EINVAL),
        (7, add(SELF, GMFN_RANGE, 0, 1).u16(2, 1), ENOSYS),
        (7, add(SELF, 2, 0, 1), ENOSYS),
        (7, add(SELF, 6, 0, 1), ENOSYS),
        (7, add(SELF, u32::MAX, 0, 1), ENOSYS),
        (7 | 0x1_0000 << 6, add(NOBODY, FOREIGN, 0, 0), EDOM),
        (7 | 1 << 63, add(NOBODY, FOREIGN, 0, 0), EDOM),
        (15, Raw::of(16).u16(0, NOBODY).u64(8, 1), ESRCH),
        (15, Raw::of(16).u16(0, PEER).u64(8, 1), EPERM),
    ];
    for (cmd, record, want) in rows {
        assert_eq!(tell(&guest, cmd, &record), err(want), "memory_op {cmd:#x} {record:?}");
    }
    assert_eq!(guest.finish(MEMORY_OP, [7 | 0x1_0000 << 6, NOWHERE, 0, 0, 0]), err(EDOM));
    assert_eq!(guest.effects(), []);
}

#[test]
fn what_the_address_space_says_becomes_the_answer() {
    let guest = Guest::new();
    let rows = [
        (MapError::AlreadyMapped, EBUSY),
        (MapError::OutOfRange, EINVAL),
        (MapError::NoTables, ENOENT),
        (MapError::NotMapped, ENOENT),
    ];
    for (error, want) in rows {
        for (cmd, record) in [(7, add(SELF, GRANT_TABLE, 3, 1)), (15, Raw::of(16).u16(0, SELF).u64(8, 1))] {
            guest.map_error.set(Some(error));
            assert_eq!(tell(&guest, cmd, &record), err(want), "{error:?}");
        }
    }
    assert_eq!(guest.state().granted(), 1, "what was not mapped does not grow the table");
    guest.map_error.set(Some(MapError::Busy));
    guest.put(RAM, &add(SELF, SHARED_INFO, 0, 1).0);
    assert_eq!(guest.call(MEMORY_OP, [7, RAM, 0, 0, 0]), Outcome::Retry);
}

/// Indices at `RAM + 0x800`, frames at `RAM + 0x1000`, errors at `RAM + 0x1800`.
fn batch(domain: u16, space: u16, size: u16, foreign: u16) -> Raw {
    let record = Raw::of(32).u16(0, domain).u16(2, space).u16(4, size).u16(6, foreign);
    record.u64(8, RAM + 0x800).u64(16, RAM + 0x1000).u64(24, RAM + 0x1800)
}

fn list(guest: &Guest, entries: &[(u64, u64)]) {
    for (at, (index, frame)) in (0..).zip(entries) {
        guest.put(RAM + 0x800 + 8 * at, &index.to_le_bytes());
        guest.put(RAM + 0x1000 + 8 * at, &frame.to_le_bytes());
    }
}

fn results(guest: &Guest, count: usize) -> Vec<i32> {
    let bytes = guest.peek(RAM + 0x1800, 4 * count);
    bytes.chunks(4).map(|chunk| i32::from_le_bytes(chunk.try_into().unwrap())).collect()
}

#[test]
fn a_batch_answers_entry_by_entry() {
    let guest = Guest::new();
    list(&guest, &[(0, 0x100), (9, 0x101), (3, 0x102)]);
    assert_eq!(tell(&guest, 23, &batch(SELF, 1, 3, 0)), 0);
    assert_eq!(results(&guest, 3), [0, -22, 0]);
    assert_eq!(guest.effects().len(), 2);
    for (foreign, want) in [(PEER, EPERM), (ME, EPERM), (NOBODY, ESRCH), (SELF, ESRCH)] {
        assert_eq!(tell(&guest, 23, &batch(SELF, 4, 1, foreign)), 0);
        assert_eq!(results(&guest, 1), [err(want) as i32], "another domain's page, {foreign:#x}");
    }
    assert_eq!(tell(&guest, 23, &batch(SELF, 7, 1, 0)), 0);
    assert_eq!(results(&guest, 1), [-38]);
    let empty = batch(SELF, 1, 0, 0).u64(8, NOWHERE);
    assert_eq!(tell(&guest, 23, &empty), 0);
}

#[test]
fn every_error_of_a_batch() {
    let guest = Guest::new();
    list(&guest, &[(0, u64::MAX)]);
    let rows = [
        (0x1_0000, batch(NOBODY, 3, 1, 0), EDOM),
        (0, batch(NOBODY, 3, 1, 0), EOPNOTSUPP),
        (0, batch(NOBODY, 5, 1, 0), ESRCH),
        (0, batch(PEER, 5, 1, 0), EACCES),
        (0, batch(PEER, 1, 1, 0), EPERM),
        (2, batch(SELF, 1, 1, 0), EILSEQ),
        (1, batch(SELF, 1, 1, 0), EILSEQ),
        (1, batch(SELF, 1, 0, 0), EILSEQ),
        (0, batch(SELF, 1, 1, 0), EINVAL),
        (0, batch(SELF, 1, 1, 0).u64(8, NOWHERE), EFAULT),
        (0, batch(SELF, 1, 1, 0).u64(16, NOWHERE), EFAULT),
        (0, batch(SELF, 1, 1, 0).u64(8, u64::MAX), EFAULT),
    ];
    for (start, record, want) in rows {
        assert_eq!(tell(&guest, 23 | start << 6, &record), err(want), "from {start} {record:?}");
    }
    assert_eq!(guest.effects(), []);
    list(&guest, &[(0, 1)]);
    assert_eq!(tell(&guest, 23, &batch(SELF, 1, 1, 0).u64(24, READ_ONLY)), err(EFAULT));
}

#[test]
fn a_long_batch_goes_on_where_it_was() {
    let guest = Guest::new();
    list(&guest, &[(0, 1); 70]);
    guest.put(RAM, &batch(SELF, 1, 70, 0).0);
    assert_eq!(guest.call(MEMORY_OP, [23, RAM, 2, 3, 4]), Outcome::Continue([23 | 32 << 6, RAM, 2, 3, 4]));
    assert_eq!(guest.finish(MEMORY_OP, [23 | 32 << 6, RAM, 2, 3, 4]), 0);
    assert_eq!((guest.effects().len(), results(&guest, 70)), (70, vec![0; 70]));
    guest.map_error.set(Some(MapError::Busy));
    assert_eq!(guest.call(MEMORY_OP, [23, RAM, 0, 0, 0]), Outcome::Retry);
}

#[test]
fn reservations_are_what_they_are() {
    let guest = Guest::new();
    for cmd in [0, 1, 6] {
        assert_eq!(guest.finish(MEMORY_OP, [cmd, NOWHERE, 0, 0, 0]), 0, "{cmd}: no extent was done");
    }
    for (cmd, want) in [(3, 0x8000), (4, 0x8000), (14, 0x47fff)] {
        let rows = [(SELF, want), (ME, want), (NOBODY, err(ESRCH)), (PEER, err(EPERM))];
        for (domain, want) in rows {
            assert_eq!(tell(&guest, cmd, &Raw::of(2).u16(0, domain)), want, "{cmd} of {domain:#x}");
        }
    }
    for (cmd, want) in [(2, 0x47fff), (18, 0), (19, 0)] {
        assert_eq!(guest.finish(MEMORY_OP, [cmd, NOWHERE, 0, 0, 0]), want, "{cmd}");
    }
    for (cmd, want) in [(9, ENOSYS), (11, ENOSYS), (26, EOPNOTSUPP), (29, ENOSYS), (63, ENOSYS)] {
        assert_eq!(guest.finish(MEMORY_OP, [cmd, NOWHERE, 0, 0, 0]), err(want), "{cmd}");
    }
    for cmd in [2, 3, 4, 14, 15, 26, 27] {
        assert_eq!(
            guest.finish(MEMORY_OP, [cmd | 1 << 6, NOWHERE, 0, 0, 0]),
            err(EINVAL),
            "{cmd} does not go on"
        );
    }
    for (domain, want) in [(SELF, EINVAL), (NOBODY, EINVAL), (PEER, EPERM), (ME, EPERM)] {
        assert_eq!(tell(&guest, 24, &Raw::of(32).u16(24, domain)), err(want), "claim_pages for {domain}");
    }
    for (domain, want) in [(SELF, ESRCH), (NOBODY, ESRCH), (PEER, EPERM), (ME, EPERM)] {
        assert_eq!(
            tell(&guest, 28, &Raw::of(2).u16(0, domain)),
            err(want),
            "acquire_resource of {domain:#x}"
        );
    }
    let regions = |flags| Raw::of(8).u32(0, flags);
    assert_eq!(guest.ask(MEMORY_OP, 27, &regions(1)), (0, regions(1).u32(4, 0)));
    assert_eq!(tell(&guest, 27, &regions(2)), err(EINVAL));
}
