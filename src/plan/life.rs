//! What becomes of a domain when it ends: `portunus,on-poweroff`, `-reboot`, `-crash`, `-watchdog`, and how often it
//! may start again.
//!
//! Decides nothing at run time; it only reads. *Refuses* what it does not understand: the owner of a domain that must
//! come back, or must not, would not forgive a default.

use super::code::Code;
use super::diagnostic::{At, Diagnostics, Quoted};
use super::{Action, LifePlan, Machine, RestartLimit};
use crate::fdt::Node;

/// How the tree writes what can be done.
const ACTIONS: [(&str, Action); 4] = [
    ("stop", Action::Stop),
    ("restart", Action::Restart),
    ("reset-machine", Action::ResetMachine),
    ("power-off-machine", Action::PowerOffMachine),
];

/// Reads the policy of the domain `node`. What is wrong is reported as an error and keeps its default.
pub(super) fn read(node: &Node<'_, '_>, machine: &Machine, diags: &mut Diagnostics) -> LifePlan {
    let usual = LifePlan::default();
    let mut read = |name, usual| action(node, name, machine, diags).unwrap_or(usual);
    let plan = LifePlan {
        poweroff: read("portunus,on-poweroff", usual.poweroff),
        reboot: read("portunus,on-reboot", usual.reboot),
        crash: read("portunus,on-crash", usual.crash),
        watchdog: read("portunus,on-watchdog", usual.watchdog),
        ..usual
    };
    let plan =
        LifePlan { limit: limit(node, diags).unwrap_or(plan.limit), delay: delay(node, diags), ..plan };
    for name in ["portunus,max-restarts", "portunus,restart-delay"] {
        if node.has(name) && !plan.actions().contains(&Action::Restart) {
            diags.report(
                Code::RestartNever,
                At::prop(node, name),
                format_args!("the property changes nothing: this domain is never restarted"),
                format_args!("write portunus,on-crash = \"restart\", for example, or remove {name}"),
            );
        }
    }
    plan
}

fn action(
    node: &Node<'_, '_>,
    name: &'static str,
    machine: &Machine,
    diags: &mut Diagnostics,
) -> Option<Action> {
    let at = At::prop(node, name);
    let value = node.prop(name)?.str().unwrap_or("");
    let Some((_, action)) = ACTIONS.iter().find(|(word, _)| *word == value) else {
        let what = format_args!("{} is nothing that can be done with a domain", Quoted(value));
        match diags.did_you_mean(value, &ACTIONS.map(|(word, _)| word)) {
            Some(meant) => {
                diags.report(Code::ActionUnknown, at, what, format_args!("did you mean \"{meant}\"?"))
            }
            None => diags.report(
                Code::ActionUnknown,
                at,
                what,
                format_args!("write \"stop\", \"restart\", \"reset-machine\" or \"power-off-machine\""),
            ),
        }
        return None;
    };
    if machine.psci.is_none() && matches!(action, Action::ResetMachine | Action::PowerOffMachine) {
        diags.report(
            Code::ActionFirmware,
            at,
            format_args!(
                "this machine has no PSCI firmware to do it; the domain would stay off, and the others run on"
            ),
            format_args!("add the firmware's psci node, or write \"stop\" or \"restart\""),
        );
    }
    Some(*action)
}

/// `portunus,max-restarts`: a number, or a number and the seconds that it counts for.
fn limit(node: &Node<'_, '_>, diags: &mut Diagnostics) -> Option<RestartLimit> {
    const NAME: &str = "portunus,max-restarts";
    let value = node.prop(NAME)?.value;
    let cell = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
    match value.as_chunks::<4>() {
        ([count], []) => return Some(RestartLimit { count: cell(count), seconds: None }),
        ([count, seconds], []) if cell(seconds) != 0 => {
            return Some(RestartLimit { count: cell(count), seconds: Some(cell(seconds)) });
        }
        ([_, _], []) => diags.report(
            Code::RestartLimit,
            At::prop(node, NAME).cell(1),
            format_args!("nothing can happen in 0 seconds"),
            format_args!("{NAME} = <5 60> allows five restarts in a minute, <5> five in all"),
        ),
        _ => diags.report(
            Code::RestartLimit,
            At::prop(node, NAME),
            format_args!("the value has {} bytes; one cell is 4 and two are 8", value.len()),
            format_args!("{NAME} = <5 60> allows five restarts in a minute, <5> five in all"),
        ),
    }
    None
}

/// `portunus,restart-delay`, in milliseconds.
fn delay(node: &Node<'_, '_>, diags: &mut Diagnostics) -> u32 {
    let prop = node.prop("portunus,restart-delay");
    prop.and_then(|prop| super::domain::number(node, prop, diags)).unwrap_or(0)
}
