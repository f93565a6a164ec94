//! The end of a domain, and of the last one.

use core::sync::atomic::Ordering;

use portunus::addr::VcpuId;
use portunus::hypercall::ShutdownReason;
use portunus::plan::WhenDone;
use portunus::sched::Slot;
use portunus::vgic::{LrBank, VcpuSet};

use super::Here;
use super::world::{Domain, Ended, World};
use crate::arch::aarch64::context::stop_walks;
use crate::arch::aarch64::psci::Firmware;
use crate::platform::console;

/// What can be done with the machine.
#[derive(Clone, Copy)]
pub(super) enum Machine {
    Reset,
    PowerOff,
}

impl Here<'_> {
    /// Stops `domain`: every pCPU that has vCPUs of it is told to take them out.
    pub(super) fn shut_down(&mut self, domain: &'static Domain, reason: ShutdownReason) {
        if domain.stop(reason) {
            domain.publish(VcpuSet::first(domain.homes.len()), self.pcpu);
        }
    }

    /// The domain of the vCPU in `slot` has stopped: takes the vCPU out, once. Whoever takes the last one out tells the home
    /// of the first, where it is decided what becomes of the domain.
    pub(super) fn retire(&mut self, slot: Slot, ended: Ended) {
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        let first = vcpu.id == VcpuId::new(0);
        if vcpu.retired.replace(ended.life) != Some(ended.life) {
            let domain = vcpu.domain;
            self.turn_off(slot);
            if self.local.loaded.is_none() {
                // The tables of the domain may be written anew, and its VMID is still in VTTBR_EL2.
                stop_walks();
            }
            if let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) {
                vcpu.bank = LrBank::new(vcpu.id);
            }
            if domain.remaining.fetch_sub(1, Ordering::AcqRel) == 1 && !first {
                domain.publish(VcpuSet::one(VcpuId::new(0)), self.pcpu);
            }
        }
        if first {
            self.bury(slot);
        }
    }

    /// A domain is out for good.
    pub(super) fn gone(&mut self) {
        if self.world.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            console::stop_live();
            summarise(self.world);
            finish(self.world);
        }
    }

    /// A domain's end is the machine's; if nobody can do it, it is the domain's.
    pub(super) fn end_machine(&mut self, what: Machine) {
        if let Some(conduit) = self.world.psci {
            console::flush();
            let firmware = Firmware::new(conduit);
            match what {
                Machine::Reset => firmware.system_reset(),
                Machine::PowerOff => firmware.system_off(),
            }
        }
        log::warn!("this machine's firmware does not do it: the domain stays off");
        self.gone();
    }
}

/// There is no domain to run: what the command line wants done afterwards is done now.
pub fn nothing_to_run(world: &World) {
    log::info!("there is no domain to run");
    finish(world);
}

/// What went over each channel, both ways, and who started more than once.
fn summarise(world: &World) {
    log::info!("all domains have shut down");
    for domain in world.domains.iter().flatten().filter(|domain| domain.lives() != 0) {
        log::info!("{}: restarts: {}", domain.name, domain.lives());
    }
    for channel in &world.channels {
        let [first, second] = channel.ends;
        for (from, to) in [(first, second), (second, first)] {
            let name = |id| world.domain(id).map_or("(not built)", |domain| &*domain.name);
            let traffic = world.events.traffic(from.domain, from.port);
            log::info!(
                "channel {} port {:#x} -> {} port {:#x}: {} sent, {} coalesced, {} delivered",
                name(from.domain),
                from.port.get(),
                name(to.domain),
                to.port.get(),
                traffic.sent,
                traffic.coalesced,
                traffic.sent.saturating_sub(traffic.coalesced)
            );
        }
    }
    log::info!("allocations after freeze: {}", (world.refused)());
}

/// What the command line wants done now. Without firmware to do it, the machine stays as it is.
fn finish(world: &World) {
    match (world.when_done, world.psci) {
        (WhenDone::PowerOff, Some(conduit)) => {
            log::info!("powering off");
            Firmware::new(conduit).system_off();
        }
        (WhenDone::Reset, Some(conduit)) => {
            log::info!("resetting the machine");
            Firmware::new(conduit).system_reset();
        }
        (WhenDone::Halt, _) => {}
        (_, None) => log::warn!("when-done: this machine has no PSCI firmware, so it stays on"),
    }
    log::info!("nothing is left to run; the machine idles");
}
