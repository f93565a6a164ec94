//! Physical interrupts: the few that EL2 itself takes.

use portunus::addr::{CpuId, DomainId, IntId, VcpuId};
use portunus::console::{Command, Keyboard, Pumped};
use portunus::domain::map;
use portunus::vgic::PhysicalGic;

use super::Here;
use super::attend::slots;
use super::pcpu::{DOORBELL, NEVER, Pcpu, SGIS};
use super::world::World;
use crate::arch::aarch64::gic::{self, Taken};
use crate::arch::aarch64::report::STOP;
use crate::arch::aarch64::{park, timer};
use crate::platform::console;

/// The SGI by which a pCPU reminds itself that the console is not done.
const CONSOLE_AGAIN: IntId = IntId::new(1);

/// Interrupts that are taken at once where no guest is entered soon. If there are more, they are taken next time.
const INTERRUPTS: u32 = 4;

/// Lets the interrupts in that a pCPU takes for itself and for its guests.
pub fn enable(pcpu: &Pcpu, world: &World) {
    let timer = &world.timer;
    let wanted = [DOORBELL, CONSOLE_AGAIN, STOP, SGIS, timer.hyp, timer.virt, timer.phys, world.maintenance];
    pcpu.gic.enable(wanted.iter().fold(0, |mask, intid| mask | 1 << (intid.get() % 32)));
}

impl Here<'_> {
    /// Takes one physical interrupt, if there is one. If there are more, the next entry of a guest ends at once.
    #[inline]
    pub fn interrupt(&mut self) {
        match gic::acknowledge() {
            // Whoever waits for it looks at the doorbell next.
            Some(taken) if taken.intid() == DOORBELL => gic::end(taken),
            Some(taken) => self.handle(taken),
            None => {}
        }
    }

    /// Takes the physical interrupts that there are, where no guest is entered soon. A neighbour that rings without end
    /// has SGIs pending again and again, which are the least urgent: what else there is comes first, and a few are taken.
    pub(super) fn interrupts(&mut self) {
        for _ in 0..INTERRUPTS {
            let Some(taken) = gic::acknowledge() else { break };
            self.handle(taken);
        }
    }

    /// Handles an interrupt that was acknowledged.
    pub fn handle(&mut self, taken: Taken) {
        let intid = taken.intid();
        let timer = &self.world.timer;
        if intid == timer.virt || intid == timer.phys {
            return self.guest_timer(taken);
        }
        if intid == self.world.maintenance {
            // The cause goes away by looking; only then may the interrupt end.
            self.resync();
        } else if intid == SGIS {
            self.sgis();
        } else if intid == timer.hyp {
            self.alarm();
        } else if Some(intid) == self.world.uart_irq {
            self.keys();
        } else if intid == CONSOLE_AGAIN {
            self.pump_again();
        } else if intid == STOP {
            park();
        }
        gic::end(taken);
    }

    /// SGIs were sent to a vCPU that ran, as its pCPU's interrupt says. It may be another that is loaded by now.
    fn sgis(&mut self) {
        for slot in slots(self.pcpu.doorbell.take_sgis()) {
            if self.local.loaded == Some(slot) {
                self.resync();
                self.wake_if_ready(slot);
            } else {
                self.pcpu.ring_other(slot, self.pcpu);
            }
        }
    }

    /// A timer of the loaded vCPU: its interrupt is linked to a list register, and the guest's end of it will be the
    /// physical one. One that came just as the timer was stopped is nobody's.
    fn guest_timer(&mut self, interrupt: Taken) {
        let intid = interrupt.intid();
        gic::drop_priority(interrupt);
        let (pcpu, asserted) = (self.pcpu, timer::is_asserted(intid == self.world.timer.virt));
        let slot = self.local.loaded;
        let taken = self.local.current_and_interface().filter(|_| asserted).and_then(|(vcpu, interface)| {
            let woken = vcpu.domain.vgic.taken(&mut vcpu.bank, interface, intid)?;
            vcpu.domain.publish(woken, pcpu);
            Some(())
        });
        match (taken, slot) {
            (Some(()), Some(slot)) => {
                self.resync();
                self.wake_if_ready(slot);
            }
            _ => gic::deactivate(interrupt),
        }
    }

    /// EL2's own timer: a slice has ended, or a sleeper's time has come.
    fn alarm(&mut self) {
        timer::set_alarm(None);
        self.local.alarm = NEVER;
        if self.local.console_due <= timer::now() {
            self.local.console_due = NEVER;
            self.pump_again();
        }
        if self.local.watchdog_due <= timer::now() {
            self.bark();
        }
        for slot in self.local.scheduler.ring_alarms(timer::now()).iter() {
            if self.local.loaded == Some(slot) {
                self.take_timers();
            }
            self.wake(slot);
        }
        self.local.reschedule = true;
    }

    /// The alarm of a sleeper that is loaded is the deadline of its own timer, whose interrupt may come a little later than
    /// EL2's. The sleeper must find it pending when it goes on, so it is made active by hand instead of by acknowledging.
    fn take_timers(&mut self) {
        let (virt, phys) = (self.world.timer.virt, self.world.timer.phys);
        for (intid, is_virtual) in [(virt, true), (phys, false)] {
            let Some((vcpu, interface)) = self.local.current_and_interface() else { return };
            if vcpu.bank.holds(intid) || !timer::is_asserted(is_virtual) {
                continue;
            }
            interface.set_active(intid, true);
            if let Some(woken) = vcpu.domain.vgic.taken(&mut vcpu.bank, interface, intid) {
                vcpu.domain.publish(woken, self.pcpu);
            }
        }
        self.resync();
    }

    /// Sends what there is to send; if that has to wait for a time, EL2's timer brings the next call.
    fn pump_again(&mut self) {
        match console::pump() {
            Some(Pumped::Again) => gic::send_sgi(CONSOLE_AGAIN, &self.pcpu.doorbell.sgi),
            Some(Pumped::Later(until)) => {
                self.local.console_due = until;
                self.local.reschedule = true;
            }
            Some(Pumped::Done | Pumped::Waiting) | None => {}
        }
    }

    /// The UART: keys were typed, or there is room to send.
    fn keys(&mut self) {
        if let (Some(console), Some(uart)) = (console::live(), console::uart()) {
            let mut keyboard = Keys { world: self.world, pcpu: self.pcpu };
            console.receive(self.pcpu.cpu, &uart, &mut keyboard);
        }
        pump(self.pcpu);
    }
}

/// Hands typed keys to vPL011s.
struct Keys {
    world: &'static World,
    pcpu: &'static Pcpu,
}

impl Keyboard for Keys {
    fn deliver(&mut self, domain: DomainId, byte: u8) {
        let Some(domain) = self.world.domain(domain) else { return };
        if let Some(uart) = &domain.uart {
            let set = |high| domain.vgic.set_line(VcpuId::new(0), map::VPL011_IRQ, high);
            uart.receive(byte, |high| domain.publish(set(high), self.pcpu));
        }
    }

    fn hypervisor(&mut self, byte: u8) {
        match Command::of(byte) {
            Some(Command::Help) => {
                for (key, what) in Command::KEYS {
                    log::info!("{key}  {what}");
                }
            }
            None => {
                log::info!("no such command: h lists them, the switch key typed three times reaches a domain")
            }
        }
    }
}

/// Sends what there is to send. `pcpu` is the executing one; if there is more to do, it reminds itself.
pub(super) fn pump(pcpu: &Pcpu) {
    if matches!(console::pump(), Some(Pumped::Again | Pumped::Later(_))) {
        gic::send_sgi(CONSOLE_AGAIN, &pcpu.doorbell.sgi);
    }
}

/// Makes the executing pCPU look at the console once more, from the interrupt that this raises.
pub fn remind_of_console() {
    gic::send_sgi(CONSOLE_AGAIN, &crate::arch::aarch64::percpu::this().doorbell.sgi);
}

/// A CPU number for lines of the hypervisor.
#[must_use]
pub fn this_cpu() -> CpuId {
    crate::arch::aarch64::percpu::this().cpu
}
