//! Answers the events of `evtchn-ping` through static channels.

use std::process::ExitCode;
use std::time::Duration;

use portunus_linux::arguments::{Arguments, parse};
use portunus_linux::channels::Directory;
use portunus_linux::device::Device;
use portunus_linux::pong::pong;

const HELP: &str = "\
usage: evtchn-pong [-n COUNT] [-t SECONDS] [-w SECONDS] CHANNEL...

Answers each event on CHANNEL by one, until each had COUNT of them or none comes any more.
CHANNEL is a static channel by its name in /proc/device-tree/hypervisor/channels, or by this domain's port; NAME=PORT
is the port where the device tree describes no channels, as under Xen.

  -n COUNT     events to answer on each channel (0: no end)
  -t SECONDS   ends when no event came for so long (2000000, about three weeks)
  -w SECONDS   how long to wait for the first event (2000000)

Exit code: 0 if events were answered, 1 if not, 2 for a wrong command line.";

const LONG: Duration = Duration::from_secs(2_000_000);

fn main() -> ExitCode {
    let defaults =
        Arguments { count: 0, limit: LONG, patience: LONG, rest: Duration::ZERO, ports: Vec::new() };
    let arguments = match parse(std::env::args().skip(1), defaults, &Directory::default()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("evtchn-pong: {message}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match Device::open().and_then(|mut device| pong(&mut device, &arguments)) {
        Ok(report) => {
            println!("evtchn-pong: {report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("evtchn-pong: {failure}");
            ExitCode::FAILURE
        }
    }
}
