//! What was recorded before, and whether it got worse.
//!
//! `qemu/bench.toml` holds the medians of every row, for each GIC, and of a few sends among many domains and channels. A row that is more than two in a hundred above it fails
//! `cargo xtask test`; one as far below means that the file is older than what is measured, which is said. The file is
//! written by `cargo xtask bench --record` and changes only in a commit that says why.

use std::collections::BTreeMap;

use super::measure::{self, Column};
use super::run::{self, Hypervisor};
use super::scaling;

const FILE: &str = "qemu/bench.toml";
/// In hundredths, how far a row may be from what was recorded.
const TOLERANCE: f64 = 2.0;

/// A row of one GIC: `gic3.send`.
type Medians = BTreeMap<String, f64>;

/// Measures everything of ours, and fails if a row is worse than what was recorded.
pub fn check() -> Result<(), String> {
    let text = std::fs::read_to_string(FILE).map_err(|e| format!("{FILE}: {e}"))?;
    let (version, recorded) = read(&text)?;
    let (worse, better) = compare(&recorded, &all()?);
    for line in &better {
        println!("{line}");
    }
    if !better.is_empty() {
        println!(
            "the baseline is stale: `cargo xtask bench --record` writes it anew, the commit says what got better"
        );
    }
    if worse.is_empty() {
        println!("{} counts are within {TOLERANCE} % of {FILE}", recorded.len());
        return Ok(());
    }
    let own = qemu_version();
    let other =
        if own == version { String::new() } else { format!("\nrecorded with QEMU {version}, this is {own}") };
    Err(format!("{}{other}\n`cargo xtask bench --trace NAME` says where they go", worse.join("\n")))
}

/// Measures everything of ours, and writes it down.
pub fn record() -> Result<(), String> {
    let mut text = format!(
        "# What `cargo xtask bench` counts, the median of each row. Written by `cargo xtask bench --record`;\n\
         # `cargo xtask test` fails where more than {TOLERANCE} % are added. A commit that changes it says why.\n\
         qemu = \"{}\"\n",
        qemu_version()
    );
    let mut section = String::new();
    for (key, median) in all()? {
        let (gic, row) = key.split_once('.').unwrap_or_default();
        if gic != section {
            text.push_str(&format!("\n[{gic}]\n"));
            section = gic.into();
        }
        text.push_str(&format!("{row} = {median}\n"));
    }
    std::fs::write(FILE, text).map_err(|e| format!("{FILE}: {e}"))?;
    println!("{FILE} is written");
    Ok(())
}

fn all() -> Result<Medians, String> {
    let mut all = Medians::new();
    for gic in [2, 3] {
        let column: Column = measure::column(Hypervisor::Portunus, gic)?;
        all.extend(column.iter().map(|(title, figure)| (format!("gic{gic}.{}", title.key), figure.median)));
    }
    all.extend(scaling::medians()?.into_iter().map(|(key, median)| (format!("scaling.{key}"), median)));
    Ok(all)
}

/// The version of QEMU and the rows.
fn read(text: &str) -> Result<(String, Medians), String> {
    let table: toml::Table = text.parse().map_err(|e| format!("{FILE}: {e}"))?;
    let version = table.get("qemu").and_then(toml::Value::as_str).unwrap_or("of unknown version").to_owned();
    let mut medians = Medians::new();
    for (gic, rows) in table.iter().filter_map(|(gic, rows)| Some((gic, rows.as_table()?))) {
        for (row, value) in rows {
            let value = value.as_float().or_else(|| value.as_integer().map(|value| value as f64));
            let value = value.ok_or_else(|| format!("{FILE}: {gic}.{row} is no number"))?;
            medians.insert(format!("{gic}.{row}"), value);
        }
    }
    Ok((version, medians))
}

/// What is worse than recorded, or not measured any more; and what is better, or not recorded yet.
fn compare(recorded: &Medians, measured: &Medians) -> (Vec<String>, Vec<String>) {
    let (mut worse, mut better) = (Vec::new(), Vec::new());
    for (key, before) in recorded {
        let Some(now) = measured.get(key) else {
            worse.push(format!("{key}: recorded, but not measured any more"));
            continue;
        };
        let line = format!("{key}: {now}, recorded {before}");
        let allowed = before * TOLERANCE / 100.0;
        if *now > before + allowed {
            worse.push(line);
        } else if *now < before - allowed {
            better.push(line);
        }
    }
    let unknown = measured.keys().filter(|key| !recorded.contains_key(*key));
    better.extend(unknown.map(|key| format!("{key}: measured, but not recorded")));
    (worse, better)
}

/// The version of the QEMU that counts.
pub fn qemu_version() -> String {
    run::qemu_version().unwrap_or_else(|| "of unknown version".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_got_worse_is_named() {
        let text = "qemu = \"10.0.2\"\n[gic3]\nsend = 100\nidle = 0\nstart = 1000\ngone = 1\n";
        let (version, recorded) = read(text).unwrap();
        assert_eq!(version, "10.0.2");
        let measured = [("gic3.send", 103.0), ("gic3.idle", 0.0), ("gic3.start", 900.0), ("gic3.new", 1.0)];
        let measured = measured.map(|(key, value)| (key.to_owned(), value)).into();
        let (worse, better) = compare(&recorded, &measured);
        assert_eq!(worse, ["gic3.gone: recorded, but not measured any more", "gic3.send: 103, recorded 100"]);
        assert_eq!(better, ["gic3.start: 900, recorded 1000", "gic3.new: measured, but not recorded"]);
    }

    #[test]
    fn two_in_a_hundred_are_let_pass_and_anything_above_nothing_is_not() {
        let one = |value| Medians::from([(String::from("gic3.send"), value)]);
        assert!(compare(&one(100.0), &one(102.0)).0.is_empty());
        assert!(!compare(&one(0.0), &one(1.0)).0.is_empty());
    }
}
