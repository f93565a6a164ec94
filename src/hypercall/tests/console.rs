//! `console_io`.

use super::*;

fn write(count: u64, at: u64) -> [u64; 5] {
    [0, count, at, 3, 4]
}

#[test]
fn text_arrives_and_what_is_not_text_does_not() {
    let guest = Guest::new();
    guest.put(RAM, b"\x1b[1mBoot\0ing\tPortunus\xff\r\n");
    assert_eq!(guest.finish(CONSOLE_IO, write(24, RAM)), 0);
    assert_eq!(*guest.console.borrow(), "[1mBooting\tPortunus\n");
    assert_eq!(guest.finish(CONSOLE_IO, write(0, NOWHERE)), 0, "nothing is no trouble");
}

#[test]
fn a_console_that_takes_little_at_a_time_loses_nothing() {
    let text: Vec<u8> =
        (0..5000_u32).map(|at| if at.is_multiple_of(7) { 1 } else { b'a' + (at % 26) as u8 }).collect();
    let printable =
        || text.iter().filter(|byte| **byte != 1).map(|byte| char::from(*byte)).collect::<String>();
    for room in [1, 2, 127, 128, 129, 1000] {
        let guest = Guest::new();
        guest.put(RAM, &text);
        let (mut args, mut calls) = (write(text.len() as u64, RAM), 0);
        loop {
            guest.room.set(room);
            match guest.call(CONSOLE_IO, args) {
                Outcome::Continue(next) => args = next,
                outcome => {
                    assert_eq!(outcome, Outcome::Return(0));
                    break;
                }
            }
            assert_eq!((args[0], args[3], args[4]), (0, 3, 4));
            calls += 1;
            assert!(calls <= text.len(), "every call gets on");
        }
        assert_eq!(*guest.console.borrow(), printable(), "room for {room}");
    }
}

#[test]
fn without_room_the_guest_comes_again() {
    let guest = Guest::new();
    guest.put(RAM, b"late\n");
    guest.room.set(0);
    assert_eq!(guest.call(CONSOLE_IO, write(5, RAM)), Outcome::Retry);
    guest.room.set(2);
    assert_eq!(guest.call(CONSOLE_IO, write(5, RAM)), Outcome::Continue([0, 3, RAM + 2, 3, 4]));
    guest.room.set(0);
    guest.put(RAM + 2, b"\x01te");
    assert_eq!(guest.call(CONSOLE_IO, write(3, RAM + 2)), Outcome::Continue([0, 2, RAM + 3, 3, 4]));
    guest.put(RAM, b"\0\0\0\0\0");
    assert_eq!(guest.call(CONSOLE_IO, write(5, RAM)), Outcome::Return(0), "dropping needs no room");
}

#[test]
fn a_long_text_lets_others_have_a_turn() {
    let guest = Guest::new();
    guest.put(RAM, &[b'x'; 2000]);
    assert_eq!(guest.call(CONSOLE_IO, write(2000, RAM)), Outcome::Continue([0, 976, RAM + 1024, 3, 4]));
    assert_eq!(guest.call(CONSOLE_IO, write(u64::MAX, RAM)), {
        Outcome::Continue([0, u64::from(u32::MAX - 1024), RAM + 1024, 3, 4])
    });
}

#[test]
fn text_that_ends_in_nothing_is_efault() {
    let guest = Guest::new();
    guest.put(RAM_END - 4, b"last");
    assert_eq!(guest.finish(CONSOLE_IO, write(5, RAM_END - 4)), err(EFAULT));
    assert_eq!(guest.finish(CONSOLE_IO, write(4, RAM_END - 4)), 0);
    assert_eq!(guest.finish(CONSOLE_IO, write(8, u64::MAX - 3)), err(EFAULT));
    assert_eq!(*guest.console.borrow(), "last");
}

#[test]
fn there_is_nothing_to_read() {
    let guest = Guest::new();
    let rows = [
        ([1, 10, RAM], 0),
        ([1, 0x7fff_ffff, NOWHERE], 0),
        ([1, 0x8000_0000, RAM], err(E2BIG)),
        ([2, 0, RAM], err(ENOSYS)),
        ([u64::MAX, 0, RAM], err(ENOSYS)),
    ];
    for ([cmd, count, at], want) in rows {
        assert_eq!(guest.finish(CONSOLE_IO, [cmd, count, at, 0, 0]), want, "console_io({cmd}, {count:#x})");
    }
}
