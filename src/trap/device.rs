//! Registers of devices, by the shortest way: loads that have no effect, and SGIs.

use portunus::addr::{Gva, IntId, Ipa};
use portunus::domain::map;
use portunus::vdev::abort::{MmioAccess, noted_ipa};
use portunus::vdev::pl011::Vpl011;
use portunus::vdev::sysreg::Trapped;
use portunus::vgic::{Register, SgiSource, VcpuSet, Version, v3};
use portunus_machine::arch::aarch64::gic::Interface;
use portunus_machine::arch::aarch64::start::TrapFrame;
use portunus_machine::arch::aarch64::sysreg::{ESR_EL2, FAR_EL2, HPFAR_EL2};
use portunus_machine::arch::aarch64::{guest, percpu};
use portunus_machine::run::{Domain, Pcpu};

use super::brief::{Rest, resync_if};
use super::{guest_left, guest_sync};

/// The last register of all, XZR.
const ALL: u8 = 31;

/// A synchronous exception of a guest in AArch64 state, with syndrome `esr`, that is neither HVC nor of a system register.
/// Registers up to `last` are in the frame: a load or store may name any, but most name one of [`SPILLED`](portunus_machine::arch::aarch64::start::SPILLED). Called by
/// boot/vectors.S.
#[unsafe(no_mangle)]
extern "C" fn guest_sync_briefly(frame: &mut TrapFrame, esr: u64, last: u8) -> Rest {
    match MmioAccess::plain_word(esr) {
        None => Some(guest_sync),
        Some((_, register)) if register > last => Some(guest_filled),
        Some((false, register)) => load(frame, register),
        Some((true, register)) => store(frame.register(register)),
    }
}

/// The same of a system register.
#[unsafe(no_mangle)]
extern "C" fn guest_sysreg_briefly(frame: &mut TrapFrame, esr: u64, last: u8) -> Rest {
    match Trapped::sends_sgi(esr) {
        None => Some(guest_sync),
        Some(register) if register > last => Some(guest_filled),
        Some(register) => sgi(frame.register(register)),
    }
}

/// Either of them with all registers in the frame.
extern "C" fn guest_filled(frame: &mut TrapFrame) {
    let esr = ESR_EL2::read();
    let rest = if Trapped::sends_sgi(esr).is_some() {
        guest_sysreg_briefly(frame, esr, ALL)
    } else {
        guest_sync_briefly(frame, esr, ALL)
    };
    if let Some(rest) = rest {
        rest(frame);
    }
}

/// ICC_SGI1R_EL1 was written.
#[inline(always)]
fn sgi(value: u64) -> Rest {
    let pcpu = percpu::this();
    // SAFETY: entry points are not re-entered, and this reference ends with this function's use of it.
    let local = unsafe { pcpu.local() }?;
    let Some((vcpu, Interface::V3(lists))) = local.current_and_interface() else { return Some(guest_sync) };
    let Some(sgi) = v3::sgi_to_self(vcpu.id, value) else { return sgi_to_others(value) };
    if !vcpu.domain.vgic.sgi_again(&vcpu.bank, lists, sgi, SgiSource::ANONYMOUS) {
        return first_sgi(sgi, SgiSource::ANONYMOUS);
    }
    guest::step_over_word();
    None
}

/// An SGI to oneself that is not the same once more.
#[cold]
#[inline(never)]
fn first_sgi(sgi: IntId, source: SgiSource) -> Rest {
    let pcpu = percpu::this();
    // SAFETY: entry points are not re-entered, and the caller's reference is no longer used.
    let local = unsafe { pcpu.local() }?;
    let slot = local.loaded?;
    let (vcpu, interface) = local.current_and_interface()?;
    let listed = vcpu.domain.vgic.sgi_to_self(&mut vcpu.bank, interface, sgi, source);
    guest::step_over_word();
    resync_if(listed, pcpu, slot)
}

/// ICC_SGI1R_EL1 was written, and it is no SGI to oneself alone.
#[inline(never)]
fn sgi_to_others(value: u64) -> Rest {
    let pcpu = percpu::this();
    // SAFETY: entry points are not re-entered, and the caller's reference is no longer used.
    let vcpu = unsafe { pcpu.local() }?.current()?;
    sent(vcpu.domain, vcpu.domain.vgic.sgi1r(vcpu.id, value), pcpu)
}

/// A word was stored, and it is no SGI to oneself alone.
#[inline(never)]
fn store_otherwise(value: u64) -> Rest {
    let pcpu = percpu::this();
    // SAFETY: as above.
    let vcpu = unsafe { pcpu.local() }?.current()?;
    let register = Register::at(Version::V2, vcpu.id, place());
    match register.and_then(|register| register.send_sgi(&vcpu.domain.vgic, value)) {
        Some(woken) => sent(vcpu.domain, woken, pcpu),
        None => Some(guest_sync),
    }
}

/// An SGI was sent to `woken`, who may live on other pCPUs.
fn sent(domain: &Domain, woken: VcpuSet, pcpu: &Pcpu) -> Rest {
    domain.publish_sgis(woken, pcpu);
    guest::step_over_word();
    if pcpu.has_rung_itself() { Some(guest_left) } else { None }
}

/// Where the guest wanted to go.
#[inline(always)]
fn place() -> Ipa {
    noted_ipa(HPFAR_EL2::read(), Gva::new(FAR_EL2::read()))
}

/// A word was stored to a place where nothing is mapped.
#[inline(always)]
fn store(value: u64) -> Rest {
    let pcpu = percpu::this();
    // SAFETY: as in `sgi`.
    let local = unsafe { pcpu.local() }?;
    let Some((vcpu, Interface::V2(lists))) = local.current_and_interface() else { return Some(guest_sync) };
    let register = Register::at(Version::V2, vcpu.id, place());
    let Some((sgi, source)) = register.and_then(|register| register.sgi_to_self(value)) else {
        return store_otherwise(value);
    };
    if !vcpu.domain.vgic.sgi_again(&vcpu.bank, lists, sgi, source) {
        return first_sgi(sgi, source);
    }
    guest::step_over_word();
    None
}

/// A word was loaded from a place where nothing is mapped.
#[inline(always)]
fn load(frame: &mut TrapFrame, register: u8) -> Rest {
    const UART_FLAGS: Ipa = Ipa::new(map::VPL011.get() + Vpl011::FLAGS);
    let pcpu = percpu::this();
    // SAFETY: as in `sgi`.
    let local = unsafe { pcpu.local() }?;
    let version = local.world.gic;
    let vcpu = local.current()?;
    let ipa = place();
    let value = if ipa == UART_FLAGS {
        vcpu.domain.uart.as_ref().map(|uart| u64::from(uart.flags()))
    } else {
        Register::at(version, vcpu.id, ipa).and_then(|register| register.head(&vcpu.domain.vgic))
    };
    match value {
        Some(value) => loaded(frame, register, value),
        None => other_load(frame, register, ipa),
    }
}

/// A load from another register.
#[cold]
#[inline(never)]
fn other_load(frame: &mut TrapFrame, register: u8, ipa: Ipa) -> Rest {
    // SAFETY: entry points are not re-entered, and the caller's reference is no longer used.
    let local = unsafe { percpu::this().local() }?;
    let version = local.world.gic;
    let vcpu = local.current()?;
    let value = match ipa.checked_sub(map::VPL011).filter(|offset| *offset < map::VPL011_SIZE) {
        Some(offset) => vcpu.domain.uart.as_ref().and_then(|uart| uart.peek(offset)).map(u64::from),
        None => Register::at(version, vcpu.id, ipa).and_then(|register| register.peek(&vcpu.domain.vgic)),
    };
    match value {
        Some(value) => loaded(frame, register, value),
        None => Some(guest_sync),
    }
}

#[inline(always)]
fn loaded(frame: &mut TrapFrame, register: u8, value: u64) -> Rest {
    frame.set_register(register, value);
    guest::step_over_word();
    None
}
