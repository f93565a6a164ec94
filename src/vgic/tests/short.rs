//! The short ways against the long ones.

use proptest::prelude::*;

use super::super::v3::{self, GICD_BASE, GICR_BASE, GICR_STRIDE};
use super::super::{Register, VcpuSet, Version, Vgic, Width};
use super::world::{TIMER, World, vcpu};
use crate::addr::{IntId, Ipa};

const SGIR: u64 = 0xf00;

#[test]
fn an_sgi_to_oneself_leaves_what_else_is_listed_alone() {
    let mut world = World::ready(1, 4, &[2, 32]);
    world.raise(0, 32);
    world.service();
    let before = world.cpus[0].hw.holds(32);
    world.sgi(0, 0, 2);
    assert!(world.attention.is_empty(), "the short way was enough");
    assert!(world.cpus[0].hw.holds(2).unwrap().pending);
    assert_eq!(world.cpus[0].hw.holds(32), before);
}

#[test]
fn an_sgi_to_oneself_goes_the_long_way_where_no_list_register_is_free() {
    let mut world = World::ready(1, 2, &[2, 32]);
    world.raise(0, 32);
    world.service();
    world.sgi(0, 0, 2);
    assert!(world.attention.contains(vcpu(0)));
    world.service();
    assert!(world.vgic.deliverable(&world.cpus[0].local, false, 0xff));
}

#[test]
fn an_sgi_from_another_vcpu_is_listed_at_once_and_again_when_it_was_ended() {
    for version in [Version::V2, Version::V3] {
        let mut world = World::ready_with(version, 2, 4, &[2, 4]);
        world.service();
        for sgi in [2, 2, 4, 2] {
            world.sgi(1, 0, sgi);
            assert!(world.attention.is_empty(), "the short way was enough");
            world.sgi(1, 0, sgi);
            assert!(world.attention.is_empty(), "it is pending, and that is all");
            assert_eq!(world.acknowledge(0), Some(sgi));
            assert_eq!(world.end(0), Some(sgi));
            assert_eq!(world.acknowledge(0), None, "two that came before the acknowledge are one");
        }
    }
}

#[test]
fn an_sgi_that_is_sent_again_while_it_is_active_is_kept() {
    for version in [Version::V2, Version::V3] {
        let mut world = World::ready_with(version, 2, 4, &[2]);
        world.service();
        world.sgi(1, 0, 2);
        assert_eq!(world.acknowledge(0), Some(2));
        world.sgi(1, 0, 2);
        world.service();
        assert_eq!(world.end(0), Some(2));
        assert_eq!(world.acknowledge(0), Some(2));
        assert_eq!(world.end(0), Some(2));
        assert_eq!(world.acknowledge(0), None);
    }
}

#[test]
fn a_timer_taken_at_once_is_linked_and_needs_no_resync() {
    let mut world = World::ready(1, 4, &[TIMER]);
    world.cpus[0].timer = true;
    assert_eq!(world.physical(0), Some(super::super::Listed::Done));
    assert_eq!(world.cpus[0].hw.holds(TIMER).unwrap().hw, Some(IntId::new(TIMER)));
}

/// The SGIs that a vCPU of a GICv2 has pending, from whom.
fn pending(vgic: &Vgic, v: usize) -> Vec<u64> {
    const SPENDSGIR: u64 = 0xf20;
    let word = |n: u64| Register::at(Version::V2, vcpu(v), Ipa::new(GICD_BASE.get() + SPENDSGIR + 4 * n));
    (0..4).map(|n| word(n).unwrap().read(vgic, Width::Word).unwrap()).collect()
}

proptest! {
    #[test]
    fn what_the_short_way_of_gicv3_takes_goes_to_the_sender_alone(
        sender in 0usize..20, list in 0u32..16, cluster in 0u64..3, sgi in 0u64..16, more: u64,
    ) {
        for value in [1 << list | cluster << 16 | sgi << 24, more] {
            if let Some(intid) = v3::sgi_to_self(vcpu(sender), value) {
                let vgic = Vgic::new(20, 0, &[]).unwrap();
                prop_assert_eq!(vgic.sgi1r(vcpu(sender), value), VcpuSet::one(vcpu(sender)));
                prop_assert_eq!(u64::from(intid.get()), value >> 24 & 0xf);
            }
        }
        let own = 1 << (sender & 0xf) | (sender as u64 >> 4) << 16 | sgi << 24;
        prop_assert_eq!(v3::sgi_to_self(vcpu(sender), own), Some(IntId::new(sgi as u32)));
    }

    #[test]
    fn what_the_short_way_of_gicv2_takes_goes_to_the_sender_alone(sender in 0usize..8, value: u32) {
        let vgic = Vgic::new(8, 0, &[]).unwrap();
        let register = Register::at(Version::V2, vcpu(sender), Ipa::new(GICD_BASE.get() + SGIR)).unwrap();
        for value in [value, 0b10 << 24 | value & 0xf, 1 << (16 + sender) | value & 0xf].map(u64::from) {
            if let Some((intid, _)) = register.sgi_to_self(value) {
                let woken = register.write(&vgic, Width::Word, value).unwrap();
                prop_assert_eq!(woken, VcpuSet::one(vcpu(sender)));
                prop_assert_eq!(u64::from(intid.get()), value & 0xf);
            }
        }
    }

    #[test]
    fn a_word_that_sends_an_sgi_does_what_any_store_of_it_does(
        sender in 0usize..3, place in 0u64..0x400, value: u64, there: bool,
    ) {
        for version in [Version::V2, Version::V3] {
            let offset = if there { SGIR } else { 4 * place };
            let one = World::ready_with(version, 3, 4, &[0, 1, 2, 3]);
            let other = World::ready_with(version, 3, 4, &[0, 1, 2, 3]);
            let register = Register::at(version, vcpu(sender), Ipa::new(GICD_BASE.get() + offset)).unwrap();
            if let Some(woken) = register.send_sgi(&one.vgic, value) {
                prop_assert!(version == Version::V2 && offset == SGIR);
                prop_assert_eq!(Ok(woken), register.write(&other.vgic, Width::Word, value));
                for target in 0..3 {
                    prop_assert_eq!(pending(&one.vgic, target), pending(&other.vgic, target));
                }
            } else {
                prop_assert!(version == Version::V3 || offset != SGIR);
            }
        }
    }

    #[test]
    fn a_peek_needs_no_fold(sgis in prop::collection::vec(0u32..4, 0..4), acknowledged in 0usize..3) {
        for version in [Version::V2, Version::V3] {
            let mut world = World::ready_with(version, 1, 4, &[0, 1, 2, 3]);
            sgis.iter().for_each(|sgi| world.raise(0, *sgi));
            world.service();
            for _ in 0..acknowledged {
                let _ = world.acknowledge(0);
            }
            let bases = [GICD_BASE.get(), GICR_BASE.get(), GICR_BASE.get() + GICR_STRIDE / 2];
            let places: Vec<Register> = bases
                .iter()
                .flat_map(|base| (0..0x1000).step_by(4).map(move |offset| Ipa::new(base + offset)))
                .filter_map(|ipa| Register::at(version, vcpu(0), ipa))
                .collect();
            let before: Vec<_> = places.iter().map(|place| place.peek(&world.vgic)).collect();
            world.fold(0);
            for (place, peeked) in places.iter().zip(before) {
                if let Some(value) = peeked {
                    prop_assert_eq!(place.read(&world.vgic, Width::Word).unwrap(), value, "{:?}", place);
                }
            }
        }
    }
}
