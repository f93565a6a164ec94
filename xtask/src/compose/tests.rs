//! Partition files in tests/compose: what is made of them, and what is said about them.
//!
//! `UPDATE_GOLDEN=1 cargo test -p xtask compose` writes the expected text anew.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::report::{Problem, Source, render};
use super::*;
use crate::report::Level;

const DIRECTORY: &str = "../tests/compose";

/// A partition file read, for virt.
fn read(name: &str) -> (Source, Layout, Node, Vec<Problem>) {
    let path = Path::new(DIRECTORY).join(name);
    let text = fs::read_to_string(&path).unwrap();
    let source = Source { path: format!("tests/compose/{name}"), text };
    let machine = Machine::named("virt").unwrap();
    let mut problems = Vec::new();
    let (_, layout, chosen) = arrange(&source, &path, &machine, &mut problems);
    (source, layout, chosen, problems)
}

fn compare(name: &str, text: &str) {
    let text = anstream::adapter::strip_str(text).to_string().replace("../tests/", "tests/") + "\n";
    let expected = Path::new(DIRECTORY).join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), text, "{}", expected.display());
}

/// The nodes on the test board, compiled.
fn blob(chosen: &Node, layout: &Layout) -> Vec<u8> {
    let place = std::env::temp_dir().join(format!("portunus-compose-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let board = fs::read_to_string("../tests/trees/board.dtsi").unwrap();
    let source = place.join("tree.dts");
    fs::write(&source, format!("/dts-v1/;\n{board}\n{}", dts::source(chosen, layout))).unwrap();
    let blob = Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb"]).arg(&source).output().unwrap();
    fs::remove_dir_all(place).unwrap();
    assert!(blob.status.success(), "{}", String::from_utf8_lossy(&blob.stderr));
    blob.stdout
}

#[test]
fn every_mistake_is_shown_where_it_stands() {
    let (source, _, _, problems) = read("mistakes.toml");
    compare("mistakes.expected", &render(&source, &problems));
}

#[test]
fn what_is_no_toml_is_shown_where_it_stands() {
    let (source, _, _, problems) = read("syntax.toml");
    compare("syntax.expected", &render(&source, &problems));
}

#[test]
fn what_the_hypervisor_would_refuse_is_shown_in_the_partition_file() {
    let (source, layout, chosen, mut problems) = read("plan.toml");
    check::plan(&mut blob(&chosen, &layout), (0x4040_0000, 1 << 20), &chosen, &mut problems).unwrap();
    compare("plan.expected", &render(&source, &problems));
}

#[test]
fn every_key_reaches_the_tree_the_script_and_the_plan() {
    let (source, layout, chosen, mut problems) = read("everything.toml");
    let machine = Machine::named("virt").unwrap();
    let plan = check::plan(&mut blob(&chosen, &layout), (0x4040_0000, 1 << 20), &chosen, &mut problems);
    let notes = problems.iter().all(|problem| problem.level == Level::Note);
    assert!(notes, "{}", render(&source, &problems));
    let plan = plan.unwrap().unwrap();
    let text =
        [dts::source(&chosen, &layout), script::source(&chosen, &layout, &machine), Table(&plan).to_string()];
    compare("everything.expected", &text.join("\n"));
}

#[test]
fn files_of_one_name_get_different_names_on_the_card() {
    let mut layout = Layout::new(&(0..1 << 30));
    let file = |path: &str| File { path: path.into(), size: 1 };
    let numbers = ["a/Image", "b/image", "a/Image"].map(|path| layout.add(&file(path)));
    assert_eq!(numbers, [0, 1, 0]);
    let names: Vec<&str> = layout.modules.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(names, ["guests/Image", "guests/2-image"]);
    assert_eq!(layout.module(1).0, 0x20_0000);
}
