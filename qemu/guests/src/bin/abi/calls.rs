//! Which hypercalls there are, and the small ones.

use portunus_guests::verdict::{Verdict, both, split};
use portunus_rt::exception::catch;
use portunus_rt::hypercall::{self, call};

use crate::table::*;

const PLATFORM_OP: u64 = 7;
const MULTICALL: u64 = 13;
const GRANT_TABLE_OP: u64 = 20;
const VM_ASSIST: u64 = 21;
const HVM_OP: u64 = 34;
const SYSCTL: u64 = 35;
const DOMCTL: u64 = 36;
const HYPFS_OP: u64 = 42;

/// Numbers that are no hypercall of a domU.
pub fn numbers(v: &mut Verdict) {
    const OFFERED: [u64; 14] = [7, 12, 13, 17, 18, 20, 21, 24, 29, 32, 34, 35, 36, 42];
    let none = (0..80).filter(|number| !OFFERED.contains(number));
    for number in none.chain([100, 255, 1 << 31, 17 | 1 << 32, u64::MAX]) {
        v.check(format_args!("hypercall {number}"), call(number, [0; 5]), both(ENOSYS));
    }
}

/// HVC and SMC with immediates that mean nothing are undefined instructions.
pub fn immediates(v: &mut Verdict) {
    let undefined = [
        (1, catch(hypercall::hvc::<1>)),
        (0xea0, catch(hypercall::hvc::<0xea0>)),
        (0xea2, catch(hypercall::hvc::<0xea2>)),
        (0x4a48, catch(hypercall::hvc::<0x4a48>)),
        (0xffff, catch(hypercall::hvc::<0xffff>)),
    ];
    for (immediate, caught) in undefined {
        let class = caught.map_or(-1, |caught| caught.class() as i64);
        v.check(format_args!("exception class of HVC #{immediate:#x}"), class, both(0));
    }
    for (immediate, caught) in [(1, catch(hypercall::smc::<1>)), (0xea1, catch(hypercall::smc::<0xea1>))] {
        let class = caught.map_or(-1, |caught| caught.class() as i64);
        v.check(format_args!("exception class of SMC #{immediate:#x}"), class, both(0));
    }
}

const HVM: [Row; 22] = [
    row("set 0", 0, &[OWN, 0, 1, 0], both(EPERM)),
    row("set 1", 0, &[OWN, 1, 1, 0], both(EPERM)),
    row("set 2", 0, &[OWN, 2, 1, 0], both(EPERM)),
    row("set 17", 0, &[OWN, 17, 1, 0], both(EPERM)),
    row("set 18", 0, &[OWN, 18, 1, 0], both(EPERM)),
    row("set 28", 0, &[OWN, 28, 1, 0], both(EPERM)),
    row("set 3", 0, &[OWN, 3, 1, 0], both(EINVAL)),
    row("set 500", 0, &[OWN, 500, 1, 0], both(EINVAL)),
    row("set, unknown domain", 0, &[NOBODY, 0, 1, 0], both(ESRCH)),
    row("set, other domain", 0, &[OTHER, 0, 1, 0], both(EPERM)),
    row("get 0", 1, &[OWN, 0, 1, 1], both(0)),
    row("get 1", 1, &[OWN, 1, 1, 1], both(0)),
    row("get 2", 1, &[OWN, 2, 1, 1], both(0)),
    row("get 17", 1, &[OWN, 17, 1, 1], both(0)),
    row("get 18", 1, &[OWN, 18, 1, 1], both(0)),
    row("get 28", 1, &[OWN, 28, 1, 1], both(EPERM)),
    row("get 3", 1, &[OWN, 3, 1, 1], both(EINVAL)),
    row("get, unknown domain", 1, &[NOBODY, 0, 1, 1], both(ESRCH)),
    row("get, other domain", 1, &[OTHER, 0, 1, 1], both(EPERM)),
    row("event with an argument", 24, &[0], both(EINVAL)),
    row("no operation", 2, &[0], both(ENOSYS)),
    row("no operation", 99, &[0], both(ENOSYS)),
];

const GRANT: [Row; 9] = [
    row("version 1", 8, &[1], both(0)),
    row("version 2", 8, &[2], both(ENOSYS)),
    row("version 3", 8, &[3], both(EINVAL)),
    row("version", 10, &[OWN, 0], both(0)),
    row("version of nobody", 10, &[NOBODY, 0], both(ESRCH)),
    row("version of another", 10, &[OTHER, 0], both(EPERM)),
    row("size, count 0", 6, &[OWN, 0, 0, 0], both(EINVAL)),
    row("no operation", 13, &[0], both(ENOSYS)),
    row("no operation", 99, &[0], both(ENOSYS)),
];

/// The small hypercalls.
pub fn check(v: &mut Verdict, other: u32) {
    run(v, "hvm_op", HVM_OP, &HVM, other);
    unreadable(v, "hvm_op", HVM_OP, 0..2);
    for index in [0, 1, 2, 17, 18] {
        let mut record = [OWN, index, u32::MAX, u32::MAX];
        hypercall::with(HVM_OP, 1, &mut record);
        v.check(format_args!("HVM parameter {index}"), i64::from(record[2] | record[3]), both(0));
    }
    v.check(format_args!("hvm_op(24) without argument"), call(HVM_OP, [24, 0, 0, 0, 0]), both(0));
    grants(v, other);
    let assist = [(0, 5, 0), (1, 5, 0), (0, 1, EINVAL), (1, 0, EINVAL), (0, 99, EINVAL), (2, 5, ENOSYS)];
    for (command, kind, want) in assist {
        let got = call(VM_ASSIST, [command, kind, 0, 0, 0]);
        v.check(format_args!("vm_assist({command}, {kind})"), got, both(want));
    }
    console(v);
    multicall(v);
    privileged(v);
}

fn grants(v: &mut Verdict, other: u32) {
    run(v, "grant_table_op", GRANT_TABLE_OP, &GRANT, other);
    let mut version = [2];
    hypercall::with(GRANT_TABLE_OP, 8, &mut version);
    v.check(format_args!("grant version after 2 was refused"), version[0].into(), both(1));
    let size = |domain: u32, count: u64| {
        let mut record = [domain, 9, 9, 9];
        let args = [6, record.as_mut_ptr() as u64, count, 0, 0];
        let answer = call(GRANT_TABLE_OP, args);
        (answer, record)
    };
    let (answer, [_, frames, most, status]) = size(OWN, 1);
    v.check(format_args!("grant query_size"), answer, both(0));
    // Portunus keeps a few frames that nobody uses, Xen as many as its default says.
    v.check(format_args!("most grant frames"), most.into(), split(32, 64));
    v.holds(format_args!("grant frames {frames} of {most}"), frames >= 1 && frames <= most);
    v.check(format_args!("grant query_size, status"), i64::from(status as i16), both(0));
    v.check(format_args!("grant query_size, two of them"), size(OWN, 2).0, both(EINVAL));
    for (domain, want) in [(NOBODY, -2), (other, -8)] {
        let (answer, record) = size(domain, 1);
        v.check(format_args!("grant query_size of domain {domain}"), answer, both(0));
        let status = i64::from(record[3] as i16);
        v.check(format_args!("grant query_size of domain {domain}, status"), status, both(want));
    }
    unreadable(v, "grant_table_op", GRANT_TABLE_OP, [8, 10].into_iter());
    for command in [0, 1, 5] {
        let got = call(GRANT_TABLE_OP, [command, 0, 0, 0, 0]);
        v.check(format_args!("grant_table_op({command}) of nothing"), got, both(0));
    }
    // host_addr@0(8) flags@8(4) ref@12(4) dom@16(2) -> status@18(2)
    let mut map = [0x3800_0000, 0, 2, 8, other, 0, 0, 0];
    let args = [0, map.as_mut_ptr() as u64, 1, 0, 0];
    v.check(format_args!("grant map"), call(GRANT_TABLE_OP, args), both(0));
    let status = (map[4] >> 16) as i16;
    v.holds(format_args!("grant map is refused (status {status})"), status < 0);
}

fn console(v: &mut Verdict) {
    let text = b"abi: console_io\n";
    let write = |count: u64, pointer: u64| call(hypercall::CONSOLE_IO, [0, count, pointer, 0, 0]);
    v.check(format_args!("console write"), write(text.len() as u64, text.as_ptr() as u64), both(0));
    v.check(format_args!("console write of nothing"), write(0, 0), both(0));
    for pointer in BAD_POINTERS {
        v.check(format_args!("console write from {pointer:#x}"), write(4, pointer), both(EFAULT));
    }
    let mut buffer = [0_u8; 16];
    let read = |count: u64, buffer: &mut [u8]| {
        call(hypercall::CONSOLE_IO, [1, count, buffer.as_mut_ptr() as u64, 0, 0])
    };
    v.check(format_args!("console read"), read(16, &mut buffer), both(0));
    v.check(format_args!("console read of 2 GiB"), read(1 << 31, &mut buffer), both(E2BIG));
    v.check(format_args!("console_io(2)"), call(hypercall::CONSOLE_IO, [2, 0, 0, 0, 0]), both(ENOSYS));
}

fn multicall(v: &mut Verdict) {
    // op@0(8) result@8(8) args@16(6 x 8)
    let mut list = [[0_u64; 8]; 3];
    list[0][0] = hypercall::XEN_VERSION;
    list[1][0] = 99;
    list[2][0] = MULTICALL;
    let got = call(MULTICALL, [list.as_mut_ptr() as u64, 3, 0, 0, 0]);
    // The list was written behind the compiler's back.
    let result = |n: usize| core::hint::black_box(&list)[n][1] as i64;
    v.check(format_args!("multicall"), got, both(0));
    v.check(format_args!("multicall: version"), result(0), both(hypercall::version() as i64));
    v.check(format_args!("multicall: unknown hypercall"), result(1), both(ENOSYS));
    v.check(format_args!("multicall: multicall"), result(2), both(EINVAL));
    v.check(format_args!("multicall of nothing"), call(MULTICALL, [0; 5]), both(0));
    for pointer in BAD_POINTERS {
        let got = call(MULTICALL, [pointer, 1, 0, 0, 0]);
        v.check(format_args!("multicall from {pointer:#x}"), got, both(EFAULT));
    }
}

/// What only a privileged domain may do takes its pointer in x0.
fn privileged(v: &mut Verdict) {
    const PLATFORM_VERSION: u32 = 0x0300_0001;
    let platform = |version: u32| {
        let mut record = [0_u32; 34];
        (record[0], record[1]) = (62, version);
        call(PLATFORM_OP, [record.as_ptr() as u64, 0, 0, 0, 0])
    };
    v.check(format_args!("platform_op of another version"), platform(1), both(EACCES));
    v.check(format_args!("platform_op"), platform(PLATFORM_VERSION), both(EPERM));
    let record = [0_u32; 64];
    for (name, number) in [("sysctl", SYSCTL), ("domctl", DOMCTL)] {
        let got = call(number, [record.as_ptr() as u64, 0, 0, 0, 0]);
        v.check(format_args!("{name} of another version"), got, both(EACCES));
    }
    for (name, number) in [("platform_op", PLATFORM_OP), ("sysctl", SYSCTL), ("domctl", DOMCTL)] {
        for pointer in BAD_POINTERS {
            let got = call(number, [pointer, 0, 0, 0, 0]);
            v.check(format_args!("{name} with a pointer to {pointer:#x}"), got, both(EFAULT));
        }
    }
    v.check(format_args!("hypfs_op"), call(HYPFS_OP, [0; 5]), both(EPERM));
}
