//! A run of QEMU whose domains speak when they like: texts wanted in any order, and answers typed at prompts.
//!
//! A hypervisor may cut a domain's line when another domain speaks. So texts are looked for in what each source said,
//! put together again, not in the log's lines.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::qemu::Run;

/// What a run must show.
pub struct Wanted<'a> {
    /// Texts that must all appear, in any order.
    pub all: &'a [String],
    /// Texts that no source may say before the last wanted one.
    pub none: &'a [&'a str],
    /// What is typed: when the first text has appeared, the second is sent; then the next pair is looked for, behind
    /// it.
    pub typed: &'a [(&'a str, &'a str)],
    /// Seconds until the run has failed.
    pub limit: u64,
}

/// Starts QEMU with `arguments` and reads until everything wanted was seen, something unwanted was, QEMU ended,
/// or time is up.
pub fn watch(arguments: &[String], wanted: &Wanted<'_>) -> Run {
    until(arguments, wanted, |child| drop(child.kill()))
}

/// The same; if everything wanted was seen, goes on for `then` and asks QEMU to end, so that what it writes at its end is
/// written.
pub fn linger(arguments: &[String], wanted: &Wanted<'_>, then: Duration) -> Run {
    until(arguments, wanted, |child| {
        std::thread::sleep(then);
        let asked = Command::new("kill").arg(child.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = child.kill();
        }
    })
}

/// The same; if everything wanted was seen, `end` sees to the end of QEMU.
pub fn until(arguments: &[String], wanted: &Wanted<'_>, end: impl FnOnce(&mut Child)) -> Run {
    let started = Command::new("qemu-system-aarch64")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let why = format!("qemu-system-aarch64 does not start: {error}; `make setup` installs it");
            return Run { log: String::new(), failure: Some(why) };
        }
    };
    let pieces = read_pieces(&mut child);
    let (mut log, failure) = follow(&mut child, &pieces, wanted);
    if failure.is_none() {
        end(&mut child);
    } else {
        let _ = child.kill();
    }
    let _ = child.wait();
    if let (Some(_), Some(mut stderr)) = (&failure, child.stderr.take()) {
        let _ = stderr.read_to_string(&mut log);
    }
    Run { log, failure }
}

/// What each source said, without the ends of its lines.
#[derive(Default)]
struct Sources {
    said: Vec<(String, String)>,
    taken: usize,
}

impl Sources {
    /// Reads the lines of `log` that are complete and were not read before; whether there were any.
    fn take(&mut self, log: &str) -> bool {
        let new = log.get(self.taken..).unwrap_or_default();
        let Some(end) = new.rfind('\n') else { return false };
        self.taken += end + 1;
        for line in new.get(..end).unwrap_or_default().lines() {
            let (source, text) = source(line);
            match self.said.iter_mut().find(|(name, _)| name == source) {
                Some((_, said)) => said.push_str(text),
                None => self.said.push((source.into(), text.into())),
            }
        }
        true
    }

    fn said(&self, text: &str) -> bool {
        self.said.iter().any(|(_, said)| said.contains(text))
    }
}

/// Who says a line, and what: `(domU1) text` here, `(XEN) DOM1: text` under Xen.
fn source(line: &str) -> (&str, &str) {
    let dom = line
        .strip_prefix("(XEN) ")
        .filter(|rest| rest.starts_with("DOM"))
        .and_then(|rest| rest.split_once(": "));
    dom.or_else(|| line.strip_prefix('(')?.split_once(") ")).unwrap_or(("", line))
}

fn read_pieces(child: &mut Child) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(mut stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                if sender.send(piece.get(..length).unwrap_or_default().to_vec()).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

fn follow(child: &mut Child, pieces: &Receiver<Vec<u8>>, wanted: &Wanted<'_>) -> (String, Option<String>) {
    let deadline = Instant::now() + Duration::from_secs(wanted.limit);
    let mut log = String::new();
    let mut sources = Sources::default();
    let mut missing: Vec<&String> = wanted.all.iter().collect();
    let mut typed = wanted.typed.iter();
    let mut next = typed.next();
    let mut typed_until = 0;
    loop {
        if sources.take(&log) {
            missing.retain(|text| !sources.said(text));
            if let Some(bad) = wanted.none.iter().find(|bad| sources.said(bad)) {
                return (log, Some(format!("`{bad}` appeared")));
            }
        }
        while let Some((prompt, text)) = next {
            let Some(at) = log.get(typed_until..).and_then(|rest| rest.find(prompt)) else { break };
            typed_until += at + prompt.len();
            let sent = child
                .stdin
                .as_mut()
                .map(|stdin| stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()));
            if !matches!(sent, Some(Ok(()))) {
                return (log, Some(format!("`{text}` could not be typed")));
            }
            next = typed.next();
        }
        let Some(first) = missing.first() else { return (log, None) };
        let left = deadline.saturating_duration_since(Instant::now());
        let piece = if left.is_zero() { Err(RecvTimeoutError::Timeout) } else { pieces.recv_timeout(left) };
        match piece {
            // With whatever else has come meanwhile: looking through a long log for each byte would take too long.
            Ok(piece) => {
                let all: Vec<u8> = piece.into_iter().chain(pieces.try_iter().flatten()).collect();
                log.push_str(&String::from_utf8_lossy(&all).replace('\r', ""));
            }
            Err(RecvTimeoutError::Timeout) => {
                return (log, Some(format!("`{first}` did not appear within {} s", wanted.limit)));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return (log, Some(format!("QEMU ended before `{first}` appeared")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_is_whole_again() {
        let mut sources = Sources::default();
        let log = "(domU1) linux: domU1: tro\n(domU2) something else\n(domU1) uble=0\n(XEN) DOM2: half";
        sources.take(log);
        assert!(sources.said("linux: domU1: trouble=0") && !sources.said("half"));
        sources.take(&format!("{log} a line\n(XEN) panic\nno prefix\n"));
        assert!(sources.said("half a line") && sources.said("panic") && sources.said("no prefix"));
        assert!(!sources.said("linepanic"));
    }
}
