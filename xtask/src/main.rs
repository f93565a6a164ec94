//! `cargo xtask`: build and test Portunus. `cargo xtask help` lists the commands.

mod image;
mod layers;
mod qemu;
mod scenarios;
mod simd;
mod steps;
mod trees;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask build     the bootable arm64 image, at target/portunus/Image
cargo xtask run       builds the image and boots it in QEMU, console on this terminal
cargo xtask test-qemu [FILTER]
                      builds the image and runs the QEMU scenarios whose name contains FILTER
cargo xtask layers    the rules of the house: what may touch hardware, and how large a file may grow
cargo xtask test      everything that CI runs";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let result = match command.as_str() {
        "build" => image::build().map(|image| println!("{image}")),
        "layers" => layers::check().map(|files| println!("layers: {files} files keep the rules")),
        "test-qemu" => image::build().and_then(|image| {
            println!("{image}");
            scenarios::test(&std::env::args().nth(2).unwrap_or_default())
        }),
        "run" => image::build().and_then(|_| qemu::interactive()),
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
