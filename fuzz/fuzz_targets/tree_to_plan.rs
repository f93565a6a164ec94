//! A tree of the words that the plan looks for, its plan, the tree that is made from that plan, and its plan: the last two
//! must be the same.
#![no_main]
#![allow(dead_code, reason = "the helpers of the tests do more than this needs")]

#[path = "../../tests/common/blob.rs"]
mod blob;
#[path = "../../tests/common/program.rs"]
mod program;
#[path = "../../tests/common/promises.rs"]
mod promises;
#[path = "../../tests/common/rebuild.rs"]
mod rebuild;
#[path = "../../tests/common/words.rs"]
mod words;

use libfuzzer_sys::fuzz_target;
use portunus::addr::CpuId;
use portunus::fdt::Tree;
use portunus::plan::{self, Diagnostics, Plan, Table};

fn plan(blob: &[u8]) -> (Option<Plan>, String) {
    let tree = Tree::parse(blob).expect("a program makes well-formed trees");
    let mut diagnostics = Diagnostics::new();
    let plan = plan::machine(&tree, &mut diagnostics).map(|machine| {
        let online: Vec<CpuId> = machine.cpus.iter().map(|cpu| cpu.id).collect();
        plan::domains(&tree, &machine, &online, &mut diagnostics)
    });
    (plan, diagnostics.to_string())
}

fuzz_target!(|bytes: &[u8]| {
    let (Some(first), mistakes) = plan(&program::run(bytes)) else { return };
    let text = format!("{}\n{mistakes}", Table(&first));
    promises::check(&first, &text);
    let Some(blob) = rebuild::rebuild(&first) else { return };
    let (second, mistakes) = plan(&blob);
    let second = second.as_ref().map(rebuild::essence);
    assert_eq!(second, Some(rebuild::essence(&first)), "\nfrom\n{text}\nto\n{mistakes}");
});
