//! What CI runs, in order. A step that fails does not stop the ones after it: one run shows all that is wrong.

use std::process::Command;

use crate::image::{self, TARGET};
use crate::{bench, guests, layers, scenarios};

const HOST: &str = env!("HOST_TARGET");

type Step = (&'static str, fn() -> Result<(), String>);

const STEPS: [Step; 14] = [
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
            "-p",
            "portunus-el3",
            "--",
            "-D",
            "warnings",
        ])
    }),
    ("clippy, hypervisor", || {
        cargo(&[
            "clippy",
            "--quiet",
            "-p",
            "portunus",
            "-p",
            "portunus-cold",
            "-p",
            "portunus-machine",
            "-p",
            "portunus-trap",
            "-p",
            "portunus-image",
            "-p",
            "portunus-unpack",
            "--lib",
            "--bins",
            "--target",
            TARGET,
            "--",
            "-D",
            "warnings",
        ])
    }),
    ("documentation", document),
    ("host tests", || cargo(&["test", "--quiet"])),
    ("loom", loom),
    ("Miri", miri),
    ("fuzzing", fuzz),
    ("image", || image::build().map(|line| println!("{line}"))),
    ("guests", || guests::build().map(|line| println!("{line}"))),
    ("instruction counts", bench::guard),
    ("QEMU scenarios", || scenarios::test("", false)),
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

/// The parts of the library that have `unsafe`, what delivers events through them, and the locks, on an interpreter that
/// finds what the language does not allow. Property tests make two cases of each.
///
/// The crate under the heap keeps addresses as integers, of which Miri would only say that it cannot follow them.
fn miri() -> Result<(), String> {
    let rooms = ["evtchn::view", "evtchn::deliver_tests", "mm::heap", "sync::"];
    let mut command = Command::new("rustup");
    command.args([
        "run",
        "nightly",
        "cargo",
        "miri",
        "test",
        "--quiet",
        "-p",
        "portunus",
        "-p",
        "portunus-cold",
    ]);
    command.arg("--lib");
    command.args(["--target-dir", "target/miri", "--"]).args(rooms);
    command.env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-permissive-provenance");
    command.env("PROPTEST_CASES", "2");
    image::run(&mut command).map_err(|why| format!("{why} (qemu/setup.sh installs Miri)"))
}

/// Random bytes on their way to a plan, random trees to a plan and back, and random bytes to an unpacked kernel. libFuzzer's coverage is an LLVM pass, which the pinned
/// compiler can run (fuzz/README.md).
fn fuzz() -> Result<(), String> {
    const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares";
    let build = ["build", "--quiet", "--release", "--target", HOST];
    image::run(Command::new("cargo").args(build).current_dir("fuzz").env("RUSTFLAGS", COVERAGE))?;
    [("bytes_to_plan", 20), ("tree_to_plan", 20), ("gzip", 10)]
        .into_iter()
        .try_for_each(|(target, seconds)| fuzz_one(target, seconds))
}

fn fuzz_one(target: &str, seconds: u32) -> Result<(), String> {
    let found = format!("corpus-run/{target}");
    for directory in [&format!("fuzz/{found}"), "fuzz/artifacts"] {
        std::fs::create_dir_all(directory).map_err(|e| format!("{directory}: {e}"))?;
    }
    let time = format!("-max_total_time={seconds}");
    let limits = [&time, "-timeout=10", "-max_len=65536", "-verbosity=0", "-print_final_stats=1"];
    let places = ["-artifact_prefix=artifacts/", &found, &format!("corpus/{target}")];
    let program = format!("target/{HOST}/release/{target}");
    let program = std::env::current_dir().map_err(|e| e.to_string())?.join("fuzz").join(program);
    image::run(Command::new(program).args(limits).args(places).current_dir("fuzz"))
}
