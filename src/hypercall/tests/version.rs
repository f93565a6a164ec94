//! `xen_version`.

use super::*;
use crate::hypercall::version::{MAJOR, MINOR};

fn call(guest: &Guest, cmd: u64, arg: u64) -> i64 {
    guest.finish(XEN_VERSION, [cmd, arg, 0, 0, 0])
}

/// What is at `at` up to the first zero, and how many bytes from `at` on are no longer what they were.
fn written(guest: &Guest, at: u64) -> (String, usize) {
    let bytes = guest.peek(at, 4096);
    let touched = bytes.iter().rposition(|byte| *byte != 0xa5).map_or(0, |last| last + 1);
    let text = bytes[..touched].split(|byte| *byte == 0).next().unwrap();
    (String::from_utf8(text.to_vec()).unwrap(), touched)
}

#[test]
fn numbers_come_in_x0() {
    let guest = Guest::new();
    assert_eq!(call(&guest, 0, NOWHERE), i64::from(MAJOR << 16 | MINOR));
    assert_eq!(call(&guest, 7, 0), 4096);
    assert_eq!(call(&guest, 1 << 32, 0), i64::from(MAJOR << 16 | MINOR), "32-bit command");
}

#[test]
fn strings_fill_their_arrays_and_nothing_behind() {
    let rows = [
        (1, "-portunus", 16),
        (3, "xen-3.0-aarch64 ", 1024),
        (4, concat!("portunus-", env!("CARGO_PKG_VERSION")), 64),
        (5, "", 8),
        (8, "", 16),
        (9, "<denied>", 1024),
    ];
    for (cmd, text, size) in rows {
        let guest = Guest::new();
        assert_eq!(call(&guest, cmd, RAM), 0, "{cmd}");
        assert_eq!(written(&guest, RAM), (text.to_owned(), size), "{cmd}");
        let guest = Guest::new();
        assert_eq!(call(&guest, cmd, RAM_END - size as u64), 0, "{cmd}: it fits to the last byte");
        for bad in [RAM_END - size as u64 + 1, READ_ONLY, NOWHERE, u64::MAX - 3] {
            assert_eq!(call(&guest, cmd, bad), err(EFAULT), "{cmd} at {bad:#x}");
        }
    }
}

#[test]
fn compile_info_is_four_strings() {
    let guest = Guest::new();
    assert_eq!(call(&guest, 2, RAM), 0);
    let strings = [0, 64, 80, 112].map(|at| written(&guest, RAM + at).0);
    assert_eq!(strings, ["rustc", "portunus", "", ""]);
    assert_eq!(written(&guest, RAM).1, 144);
    assert_eq!(call(&guest, 2, RAM_END - 143), err(EFAULT));
}

#[test]
fn features_are_those_of_a_translated_guest() {
    let guest = Guest::new();
    let ask = |index| guest.ask(XEN_VERSION, 6, &Raw::of(8).u32(0, index));
    assert_eq!(ask(0), (0, Raw::of(8).u32(0, 0).u32(4, 0x0001_6005)));
    assert_eq!(ask(1), (err(EINVAL), Raw::of(8).u32(0, 1)));
    guest.put(READ_ONLY, &[0; 8]);
    assert_eq!(call(&guest, 6, READ_ONLY), err(EFAULT));
}

#[test]
fn sized_strings_say_their_length_and_need_room() {
    for (cmd, text) in [(11, "-portunus"), (12, "xen-3.0-aarch64 ")] {
        let (guest, length) = (Guest::new(), text.len() as i64);
        assert_eq!(call(&guest, cmd, 0), length, "a null pointer asks");
        let short = Raw::of(64).u32(0, length as u32 - 1);
        assert_eq!(guest.tell(XEN_VERSION, cmd, &short), err(ENOBUFS));
        let (result, after) = guest.ask(XEN_VERSION, cmd, &Raw::of(64).u32(0, length as u32));
        assert_eq!((result, &after.0[4..4 + text.len()]), (length, text.as_bytes()));
        assert_eq!(after.0[4 + text.len()], 0xa5, "no terminator");
        guest.put(RAM_END - 4, &[0; 4]);
        assert_eq!(call(&guest, cmd, RAM_END - 4), err(ENOBUFS), "only the length is read");
        assert_eq!(call(&guest, cmd, RAM_END - 3), err(EFAULT));
        let edge = RAM_END - 4 - length as u64 + 1;
        guest.put(edge, &64_u32.to_le_bytes());
        assert_eq!(call(&guest, cmd, edge), err(EFAULT), "room that is alleged and not there");
    }
}

#[test]
fn what_is_denied_and_what_is_unknown() {
    let guest = Guest::new();
    let rows = [(7, RAM, EINVAL), (10, RAM, EPERM), (10, 0, EPERM), (14, 0, EPERM), (15, RAM, ENOSYS)];
    for (cmd, arg, want) in rows {
        assert_eq!(call(&guest, cmd, arg), err(want), "{cmd}");
    }
    assert_eq!(written(&guest, RAM).1, 0);
}
