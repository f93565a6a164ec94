//! Sends events through static channels and counts the answers of `evtchn-pong`.

use std::process::ExitCode;
use std::time::Duration;

use portunus_linux::Marked;
use portunus_linux::arguments::{Arguments, parse};
use portunus_linux::channels::Directory;
use portunus_linux::device::Device;
use portunus_linux::ping::ping;

const HELP: &str = "\
usage: evtchn-ping [-n COUNT] [-t SECONDS] [-w SECONDS] [-r MILLISECONDS] CHANNEL...

Sends an event on each CHANNEL, waits for the answer of evtchn-pong in the other domain, and repeats that COUNT times.
CHANNEL is a static channel by its name in /proc/device-tree/hypervisor/channels, or by this domain's port; NAME=PORT
is the port where the device tree describes no channels, as under Xen.

  -n COUNT     round trips on each channel (1000)
  -t SECONDS   an answer that takes longer is lost (5)
  -w SECONDS   how long to wait for evtchn-pong to start (60)
  -r MILLISECONDS
               rests for so long before the next event is sent, so that both sides are asleep (0)

Exit code: 0 if no event was lost and none came too many, 1 if not, 2 for a wrong command line.";

fn main() -> ExitCode {
    let defaults = Arguments {
        count: 1000,
        limit: Duration::from_secs(5),
        patience: Duration::from_secs(60),
        rest: Duration::ZERO,
        ports: Vec::new(),
    };
    let arguments = match parse(std::env::args().skip(1), defaults, &Directory::default()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("evtchn-ping: {message}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match Device::open().and_then(|device| ping(&mut Marked(device), &arguments)) {
        Ok(report) => {
            println!("evtchn-ping: {report}");
            if report.surplus == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            eprintln!("evtchn-ping: {failure}");
            ExitCode::FAILURE
        }
    }
}
