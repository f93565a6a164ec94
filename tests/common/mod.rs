//! What the tests of the plan share: compiling trees, and the text of a plan.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod blob;
pub mod files;
pub mod program;
pub mod promises;
pub mod rebuild;
pub mod words;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portunus::addr::CpuId;
use portunus::fdt::Tree;
use portunus::plan::{self, Diagnostics, Files, Plan, Table, Unseen};

/// Where the trees are.
pub fn trees() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees")
}

/// Compiles source text with dtc. Doubtful trees are compiled too: doubt is what is tested.
pub fn compile(source: &str, directory: &Path) -> Vec<u8> {
    let mut dtc = Command::new("dtc")
        .args(["-q", "-q", "-f", "-I", "dts", "-O", "dtb", "-i"])
        .arg(directory)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dtc is needed: install the package device-tree-compiler");
    let mut input = dtc.stdin.take().expect("stdin is piped");
    let text = source.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = dtc.wait_with_output().expect("dtc runs");
    writer.join().expect("no panic").expect("dtc reads its input");
    assert!(
        output.status.success() && output.stdout.len() > 40,
        "dtc refused the tree:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The CPUs that a source says are running, in its first line.
pub fn online(source: &str) -> Option<Vec<u16>> {
    let list = source.lines().next()?.strip_prefix("/* online: ")?.strip_suffix(" */")?;
    Some(list.split(' ').filter_map(|cpu| cpu.parse().ok()).collect())
}

/// Plans a blob. `online` are the CPUs that run; without it, all of them.
pub fn plan(blob: &mut [u8], online: Option<&[u16]>) -> (Option<Plan>, Diagnostics) {
    plan_of(blob, online, &Unseen)
}

/// The same with a look into the modules.
pub fn plan_of(blob: &mut [u8], online: Option<&[u16]>, files: &dyn Files) -> (Option<Plan>, Diagnostics) {
    let tree = Tree::parse(blob).expect("the tree is well formed");
    let mut diagnostics = Diagnostics::new();
    let machine = plan::machine(&tree, &mut diagnostics);
    let mut at_boot = Diagnostics::new();
    assert_eq!(plan::machine_behind(plan::early_console(&tree), &tree, &mut at_boot), machine);
    assert_eq!(at_boot.kept(), diagnostics.kept());
    let Some(machine) = machine else { return (None, diagnostics) };
    let online: Vec<CpuId> = match online {
        Some(online) => online.iter().copied().map(CpuId::new).collect(),
        None => machine.cpus.iter().map(|cpu| cpu.id).collect(),
    };
    let plan = plan::domains_of(&tree, &machine, &online, files, &mut diagnostics);
    (Some(plan), diagnostics)
}

/// Everything that there is to say about a blob, as text.
pub fn report(blob: &mut [u8], online: Option<&[u16]>, files: &dyn Files) -> String {
    let (plan, diagnostics) = plan_of(blob, online, files);
    let mut text = String::new();
    match &plan {
        Some(plan) => writeln!(text, "{}", Table(plan)).unwrap(),
        None => writeln!(text, "no machine").unwrap(),
    }
    writeln!(text, "\n{diagnostics}").unwrap();
    text
}
