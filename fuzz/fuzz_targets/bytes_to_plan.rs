//! Bytes in, a plan or diagnostics out: the whole way that a boot loader's device tree goes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portunus::addr::CpuId;
use portunus::fdt::Tree;
use portunus::plan::{self, Diagnostics, Table};

fuzz_target!(|bytes: &[u8]| {
    let Ok(tree) = Tree::parse(bytes) else { return };
    let _ = plan::early_console(&tree);
    let mut diagnostics = Diagnostics::new();
    if let Some(machine) = plan::machine(&tree, &mut diagnostics) {
        let online: Vec<CpuId> = machine.cpus.iter().map(|cpu| cpu.id).collect();
        let plan = plan::domains(&tree, &machine, &online, &mut diagnostics);
        let _ = Table(&plan).to_string();
    }
    let _ = diagnostics.to_string();
});
