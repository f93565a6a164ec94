//! The registers one by one: which accesses are refused, what reads as zero, and who is told of a write.

use proptest::prelude::*;

use super::super::v3::Register;
use super::super::{Refused, VcpuSet, Vgic, Width};
use super::world::vcpu;
use crate::addr::{IntId, Ipa};

const GICD: u64 = 0x0300_1000;
const GICR: u64 = 0x0302_0000;
const WIDTHS: [Width; 4] = [Width::Byte, Width::Half, Width::Word, Width::Double];

fn vgic(vcpus: usize) -> Vgic {
    Vgic::new(vcpus, 64, &[IntId::new(27)]).unwrap()
}

fn read(vgic: &Vgic, ipa: u64, width: Width) -> Result<u64, Refused> {
    vgic.read(Register::at(Ipa::new(ipa)).unwrap(), width)
}

fn write(vgic: &Vgic, ipa: u64, width: Width, value: u64) -> Result<VcpuSet, Refused> {
    vgic.write(Register::at(Ipa::new(ipa)).unwrap(), width, value)
}

fn accepted(vgic: &Vgic, ipa: u64) -> Vec<Width> {
    WIDTHS.into_iter().filter(|&width| read(vgic, ipa, width).is_ok()).collect()
}

#[test]
fn the_frames_lie_where_xen_puts_them() {
    assert_eq!(Register::at(Ipa::new(0x0300_0fff)), None);
    assert_eq!(Register::at(Ipa::new(0x0300_1000)), Some(Register::Distributor(0)));
    assert_eq!(Register::at(Ipa::new(0x0301_0fff)), Some(Register::Distributor(0xffff)));
    assert_eq!(Register::at(Ipa::new(0x0301_1000)), None);
    assert_eq!(Register::at(Ipa::new(0x0302_0000)), Some(Register::Redistributor(vcpu(0), 0)));
    assert_eq!(Register::at(Ipa::new(0x0305_0100)), Some(Register::Redistributor(vcpu(1), 0x1_0100)));
    assert_eq!(Register::at(Ipa::new(0x0401_ffff)), Some(Register::Redistributor(vcpu(127), 0x1_ffff)));
    assert_eq!(Register::at(Ipa::new(0x0402_0000)), None);
}

#[test]
fn registers_are_accessed_in_their_own_width_only() {
    let vgic = vgic(2);
    for word in [0, 4, 8, 0x84, 0x104, 0x184, 0x204, 0x284, 0x304, 0x384, 0xc08, 0xffe8] {
        assert_eq!(accepted(&vgic, GICD + word), [Width::Word], "GICD {word:#x}");
    }
    for word in [0, 4, 0x14, 0x1_0080, 0x1_0100, 0x1_0c04, 0xffe8] {
        assert_eq!(accepted(&vgic, GICR + word), [Width::Word], "GICR {word:#x}");
    }
    assert_eq!(accepted(&vgic, GICD + 0x420), [Width::Byte, Width::Word]);
    assert_eq!(accepted(&vgic, GICD + 0x421), [Width::Byte]);
    assert_eq!(accepted(&vgic, GICD + 0x6100), [Width::Word, Width::Double]);
    assert_eq!(accepted(&vgic, GICR + 8), [Width::Word, Width::Double]);
    assert_eq!(accepted(&vgic, GICR + 12), [Width::Word]);
}

#[test]
fn reserved_places_read_as_zero_and_ignore_writes() {
    let vgic = vgic(2);
    for offset in [0x0c, 0x40, 0x800, 0xd04, 0xe04, 0xf00, 0xf10, 0x5ffc, 0x8000, 0xfffc] {
        assert_eq!(write(&vgic, GICD + offset, Width::Word, 0xffff_ffff), Ok(VcpuSet::EMPTY));
        assert_eq!(read(&vgic, GICD + offset, Width::Word), Ok(0), "GICD {offset:#x}");
    }
    for offset in [0x10, 0x40, 0x70, 0x8000, 0x1_0084, 0x1_0104, 0x1_0420, 0x1_0c08, 0x1_0d00, 0x1_0e00] {
        assert_eq!(write(&vgic, GICR + offset, Width::Word, 0xffff_ffff), Ok(VcpuSet::EMPTY));
        assert_eq!(read(&vgic, GICR + offset, Width::Word), Ok(0), "GICR {offset:#x}");
    }
}

#[test]
fn private_interrupts_are_not_in_the_distributor() {
    let vgic = vgic(1);
    for offset in [0x80, 0x100, 0x200, 0x300, 0x400, 0xc00, 0xc04, 0x6000] {
        assert_eq!(write(&vgic, GICD + offset, Width::Word, 0xffff_ffff), Ok(VcpuSet::EMPTY));
        assert_eq!(read(&vgic, GICD + offset, Width::Word), Ok(0), "GICD {offset:#x}");
    }
}

#[test]
fn interrupts_beyond_the_domains_own_do_not_exist() {
    let vgic = vgic(1);
    for offset in [0x8c, 0x10c, 0x17c, 0x460, 0x7fc, 0xc18, 0x6300, 0x7fd8] {
        assert_eq!(write(&vgic, GICD + offset, Width::Word, 0xffff_ffff), Ok(VcpuSet::EMPTY));
        assert_eq!(read(&vgic, GICD + offset, Width::Word), Ok(0), "GICD {offset:#x}");
    }
    assert!(vgic.raise_edge(vcpu(0), IntId::new(96)).is_empty());
    assert!(vgic.raise_edge(vcpu(0), IntId::new(u32::MAX)).is_empty());
    assert!(vgic.set_line(vcpu(1), IntId::new(20), true).is_empty());
}

#[test]
fn a_redistributor_that_does_not_exist_is_refused() {
    let vgic = vgic(2);
    assert_eq!(read(&vgic, GICR + 0x4_0000, Width::Word), Err(Refused));
    assert_eq!(write(&vgic, GICR + 0x5_0100, Width::Word, 1), Err(Refused));
}

#[test]
fn the_typers_tell_the_size_of_the_machine() {
    let vgic = vgic(20);
    assert_eq!(read(&vgic, GICD + 4, Width::Word), Ok(2 | 7 << 5 | 9 << 19 | 1 << 25));
    let typer = |v: u64| read(&vgic, GICR + v * 0x2_0000 + 8, Width::Double).unwrap();
    assert_eq!(typer(0), 0);
    assert_eq!(typer(17), 0x101 << 32 | 17 << 8);
    assert_eq!(typer(19), 0x103 << 32 | 19 << 8 | 1 << 4, "the last");
    assert_eq!(read(&vgic, GICR + 17 * 0x2_0000 + 12, Width::Word), Ok(0x101));
    assert_eq!(read(&vgic, GICD + 0xffe8, Width::Word), Ok(0x3b));
}

#[test]
fn priorities_keep_their_upper_five_bits() {
    let vgic = vgic(1);
    assert!(!write(&vgic, GICD + 0x424, Width::Word, 0x0102_ff9f).unwrap().is_empty());
    assert_eq!(read(&vgic, GICD + 0x424, Width::Word), Ok(0x0000_f898));
    assert_eq!(read(&vgic, GICD + 0x425, Width::Byte), Ok(0xf8));
    assert!(!write(&vgic, GICD + 0x425, Width::Byte, 0x20).unwrap().is_empty());
    assert_eq!(read(&vgic, GICD + 0x424, Width::Word), Ok(0x0000_2098));
}

#[test]
fn the_configuration_of_sgis_and_ppis_is_fixed() {
    let vgic = vgic(1);
    for offset in [0x1_0c00, 0x1_0c04] {
        assert_eq!(write(&vgic, GICR + offset, Width::Word, 0x5a5a_5a5a), Ok(VcpuSet::EMPTY));
    }
    assert_eq!(read(&vgic, GICR + 0x1_0c00, Width::Word), Ok(0xaaaa_aaaa));
    assert_eq!(read(&vgic, GICR + 0x1_0c04, Width::Word), Ok(0));
}

#[test]
fn an_spi_configuration_keeps_the_upper_bit_of_each_pair() {
    let vgic = vgic(1);
    let _ = write(&vgic, GICD + 0xc0c, Width::Word, 0xffff_ffff).unwrap();
    assert_eq!(read(&vgic, GICD + 0xc0c, Width::Word), Ok(0xaaaa_aaaa));
    assert_eq!(read(&vgic, GICD + 0xc08, Width::Word), Ok(0), "its neighbours are untouched");
    let _ = write(&vgic, GICD + 0xc0c, Width::Word, 0x0000_0008).unwrap();
    assert_eq!(read(&vgic, GICD + 0xc0c, Width::Word), Ok(8));
}

#[test]
fn a_route_is_written_whole_or_by_halves() {
    let vgic = vgic(20);
    let irouter = GICD + 0x6000 + 8 * 40;
    assert_eq!(write(&vgic, irouter, Width::Double, 0x8000_0102), Ok(VcpuSet::one(vcpu(0)).with(vcpu(18))));
    assert_eq!(read(&vgic, irouter, Width::Double), Ok(0x102), "1-of-N is not supported");
    assert_eq!(write(&vgic, irouter + 4, Width::Word, 7), Ok(VcpuSet::EMPTY), "there is no Aff3");
    assert_eq!(write(&vgic, irouter, Width::Word, 3), Ok(VcpuSet::one(vcpu(18)).with(vcpu(3))));
    assert_eq!(write(&vgic, irouter, Width::Word, 3), Ok(VcpuSet::EMPTY));
    assert_eq!(write(&vgic, irouter, Width::Word, 0x110), Ok(VcpuSet::one(vcpu(3))), "to nobody");
    assert!(vgic.raise_edge(vcpu(0), IntId::new(40)).is_empty());
    assert_eq!(write(&vgic, irouter, Width::Word, 1), Ok(VcpuSet::one(vcpu(1))), "it was kept pending");
}

#[test]
fn a_write_that_changes_nothing_disturbs_nobody() {
    let vgic = vgic(2);
    assert_eq!(write(&vgic, GICD, Width::Word, 2), Ok(VcpuSet::first(2)));
    assert_eq!(write(&vgic, GICD, Width::Word, 2), Ok(VcpuSet::EMPTY));
    assert_eq!(write(&vgic, GICD + 0x104, Width::Word, 1), Ok(VcpuSet::one(vcpu(0))));
    assert_eq!(write(&vgic, GICD + 0x104, Width::Word, 1), Ok(VcpuSet::EMPTY));
    assert_eq!(write(&vgic, GICR + 0x3_0180, Width::Word, 0xffff_ffff), Ok(VcpuSet::EMPTY));
    assert_eq!(write(&vgic, GICR + 0x3_0200, Width::Word, 1), Ok(VcpuSet::one(vcpu(1))));
}

#[test]
fn sgis_go_where_the_register_says() {
    let vgic = vgic(20);
    let members = |value| vgic.sgi1r(vcpu(2), value).iter().map(|v| v.get()).collect::<Vec<_>>();
    assert_eq!(members(0b1101), [0, 2, 3]);
    assert_eq!(members(1 << 16 | 0xffff), [16, 17, 18, 19], "the others of the cluster do not exist");
    assert_eq!(members(1 << 40).len(), 19, "all but self");
    assert!(!members(1 << 40).contains(&2));
    assert_eq!(members(1 << 32 | 1), [0u16; 0], "no Aff2");
    assert_eq!(members(1 << 48 | 1), [0u16; 0], "no Aff3");
    assert_eq!(members(1 << 44 | 1), [0u16; 0], "no range selector");
    assert_eq!(members(0x10 << 16 | 1), [0u16; 0]);
    assert_eq!(members(7 << 24 | 1 << 5), [5]);
    assert_eq!(
        read(&vgic, GICR + 5 * 0x2_0000 + 0x1_0200, Width::Word),
        Ok(1 << 7 | 1),
        "after SGI 0 to all"
    );
}

#[test]
fn a_virtual_gic_of_impossible_size_is_not_made() {
    assert!(Vgic::new(0, 64, &[]).is_none());
    assert!(Vgic::new(129, 64, &[]).is_none());
    assert!(Vgic::new(1, 961, &[]).is_none());
    assert!(Vgic::new(1, 64, &[IntId::new(5)]).is_none());
    assert!(Vgic::new(1, 64, &[IntId::new(31)]).is_none());
    assert!(Vgic::new(1, 64, &[IntId::new(32)]).is_none());
    let largest = Vgic::new(128, 960, &[]).unwrap();
    assert_eq!(read(&largest, GICD + 4, Width::Word).unwrap() & 0x1f, 30);
}

proptest! {
    #[test]
    fn no_access_whatever_makes_it_panic(
        accesses in prop::collection::vec((0u64..0x0110_0000, 0usize..4, any::<u64>(), any::<bool>()), 1..200),
        sgis in prop::collection::vec(any::<u64>(), 0..20),
    ) {
        let vgic = vgic(3);
        for (offset, width, value, near) in accesses {
            let offset = if near { offset % 0x7_0000 } else { offset };
            if let Some(register) = Register::at(Ipa::new(GICD + offset)) {
                let _ = vgic.write(register, WIDTHS[width], value);
                let _ = vgic.read(register, WIDTHS[width]);
            }
        }
        for value in sgis {
            prop_assert!(vgic.sgi1r(vcpu(0), value).iter().all(|target| target.index() < 3));
        }
    }
}
