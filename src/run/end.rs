//! The end of a domain, and of the last one.

use core::sync::atomic::Ordering;

use portunus::hypercall::ShutdownReason;
use portunus::plan::WhenDone;
use portunus::sched::Slot;
use portunus::vgic::VcpuSet;

use super::Here;
use super::interrupt::pump;
use super::world::{Domain, World};
use crate::arch::aarch64::psci::Firmware;
use crate::platform::console;

impl Here<'_> {
    /// Stops `domain`: every pCPU that has vCPUs of it is told to take them out.
    pub(super) fn shut_down(&mut self, domain: &'static Domain, reason: ShutdownReason) {
        if domain.stop(reason) {
            domain.publish(VcpuSet::first(domain.homes.len()), self.pcpu);
        }
    }

    /// The domain of the vCPU in `slot` has stopped.
    pub(super) fn retire(&mut self, slot: Slot) {
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        if core::mem::replace(&mut vcpu.retired, true) {
            return;
        }
        let domain = vcpu.domain;
        self.turn_off(slot);
        if domain.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gone(domain);
        }
    }

    /// The last vCPU of `domain` is out.
    fn gone(&mut self, domain: &Domain) {
        domain.stream.finish();
        let what = match domain.stopped() {
            Some(ShutdownReason::PowerOff) | None => "has powered off",
            Some(ShutdownReason::Reboot | ShutdownReason::SoftReset) => {
                "asked to be restarted, which is not supported yet; it stays off"
            }
            Some(ShutdownReason::Suspend) => "suspended itself; it stays off",
            Some(ShutdownReason::Watchdog) => "was stopped by its watchdog",
            Some(ShutdownReason::Crash | ShutdownReason::Other(_)) => "has crashed",
        };
        log::info!("{} {what}", domain.name);
        if self.world.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            console::stop_live();
            summarise(self.world);
            finish(self.world);
        }
        pump(self.pcpu);
    }
}

/// There is no domain to run: what the command line wants done afterwards is done now.
pub fn nothing_to_run(world: &World) {
    log::info!("there is no domain to run");
    finish(world);
}

/// What went over each channel, both ways.
fn summarise(world: &World) {
    log::info!("all domains have shut down");
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
