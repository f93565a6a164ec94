//! What the book says must be what the code does: every diagnostic has a section, and its examples are true.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so at once"
)]

mod common;

use std::fmt::Write as _;

use common::files::Described;
use common::{compile, online, plan_of, trees};
use portunus::plan::{Code, Severity};

/// Codes whose examples would be thousands of lines long: tests/golden.rs makes such trees. And the one that dtc refuses.
const SKETCHED: [Code; 8] = [
    Code::TooManyDomains,
    Code::PhandleTwice,
    Code::TooManyCpus,
    Code::TooManyBanks,
    Code::TooManyReserved,
    Code::TooManyChannels,
    Code::TooManyModules,
    Code::BootargsLength,
];
/// The files, by the hundreds of their codes.
const FILES: [&str; 7] = ["tree", "machine", "channels", "domains", "modules", "placement", "options"];

fn chapter(name: &str) -> String {
    let path = format!("{}/docs/diagnostics/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn file_of(code: Code) -> &'static str {
    FILES[usize::from(code.number()) / 100]
}

/// The section of a code, without its heading.
fn section(code: Code) -> String {
    let text = chapter(file_of(code));
    let heading = format!("\n## {code}: {}\n", code.title());
    let (_, rest) = text.split_once(&heading).unwrap_or_else(|| panic!("no section `{}`", heading.trim()));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The example after this mark.
fn example(section: &str, mark: &str) -> Option<String> {
    let (_, rest) = section.split_once(&format!("```dts {mark}\n"))?;
    rest.split_once("```").map(|(code, _)| code.to_owned())
}

/// Where a heading is found in a page: as the renderers of Markdown make it.
fn anchor(code: Code) -> String {
    let heading = format!("{code}: {}", code.title()).to_lowercase();
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn the_index_lists_every_diagnostic() {
    let text = chapter("README");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| [P0")).collect();
    let row = |code: &Code| {
        let link = format!("{}.md#{}", file_of(*code), anchor(*code));
        format!("| [{code}]({link}) | {} | {} |", code.severity(), code.title())
    };
    let expected: Vec<String> = Code::ALL.iter().map(row).collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_diagnostic_has_a_section_and_every_section_a_diagnostic() {
    for (hundred, file) in FILES.iter().enumerate() {
        let text = chapter(file);
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let codes = Code::ALL.iter().filter(|code| usize::from(code.number()) / 100 == hundred);
        let expected: Vec<String> = codes.map(|code| format!("{code}: {}", code.title())).collect();
        assert_eq!(headings, expected, "{file}.md");
    }
    for code in Code::ALL {
        let prose = section(*code).split("```").next().unwrap().to_owned();
        assert!(
            prose.starts_with(&format!("\n*{}*\n\n", code.severity())),
            "{code}: its severity is missing"
        );
        assert!(prose.len() > 40, "{code} is not explained");
    }
}

/// The two domains of the examples, with a fragment behind them.
fn source(fragment: &str) -> String {
    format!("/dts-v1/;\n/include/ \"domains.dtsi\"\n{fragment}")
}

#[test]
fn wrong_examples_are_wrong_and_right_ones_are_right() {
    let mut failures = String::new();
    for code in Code::ALL.iter().filter(|code| !SKETCHED.contains(code)) {
        let section = section(*code);
        let report = |mark: &str| {
            let fragment = example(&section, mark).unwrap_or_else(|| panic!("{code} has no {mark} example"));
            let mut blob = compile(&source(&fragment), &trees());
            plan_of(&mut blob, online(&fragment).as_deref(), &Described::read(&fragment)).1
        };
        let wrong = report("wrong");
        if !wrong.kept().iter().any(|diagnostic| diagnostic.code == *code) {
            writeln!(failures, "{code}: the wrong example does not say it:\n{wrong}\n").unwrap();
        }
        let right = report("right");
        let complaints = right.errors() + right.count(Severity::Warning);
        if complaints > 0 || right.kept().iter().any(|diagnostic| diagnostic.code == *code) {
            writeln!(failures, "{code}: the right example is not right:\n{right}\n").unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn only_what_is_too_long_is_sketched() {
    for code in Code::ALL {
        let section = section(*code);
        let sketched = ["wrong sketch", "right sketch"].map(|mark| example(&section, mark).is_some());
        assert_eq!(sketched, [SKETCHED.contains(code); 2], "{code}");
    }
}
