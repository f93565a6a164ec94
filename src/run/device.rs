//! Registers of devices, by the shortest way: loads that have no effect, and SGIs to oneself.

use portunus::addr::{Gva, Ipa};
use portunus::domain::map;
use portunus::vdev::abort::{MmioAccess, noted_ipa};
use portunus::vdev::sysreg::Trapped;
use portunus::vgic::{Listed, Register, v3};

use super::brief::{Rest, resync_if};
use super::guest_sync;
use super::pcpu::{Local, Vcpu};
use crate::arch::aarch64::gic::Interface;
use crate::arch::aarch64::start::TrapFrame;
use crate::arch::aarch64::sysreg::{FAR_EL2, HPFAR_EL2};
use crate::arch::aarch64::{guest, percpu};

/// A synchronous exception of a guest in AArch64 state, with syndrome `esr`, that is no HVC; all registers are in the
/// frame. Called by boot/vectors.S, which after 0 restores those that a function may change.
#[unsafe(no_mangle)]
extern "C" fn guest_sync_briefly(frame: &mut TrapFrame, esr: u64) -> Rest {
    if let Some((write, register)) = MmioAccess::plain_word(esr) {
        return word(frame, write, register);
    }
    match Trapped::sends_sgi(esr) {
        Some(register) => sgi(frame, frame.register(register)),
        None => Some(guest_sync),
    }
}

/// ICC_SGI1R_EL1 was written.
fn sgi(_: &TrapFrame, value: u64) -> Rest {
    let pcpu = percpu::this();
    // SAFETY: entry points are not re-entered, and this reference ends with this function.
    let local = unsafe { pcpu.local() }?;
    let slot = local.loaded?;
    let (vcpu, Interface::V3(lists)) = local.current_and_interface()? else { return Some(guest_sync) };
    let Some(sgi) = v3::sgi_to_self(vcpu.id, value) else { return Some(guest_sync) };
    let listed =
        vcpu.domain.vgic.sgi_to_self(&mut vcpu.bank, lists, sgi, portunus::vgic::SgiSource::ANONYMOUS);
    guest::step_over_word();
    resync_if(listed, pcpu, slot)
}

/// A word was loaded from or stored to a place where nothing is mapped.
fn word(frame: &mut TrapFrame, write: bool, register: u8) -> Rest {
    /// x19 and up are not restored from the frame unless all are.
    const PRESERVED: u8 = 19;
    let pcpu = percpu::this();
    // SAFETY: entry points are not re-entered, and this reference ends with this function.
    let local = unsafe { pcpu.local() }?;
    let ipa = noted_ipa(HPFAR_EL2::read(), Gva::new(FAR_EL2::read()));
    if write {
        let slot = local.loaded?;
        let Some(listed) = store(local, ipa, frame.register(register)) else { return Some(guest_sync) };
        guest::step_over_word();
        return resync_if(listed, pcpu, slot);
    }
    let Some(value) = load(local, ipa) else { return Some(guest_sync) };
    frame.set_register(register, value);
    guest::step_over_word();
    if register < PRESERVED { None } else { Some(all_done) }
}

/// Nothing is left to do; all registers are restored.
extern "C" fn all_done(_: &mut TrapFrame) {}

fn load(local: &mut Local, ipa: Ipa) -> Option<u64> {
    let version = local.world.gic;
    let vcpu: &mut Vcpu = local.current()?;
    if let Some(offset) = ipa.checked_sub(map::VPL011).filter(|offset| *offset < map::VPL011_SIZE) {
        return vcpu.domain.uart.as_ref()?.peek(offset).map(u64::from);
    }
    Register::at(version, vcpu.id, ipa)?.peek(&vcpu.domain.vgic)
}

fn store(local: &mut Local, ipa: Ipa, value: u64) -> Option<Listed> {
    let version = local.world.gic;
    let (vcpu, Interface::V2(lists)) = local.current_and_interface()? else { return None };
    let (sgi, source) = Register::at(version, vcpu.id, ipa)?.sgi_to_self(value)?;
    Some(vcpu.domain.vgic.sgi_to_self(&mut vcpu.bank, lists, sgi, source))
}
