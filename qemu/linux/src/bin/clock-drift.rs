//! Compares Linux's clock with the system counter over some seconds: `clock-drift SECONDS`. `clock-drift --power-on` prints
//! when the counter was 0, in seconds of UTC since 1970.
//!
//! Exit code: 0 if they agree to 100 parts in a million.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds between two looks that are one moment.
const MOMENT: u128 = 200;

#[cfg(target_arch = "aarch64")]
fn counter() -> (u64, u64) {
    let (ticks, frequency): (u64, u64);
    // SAFETY: both registers may be read at EL0 under Linux (CNTVCT_EL0, CNTFRQ_EL0), and reading changes nothing.
    unsafe {
        std::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack));
        std::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack));
    }
    (ticks, frequency)
}

#[cfg(not(target_arch = "aarch64"))]
fn counter() -> (u64, u64) {
    (0, 0)
}

/// The clock and the counter at one moment: not one with another process or domain in its middle.
fn look() -> (Instant, u64) {
    loop {
        let before = Instant::now();
        let (ticks, _) = counter();
        if before.elapsed().as_micros() < MOMENT {
            return (before, ticks);
        }
    }
}

fn power_on() -> i128 {
    let (ticks, frequency) = counter();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::from(now.as_secs()) - i128::from(ticks / frequency.max(1))
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == "--power-on") {
        println!("{}", power_on());
        return ExitCode::SUCCESS;
    }
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let (Some(seconds), (_, frequency @ 1..)) = (seconds, counter()) else {
        eprintln!("usage: clock-drift SECONDS | --power-on, on arm64");
        return ExitCode::from(2);
    };
    let (first, began) = look();
    std::thread::sleep(Duration::from_secs(seconds));
    let (last, ended) = look();
    let clock = last.duration_since(first).as_nanos();
    let counter = u128::from(ended - began) * 1_000_000_000 / u128::from(frequency);
    let off = clock.abs_diff(counter);
    println!("{} ms, off by {} us", clock / 1_000_000, off / 1000);
    if off * 10_000 <= clock { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
