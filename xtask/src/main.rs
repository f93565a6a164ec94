//! `cargo xtask`: build and test Portunus. `cargo xtask help` lists the commands.

mod guests;
mod image;
mod layers;
mod qemu;
mod scenarios;
mod simd;
mod steps;
mod trees;
mod xen;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask build     the bootable arm64 image, at target/portunus/Image, and the guests
cargo xtask guests    the bare-metal guests, at target/portunus/guests/NAME
cargo xtask run       builds all that and boots qemu/trees/seed.dts in QEMU, console on this terminal
cargo xtask test-qemu [FILTER]
                      builds all that and runs the QEMU scenarios whose name contains FILTER
cargo xtask xen TREE [SECONDS]
                      boots qemu/trees/TREE.dts and its guests under Debian's Xen 4.17
cargo xtask layers    the rules of the house: what may touch hardware, and how large a file may grow
cargo xtask test      everything that CI runs";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let result = match command.as_str() {
        "build" => build(),
        "guests" => guests::build().map(|line| println!("{line}")),
        "layers" => layers::check().map(|files| println!("layers: {files} files keep the rules")),
        "test-qemu" => build().and_then(|()| scenarios::test(&std::env::args().nth(2).unwrap_or_default())),
        "run" => build().and_then(|()| qemu::interactive()),
        "xen" => {
            let seconds = std::env::args().nth(3).and_then(|number| number.parse().ok()).unwrap_or(30);
            guests::build().and_then(|_| xen::run(&std::env::args().nth(2).unwrap_or_default(), seconds))
        }
        "test" => steps::test(),
        "help" | "" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("no command `{other}`\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The hypervisor and what runs on it.
fn build() -> Result<(), String> {
    println!("{}", image::build()?);
    println!("{}", guests::build()?);
    Ok(())
}
