//! The boards and QEMU's virt through everything that can stand before the hypervisor: U-Boot with scripts, composed and
//! written by hand, firmware at EL3, and both.
//!
//! All of them boot the same Image, and a partition file of `qemu/partitions`.

use std::path::Path;

use super::guests::SEED;
use super::{FORBIDDEN, Tally};
use crate::chain::{self, Way};
use crate::compose::{Machine, Request};
use crate::qemu::{self, BASE, Expectation, Run};
use crate::watch::{Wanted, watch};

struct Chain {
    name: &'static str,
    machine: &'static str,
    gic: u32,
    partition: &'static str,
    boot: Way,
    /// Whether U-Boot itself is EL3, and nobody answers PSCI.
    without_psci: bool,
    /// What must appear, in this order unless the domains are Linux, which speak when they like.
    wanted: Vec<&'static str>,
    /// Whether it runs without being asked for by name.
    quick: bool,
    limit: u64,
}

fn chain(name: &'static str, machine: &'static str, boot: Way) -> Chain {
    Chain {
        name,
        machine,
        gic: 3,
        partition: "pingpong",
        boot,
        without_psci: false,
        wanted: Vec::new(),
        quick: false,
        limit: 90,
    }
}

/// What two domains say that signal each other, after what a boot loader and a machine say.
fn seed(before: &[&'static str]) -> Vec<&'static str> {
    before.iter().copied().chain(["Portunus 0."]).chain(DOMAINS.iter().copied()).collect()
}

/// What two domains say that signal each other.
const DOMAINS: &[&str] = SEED.split_at(1).1.split_at(SEED.len() - 2).0;

/// And then the machine goes off, which takes PSCI.
fn off(mut wanted: Vec<&'static str>) -> Vec<&'static str> {
    wanted.push("powering off");
    wanted
}

/// The same where the domains were added one after the other: U-Boot puts the last one first.
const REVERSED: [&str; 6] = [
    "2 domains unpaused",
    "Serial input to domU2",
    "port 10: 1000 rounds, 1000 sent, 1000 received",
    "port 12: 1000 rounds, 1000 sent, 1000 received",
    "channel domU1 port 0xc -> domU2 port 0xd: 1000 sent, 0 coalesced, 1000 delivered",
    "channel domU1 port 0xa -> domU2 port 0xb: 1000 sent, 0 coalesced, 1000 delivered",
];

fn all() -> Vec<Chain> {
    // Either domain may be the first.
    const CROWD: &str = "crowd: 4 vCPUs, 29 interrupts at once, 200 times: ok";
    const SCRIPT: &str = "Found U-Boot script /boot.scr";
    // Its first words go to a screen.
    const AUTOBOOT: &str = "stop autoboot";
    const V2: &str = "GICv2 with 288 interrupt lines";
    const V3: &str = "GICv3 with 288 interrupt lines";
    const RPI4: &str = "Portunus 0.1.0 on Raspberry Pi 4 Model B";
    const ZCU102: &str = "GICv2 with 192 interrupt lines, 4 list registers";
    let by_hand = |before: &[&'static str]| before.iter().copied().chain(REVERSED).collect();
    let crowd = |name, machine| Chain {
        partition: "crowd",
        wanted: vec!["4 list registers", CROWD, CROWD, "have shut down"],
        limit: 180,
        ..chain(name, machine, Way::Direct)
    };
    // Debian has no U-Boot for this board: this one runs where somebody has built it.
    let own_uboot = crate::firmware::uboot_zcu102().is_ok();
    let zcu102_uboot = own_uboot.then(|| Chain {
        wanted: off([&["RAM 0x800000000-0x880000000, 2048 MiB", ZCU102][..], DOMAINS].concat()),
        ..chain("board-zcu102-uboot", "zcu102", Way::FirmwareUBoot)
    });
    let list = vec![
        Chain { quick: true, ..crowd("guest-crowd", "virt") },
        Chain { quick: true, gic: 2, ..crowd("guest-crowd-gicv2", "virt") },
        crowd("board-rpi4-crowd", "rpi4"),
        crowd("board-zcu102-crowd", "zcu102"),
        Chain {
            quick: true,
            wanted: seed(&["U-Boot 20", SCRIPT]),
            ..chain("board-virt-uboot", "virt", Way::UBoot)
        },
        Chain {
            gic: 2,
            wanted: seed(&["U-Boot 20", SCRIPT]),
            ..chain("board-virt-uboot-gicv2", "virt", Way::UBoot)
        },
        Chain { wanted: by_hand(&[SCRIPT, V3]), ..chain("board-virt-by-hand", "virt", Way::ByHand("virt")) },
        Chain {
            gic: 2,
            wanted: by_hand(&[SCRIPT, V2]),
            ..chain("board-virt-by-hand-gicv2", "virt", Way::ByHand("virt"))
        },
        Chain {
            partition: "quoting",
            wanted: vec![
                SCRIPT,
                r#"hello: 1 vCPUs, told: "quoted" $devtype ${devnum}; # & | <1> wait=bell"#,
                "(listener) hello: ringer rang at the bell, port 20",
                "powering off",
            ],
            ..chain("board-virt-uboot-quoting", "virt", Way::UBoot)
        },
        // Where an SMC is an undefined instruction: none may be tried. One CPU, because without PSCI all of them start at
        // the reset vector at once, and U-Boot's memory is for one.
        Chain {
            without_psci: true,
            partition: "one-cpu",
            wanted: vec![
                "U-Boot 20",
                "1 of 1 CPUs ready",
                "domU1 (d1, /chosen/domU1)",
                "domU2 (d2, /chosen/domU2)",
                "2 domains unpaused",
            ],
            ..chain("board-virt-without-psci", "virt", Way::UBoot)
        },
        Chain {
            partition: "linux",
            wanted: vec![
                SCRIPT,
                "linux: domU1: round=1 exit=0 evtchn-ping: 100 round trips, 0 lost, 0 surplus",
                "linux: domU2: round=1 exit=0 evtchn-pong: ",
            ],
            limit: 240,
            ..chain("board-virt-uboot-linux", "virt", Way::UBoot)
        },
        Chain { wanted: seed(&["U-Boot 20"]), ..chain("board-virt-qfw", "virt", Way::Qfw) },
        Chain { gic: 2, wanted: seed(&["U-Boot 20"]), ..chain("board-virt-qfw-gicv2", "virt", Way::Qfw) },
        Chain { quick: true, wanted: seed(&[]), ..chain("board-rpi4-direct", "rpi4", Way::Direct) },
        Chain { wanted: seed(&[AUTOBOOT, SCRIPT]), ..chain("board-rpi4-uboot", "rpi4", Way::UBoot) },
        Chain {
            wanted: by_hand(&[SCRIPT, RPI4, "4 of 4 CPUs ready"]),
            ..chain("board-rpi4-by-hand", "rpi4", Way::ByHand("rpi4"))
        },
        Chain { wanted: off(seed(&["BL31: "])), ..chain("board-rpi4-firmware", "rpi4", Way::Firmware) },
        Chain {
            wanted: off(seed(&["BL31: ", "U-Boot 20", SCRIPT])),
            ..chain("board-rpi4-firmware-uboot", "rpi4", Way::FirmwareUBoot)
        },
        Chain {
            partition: "rpi4-2g",
            wanted: vec![
                "RAM 0x0-0x3b400000",
                "RAM 0x40000000-0x80000000",
                "(wide) ram: 1236 MiB in 1 banks, 0 not empty, 0 wrong: ok",
                "powering off",
            ],
            limit: 240,
            ..chain("board-rpi4-banks", "rpi4", Way::Firmware)
        },
        Chain {
            wanted: off([&["RAM 0x800000000-0x880000000, 2048 MiB", ZCU102][..], DOMAINS].concat()),
            ..chain("board-zcu102-firmware", "zcu102", Way::Firmware)
        },
        Chain {
            partition: "large",
            wanted: vec![
                "RAM 0x0-0x80000000",
                "RAM 0x800000000-0x880000000",
                "(large) ram: 3136 MiB in 2 banks, 0 not empty, 0 wrong: ok",
                "powering off",
            ],
            limit: 240,
            ..chain("board-zcu102-banks", "zcu102", Way::Firmware)
        },
        Chain { quick: true, wanted: seed(&[]), ..chain("board-zcu102-direct", "zcu102", Way::Direct) },
    ];
    list.into_iter().chain(zcu102_uboot).collect()
}

/// Runs those whose name contains `filter`, the quick ones among them or `all`.
pub(super) fn test(filter: &str, all_of_them: bool, tally: &mut Tally) {
    let wanted = |chain: &Chain| chain.name.contains(filter) && (chain.quick || all_of_them);
    for chain in all().iter().filter(|chain| wanted(chain)) {
        let Some(machine) = Machine::named(chain.machine) else { continue };
        match chain::possible(&machine) {
            Ok(()) => tally.add(chain.name, run(chain, &machine)),
            Err(why) => tally.add_impossible(chain.name, &why),
        }
    }
}

fn run(chain: &Chain, machine: &Machine) -> Result<Run, String> {
    let file = format!("qemu/partitions/{}.toml", chain.partition);
    let out = format!("target/portunus/composed/{}", chain.name);
    let request = Request { file: Path::new(&file), machine, gic: chain.gic, out: Some(Path::new(&out)) };
    let mut arguments = chain::arguments(&request, chain.boot)?;
    arguments.extend(BASE.map(String::from));
    if chain.without_psci {
        arguments
            .iter_mut()
            .for_each(|word| *word = word.replace("virtualization=on", "virtualization=on,secure=on"));
    }
    if chain.partition == "linux" {
        let all: Vec<String> = chain.wanted.iter().map(ToString::to_string).collect();
        let wanted = Wanted { all: &all, none: &FORBIDDEN, typed: &[], limit: chain.limit };
        return Ok(watch(&arguments, &wanted));
    }
    let expectation = Expectation { wanted: &chain.wanted, forbidden: &FORBIDDEN, limit: chain.limit };
    Ok(qemu::watch(&arguments, &expectation))
}
