//! `memory_op`, and `vcpu_op`'s business with memory.

use portunus_guests::verdict::{Verdict, both, split};
use portunus_rt::hypercall::{self, MEMORY_OP, VCPU_OP, add_to_physmap, call, halves};
use portunus_rt::machine::Span;
use portunus_rt::{mmio, mmu, println};

use crate::table::*;

const SHARED_INFO: u32 = 0;
const GRANT_TABLE: u32 = 1;
/// A frame number that no structure may name, in two words.
const NO_FRAME: u32 = u32::MAX;

/// domid@0(2) size@2(2) space@4(4) idx@8(8) gpfn@16(8) for `add_to_physmap`; domid@0(2) gpfn@8(8) for its opposite.
const ROWS: [Row; 52] = [
    row("no extents", 0, &[0, 0, 0, 0, 0, 0, OWN, 0], both(0)),
    row("no extents", 1, &[0, 0, 0, 0, 0, 0, OWN, 0], both(0)),
    row("no extents", 6, &[0, 0, 0, 0, 0, 0, OWN, 0], both(0)),
    row("of nobody", 3, &[NOBODY], both(ESRCH)),
    row("of another", 3, &[OTHER], both(EPERM)),
    row("of nobody", 4, &[NOBODY], both(ESRCH)),
    row("of another", 4, &[OTHER], both(EPERM)),
    row("of nobody", 14, &[NOBODY], both(ESRCH)),
    row("of another", 14, &[OTHER], both(EPERM)),
    row("shared_info, page 1", 7, &[OWN, 0, 1, 0, 0x3_9000, 0], both(EINVAL)),
    row("grant frame 64", 7, &[OWN, 1, 64, 0, 0x3_9000, 0], both(EINVAL)),
    row("frame of all ones", 7, &[OWN, 1, 0, 0, NO_FRAME, NO_FRAME], both(EINVAL)),
    row("frame beyond the address space", 7, &[OWN, 1, 0, 0, 0, 0x100], both(EINVAL)),
    row("gmfn", 7, &[OWN, 2, 0, 0, 0x3_9000, 0], both(ENOSYS)),
    row("no gmfn_range", 7, &[OWN, 3, 0, 0, 0x3_9000, 0], both(0)),
    row("gmfn_range", 7, &[OWN | 1 << 16, 3, 0, 0, 0x3_9000, 0], both(ENOSYS)),
    row("gmfn_foreign", 7, &[OWN, 4, 0, 0, 0x3_9000, 0], both(ENOSYS)),
    row("dev_mmio", 7, &[OWN, 5, 0, 0, 0x3_9000, 0], both(EACCES)),
    row("space 6", 7, &[OWN, 6, 0, 0, 0x3_9000, 0], both(ENOSYS)),
    row("of nobody", 7, &[NOBODY, 0, 0, 0, 0x3_9000, 0], both(ESRCH)),
    row("of another", 7, &[OTHER, 0, 0, 0, 0x3_9000, 0], both(EPERM)),
    row("going on at 65536", 7 | 0x1_0000 << 6, &[OWN, 0, 0, 0, 0x3_9000, 0], both(EDOM)),
    row("nothing there", 15, &[OWN, 0, 0x3_9000, 0], both(ENOENT)),
    row("of nobody", 15, &[NOBODY, 0, 0x3_9000, 0], both(ESRCH)),
    row("of another", 15, &[OTHER, 0, 0x3_9000, 0], both(EPERM)),
    row("empty", 23, &[OWN, 0, 0, 0, 0, 0, 0, 0], both(0)),
    row("gmfn_range", 23, &[OWN | 3 << 16, 1, 0, 0, 0, 0, 0, 0], both(EOPNOTSUPP)),
    row("of nobody", 23, &[NOBODY, 1, 0, 0, 0, 0, 0, 0], both(ESRCH)),
    row("of another", 23, &[OTHER, 1, 0, 0, 0, 0, 0, 0], both(EPERM)),
    row("indices unreadable", 23, &[OWN | 1 << 16, 1, 0, 0x80, 0, 0x80, 0, 0x80], both(EFAULT)),
    row("memory_map", 9, &[0, 0, 0, 0], both(ENOSYS)),
    row("shared frames", 18, &[0], both(0)),
    row("sharing pages", 19, &[0], both(0)),
    row("claim_pages for self", 24, &[0, 0, 0, 0, 0, 0, OWN, 0], both(EINVAL)),
    row("claim_pages for nobody", 24, &[0, 0, 0, 0, 0, 0, NOBODY, 0], both(EINVAL)),
    row("claim_pages for another", 24, &[0, 0, 0, 0, 0, 0, OTHER, 0], both(EPERM)),
    row("get_vnumainfo", 26, &[OWN, 0, 0, 0, 0, 0, 0, 0], both(EOPNOTSUPP)),
    row("reserved memory, flag 2", 27, &[2, 0, 0, 0], both(EINVAL)),
    row("reserved memory", 27, &[0, 0, 0, 0], both(0)),
    row("acquire_resource of self", 28, &[OWN, 0, 0, 0, 0, 0, 0, 0], both(ESRCH)),
    row("acquire_resource of nobody", 28, &[NOBODY, 0, 0, 0, 0, 0, 0, 0], both(ESRCH)),
    row("acquire_resource of another", 28, &[OTHER, 0, 0, 0, 0, 0, 0, 0], both(EPERM)),
    row("no operation", 5, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 8, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 10, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 12, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 13, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 16, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 17, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 29, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 40, &[0, 0, 0, 0], both(ENOSYS)),
    row("no operation", 63, &[0, 0, 0, 0], both(ENOSYS)),
];

pub fn check(v: &mut Verdict, other: u32) {
    run(v, "memory_op", MEMORY_OP, &ROWS, other);
    unreadable(v, "memory_op", MEMORY_OP, [3, 4, 7, 14, 15, 23, 27].into_iter());
    for command in [0, 1, 6] {
        let got = call(MEMORY_OP, [command, BAD_POINTERS[0], 0, 0, 0]);
        v.check(format_args!("memory_op({command}) with a bad pointer"), got, both(0));
    }
    sizes(v);
    let window = mmu::window();
    grant_frames(v, window);
    batch(v, window, other);
    shared_info(v, window);
    vcpu_op(v);
}

fn sizes(v: &mut Verdict) {
    let ram: usize = portunus_rt::machine::get().ram().map(|bank| bank.size).sum();
    let last = portunus_rt::machine::get().ram().last().map_or(0, |bank| bank.end() / 4096 - 1);
    for (name, command, least) in [
        ("current reservation", 3, ram / 4096),
        ("maximum reservation", 4, ram / 4096),
        ("last frame", 14, last),
    ] {
        let got = hypercall::with(MEMORY_OP, command, &mut [OWN]);
        v.holds(format_args!("{name}: {got} is at least {least}"), got >= least as i64);
    }
    // Xen tells the host's last page, Portunus the guest's.
    let last_page = call(MEMORY_OP, [2, 0, 0, 0, 0]);
    v.holds(format_args!("the machine's last frame: {last_page}"), last_page > 0);
    // Xen makes empty exchanges; here, none is offered.
    let exchange =
        hypercall::with(MEMORY_OP, 11, &mut [0, 0, 0, 0, 0, 0, OWN, 0, 0, 0, 0, 0, 0, 0, OWN, 0, 0, 0]);
    v.check(format_args!("memory_op(11), empty exchange"), exchange, split(ENOSYS, 0));
}

const fn frame(window: Span, page: usize) -> u64 {
    (window.start / 4096 + page) as u64
}

fn remove(frame: u64) -> i64 {
    let (low, high) = halves(frame);
    hypercall::with(MEMORY_OP, 15, &mut [OWN, 0, low, high])
}

fn grant_frames(v: &mut Verdict, window: Span) {
    let at = |page| frame(window, page);
    v.check(format_args!("grant frame 0"), add_to_physmap(GRANT_TABLE, 0, at(4)), both(0));
    v.check(format_args!("grant frame 0, again there"), add_to_physmap(GRANT_TABLE, 0, at(4)), both(EBUSY));
    v.check(format_args!("grant frame 0, elsewhere"), add_to_physmap(GRANT_TABLE, 0, at(5)), both(EBUSY));
    v.check(format_args!("grant frame 1"), add_to_physmap(GRANT_TABLE, 1, at(5)), both(0));
    let word = window.start + 4 * 4096 + 64;
    v.check(format_args!("a grant frame is empty"), mmio::read32(word).into(), both(0));
    mmio::write32(word, 0x1234);
    v.check(format_args!("a grant frame keeps"), mmio::read32(word).into(), both(0x1234));
    v.check(format_args!("grant frame 0, removed"), remove(at(4)), both(0));
    v.check(format_args!("grant frame 0, removed again"), remove(at(4)), both(ENOENT));
    v.check(format_args!("grant frame 0, back"), add_to_physmap(GRANT_TABLE, 0, at(6)), both(0));
    for page in [5, 6] {
        v.check(format_args!("grant frame, removed"), remove(at(page)), both(0));
    }
}

/// domid@0(2) space@2(2) size@4(2) foreign@6(2) idxs@8(8) gpfns@16(8) errs@24(8)
fn batch(v: &mut Verdict, window: Span, other: u32) {
    let go = |space: u32, foreign: u32, indices: &[u64; 2], frames: &[u64; 2], errors: &mut [i32; 2]| {
        let (idxs, gpfns, errs) =
            (indices.as_ptr() as u64, frames.as_ptr() as u64, errors.as_mut_ptr() as u64);
        let mut record = [OWN | space << 16, 2 | foreign << 16, 0, 0, 0, 0, 0, 0];
        for (at, pointer) in [(2, idxs), (4, gpfns), (6, errs)] {
            (record[at], record[at + 1]) = halves(pointer);
        }
        hypercall::with(MEMORY_OP, 23, &mut record)
    };
    let mut errors = [9, 9];
    let frames = [frame(window, 8), frame(window, 9)];
    let got = go(GRANT_TABLE, 0, &[0, 99], &frames, &mut errors);
    v.check(format_args!("batch of two grant frames"), got, both(0));
    v.check(format_args!("batch: grant frame 0"), errors[0].into(), both(0));
    v.check(format_args!("batch: grant frame 99"), errors[1].into(), both(EINVAL));
    v.check(format_args!("batch: removed"), remove(frames[0]), both(0));
    let got = go(4, other, &[0x4_0000, 0x4_0001], &frames, &mut errors);
    v.check(format_args!("batch of another's pages"), got, both(0));
    for error in errors {
        v.check(format_args!("batch: another's page"), error.into(), both(EPERM));
    }
    let got = go(GRANT_TABLE, 0, &[0, 1], &[u64::MAX, 0], &mut errors);
    v.check(format_args!("batch with a frame of all ones"), got, both(EINVAL));
}

/// Leaves `shared_info` unmapped, for the runtime to map.
fn shared_info(v: &mut Verdict, window: Span) {
    let at = |page| frame(window, page);
    v.check(format_args!("shared_info"), add_to_physmap(SHARED_INFO, 0, at(0)), both(0));
    v.check(format_args!("shared_info, again there"), add_to_physmap(SHARED_INFO, 0, at(0)), both(EBUSY));
    v.check(format_args!("shared_info, elsewhere"), add_to_physmap(SHARED_INFO, 0, at(1)), both(EBUSY));
    // The mask of the last 64 ports: ours to write, and kept.
    const MASK: usize = 560 + 63 * 8;
    mmio::write64(window.start + MASK, 0x5555);
    v.check(format_args!("shared_info, removed"), remove(at(0)), both(0));
    v.check(format_args!("shared_info, removed again"), remove(at(0)), both(ENOENT));
    v.check(format_args!("shared_info, moved"), add_to_physmap(SHARED_INFO, 0, at(2)), both(0));
    let kept = mmio::read64(window.start + 2 * 4096 + MASK) as i64;
    v.check(format_args!("shared_info keeps its contents"), kept, both(0x5555));
    let version = mmio::read32(window.start + 2 * 4096 + 1072);
    v.holds(format_args!("wall clock version {version} is even"), version.is_multiple_of(2));
    let [seconds, nanoseconds, high] =
        [1076, 1080, 1084].map(|at| mmio::read32(window.start + 2 * 4096 + at));
    v.holds(format_args!("wall clock has {nanoseconds} ns"), nanoseconds < 1_000_000_000);
    println!("abi: wall clock {}", u64::from(high) << 32 | u64::from(seconds));
    v.check(format_args!("shared_info, removed"), remove(at(2)), both(0));
}

fn vcpu_op(v: &mut Verdict) {
    let with =
        |command: u64, vcpu: u64, words: &[u32]| call(VCPU_OP, [command, vcpu, words.as_ptr() as u64, 0, 0]);
    for vcpu in [1, 128, 0xffff_ffff] {
        v.check(format_args!("vcpu_op(10) of vCPU {vcpu}"), with(10, vcpu, &[0; 4]), both(ENOENT));
        v.check(format_args!("vcpu_op(99) of vCPU {vcpu}"), with(99, vcpu, &[0; 4]), both(ENOENT));
    }
    for command in (0..5).chain(6..10).chain(11..16).chain([99]) {
        v.check(format_args!("vcpu_op({command})"), with(command, 0, &[0; 8]), both(EINVAL));
    }
    let area = [0_u64; 6];
    let (low, high) = halves(area.as_ptr() as u64);
    v.check(format_args!("run state area"), with(5, 0, &[low, high]), both(0));
    v.check(format_args!("run state area nowhere"), with(5, 0, &[0, 0x80]), both(0));
    for pointer in BAD_POINTERS {
        for command in [5, 10] {
            let got = call(VCPU_OP, [command, 0, pointer, 0, 0]);
            v.check(format_args!("vcpu_op({command}) with a pointer to {pointer:#x}"), got, both(EFAULT));
        }
    }
    let ram = frame(portunus_rt::machine::get().ram().next().unwrap_or_default(), 64) as u32;
    v.check(format_args!("vcpu_info behind its page"), with(10, 0, &[ram, 0, 4096, 0]), split(EINVAL, ENXIO));
    v.check(format_args!("vcpu_info across pages"), with(10, 0, &[ram, 0, 4056, 0]), both(ENXIO));
    v.check(format_args!("vcpu_info unaligned"), with(10, 0, &[ram, 0, 4, 0]), both(ENXIO));
    v.check(format_args!("vcpu_info where nothing is"), with(10, 0, &[0x3_9000, 0, 0, 0]), both(EINVAL));
}
