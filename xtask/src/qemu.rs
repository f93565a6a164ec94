//! One run of QEMU: started directly (so that it can be ended), its serial line read in a thread, with a deadline.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::chain::{self, Way};
use crate::compose::{Machine, Request, Virt};
use crate::trees;

/// What every machine of ours is: QEMU's `virt` with a GICv3 and nothing that is not needed.
pub const BASE: [&str; 6] = ["-nographic", "-nodefaults", "-net", "none", "-serial", "stdio"];

/// What `cargo xtask run` boots if nothing is named.
const PARTITION: &str = "qemu/partitions/pingpong.toml";

/// What a run must say.
pub struct Expectation<'a> {
    /// Texts that must appear, in this order.
    pub wanted: &'a [&'a str],
    /// Texts that must not appear before the last wanted one.
    pub forbidden: &'a [&'a str],
    /// Seconds until the run has failed.
    pub limit: u64,
}

/// How a run ended.
pub struct Run {
    /// Everything it printed.
    pub log: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Starts QEMU with `arguments` and reads until everything wanted was seen, something forbidden was, QEMU ended,
/// or time is up.
pub fn watch(arguments: &[String], expectation: &Expectation<'_>) -> Run {
    let mut child = match Command::new("qemu-system-aarch64")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) => {
            let failure =
                Some(format!("qemu-system-aarch64 does not start: {error}; `make setup` installs it"));
            return Run { log: String::new(), failure };
        }
    };
    let lines = read_lines(&mut child);
    let (mut log, failure) = follow(&lines, expectation);
    let _ = child.kill();
    let _ = child.wait();
    if let (Some(_), Some(mut stderr)) = (&failure, child.stderr.take()) {
        let _ = stderr.read_to_string(&mut log);
    }
    Run { log, failure }
}

fn read_lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                if sender.send(String::from_utf8_lossy(&line).replace('\r', "")).is_err() {
                    return;
                }
                line.clear();
            }
        });
    }
    receiver
}

fn follow(lines: &Receiver<String>, expectation: &Expectation<'_>) -> (String, Option<String>) {
    let deadline = Instant::now() + Duration::from_secs(expectation.limit);
    let mut log = String::new();
    let mut wanted = expectation.wanted.iter();
    let mut next = wanted.next();
    while let Some(text) = next {
        let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return (log, Some(format!("`{text}` did not appear within {} s", expectation.limit)));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return (log, Some(format!("QEMU ended before `{text}` appeared")));
            }
        };
        log.push_str(&line);
        if let Some(bad) = expectation.forbidden.iter().find(|bad| line.contains(**bad)) {
            return (log, Some(format!("`{bad}` appeared")));
        }
        if line.contains(text) {
            next = wanted.next();
        }
    }
    (log, None)
}

/// What `cargo xtask run` is to boot.
struct Choice<'w> {
    machine: &'w str,
    gic: u32,
    uboot: bool,
    firmware: bool,
    what: &'w str,
}

/// Boots the image as `words` say: a machine, how it is booted, and a partition file or a tree in `qemu/trees`. Console on
/// this terminal; QEMU's escape key is moved from Ctrl-A to Ctrl-], so that Ctrl-A reaches the hypervisor.
pub fn interactive(words: &[String]) -> Result<(), String> {
    let choice = choose(words)?;
    let machine = Machine::named(choice.machine).ok_or_else(|| format!("no machine `{}`", choice.machine))?;
    chain::possible(&machine)?;
    let arguments = if choice.what.ends_with(".toml") {
        let boot = match (choice.uboot, choice.firmware) {
            (false, false) => Way::Direct,
            (true, false) => Way::UBoot,
            (false, true) => Way::Firmware,
            (true, true) => Way::FirmwareUBoot,
        };
        let file = Path::new(choice.what);
        chain::arguments(&Request { file, machine: &machine, gic: choice.gic, out: None }, boot)?
    } else if choice.uboot || choice.firmware {
        return Err("--uboot and --firmware boot partition files: name a .toml, or none".into());
    } else {
        let model = machine.qemu(&Virt::default(), choice.gic);
        let words: Vec<&str> = model.iter().map(String::as_str).collect();
        let tree = trees::compose(&words, choice.what, "run")?;
        model
            .into_iter()
            .chain(["-kernel".into(), crate::image::IMAGE.into()])
            .chain(tree.arguments)
            .collect()
    };
    println!("QEMU: leave with Ctrl-] x, its monitor is Ctrl-] c");
    let console = ["-nographic", "-nodefaults", "-net", "none", "-echr", "0x1d", "-serial", "mon:stdio"];
    crate::image::run(Command::new("qemu-system-aarch64").args(arguments).args(console))
}

fn choose(words: &[String]) -> Result<Choice<'_>, String> {
    let mut choice = Choice { machine: "virt", gic: 3, uboot: false, firmware: false, what: PARTITION };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "virt" | "rpi4" | "zcu102" => choice.machine = word,
            "--uboot" => choice.uboot = true,
            "--firmware" => choice.firmware = true,
            "--gic" => match words.next() {
                Some("2") => choice.gic = 2,
                Some("3") => choice.gic = 3,
                _ => return Err("--gic is followed by 2 or 3".into()),
            },
            word if word.starts_with('-') => return Err(format!("what is `{word}`?")),
            name => choice.what = name,
        }
    }
    Ok(choice)
}
