//! What Linux does to a GICv3 when it boots, access by access: `drivers/irqchip/irq-gic-v3.c` as of 6.12, told
//! in register offsets. Each poll must end and each read must be what the driver relies on.

use super::super::Width::{Byte, Double, Word};
use super::world::{UPCALL, World};

const GICD: u64 = 0x0300_1000;
const GICR: u64 = 0x0302_0000;

fn probe_frame(world: &World, base: u64) {
    assert_eq!(world.read(base + 0xffe8, Word) & 0xf0, 0x30, "PIDR2: GICv3");
}

fn wait_for_rwp(world: &World, base: u64, bit: u32) {
    assert_eq!(world.read(base, Word) >> bit & 1, 0, "RWP");
}

/// Finds the redistributor of the CPU with affinity 0.0.0.`v`, as `gic_populate_rdist` walks.
fn populate_rdist(world: &World, v: u64) -> u64 {
    let mut base = GICR;
    loop {
        probe_frame(world, base);
        let typer = world.read(base + 8, Double);
        if typer >> 32 == v {
            assert_eq!(typer >> 8 & 0xffff, v, "processor number");
            return base;
        }
        assert_eq!(typer & 1 << 4, 0, "the walk ended before CPU {v}");
        assert_eq!(typer & 1 << 1, 0, "no VLPIs: the stride is two frames");
        base += 0x2_0000;
    }
}

fn dist_init(world: &mut World) {
    let typer = world.read(GICD + 4, Word);
    let lines = 32 * ((typer & 0x1f) + 1);
    assert_eq!(lines, 96);
    assert_eq!(typer & 1 << 17, 0, "no LPIs");
    assert_eq!(typer & 1 << 26, 0, "no range selector");
    assert_eq!(world.read(GICD + 8, Word) & 0xfff, 0x43b);
    world.write(GICD, Word, 0);
    wait_for_rwp(world, GICD, 31);
    for first in (32..lines).step_by(32) {
        world.write(GICD + 0x80 + first / 8, Word, 0xffff_ffff);
    }
    for first in (32..lines).step_by(16) {
        world.write(GICD + 0xc00 + first / 4, Word, 0);
    }
    for first in (32..lines).step_by(4) {
        world.write(GICD + 0x400 + first, Word, 0xa0a0_a0a0);
    }
    for first in (32..lines).step_by(32) {
        world.write(GICD + 0x380 + first / 8, Word, 0xffff_ffff);
        world.write(GICD + 0x180 + first / 8, Word, 0xffff_ffff);
    }
    wait_for_rwp(world, GICD, 31);
    world.write(GICD, Word, 0x13);
    wait_for_rwp(world, GICD, 31);
    world.model.enabled = true;
    for intid in 32..lines {
        world.write(GICD + 0x6000 + 8 * intid, Double, 0);
    }
    assert_eq!(world.read(GICD, Word), 0x52, "ARE, DS, EnableGrp1; no group 0");
}

fn cpu_init(world: &mut World, v: u64) {
    let base = populate_rdist(world, v);
    let waker = world.read(base + 0x14, Word);
    world.write(base + 0x14, Word, waker & !2);
    assert_eq!(world.read(base + 0x14, Word) & 4, 0, "ChildrenAsleep");
    let sgi = base + 0x1_0000;
    world.write(sgi + 0x80, Word, 0xffff_ffff);
    world.write(sgi + 0x380, Word, 0xffff_ffff);
    world.write(sgi + 0x180, Word, 0xffff_0000);
    for first in (0..32).step_by(4) {
        world.write(sgi + 0x400 + first, Word, 0xa0a0_a0a0);
    }
    wait_for_rwp(world, base, 3);
    world.write(sgi + 0x100, Word, 0xffff);
}

#[test]
fn linux_brings_up_the_gic_on_every_cpu() {
    let mut world = World::new(4, 64, 4);
    probe_frame(&world, GICD);
    dist_init(&mut world);
    for v in 0..4 {
        cpu_init(&mut world, v);
        assert_eq!(world.read(GICR + v * 0x2_0000 + 0x1_0100, Word), 0xffff);
    }
    world.service();
    for v in 0..4 {
        for sgi in 0..16 {
            world.model.irq(v, sgi).enabled = true;
            world.model.irq(v, sgi).priority = 0xa0;
        }
    }
    world.sgi(0, 3, 1);
    world.service();
    assert_eq!(world.acknowledge(3), Some(1));
}

#[test]
fn linux_requests_the_upcall_as_a_level_interrupt_and_reads_that_back() {
    let mut world = World::ready(1, 4, &[]);
    let icfgr1 = GICR + 0x1_0c04;
    let word = world.read(icfgr1, Word);
    assert_eq!(word & 0b10 << 30, 0, "level");
    world.write(icfgr1, Word, word);
    assert_eq!(world.read(icfgr1, Word), word);
    world.event(0, true);
    world.service();
    assert_eq!(world.acknowledge(0), None, "an event before the guest is ready");
    world.priority(0, UPCALL, 0xa0);
    world.enable(0, UPCALL, true);
    world.service();
    assert_eq!(world.acknowledge(0), Some(UPCALL));
}

#[test]
fn linux_sets_the_affinity_and_trigger_of_an_spi() {
    let mut world = World::ready(4, 4, &[40]);
    world.route(40, 3);
    assert_eq!(world.read(GICD + 0x6000 + 8 * 40, Double), 3);
    world.configure(40, true);
    assert_eq!(world.read(GICD + 0xc08, Word), 0b10 << 16);
    world.raise(0, 40);
    world.service();
    assert_eq!(world.acknowledge(0), None);
    assert_eq!(world.acknowledge(3), Some(40));
    assert_eq!(world.read(GICD + 0x400 + 40, Byte), 0xa0);
}

#[test]
fn linux_puts_a_cpu_to_sleep_and_finds_that_the_redistributor_does_not() {
    let mut world = World::ready(1, 4, &[]);
    world.write(GICR + 0x14, Word, 2);
    assert_eq!(world.read(GICR + 0x14, Word) & 2, 0, "no power management: the driver returns");
}
