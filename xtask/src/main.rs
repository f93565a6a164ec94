//! `cargo xtask`: build and test Portunus. `cargo xtask help` lists the commands.

mod bench;
mod boards;
mod card;
mod cards;
mod chain;
mod check;
mod compose;
mod cpio;
mod debian;
mod errata;
mod explain;
mod firmware;
mod guests;
mod image;
mod kept;
mod layers;
mod linux;
mod linux_tree;
mod modules;
mod qemu;
mod report;
mod scenarios;
mod simd;
mod steps;
mod trees;
mod watch;
mod xen;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask build     the bootable arm64 image, at target/portunus/Image, and the guests
cargo xtask guests    the bare-metal guests, at target/portunus/guests/NAME
cargo xtask run [MACHINE] [--gic 2|3] [--uboot] [--firmware] [FILE.toml | TREE]
                      builds all that and boots a partition file (qemu/partitions/pingpong.toml, if none is named), or
                      qemu/trees/TREE.dts, in QEMU, console on this terminal; MACHINE is virt (if none is named; with
                      --gic 2 it has a GICv2), rpi4 or zcu102; --uboot boots a card through U-Boot, --firmware starts
                      with firmware at EL3
cargo xtask fetch linux
                      downloads Debian's arm64 kernels, busybox and Xen as packages, once
cargo xtask fetch boards
                      downloads Debian's trees of the boards, U-Boot and firmware as packages, once
cargo xtask run linux [--xen] [KERNEL]
                      boots two Linux domains with channels between them, or does so under Debian's Xen 4.17;
                      KERNEL is 6.1, 6.12 (if none is named), 6.12-rt or 6.12-16k
cargo xtask test-qemu [--all] [FILTER]
                      builds all that and runs the QEMU scenarios whose name contains FILTER. Of those with Linux
                      domains and those on boards only a few, unless --all is given, or FILTER begins with `linux` or
                      `board`: they download Debian packages, once. Exit code 3: a package cannot be had
cargo xtask test-qemu --xen [FILTER]
                      runs the scenarios with Linux domains under Debian's Xen 4.17 instead
cargo xtask xen TREE [SECONDS [OPTION...]]
                      boots qemu/trees/TREE.dts and its guests under Debian's Xen 4.17, with these Xen options
cargo xtask compose FILE.toml [--machine virt|rpi4|zcu102] [--gic 2|3] [--out DIR]
                      makes a device tree, a U-Boot script and a command line for QEMU of a partition file
cargo xtask image rpi4|zcu102|virt FILE.toml [--firmware DIR] [--out DIR]
                      builds all that and makes an SD card of a partition file, as a folder and as an image
cargo xtask bench [--ours] [--gic 2] [--json | --markdown] [--plot FILE.svg]
                      counts the instructions of hypercalls, events and interrupts, next to Debian's Xen unless --ours
cargo xtask bench scaling
                      counts sends among up to 64 domains with up to 1000 channels, a ring of domains, and boots
cargo xtask bench --record | --check
                      writes ours to qemu/bench.toml, or compares with it, as `cargo xtask test` does
cargo xtask bench linux [--json]
                      counts the instructions from power-on to both init processes of two Linux domains, and of a round
                      trip between their user spaces, next to Debian's Xen
cargo xtask bench --trace NAME [--lines] [--gic 2]
                      says by function where the instructions go of send, receive, hypercall, psci, uart, gic, sgi,
                      timer, masked, pending or self; with --lines each of them, and its source
{CHECK}
cargo xtask explain CODE
                      what a diagnostic such as P0214 means, with a wrong and a right example
cargo xtask layers    the rules of the house: what may touch hardware, and how large a file may grow
cargo xtask test      everything that CI runs";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    // It has an answer for what cannot be read, too.
    if command == "check" {
        return check::run(&arguments);
    }
    let first = arguments.first().map_or("", String::as_str);
    let rest = arguments.get(1..).unwrap_or_default();
    let result = match command.as_str() {
        "build" => build(),
        "guests" => guests::build().map(|line| println!("{line}")),
        "explain" => explain::explain(first).map(|text| println!("{text}")),
        "layers" => layers::check().map(|files| println!("layers: {files} files keep the rules")),
        "test-qemu" if first == "--xen" => scenarios::test_xen(rest.first().map_or("", String::as_str)),
        "test-qemu" if first == "--all" => {
            build().and_then(|()| scenarios::test(rest.first().map_or("", String::as_str), true))
        }
        "test-qemu" => build().and_then(|()| scenarios::test(first, false)),
        "fetch" if first == "linux" => linux::fetch(),
        "fetch" if first == "boards" => boards::fetch(),
        "run" if first == "linux" => linux::run(rest),
        "run" => build().and_then(|()| qemu::interactive(&arguments)),
        "xen" => {
            let seconds = rest.first().and_then(|number| number.parse().ok()).unwrap_or(30);
            let options = rest.get(1..).unwrap_or_default().join(" ");
            guests::build().and_then(|_| xen::run(first, seconds, &options))
        }
        "compose" => compose::run(&arguments),
        "image" => build().and_then(|()| cards::run(&arguments)),
        "bench" => build().and_then(|()| bench::run(&arguments)),
        "test" => steps::test(),
        "help" | "" => {
            println!("{}", HELP.replace("{CHECK}", check::HELP));
            Ok(())
        }
        other => Err(format!("no command `{other}`\n{}", HELP.replace("{CHECK}", check::HELP))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            anstream::eprintln!("{message}");
            if debian::is_missing(&message) {
                ExitCode::from(debian::MISSING_CODE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The hypervisor and what runs on it.
fn build() -> Result<(), String> {
    println!("{}", image::build()?);
    println!("{}", guests::build()?);
    Ok(())
}
