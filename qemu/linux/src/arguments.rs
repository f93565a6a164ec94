//! The command line that both programs share: options with a number, then channels, by name or by port.

use std::time::Duration;

use crate::channels::Directory;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// `-n`: how many events per port; 0 for no end.
    pub count: u64,
    /// `-t`: seconds without an event until the program gives up.
    pub limit: Duration,
    /// `-w`: seconds to wait for the first event.
    pub patience: Duration,
    /// `-r`: how long `evtchn-ping` rests before it sends the next event.
    pub rest: Duration,
    /// This domain's ports, as the device tree names them.
    pub ports: Vec<u32>,
}

/// The longest time that can be asked for, in seconds: what `poll` can count in milliseconds.
const LONGEST: u64 = 2_000_000;

/// Reads `arguments` (without the program's name) over `defaults`; `None` if help was asked for. Names of channels are
/// looked up in `directory`.
///
/// # Errors
///
/// What is wrong with them, in one line.
pub fn parse<I>(arguments: I, defaults: Arguments, directory: &Directory) -> Result<Option<Arguments>, String>
where
    I: IntoIterator<Item = String>,
{
    let mut parsed = defaults;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(None),
            "-n" => parsed.count = number(&argument, arguments.next())?,
            "-t" => parsed.limit = seconds(&argument, arguments.next())?,
            "-r" => parsed.rest = Duration::from_millis(number(&argument, arguments.next())?),
            "-w" => parsed.patience = seconds(&argument, arguments.next())?,
            option if option.starts_with('-') => return Err(format!("no option {option}")),
            channels => {
                for channel in channels.split(',').filter(|channel| !channel.is_empty()) {
                    parsed.ports.push(self::channel(channel, directory)?);
                }
            }
        }
    }
    if parsed.ports.is_empty() {
        return Err("no channel: name those that this domain is to use".into());
    }
    Ok(Some(parsed))
}

fn number(option: &str, value: Option<String>) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("{option} needs a number behind it"))?;
    value.parse().map_err(|_| format!("{option} {value}: not a number"))
}

fn seconds(option: &str, value: Option<String>) -> Result<Duration, String> {
    match number(option, value)? {
        seconds @ 1..=LONGEST => Ok(Duration::from_secs(seconds)),
        seconds => Err(format!("{option} {seconds}: between 1 and {LONGEST} seconds")),
    }
}

/// The port of a channel: a number, a name, or a name with the port where the device tree describes none. A name begins
/// with a letter, so it is never taken for a number.
fn channel(text: &str, directory: &Directory) -> Result<u32, String> {
    match text.split_once('=') {
        Some((_, number)) if !directory.exists() => port(number),
        Some((name, _)) => directory.port(name),
        None if text.starts_with(|first: char| first.is_ascii_digit()) => port(text),
        None => directory.port(text),
    }
}

/// A port, in decimal or with 0x in front. Port 0 is never valid.
fn port(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("{text}: not a port (1 or more, 0x for hexadecimal)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Arguments>, String> {
        let second = Duration::from_secs(1);
        let defaults =
            Arguments { count: 7, limit: second, patience: second, rest: Duration::ZERO, ports: Vec::new() };
        parse(line.split_whitespace().map(String::from), defaults, &Directory::at("/nowhere"))
    }

    #[test]
    fn ports_are_read_in_either_base_and_with_commas() {
        let Ok(Some(arguments)) = read("-n 20 10,0xc 14 -t 3 -r 5") else { panic!("not read") };
        assert_eq!(arguments.ports, [10, 12, 14]);
        assert_eq!((arguments.count, arguments.limit), (20, Duration::from_secs(3)));
        assert_eq!(arguments.rest, Duration::from_millis(5));
        let Ok(Some(arguments)) = read("request=10 response=0xc") else { panic!("not read") };
        assert_eq!(arguments.ports, [10, 12], "where the tree describes no channels, the number counts");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "",
            "-n",
            "-n x 1",
            "-t 0 1",
            "-t 9999999999 1",
            "0",
            "0x",
            "-1",
            "--port 3",
            "4294967296",
            "request",
            "request=",
            "request",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        assert_eq!(read("-n 3 --help"), Ok(None));
    }
}
