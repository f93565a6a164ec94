//! `check` on the inputs in tests/check, compared with the text beside them.
//!
//! `UPDATE_GOLDEN=1 cargo test -p xtask check` writes the expected text anew.

use std::fs;
use std::path::PathBuf;

use super::{Found, Options, decide, draw, is_blob, json, read};

const DIRECTORY: &str = "../tests/check";

fn found(tree: &str, set: impl FnOnce(&mut Options)) -> Found {
    let mut options = Options { tree: path(tree), ..Options::default() };
    set(&mut options);
    decide(read(&options).unwrap()).unwrap()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{DIRECTORY}/{name}"))
}

fn compare(name: &str, found: &Found) {
    let text =
        anstream::adapter::strip_str(&found.text(false)).to_string().replace("../tests/", "tests/") + "\n";
    let expected = path(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), text, "{}", expected.display());
}

#[test]
fn a_script_of_image_builder_makes_the_plan_that_xen_would_run() {
    let found = found("board.dts", |options| options.script = Some(path("imagebuilder.cmd")));
    compare("imagebuilder.expected", &found);
    assert!(!found.input.has_errors() && found.diagnostics.kept().is_empty());
    // libfdt puts a new node before the others, so the last domain made is the first in the tree, here as with Xen.
    let plan = found.plan.unwrap();
    let names: Vec<_> = plan.domains.iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["domU1", "domU0"]);
}

#[test]
fn the_channels_of_a_script_of_image_builder_are_those_that_xen_would_bind() {
    let found = found("board.dts", |options| options.script = Some(path("imagebuilder-evtchn.cmd")));
    compare("imagebuilder-evtchn.expected", &found);
    assert!(!found.input.has_errors() && found.diagnostics.kept().is_empty());
    let plan = found.plan.unwrap();
    let ends = |channel: &portunus::plan::ChannelPlan| {
        let mut ends = channel.ends.map(|end| (plan.domain_name(end.domain), end.port.get()));
        ends.sort_unstable();
        ends
    };
    let mut channels: Vec<_> = plan.channels.iter().map(ends).collect();
    channels.sort_unstable();
    let expected =
        [[("domU0", 10), ("domU1", 11)], [("domU0", 12), ("domU2", 13)], [("domU2", 1), ("domU2", 2)]];
    assert_eq!(channels, expected);
}

#[test]
fn mistakes_in_a_script_are_shown_where_they_stand() {
    compare("mistakes.expected", &found("board.dts", |options| options.script = Some(path("mistakes.cmd"))));
}

#[test]
fn a_composed_script_makes_the_plan_that_the_composed_tree_has() {
    // The script of tests/compose/everything.toml, and the plan that is made of its tree.
    let expected = fs::read_to_string("../tests/compose/everything.expected").unwrap();
    let script = expected.find("# Written by").and_then(|start| {
        let end = start + expected[start..].find("\ntest board")?;
        Some((&expected[start..end], &expected[end..]))
    });
    let (script, plan) = script.unwrap();
    // A card as it would be made.
    let card = std::env::temp_dir().join(format!("portunus-check-{}", std::process::id()));
    fs::create_dir_all(card.join("guests")).unwrap();
    for (from, to) in
        [("kernel", "Image"), ("kernel", "guests/kernel"), ("everything.toml", "guests/everything.toml")]
    {
        fs::copy(format!("../tests/compose/{from}"), card.join(to)).unwrap();
    }
    fs::write(card.join("boot.cmd"), script).unwrap();
    let found = found("board.dts", |options| {
        options.script = Some(card.join("boot.cmd"));
        options.files = Some(card.clone());
    });
    fs::remove_dir_all(card).unwrap();
    assert!(!found.input.has_errors(), "{}", found.text(false));
    // What it says of the machine differs by where the hypervisor is; the domains are the same.
    let domains = |text: &str| text.split_once("\none (d1").map(|(_, rest)| rest.trim().to_owned());
    assert_eq!(domains(&format!("\n{}", portunus::plan::Table(&found.plan.unwrap()))), domains(plan));
}

#[test]
fn a_tree_that_has_no_room_left_is_not_changed_any_further() {
    let found = found("board.dts", |options| options.script = Some(path("no-room.cmd")));
    compare("no-room.expected", &found);
}

#[test]
fn files_that_a_script_loads_are_measured() {
    let found = found("board.dts", |options| {
        options.script = Some(path("files.cmd"));
        options.files = Some(path("files"));
    });
    compare("files.expected", &found);
}

#[test]
fn a_module_in_what_the_hypervisor_takes_is_refused_however_small_its_file_is() {
    let found = found("board.dts", |options| {
        options.script = Some(path("inside.cmd"));
        options.files = Some(path("files"));
    });
    compare("inside.expected", &found);
}

#[test]
fn mistakes_in_an_overlay_are_shown_in_the_overlay() {
    compare("overlay.expected", &found("domains.dts", |options| options.overlays.push(path("overlay.dtso"))));
}

#[test]
fn mistakes_in_source_are_shown_in_source_and_those_in_a_blob_in_its_values() {
    compare("source.expected", &found("mistakes.dts", |_| ()));
    let blob = read(&Options { tree: path("mistakes.dts"), ..Options::default() }).unwrap().blob;
    assert!(is_blob(&blob));
    let file = std::env::temp_dir().join(format!("portunus-check-test-{}.dtb", std::process::id()));
    fs::write(&file, blob).unwrap();
    let found = decide(read(&Options { tree: file.clone(), ..Options::default() }).unwrap()).unwrap();
    fs::remove_file(file).unwrap();
    compare("blob.expected", &found);
}

#[test]
fn the_json_has_what_the_tables_have() {
    let value = json::all(&found("domains.dts", |options| options.overlays.push(path("overlay.dtso"))));
    assert_eq!(value["errors"], 3);
    assert_eq!(value["domains"][0]["name"], "domU2");
    assert_eq!(value["diagnostics"][0]["code"], "P0503");
    assert_eq!(value["diagnostics"][0]["source"], "../tests/check/overlay.dtso:16:4");
}

#[test]
fn the_drawing_in_the_book_is_the_one_that_is_made() {
    let plan = found("partition.dts", |_| ()).plan.unwrap();
    let drawing = draw::draw(&plan, 0);
    let file = "../docs/partition.svg";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file, &drawing).unwrap();
    }
    assert_eq!(fs::read_to_string(file).unwrap(), drawing);
    for domain in &plan.domains {
        assert!(drawing.contains(&domain.name));
    }
    for channel in &plan.channels {
        assert!(drawing.contains(channel.path.rsplit('/').next().unwrap()));
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let why = |tree: &str, script: Option<&str>| {
        let options = Options { tree: path(tree), script: script.map(path), ..Options::default() };
        read(&options).err().unwrap_or_default()
    };
    assert!(why("nothing.dts", None).contains("No such file"));
    assert!(why("broken.dts", None).contains("syntax error"));
    assert!(why("board.dts", Some("loop.cmd")).contains("loop.cmd:2:1: `if` is not followed"));
}
