//! What the book lists must be what the code has.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

use portunus::plan::Code;

fn chapter(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap()
}

#[test]
fn the_device_tree_chapter_lists_every_diagnostic() {
    let text = chapter("device-tree.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| P0")).collect();
    let expected: Vec<String> =
        Code::ALL.iter().map(|code| format!("| {code} | {} | {} |", code.severity(), code.title())).collect();
    assert_eq!(rows, expected);
}
