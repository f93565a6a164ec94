//! One run of QEMU: started directly (so that it can be ended), its serial line read in a thread, with a deadline.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::{boards, trees};

/// What every machine of ours is: QEMU's `virt` with a GICv3 and nothing that is not needed.
pub const BASE: [&str; 6] = ["-nographic", "-nodefaults", "-net", "none", "-serial", "stdio"];

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

/// Boots the image as `words` say: a machine, `--gic 2`, and a tree in `qemu/trees`. Console on this terminal; QEMU's
/// escape key is moved from Ctrl-A to Ctrl-], so that Ctrl-A reaches the hypervisor.
pub fn interactive(words: &[String]) -> Result<(), String> {
    let (machine, tree) = choose(words)?;
    println!("QEMU: leave with Ctrl-] x, its monitor is Ctrl-] c");
    let console = ["-nographic", "-nodefaults", "-net", "none", "-echr", "0x1d", "-serial", "mon:stdio"];
    let tree = trees::compose(&machine, tree, "run")?;
    let image = ["-kernel", crate::image::IMAGE];
    crate::image::run(
        Command::new("qemu-system-aarch64").args(machine).args(console).args(image).args(tree.arguments),
    )
}

/// QEMU's arguments for a machine, and the name of a tree.
fn choose(words: &[String]) -> Result<(Vec<&'static str>, &str), String> {
    let (mut board, mut gic, mut tree) = (None, "virt,virtualization=on,gic-version=3", "seed");
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "virt" => board = None,
            "rpi4" => board = Some(&boards::RPI4),
            "zcu102" => board = Some(&boards::ZCU102),
            "--gic" => match words.next() {
                Some("2") => gic = "virt,virtualization=on,gic-version=2",
                Some("3") => gic = "virt,virtualization=on,gic-version=3",
                _ => return Err("--gic is followed by 2 or 3".into()),
            },
            name => tree = name,
        }
    }
    let virt = || vec!["-M", gic, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];
    Ok((board.map_or_else(virt, |board| board.machine.to_vec()), tree))
}
