//! Where stage 2 says no: the devices that are emulated, and the abort that a guest takes everywhere else.

use core::fmt;
use core::sync::atomic::Ordering;

use portunus::addr::{Gva, Ipa, VcpuId};
use portunus::domain::map;
use portunus::vdev::abort::{Fault, MmioAccess, Undecodable, fault_ipa};
use portunus::vdev::esr::Esr;
use portunus::vdev::inject::Exception;
use portunus::vdev::pl011;
use portunus::vgic::{Refused, Register, Version, v3};

use super::Here;
use super::interrupt::pump;
use super::pcpu::Vcpu;
use super::world::Domain;
use crate::arch::aarch64::sysreg::{ELR_EL2, FAR_EL2, HPFAR_EL2};
use crate::arch::aarch64::{guest, translate};

/// Faults of a domain that are told in full. A guest that faults without end must not keep the console busy.
const SHOWN: u32 = 16;

/// What became of an access to a device.
enum Access {
    Done(u64),
    Again,
    Refused,
}

impl Here<'_> {
    /// A load or store that stage 2 did not allow.
    #[inline]
    pub fn data_abort(&mut self, esr: Esr) {
        let far = Gva::new(FAR_EL2::read());
        let ipa = fault_ipa(esr, HPFAR_EL2::read(), far).or_else(|| translate::stage1(far));
        match (MmioAccess::decode(esr), ipa) {
            (Ok(access), Some(ipa)) => match self.device(ipa, access) {
                Some(Access::Done(value)) => {
                    if !access.write {
                        self.frame.set_register(access.register, access.loaded(value));
                    }
                    guest::step_over(esr);
                }
                Some(Access::Again) => pump(self.pcpu),
                Some(Access::Refused) => self.abort(far, ipa, &"not an access that the device there takes"),
                None if self.was_passing(esr, ipa) => {}
                None => {
                    let ours = |vcpu: &mut Vcpu| vcpu.domain.memory.banks().any(|bank| bank.contains(ipa));
                    let unmapped = self.local.current().is_some_and(ours);
                    self.abort(far, ipa, &Nothing { ipa, write: access.write, unmapped });
                }
            },
            (Err(_), Some(ipa)) if self.was_passing(esr, ipa) => {}
            (Err(Undecodable::CacheMaintenance), _) => guest::step_over(esr),
            (Err(why), _) => self.abort(far, ipa.unwrap_or(Ipa::new(0)), &why),
            (Ok(_), None) => self.abort(far, Ipa::new(0), &"an address that the hardware did not note"),
        }
    }

    /// An instruction fetch that stage 2 did not allow.
    pub(super) fn instruction_abort(&mut self, esr: Esr) {
        let far = Gva::new(FAR_EL2::read());
        let ipa = fault_ipa(esr, HPFAR_EL2::read(), far).or_else(|| translate::stage1(far));
        if ipa.is_some_and(|ipa| self.was_passing(esr, ipa)) {
            return;
        }
        self.tell(ipa.unwrap_or(Ipa::new(0)), &"an instruction fetch where no code can be");
        guest::inject(Exception::InstructionAbort(far), &self.world.view);
    }

    /// Whether the guest has only to try again: see [`GuestMemory::was_passing`](super::GuestMemory::was_passing).
    #[inline(never)]
    fn was_passing(&mut self, esr: Esr, ipa: Ipa) -> bool {
        Fault::of(esr) == Fault::Translation
            && self.local.current().is_some_and(|vcpu| vcpu.domain.memory.was_passing(ipa))
    }

    /// The guest takes an external abort, and the console says why.
    #[inline(never)]
    fn abort(&mut self, far: Gva, ipa: Ipa, why: &dyn fmt::Display) {
        self.tell(ipa, why);
        guest::inject(Exception::DataAbort(far), &self.world.view);
    }

    fn tell(&mut self, ipa: Ipa, why: &dyn fmt::Display) {
        let Some(vcpu) = self.local.current() else { return };
        let shown = vcpu.domain.faults.fetch_add(1, Ordering::Relaxed);
        if shown < SHOWN {
            log::warn!(
                "{} vCPU {}: abort at IPA {ipa}, PC {:#x}: {why}; mapped nearest: {}",
                vcpu.domain.name,
                vcpu.id,
                ELR_EL2::read(),
                Nearest { domain: vcpu.domain, gic: self.world.gic, ipa }
            );
        } else if shown == SHOWN {
            log::warn!("{}: further aborts are not shown", vcpu.domain.name);
        }
    }

    /// Emulates the access, if a device is at `ipa`.
    #[inline]
    fn device(&mut self, ipa: Ipa, access: MmioAccess) -> Option<Access> {
        let version = self.world.gic;
        let vcpu = self.local.current()?;
        if let Some(register) = Register::at(version, vcpu.id, ipa) {
            return Some(self.interrupt_controller(register, access).unwrap_or(Access::Refused));
        }
        let offset = ipa.checked_sub(map::VPL011).filter(|offset| *offset < map::VPL011_SIZE)?;
        let domain = vcpu.domain;
        let uart = domain.uart.as_ref()?;
        let wanted = if access.write {
            pl011::Access::Write(access.stored(self.frame.register(access.register)))
        } else {
            pl011::Access::Read
        };
        let set = |high| domain.vgic.set_line(VcpuId::new(0), map::VPL011_IRQ, high);
        let line = |high| domain.publish(set(high), self.pcpu);
        let outcome = uart.access(offset, access.width, wanted, domain.stream, line);
        Some(match outcome {
            pl011::Outcome::Value(value) => Access::Done(value),
            pl011::Outcome::Done => {
                pump(self.pcpu);
                Access::Done(0)
            }
            pl011::Outcome::Retry => Access::Again,
            pl011::Outcome::Refused => Access::Refused,
        })
    }

    #[inline]
    fn interrupt_controller(&mut self, register: Register, access: MmioAccess) -> Result<Access, Refused> {
        let pcpu = self.pcpu;
        let dropped = self.sample_timers();
        let (vcpu, interface) = self.local.current_and_interface().ok_or(Refused)?;
        let domain = vcpu.domain;
        domain.publish(domain.vgic.fold(&mut vcpu.bank, interface).union(dropped), pcpu);
        if !access.write {
            return register.read(&domain.vgic, access.width).map(Access::Done);
        }
        let value = access.stored(self.frame.register(access.register));
        let woken = register.write(&domain.vgic, access.width, value)?;
        domain.publish(woken, pcpu);
        Ok(Access::Done(0))
    }
}

/// An access where there is nothing.
struct Nothing {
    ipa: Ipa,
    write: bool,
    /// It was the domain's RAM, and the domain took it out of its address space.
    unmapped: bool,
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.write { "a store" } else { "a load" };
        if self.unmapped {
            return write!(f, "{what} where it has removed its RAM");
        }
        let where_ = if self.ipa.get() < map::RAM_BANKS[0].0.get() { "below" } else { "outside" };
        write!(f, "{what} {where_} its RAM, where it has no device")
    }
}

/// What a domain has nearest to an address.
struct Nearest<'a> {
    domain: &'a Domain,
    gic: Version,
    ipa: Ipa,
}

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redistributors = self.domain.homes.len() as u64 * v3::GICR_STRIDE;
        let uart = self.domain.uart.is_some().then_some(("its UART", map::VPL011, map::VPL011_SIZE));
        let (distributor, second) = match self.gic {
            Version::V2 => (map::GICD_V2_SIZE, ("its GIC CPU interface", map::GICC, map::GICC_SIZE)),
            Version::V3 => (map::GICD_V3_SIZE, ("its GIC redistributors", map::GICR, redistributors)),
        };
        let devices = [Some(("its GIC distributor", map::GICD, distributor)), Some(second), uart];
        let ram = self.domain.memory.banks().map(|bank| ("its RAM", bank.start(), bank.size()));
        let distance = |start: Ipa, size: u64| {
            let at = self.ipa.get();
            start.get().saturating_sub(at).max(at.saturating_sub(start.get() + (size - 1)))
        };
        let all = devices.into_iter().flatten().chain(ram).filter(|(_, _, size)| *size != 0);
        match all.min_by_key(|(_, start, size)| distance(*start, *size)) {
            Some((name, start, size)) => write!(f, "{name}, {start}-{:#x}", start.get() + size),
            None => f.write_str("nothing"),
        }
    }
}
