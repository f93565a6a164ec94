//! The hypervisor's own command line.
//!
//! `xen,xen-bootargs` is read as Xen reads it. Options that only make sense for Xen are accepted silently, so
//! that one tree serves both; what looks like a misspelling is reported.

use super::code::Code;
use super::diagnostic::{At, Diagnostics, Quoted};
use super::{Options, WhenDone};
use crate::fdt::Node;

/// Options of Xen that change nothing here.
const IGNORED: &[&str] = &[
    "bootscrub",
    "console",
    "console_timestamps",
    "conring_size",
    "dom0_max_vcpus",
    "dom0_mem",
    "dom0-llc-colors",
    "dtuart",
    "ext_regions",
    "flask",
    "gnttab",
    "gnttab_max_frames",
    "gnttab_max_maptrack_frames",
    "guest_loglvl",
    "hmp-unsafe",
    "iommu",
    "llc-coloring",
    "llc-nr-ways",
    "llc-size",
    "loglvl",
    "maxcpus",
    "noreboot",
    "sched",
    "serrors",
    "sync_console",
    "vwfi",
    "watchdog",
    "xen-llc-colors",
    "xsm",
];
/// Options that are honoured, beside `dtuart`.
const HONOURED: &[&str] = &["conswitch", "when-done"];

/// Options that ask for protection, and the beginnings of the values that do so.
const PROTECTION: &[(&str, &[&str])] = &[
    ("flask", &["enforcing", "late"]),
    ("iommu", &["force", "required"]),
    ("llc-coloring", &["", "on", "yes", "1", "true", "enable"]),
    ("xsm", &["flask"]),
];

/// The property that holds the command line, and its text if it is text.
fn property(chosen: &Node<'_, '_>) -> Option<&'static str> {
    // `bootargs` is the guest's or dom0's, unless dom0 has a property of its own.
    if chosen.has("xen,xen-bootargs") {
        Some("xen,xen-bootargs")
    } else if chosen.has("xen,dom0-bootargs") && chosen.has("bootargs") {
        Some("bootargs")
    } else {
        None
    }
}

/// The command line; empty if there is none.
fn command_line<'t>(chosen: &Node<'_, 't>) -> &'t str {
    property(chosen).and_then(|name| chosen.prop(name)?.str().ok()).unwrap_or("")
}

fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split_ascii_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")))
}

/// The UART that `dtuart=` names: a path or an alias, without what follows a colon.
pub(super) fn dtuart<'t>(chosen: &Node<'_, 't>) -> Option<&'t str> {
    let (_, value) = words(command_line(chosen)).filter(|(name, _)| *name == "dtuart").last()?;
    Some(value.split_once(':').map_or(value, |(path, _)| path))
}

/// Reads the options. Whatever cannot be used keeps its default.
pub(super) fn read(chosen: &Node<'_, '_>, diags: &mut Diagnostics) -> Options {
    let mut options = Options::default();
    let Some(name) = property(chosen) else {
        if chosen.has("bootargs") {
            diags.report(
                Code::BootargsIgnored,
                At::prop(chosen, "bootargs"),
                format_args!("without a dom0 this property belongs to nobody"),
                format_args!("write options for the hypervisor into xen,xen-bootargs"),
            );
        }
        return options;
    };
    let at = At::prop(chosen, name);
    if chosen.prop(name).is_some_and(|prop| prop.str().is_err()) {
        diags.report(
            Code::OptionsText,
            at,
            format_args!("the value is not a NUL-terminated string; all options keep their defaults"),
            format_args!("write it as a string in quotes"),
        );
    }
    for (word, value) in words(command_line(chosen)) {
        match word {
            "conswitch" => match switch_key(value) {
                Some(key) => options.switch_key = key,
                None => {
                    bad_value(at, word, value, "a letter from a to z, such as conswitch=a for Ctrl-A", diags)
                }
            },
            "when-done" => match value {
                "halt" => options.when_done = WhenDone::Halt,
                "poweroff" => options.when_done = WhenDone::PowerOff,
                "reset" => options.when_done = WhenDone::Reset,
                _ => bad_value(at, word, value, "halt, poweroff or reset", diags),
            },
            "maxcpus" => diags.report(
                Code::OptionMaxCpus,
                at,
                format_args!("maxcpus is not read: every CPU of the tree may run domains"),
                format_args!("write status = \"fail\" into the nodes of CPUs that are to stay off"),
            ),
            _ if protects(word, value) => diags.report(
                Code::OptionProtection,
                at,
                format_args!("{word}={value} has no effect: the domains start without what it promises"),
                format_args!("remove it once nobody relies on it"),
            ),
            _ if IGNORED.contains(&word) => {}
            _ => unknown(at, word, diags),
        }
    }
    options
}

fn protects(word: &str, value: &str) -> bool {
    PROTECTION.iter().any(|(name, values)| *name == word && values.contains(&value))
}

/// The control character of a letter. Xen allows an `x` behind it, which is about its own boot.
fn switch_key(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [letter] | [letter, b'x'] if letter.is_ascii_alphabetic() => Some(letter & 0x1f),
        _ => None,
    }
}

fn bad_value(at: At<'_>, word: &str, value: &str, allowed: &str, diags: &mut Diagnostics) {
    diags.report(
        Code::OptionValue,
        at,
        format_args!("{word} cannot be {}; it keeps its default", Quoted(value)),
        format_args!("{word} takes {allowed}"),
    );
}

fn unknown(at: At<'_>, word: &str, diags: &mut Diagnostics) {
    match diags.did_you_mean(word, &[HONOURED, IGNORED].concat()) {
        Some(meant) => diags.report(
            Code::OptionUnknown,
            at,
            format_args!("{} is not an option of Xen or Portunus", Quoted(word)),
            format_args!("did you mean {meant}?"),
        ),
        None => diags.report(
            Code::OptionUnknown,
            at,
            format_args!("{} is not an option of Xen or Portunus", Quoted(word)),
            format_args!("remove it; guest command lines go into bootargs of the kernel module"),
        ),
    }
}
