//! Says that it is the first process, to `qemu/tracer`, and becomes `/init` (`rdinit=/bin/marked-init`).

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use portunus_linux::{mark, marks};

fn main() -> ExitCode {
    mark::<{ marks::INIT }>();
    let error = Command::new("/init").exec();
    eprintln!("marked-init: /init: {error}");
    ExitCode::FAILURE
}
