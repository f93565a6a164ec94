//! Idle means idle: two Linux domains wait at their shells, and QEMU writes down every exception to EL2.
//!
//! Nothing is counted in the hypervisor: QEMU's monitor switches its log of exceptions, and of the interrupts that the
//! physical CPU interface hands out, on for ten seconds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::linux::at_shell;
use crate::qemu::{BASE, Run};
use crate::watch::{self, Wanted};

/// Name of the scenario.
pub const NAME: &str = "linux-idle";
/// How long Linux is left to finish what it does after its boot, and how long is counted.
const SETTLE: Duration = Duration::from_secs(10);
const COUNTED: Duration = Duration::from_secs(10);
/// Entries of EL2 a second that both domains' own timers may cause.
const MOST: u64 = 100;

const DIRECTORY: &str = "target/portunus/idle";

/// Boots, waits, counts.
pub fn run() -> Result<Run, String> {
    fs::create_dir_all(DIRECTORY).map_err(|e| format!("{DIRECTORY}: {e}"))?;
    let (socket, log) = (format!("{DIRECTORY}/monitor"), format!("{DIRECTORY}/exceptions"));
    for old in [&socket, &log] {
        let _ = fs::remove_file(old);
    }
    let mut arguments = at_shell(NAME)?;
    arguments.extend(BASE.map(String::from));
    arguments.extend(["-monitor".into(), format!("unix:{socket},server,nowait"), "-D".into(), log.clone()]);
    let all = ["linux: domU1: then shell", "linux: domU2: then shell"].map(String::from);
    let wanted = Wanted { all: &all, none: &[], typed: &[], limit: 240 };
    let mut told = Ok(());
    let mut run = watch::until(&arguments, &wanted, |child| {
        std::thread::sleep(SETTLE);
        told = record(&socket);
        let _ = child.kill();
    });
    if run.failure.is_none() {
        told?;
        let log = fs::read_to_string(&log).map_err(|e| format!("{log}: {e}"))?;
        let entries = entries(&log);
        let total: u64 = entries.values().sum();
        let causes: Vec<String> = entries.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
        let line = format!("{total} entries of EL2 in {} s: {}", COUNTED.as_secs(), causes.join(", "));
        println!("        {line}");
        run.log.push_str(&format!("\n{line}\n"));
        run.failure = verdict(&entries);
    }
    Ok(run)
}

/// Why these entries are not those of an idle machine.
fn verdict(entries: &BTreeMap<String, u64>) -> Option<String> {
    let strange = entries.keys().find(|cause| !ALLOWED.iter().any(|allowed| cause.contains(allowed)));
    if let Some(cause) = strange {
        return Some(format!("EL2 was entered because of {cause}"));
    }
    let total: u64 = entries.values().sum();
    (total > MOST * COUNTED.as_secs()).then(|| format!("EL2 was entered {total} times"))
}

/// The guests' timers, and the console's UART.
const ALLOWED: [&str; 3] = ["virtual timer", "physical timer", "console"];

/// Has QEMU write its log for as long as is counted.
fn record(socket: &str) -> Result<(), String> {
    let mut monitor = UnixStream::connect(socket).map_err(|e| format!("QEMU's monitor: {e}"))?;
    let mut tell =
        |line: &str| monitor.write_all(line.as_bytes()).map_err(|e| format!("QEMU's monitor: {e}"));
    tell("trace-event gicv3_icc_iar1_read on\nlog int,trace:gicv3_icc_iar1_read\n")?;
    std::thread::sleep(COUNTED);
    tell("log none\n")?;
    // What it answers is of no interest, but that it has answered.
    std::thread::sleep(Duration::from_millis(500));
    monitor.set_nonblocking(true).map_err(|e| e.to_string())?;
    let _ = monitor.read(&mut [0; 4096]);
    Ok(())
}

/// Entries of EL2 by cause. A physical interrupt is told by its number, everything else by its exception class.
fn entries(log: &str) -> BTreeMap<String, u64> {
    let mut entries = BTreeMap::new();
    let mut taking = "";
    let mut to_el2 = false;
    for line in log.lines() {
        let mut count = |cause: String| *entries.entry(cause).or_insert(0) += 1;
        if let Some((_, value)) =
            line.split_once("ICC_IAR1 read cpu ").and_then(|(_, rest)| rest.split_once("value 0x"))
        {
            count(interrupt(u32::from_str_radix(value.trim(), 16).unwrap_or(u32::MAX)));
        } else if let Some((_, rest)) = line.split_once("Taking exception ") {
            taking = rest;
        } else if line.starts_with("...from EL") {
            to_el2 = line.trim_end().ends_with("to EL2");
            if to_el2 && !is_interrupt(taking) && !has_syndrome(taking) {
                count(String::from(taking));
            }
        } else if let Some(syndrome) = line.strip_prefix("...with ESR ")
            && to_el2
            && has_syndrome(taking)
        {
            count(format!("traps with class {}", syndrome.split('/').next().unwrap_or_default()));
        }
    }
    entries
}

fn is_interrupt(taking: &str) -> bool {
    taking.contains("[IRQ]")
}

fn has_syndrome(taking: &str) -> bool {
    !is_interrupt(taking) && !taking.contains("[FIQ]")
}

/// What interrupts of QEMU's virt are.
fn interrupt(intid: u32) -> String {
    match intid {
        0 => "doorbells of other CPUs".into(),
        1 => "reminders of the console".into(),
        25 => "maintenance interrupts".into(),
        26 => "interrupts of EL2's timer".into(),
        27 => "interrupts of a guest's virtual timer".into(),
        30 => "interrupts of a guest's physical timer".into(),
        33 => "interrupts of the console's UART".into(),
        1023 => "interrupts that were gone".into(),
        other => format!("interrupts {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_to_el2_are_told_by_cause() {
        let log = "Taking exception 5 [IRQ] on CPU 0\n...from EL1 to EL2\n...with ESR 0x0/0x0\n\
            gicv3_icc_iar1_read GICv3 ICC_IAR1 read cpu 0x0 value 0x1b\n\
            Taking exception 11 [Hypervisor Call] on CPU 1\n...from EL1 to EL2\n...with ESR 0x16/0x5a000ea1\n\
            Taking exception 2 [SVC] on CPU 0\n...from EL0 to EL1\n...with ESR 0x15/0x56000000\n";
        let found = entries(log);
        let expected = [("interrupts of a guest's virtual timer", 1), ("traps with class 0x16", 1)];
        assert_eq!(found, expected.map(|(cause, count)| (cause.to_owned(), count)).into());
        assert_eq!(verdict(&found).unwrap(), "EL2 was entered because of traps with class 0x16");
        assert_eq!(verdict(&BTreeMap::new()), None);
    }
}
