//! A table of calls: number, command, a structure of 32-bit words, and the answer.

use portunus_guests::verdict::{Verdict, Want};
use portunus_rt::hypercall;

pub const EPERM: i64 = -1;
pub const ENOENT: i64 = -2;
pub const ESRCH: i64 = -3;
pub const E2BIG: i64 = -7;
pub const ENXIO: i64 = -6;
pub const ENOMEM: i64 = -12;
pub const EACCES: i64 = -13;
pub const EFAULT: i64 = -14;
pub const EBUSY: i64 = -16;
pub const EEXIST: i64 = -17;
pub const EINVAL: i64 = -22;
pub const ENOSPC: i64 = -28;
pub const EDOM: i64 = -33;
pub const ENOSYS: i64 = -38;
pub const EOPNOTSUPP: i64 = -95;
pub const ENOBUFS: i64 = -105;

/// The caller's own domain.
pub const OWN: u32 = hypercall::DOMID_SELF as u32;
/// A domain that does not exist.
pub const NOBODY: u32 = 77;
/// An address that stage 1 does not translate, and one that stage 2 does not.
pub const BAD_POINTERS: [u64; 2] = [0x80_0000_0000, 0x3_8000_0000];

/// One call with a structure that it may write to.
pub struct Row {
    pub what: &'static str,
    pub command: u64,
    pub words: &'static [u32],
    pub want: Want,
}

pub const fn row(what: &'static str, command: u64, words: &'static [u32], want: Want) -> Row {
    Row { what, command, words, want }
}

/// Makes each call of a table to hypercall `number`. Where a word is [`OTHER`], it is replaced by `other`.
pub fn run(v: &mut Verdict, name: &str, number: u64, rows: &[Row], other: u32) {
    for row in rows {
        let mut words = [0_u32; 40];
        for (word, value) in words.iter_mut().zip(row.words) {
            *word = replace(*value, other);
        }
        let got = hypercall::with(number, row.command, &mut words);
        v.check(format_args!("{name}({}) {}", row.command, row.what), got, row.want);
    }
}

/// Stands for the number of the other domain, in the lower or in both halves of a word.
pub const OTHER: u32 = 0xeeee;

fn replace(word: u32, other: u32) -> u32 {
    match (word >> 16, word & 0xffff) {
        (high, low) if low == OTHER && high == OTHER => other | other << 16,
        (high, OTHER) => high << 16 | other,
        (OTHER, low) => other << 16 | low,
        _ => word,
    }
}

/// Checks that each of these commands of hypercall `number` answers `EFAULT` to pointers that cannot be read.
pub fn unreadable(v: &mut Verdict, name: &str, number: u64, commands: impl Iterator<Item = u64>) {
    for command in commands {
        for pointer in BAD_POINTERS {
            let got = hypercall::call(number, [command, pointer, 0, 0, 0]);
            let want = portunus_guests::verdict::both(EFAULT);
            v.check(format_args!("{name}({command}) with a pointer to {pointer:#x}"), got, want);
        }
    }
}
