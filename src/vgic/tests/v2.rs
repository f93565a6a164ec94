//! The GICv2 front end: its registers one by one, SGIs with their senders, and what Linux does when it boots.

use proptest::prelude::*;

use super::super::Width::{self, Byte, Double, Half, Word};
use super::super::v2::Register;
use super::super::{Refused, VcpuSet, Version, Vgic};
use super::world::{IDLE, TIMER, UPCALL, World, vcpu};
use crate::addr::{IntId, Ipa};

const GICD: u64 = 0x0300_1000;
const WIDTHS: [Width; 4] = [Byte, Half, Word, Double];

fn vgic(vcpus: usize) -> Vgic {
    Vgic::new(vcpus, 64, &[IntId::new(27)]).unwrap()
}

fn at(v: usize, offset: u64) -> Register {
    Register::at(vcpu(v), Ipa::new(GICD + offset)).unwrap()
}

fn read(vgic: &Vgic, v: usize, offset: u64) -> u64 {
    vgic.read_v2(at(v, offset), Word).unwrap()
}

fn write(vgic: &Vgic, v: usize, offset: u64, value: u64) -> VcpuSet {
    vgic.write_v2(at(v, offset), Word, value).unwrap()
}

/// A write, whoever needs attention.
fn set(vgic: &Vgic, v: usize, offset: u64, value: u64) {
    let _ = write(vgic, v, offset, value);
}

fn members(set: VcpuSet) -> Vec<u16> {
    set.iter().map(|vcpu| vcpu.get()).collect()
}

#[test]
fn the_distributor_lies_where_xen_puts_it_and_the_cpu_interface_is_not_emulated() {
    assert_eq!(Register::at(vcpu(0), Ipa::new(0x0300_0fff)), None);
    assert!(Register::at(vcpu(0), Ipa::new(0x0300_1000)).is_some());
    assert!(Register::at(vcpu(0), Ipa::new(0x0300_1fff)).is_some());
    assert_eq!(Register::at(vcpu(0), Ipa::new(0x0300_2000)), None);
}

#[test]
fn bytes_are_taken_where_the_architecture_has_them_and_nowhere_else() {
    let vgic = vgic(2);
    let accepted = |offset| {
        WIDTHS.into_iter().filter(|&width| vgic.read_v2(at(0, offset), width).is_ok()).collect::<Vec<_>>()
    };
    for offset in [0, 4, 8, 0x80, 0x104, 0x180, 0x204, 0x284, 0x304, 0x384, 0xc08, 0xf00, 0xfe8] {
        assert_eq!(accepted(offset), [Word], "{offset:#x}");
    }
    for offset in [0x400, 0x420, 0x800, 0x820, 0xf10, 0xf20] {
        assert_eq!(accepted(offset), [Byte, Word], "{offset:#x}");
        assert_eq!(accepted(offset + 1), [Byte], "{offset:#x} + 1");
        assert_eq!(accepted(offset + 2), [Byte], "{offset:#x} + 2");
    }
}

#[test]
fn reserved_places_read_as_zero_and_ignore_writes() {
    let vgic = vgic(2);
    for offset in
        [0x0c, 0x40, 0x80, 0x84, 0x8c, 0x10c, 0x460, 0x860, 0xbfc, 0xc18, 0xd00, 0xe00, 0xf04, 0xffc]
    {
        assert_eq!(write(&vgic, 0, offset, 0xffff_ffff), VcpuSet::EMPTY, "{offset:#x}");
        assert_eq!(read(&vgic, 0, offset), 0, "{offset:#x}");
    }
}

#[test]
fn the_id_registers_say_gicv2_with_as_many_cpus_and_lines_as_there_are() {
    assert_eq!(read(&vgic(1), 0, 4), 2);
    assert_eq!(read(&vgic(8), 0, 4), 2 | 7 << 5);
    assert_eq!(read(&vgic(1), 0, 8) & 0xfff, 0x43b);
    assert_eq!(read(&vgic(1), 0, 0xfe8) & 0xf0, 0x20);
}

#[test]
fn the_first_32_interrupts_are_banked() {
    let vgic = vgic(3);
    assert_eq!(members(write(&vgic, 1, 0x100, 0x8000_0002)), [1]);
    assert_eq!([0, 1, 2].map(|v| read(&vgic, v, 0x100)), [0, 0x8000_0002, 0]);
    set(&vgic, 2, 0x410, 0xa0);
    assert_eq!([0, 1, 2].map(|v| read(&vgic, v, 0x410)), [0, 0, 0xa0]);
    set(&vgic, 0, 0x104, 0x100);
    assert_eq!([0, 1, 2].map(|v| read(&vgic, v, 0x104)), [0x100; 3], "SPIs are not");
    assert_eq!(read(&vgic, 1, 0xc00), 0xaaaa_aaaa);
    assert_eq!(read(&vgic, 1, 0xc04), 0);
}

#[test]
fn each_vcpu_finds_itself_in_the_targets_of_its_own_interrupts() {
    let vgic = vgic(8);
    for v in 0..8 {
        assert_eq!(read(&vgic, v, 0x800), 0x0101_0101 << v);
        set(&vgic, v, 0x81c, 0xffff_ffff);
        assert_eq!(read(&vgic, v, 0x81c), 0x0101_0101 << v, "read-only");
    }
}

#[test]
fn of_several_targets_the_lowest_counts() {
    let vgic = vgic(3);
    assert_eq!(read(&vgic, 0, 0x820), 0x0101_0101, "vCPU 0 at first");
    assert_eq!(members(write(&vgic, 0, 0x820, 0x0104_0602)), [0, 1, 2]);
    assert_eq!(read(&vgic, 2, 0x820), 0x0104_0202);
    assert_eq!(members(vgic.write_v2(at(0, 0x823), Byte, 2).unwrap()), [0, 1]);
    assert_eq!(vgic.read_v2(at(0, 0x823), Byte), Ok(2));
    assert_eq!(vgic.write_v2(at(0, 0x822), Half, 2), Err(Refused));
}

#[test]
fn an_spi_without_a_target_waits_for_one() {
    let mut world = World::ready_with(Version::V2, 2, 4, &[40]);
    for mask in [0, 0xfc] {
        world.write(GICD + 0x828, Byte, mask);
        assert_eq!(world.read(GICD + 0x828, Byte), 0, "there is no such vCPU");
    }
    world.model.irq(0, 40).target = 7;
    world.line(0, 40, true);
    world.service();
    assert_eq!((world.acknowledge(0), world.acknowledge(1)), (None, None));
    world.route(40, 1);
    world.service();
    assert_eq!((world.acknowledge(0), world.acknowledge(1)), (None, Some(40)));
}

#[test]
fn an_sgi_goes_where_its_filter_says() {
    let targets = |value| members(vgic(3).write_v2(at(1, 0xf00), Word, value).unwrap());
    assert_eq!(targets(0b101 << 16 | 7), [0, 2]);
    assert_eq!(targets(0xff << 16), [0, 1, 2], "those that exist");
    assert_eq!(targets(0), [] as [u16; 0]);
    assert_eq!(targets(1 << 24 | 0b010 << 16), [0, 2], "all but the sender, whatever the list says");
    assert_eq!(targets(2 << 24 | 0b101 << 16), [1], "the sender");
    assert_eq!(targets(3 << 24 | 0xff << 16), [] as [u16; 0], "reserved");
    assert_eq!(targets(1 << 16 | 1 << 15), [0], "NSATT");
}

#[test]
fn the_pending_bits_of_an_sgi_name_its_senders() {
    let vgic = vgic(4);
    for sender in [0, 2, 3] {
        set(&vgic, sender, 0xf00, 0b10 << 16 | 5);
    }
    for offset in [0xf14, 0xf24] {
        assert_eq!(read(&vgic, 1, offset), 0b1101 << 8, "{offset:#x}");
        assert_eq!(read(&vgic, 0, offset), 0, "banked");
    }
    assert_eq!(read(&vgic, 1, 0x200), 1 << 5);
    assert_eq!(members(vgic.write_v2(at(1, 0xf15), Byte, 0b0101).unwrap()), [1]);
    assert_eq!(vgic.read_v2(at(1, 0xf25), Byte), Ok(0b1000));
    assert_eq!(members(vgic.write_v2(at(1, 0xf25), Byte, 0xf2).unwrap()), [1]);
    assert_eq!(vgic.read_v2(at(1, 0xf15), Byte), Ok(0b1010), "senders that do not exist are left out");
    set(&vgic, 1, 0xf14, 0xff00);
    assert_eq!((read(&vgic, 1, 0xf14), read(&vgic, 1, 0x200)), (0, 0));
}

#[test]
fn the_pending_bits_of_sgis_are_read_only_elsewhere() {
    let vgic = vgic(1);
    set(&vgic, 0, 0x200, 0x0010_0020);
    assert_eq!(read(&vgic, 0, 0x200), 0x0010_0000);
    set(&vgic, 0, 0xf00, 1 << 16 | 5);
    set(&vgic, 0, 0x280, 0xffff_ffff);
    assert_eq!(read(&vgic, 0, 0x200), 1 << 5);
}

proptest! {
    #[test]
    fn every_sender_of_an_sgi_is_acknowledged_once(
        sends in prop::collection::vec((0usize..8, 0u32..16), 1..60), lrs in 2usize..=5,
    ) {
        let mut world = World::ready_with(Version::V2, 8, lrs, &(0..16).collect::<Vec<_>>());
        let mut expected = [0u8; 16];
        for (from, sgi) in sends {
            world.sgi(from, 7, sgi);
            expected[sgi as usize] |= 1 << from;
        }
        world.service();
        let mut seen = [0u8; 16];
        while let Some(lr) = world.cpus[7].hw.acknowledge(IDLE) {
            let sgi = lr.vintid.get();
            prop_assert_eq!(seen[sgi as usize] >> lr.source & 1, 0, "a sender was seen twice");
            seen[sgi as usize] |= 1 << lr.source;
            world.cpus[7].hw.deactivate_virtual(sgi);
            world.service();
        }
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn an_sgi_cleared_from_one_sender_still_comes_from_the_others(
        sent in 1u8..=255, cleared: u8, before_the_first_look: bool,
    ) {
        let mut world = World::ready_with(Version::V2, 8, 4, &[9]);
        for from in (0..8).filter(|from| sent >> from & 1 != 0) {
            world.sgi(from, 1, 9);
        }
        if !before_the_first_look {
            world.service();
        }
        world.fold(1);
        world.write_as(1, GICD + 0xf19, Byte, cleared.into());
        world.model.irq(1, 9).latch &= !cleared;
        world.service();
        world.compare();
        for _ in 0..(sent & !cleared).count_ones() {
            prop_assert_eq!(world.acknowledge(1), Some(9));
            world.end(1);
            world.service();
            world.compare();
        }
        prop_assert_eq!(world.acknowledge(1), None);
    }

    #[test]
    fn no_access_makes_it_panic(
        accesses in prop::collection::vec((0u64..0x1000, any::<u64>(), 0usize..4, 0usize..12, any::<bool>()), 1..200),
        vcpus in 1usize..=8,
    ) {
        let vgic = vgic(vcpus);
        for (offset, value, width, v, write) in accesses {
            let (register, width) = (at(v, offset), WIDTHS[width]);
            if write {
                let _ = vgic.write_v2(register, width, value);
            } else {
                let _ = vgic.read_v2(register, width);
            }
        }
    }
}

// drivers/irqchip/irq-gic.c as of 6.12, told in register offsets.

fn dist_init(world: &mut World) {
    let lines = 32 * ((world.read(GICD + 4, Word) & 0x1f) + 1);
    assert_eq!(lines, 96);
    world.write(GICD, Word, 0);
    let mask = (0..32).step_by(4).map(|first| world.read(GICD + 0x800 + first, Word)).find(|mask| *mask != 0);
    assert_eq!(mask, Some(0x0101_0101), "gic_get_cpumask");
    for first in (32..lines).step_by(4) {
        world.write(GICD + 0x800 + first, Word, 0x0101_0101);
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
    world.write(GICD, Word, 1);
    world.model.enabled = true;
    assert_eq!(world.read(GICD, Word), 1);
}

fn cpu_init(world: &mut World, v: usize) {
    assert_eq!(world.read_as(v, GICD + 0x800, Word), 0x0101_0101 << v, "gic_get_cpumask");
    world.write_as(v, GICD + 0x380, Word, 0xffff_ffff);
    world.write_as(v, GICD + 0x180, Word, 0xffff_0000);
    world.write_as(v, GICD + 0x100, Word, 0x0000_ffff);
    for first in (0..32).step_by(4) {
        world.write_as(v, GICD + 0x400 + first, Word, 0xa0a0_a0a0);
    }
    for intid in 0..32 {
        let irq = world.model.irq(v, intid);
        irq.priority = 0xa0;
        irq.enabled = intid < 16;
    }
}

#[test]
fn linux_brings_up_every_cpu_and_its_ipis_timer_and_upcall_arrive() {
    let mut world = World::with(Version::V2, 4, 64, 4);
    dist_init(&mut world);
    for v in 0..4 {
        cpu_init(&mut world, v);
        world.enable(v, TIMER, true);
        world.enable(v, UPCALL, true);
    }
    for intid in 32..96 {
        world.model.irq(0, intid).priority = 0xa0;
    }
    world.service();
    world.write_as(0, GICD + 0xf00, Word, 1 << 24 | 2);
    for v in 1..4 {
        world.model.irq(v, 2).latch |= 1;
    }
    world.set_timer(2, true);
    world.event(3, true);
    world.service();
    world.compare();
    assert_eq!(world.acknowledge(0), None);
    assert_eq!(world.acknowledge(1), Some(2));
    assert_eq!(world.acknowledge(2), Some(2));
    world.end(2);
    world.service();
    assert_eq!(world.acknowledge(2), Some(TIMER));
    // Of two interrupts with one priority either may come first.
    let mut seen = [2, UPCALL].map(|_| {
        let intid = world.acknowledge(3).unwrap();
        if intid == UPCALL {
            world.clear_upcall(3);
        }
        world.end(3);
        world.service();
        intid
    });
    seen.sort_unstable();
    assert_eq!(seen, [2, UPCALL]);
}
