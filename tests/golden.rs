//! Golden trees: device trees in, the plan and the diagnostics out, compared with the text beside them.
//!
//! `UPDATE_GOLDEN=1 cargo test --test golden` writes the expected text anew. A first line `/* online: 0 1 */`
//! says which CPUs run, and `tests/common/files.rs` which comments say what is in the modules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so at once"
)]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::files::Described;
use common::{compile, online, plan, report, trees};
use portunus::addr::{CpuId, DomainId, Pa, PaSpan, Port};
use portunus::fdt::Tree;
use portunus::plan::{self, Code, Diagnostics, EnableMethod, Gic, Severity, UartKind, Unseen, WhenDone};

fn sources(kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(trees().join(kind)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "dts")).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// Compares one tree with its expected text; answers the text.
fn check(path: &Path, failures: &mut String) -> String {
    let source = fs::read_to_string(path).unwrap();
    let mut blob = compile(&source, path.parent().unwrap());
    let text = report(&mut blob, online(&source).as_deref(), &Described::read(&source));
    let expected = path.with_extension("expected");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, &text).unwrap();
    } else if fs::read_to_string(&expected).unwrap_or_default() != text {
        writeln!(failures, "{} differs; it now says:\n{text}", path.display()).unwrap();
    }
    text
}

#[test]
fn good_trees_are_planned_without_a_complaint() {
    let mut failures = String::new();
    for path in sources("good") {
        let text = check(&path, &mut failures);
        if !text.contains("\n0 errors, 0 warnings") {
            writeln!(failures, "{} has something wrong:\n{text}", path.display()).unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn bad_trees_get_the_diagnostic_in_their_name() {
    let mut failures = String::new();
    for path in sources("bad") {
        let text = check(&path, &mut failures);
        let name = path.file_stem().unwrap().to_str().unwrap().to_uppercase();
        let code = name.split('-').next().unwrap();
        if !text.contains(&format!("[{code}]")) {
            writeln!(failures, "{} does not say {code}:\n{text}", path.display()).unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Trees too large to write down: each makes one limit be exceeded.
fn floods() -> Vec<(Code, String)> {
    let lines = |range: std::ops::Range<u32>, line: &dyn Fn(u32) -> String| -> String {
        range.map(line).collect::<Vec<_>>().join("\n")
    };
    let list = |range: std::ops::Range<u32>, item: &dyn Fn(u32) -> String| -> String {
        range.map(item).collect::<Vec<_>>().join(", ")
    };
    let kernel =
        "k { compatible = \"multiboot,kernel\", \"multiboot,module\"; reg = <0 0x48000000 0 0x200000>; };";
    let domain = |name: &str, rest: &str| {
        format!(
            "{name}: {name} {{ compatible = \"xen,domain\"; memory = <0 0x800>; cpus = <1>; {kernel} {rest} }};"
        )
    };
    let bank = |at: u32| format!("<0 {:#x} 0 0x1000>", 0x8000_0000 + at * 0x2000);
    let module = |at: u32| {
        let address = 0x5000_0000 + at * 0x1000;
        format!(
            "m{at} {{ compatible = \"multiboot,ramdisk\", \"multiboot,module\"; reg = <0 {address:#x} 0 0x1000>; }};"
        )
    };
    let cells = "#address-cells = <2>; #size-cells = <2>; ranges;";
    vec![
        (
            Code::TooManyDomains,
            format!("/ {{ chosen {{ {} }}; }};", lines(0..257, &|n| domain(&format!("d{n}"), ""))),
        ),
        (
            Code::TooManyCpus,
            format!(
                "&cpus {{ {} }};",
                lines(256..516, &|n| format!("c{n} {{ device_type = \"cpu\"; reg = <{n}>; }};"))
            ),
        ),
        (
            Code::TooManyBanks,
            format!(
                "/ {{ memory@80000000 {{ device_type = \"memory\"; reg = {}; }}; }};",
                list(0..257, &bank)
            ),
        ),
        (
            Code::TooManyReserved,
            format!("/ {{ reserved-memory {{ {cells} many {{ reg = {}; }}; }}; }};", list(0..257, &bank)),
        ),
        (
            Code::TooManyChannels,
            format!(
                "/ {{ chosen {{ {} {} {} link {{ compatible = \"xen,evtchn\"; xen,evtchn = {}; }}; }}; }};",
                domain("a", ""),
                domain("b", ""),
                domain("c", ""),
                ["a", "b", "c"]
                    .map(|d| list(0..1400, &|n| format!("<{} &{d} {} &{d}>", 2 * n + 1, 2 * n + 2)))
                    .join(", ")
            ),
        ),
        (
            Code::TooManyModules,
            format!("/ {{ chosen {{ pile {{ {} }}; {} }}; }};", lines(0..1024, &module), domain("a", "")),
        ),
        (
            Code::BootargsLength,
            format!(
                "/ {{ chosen {{ {} a {{ k {{ bootargs = \"{}\"; }}; }}; }}; }};",
                domain("a", ""),
                "x".repeat(1024)
            ),
        ),
    ]
}

#[test]
fn every_limit_says_that_it_was_reached() {
    for (code, body) in floods() {
        let source = format!("/dts-v1/;\n/include/ \"board.dtsi\"\n{body}\n");
        let text = report(&mut compile(&source, &trees()), None, &Unseen);
        assert!(text.contains(&format!("[{code}]")), "{code}:\n{text}");
    }
}

/// dtc gives out phandles and refuses to use one twice; fdtput and boot scripts do not.
#[test]
fn a_phandle_that_is_used_twice_means_the_first_node() {
    let source = "/dts-v1/;\n/include/ \"domains.dtsi\"\n&domU1 { phandle = <0x4711>; };\n\
                  &domU2 { phandle = <0x4712>; };\n/ { chosen { link { compatible = \"xen,evtchn\"; \
                  xen,evtchn = <1 0x4711 2 0x4711>; }; }; };";
    let mut blob = compile(source, &trees());
    let at = blob.windows(4).position(|cell| cell == [0, 0, 0x47, 0x12]).unwrap();
    blob[at + 3] = 0x11;
    let (plan, diagnostics) = plan(&mut blob, None);
    assert_eq!(diagnostics.kept()[0].code, Code::PhandleTwice);
    assert_eq!(diagnostics.kept()[0].path, "/chosen/domU2");
    assert_eq!(channels(&plan.unwrap()), [[(1, 1), (1, 2)]]);
}

#[test]
fn every_code_has_a_golden_tree() {
    let mut seen: BTreeSet<String> = floods().iter().map(|(code, _)| code.to_string()).collect();
    seen.insert(Code::PhandleTwice.to_string());
    // Each bad tree is called after the code that it makes.
    for path in sources("bad") {
        let name = path.file_stem().unwrap().to_str().unwrap().to_uppercase();
        seen.extend(name.split('-').next().map(String::from));
    }
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(&code.to_string())).collect();
    assert!(missing.is_empty(), "no golden tree makes {missing:?}");
}

fn good(name: &str) -> portunus::plan::Plan {
    let directory = trees().join("good");
    let source = fs::read_to_string(directory.join(name).with_extension("dts")).unwrap();
    plan(&mut compile(&source, &directory), None).0.unwrap()
}

/// Channels as (domain, port) pairs.
fn channels(plan: &portunus::plan::Plan) -> Vec<[(u16, u32); 2]> {
    plan.channels.iter().map(|channel| channel.ends.map(|end| (end.domain.get(), end.port.get()))).collect()
}

#[test]
fn the_example_of_the_design_makes_two_channels() {
    let plan = good("seed");
    assert_eq!(channels(&plan), [[(1, 0xa), (2, 0xb)], [(1, 0xc), (2, 0xd)]]);
    assert_eq!(plan.channels[0].path, "/chosen/evtchn@1");
    assert_eq!(plan.domains[0].id, DomainId::new(1));
    assert_eq!(plan.domains[0].memory, 32 << 20);
    assert_eq!(plan.channels[1].ends[1].port, Port::new(0xd));
}

#[test]
fn both_forms_make_the_same_channels() {
    assert_eq!(channels(&good("halves")), channels(&good("seed")));
}

#[test]
fn pinned_vcpus_get_their_cpu_and_the_others_fill_empty_ones() {
    let plan = good("placement");
    let homes = |domain: usize| plan.domains[domain].vcpus.iter().map(|vcpu| vcpu.home).collect::<Vec<_>>();
    // d1's vCPU 2 takes the first of cpu0 and cpu1, d2's vCPU 0 must share it.
    assert_eq!(homes(0), [1, 2, 0].map(CpuId::new));
    assert_eq!(homes(1), [0, 3].map(CpuId::new));
    assert_eq!(plan.options.switch_key, 2);
    assert_eq!(plan.options.when_done, WhenDone::PowerOff);
}

#[test]
fn the_raspberry_pi_is_read_through_the_ranges_of_its_bus() {
    let machine = good("raspberry-pi-4").machine;
    let Gic::V2 { dist, vcpu, .. } = machine.gic else { panic!("{:?}", machine.gic) };
    assert_eq!((dist.start().get(), vcpu.start().get()), (0xff84_1000, 0xff84_6000));
    assert!(matches!(machine.cpus[3].enable, EnableMethod::SpinTable(at) if at.get() == 0xf0));
    let uart = machine.uart.unwrap();
    assert_eq!((uart.kind, uart.regs.start().get()), (UartKind::Pl011, 0xfe20_1000));
    assert_eq!(uart.irq.unwrap().get(), 153);
    assert_eq!(machine.reserved[0].end().get(), 0x1000);
}

#[test]
fn reserved_memory_called_memory_is_not_ram() {
    let machine = good("zcu102").machine;
    assert_eq!(machine.ram.len(), 2);
    assert_eq!(machine.reserved[0].start().get(), 0x3ed0_0000);
    assert!(matches!(machine.uart.unwrap().kind, UartKind::Cadence));
}

#[test]
fn no_module_is_where_the_hypervisor_is() {
    let source = "/dts-v1/;\n/include/ \"domains.dtsi\"\n&kernel1 { bootargs = \"\"; };";
    let blob = compile(source, &trees());
    let tree = Tree::parse(&blob).unwrap();
    let mut diagnostics = Diagnostics::new();
    let mut machine = plan::machine(&tree, &mut diagnostics).unwrap();
    // The whole of domU1's kernel and more, so that it does not only straddle an end.
    let image = PaSpan::from_bounds(Pa::new(0x4800_0000), Pa::new(0x4840_0000)).unwrap();
    machine.claim(vec![image]);
    let plan = plan::domains(&tree, &machine, &[CpuId::new(0)], &mut diagnostics);
    assert_eq!(plan.domains.iter().map(|domain| &*domain.name).collect::<Vec<_>>(), ["domU2"]);
    assert_eq!(diagnostics.kept().iter().filter(|found| found.code == Code::ModuleReserved).count(), 1);
}

#[test]
fn a_broken_domain_costs_only_itself() {
    let directory = trees().join("bad");
    let source = fs::read_to_string(directory.join("p0217-peer-broken.dts")).unwrap();
    let (plan, diagnostics) = plan(&mut compile(&source, &directory), None);
    let plan = plan.unwrap();
    assert_eq!(plan.domains.len(), 1);
    assert_eq!(plan.machine.modules.len(), 2, "the broken domain's module is kept safe too");
    assert!(plan.channels.is_empty());
    assert_eq!(diagnostics.count(Severity::Error), 1);
}
