//! What CI runs, in order. A step that fails does not stop the ones after it: one run shows all that is wrong.

use std::process::Command;

use crate::image::{self, TARGET};
use crate::{layers, scenarios};

type Step = (&'static str, fn() -> Result<(), String>);

const STEPS: [Step; 10] = [
    ("formatting", || cargo(&["fmt", "--check"])),
    ("layers", || layers::check().map(|_| ())),
    ("clippy, host", || cargo(&["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"])),
    ("clippy, guests", || {
        cargo(&[
            "clippy",
            "--quiet",
            "--target",
            TARGET,
            "-p",
            "portunus-rt",
            "-p",
            "portunus-guests",
            "--",
            "-D",
            "warnings",
        ])
    }),
    ("clippy, hypervisor", || {
        cargo(&[
            "clippy", "--quiet", "-p", "portunus", "--lib", "--bins", "--target", TARGET, "--", "-D",
            "warnings",
        ])
    }),
    ("documentation", document),
    ("host tests", || cargo(&["test", "--quiet"])),
    ("loom", loom),
    ("image", || image::build().map(|line| println!("{line}"))),
    ("QEMU scenarios", || scenarios::test("")),
];

/// Runs every step and prints `N passed, N failed` as the last line.
pub fn test() -> Result<(), String> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("==> {name}");
        if let Err(message) = step() {
            eprintln!("{name}: {message}");
            failed.push(name);
        }
    }
    for name in &failed {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", STEPS.len() - failed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(String::new()) }
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    image::run(Command::new("cargo").args(arguments))
}

fn document() -> Result<(), String> {
    image::run(
        Command::new("cargo")
            .args(["doc", "--quiet", "--no-deps", "--lib"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// The races between CPUs, every interleaving of them: tests whose name
/// has `loom_` or `races`, in a target directory of their own
/// because the flag changes what everything is compiled to.
fn loom() -> Result<(), String> {
    let arguments =
        ["test", "--quiet", "--release", "--lib", "--target-dir", "target/loom", "--", "races", "loom_"];
    image::run(Command::new("cargo").args(arguments).env("RUSTFLAGS", "--cfg loom"))
}
