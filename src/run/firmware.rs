//! `HVC #0` and `SMC #0`: the firmware that a guest believes to have.

use portunus::vdev::esr::Esr;
use portunus::vdev::inject::Exception;
use portunus::vdev::{psci, smccc};
use portunus::vgic::VcpuSet;

use super::Here;
use crate::arch::aarch64::guest;

impl Here<'_> {
    /// HVC with any immediate but that of hypercalls. The PC is behind it already.
    pub(super) fn firmware_by_hvc(&mut self, esr: Esr) {
        if self.firmware(esr).is_none() {
            guest::repeat_hvc();
            guest::inject(Exception::Undefined, &self.world.view);
        }
    }

    /// SMC. The PC is at it.
    pub(super) fn firmware_by_smc(&mut self, esr: Esr) {
        if esr.immediate() == 0 {
            guest::step_over(esr);
            let _ = self.firmware(esr);
        } else {
            guest::inject(Exception::Undefined, &self.world.view);
        }
    }

    /// Answers the call; `None` if it is none.
    fn firmware(&mut self, esr: Esr) -> Option<()> {
        let domain = self.local.current()?.domain;
        let [x0, x1, x2, x3, ..] = self.frame.x;
        let verdict = self.world.verdict;
        let answers: &[u64] = match smccc::answer(esr.immediate(), [x0, x1, x2, x3], verdict, |vcpu| {
            domain.power.get(vcpu.index())
        }) {
            smccc::Outcome::Return(value) => &[value.cast_unsigned()],
            smccc::Outcome::Two(values) => &values.map(|value| value),
            smccc::Outcome::Four(values) => &values.map(|value| value),
            smccc::Outcome::Undefined => return None,
            smccc::Outcome::Psci(effect) => {
                self.psci(effect);
                return Some(());
            }
        };
        if let Some(registers) = self.frame.x.get_mut(..answers.len()) {
            registers.copy_from_slice(answers);
        }
        Some(())
    }

    fn psci(&mut self, effect: psci::Outcome) {
        let Some(domain) = self.local.current().map(|vcpu| vcpu.domain) else { return };
        match effect {
            psci::Outcome::Return(value) => self.frame.set_register(0, value.cast_unsigned()),
            psci::Outcome::Started(vcpu) => {
                self.frame.set_register(0, 0);
                domain.publish(VcpuSet::one(vcpu), self.pcpu);
            }
            psci::Outcome::Standby => {
                self.frame.set_register(0, 0);
                self.block(None);
            }
            psci::Outcome::CpuOff => self.power_off_cpu(),
            psci::Outcome::Shutdown(reason) => self.shut_down(domain, domain.calls.final_reason(reason)),
        }
    }
}
