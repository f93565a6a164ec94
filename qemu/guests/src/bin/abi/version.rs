//! `xen_version`.

use portunus_guests::verdict::{Verdict, both, split};
use portunus_rt::Machine;
use portunus_rt::hypercall::{self, XEN_VERSION, call};

use crate::table::*;

const ROWS: [Row; 9] = [
    row("extraversion", 1, &[0], both(0)),
    row("compile_info", 2, &[0], both(0)),
    row("changeset", 4, &[0], both(0)),
    row("features, submap 0", 6, &[0, 0], both(0)),
    row("features, submap 1", 6, &[1, 0], both(EINVAL)),
    row("pagesize with an argument", 7, &[0], both(EINVAL)),
    row("build_id", 10, &[0], both(EPERM)),
    row("commandline2", 14, &[0], split(EPERM, ENOSYS)),
    row("no command", 15, &[0], both(ENOSYS)),
];

pub fn check(v: &mut Verdict, machine: &Machine) {
    run(v, "xen_version", XEN_VERSION, &ROWS, 0);
    unreadable(v, "xen_version", XEN_VERSION, 1..7);
    unreadable(v, "xen_version", XEN_VERSION, 8..10);
    let version = hypercall::version();
    // "xen,xen-4.21" in the device tree.
    let (major, minor) = machine.hypervisor.and_then(said).unwrap_or_default();
    v.check(
        format_args!("version, as in the device tree"),
        version as i64,
        both((major << 16 | minor) as i64),
    );
    v.check(format_args!("pagesize"), call(XEN_VERSION, [7, 0, 0, 0, 0]), both(4096));
    let mut features = [0, 0];
    hypercall::with(XEN_VERSION, 6, &mut features);
    v.check(format_args!("features"), features[1].into(), both(0x1_6005));
    text(v, 3, "capabilities", "xen-3.0-aarch64 ");
    text(v, 9, "commandline", "<denied>\0");
    let mut start = [9, 9];
    let answer = hypercall::with(XEN_VERSION, 5, &mut start);
    v.check(format_args!("platform_parameters"), answer, both(0));
    // Where Xen 4.17 itself is mapped, which is nobody's business and gone since.
    v.check(format_args!("platform_parameters, low"), start[0].into(), split(0, 0x20_0000));
    v.check(format_args!("platform_parameters, high"), start[1].into(), both(0));
    text(v, 8, "guest_handle", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    for command in [11, 12, 13] {
        let length = call(XEN_VERSION, [command, 0, 0, 0, 0]);
        let known = if v.is_xen_4_17() { length == ENOSYS } else { length > 0 };
        v.holds(format_args!("xen_version({command}) without a buffer: {length}"), known);
        let mut record = [0_u32; 64];
        let none = hypercall::with(XEN_VERSION, command, &mut record);
        v.check(format_args!("xen_version({command}) with no room"), none, split(ENOBUFS, ENOSYS));
        record[0] = 252;
        let some = hypercall::with(XEN_VERSION, command, &mut record);
        v.check(format_args!("xen_version({command}) with room"), some, split(length, ENOSYS));
    }
}

fn said(compatible: &str) -> Option<(u64, u64)> {
    let (major, minor) = compatible.strip_prefix("xen,xen-")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Checks that a command succeeds and what it writes begins with.
fn text(v: &mut Verdict, command: u64, name: &str, want: &str) {
    let mut buffer = [0xff_u8; 1024];
    let got = call(XEN_VERSION, [command, buffer.as_mut_ptr() as u64, 0, 0, 0]);
    v.check(format_args!("{name}"), got, both(0));
    v.holds(
        format_args!("{name} begins with `{}`", want.trim_end_matches('\0')),
        buffer.starts_with(want.as_bytes()),
    );
}
