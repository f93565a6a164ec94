//! Trapped system registers.

use portunus::vdev::esr::Esr;
use portunus::vdev::inject::Exception;
use portunus::vdev::sysreg::{Action, Trapped};

use super::Here;
use crate::arch::aarch64::guest;

impl Here<'_> {
    /// MRS, MSR or a system instruction that a guest may not execute itself.
    #[inline]
    pub fn system_register(&mut self, esr: Esr) {
        let trapped = Trapped::decode(esr.iss());
        match trapped.decide(self.frame.register(trapped.rt), &self.world.view) {
            Action::Read(value) => self.frame.set_register(trapped.rt, value),
            Action::Ignore => {}
            Action::SendSgi(value) => {
                if let Some(vcpu) = self.local.current() {
                    let (domain, sender) = (vcpu.domain, vcpu.id);
                    domain.publish(domain.vgic.sgi1r(sender, value), self.pcpu);
                }
            }
            Action::Undefined => return guest::inject(Exception::Undefined, &self.world.view),
        }
        guest::step_over(esr);
    }
}
