//! Starting over, in place.

use super::state::{PRIVATE_EDGE, Private, Vgic};
use super::sync::{SeqCst, bits};
use super::{LrBank, VcpuSet};
use crate::addr::IntId;

impl Private {
    fn reset(&self) {
        self.bank.reset(PRIVATE_EDGE);
        self.withdraw(u32::MAX);
        self.hints.store(0, SeqCst);
    }
}

impl Vgic {
    /// Back to the state of [`Vgic::new`]: the domain is about to start again. Every vCPU is unloaded and none
    /// runs; each [`LrBank`] is made anew.
    pub fn reset(&self) {
        let _ = self.set_enabled(false);
        for spi in &self.spis {
            spi.reset();
        }
        for private in &self.cpus {
            private.reset();
        }
    }

    /// A vCPU is about to be switched on (PSCI CPU_ON): nothing of its former life is pending or active, as in
    /// Xen. What the guest configured stays. On its home pCPU, while it is not loaded. Returns vCPUs that need
    /// attention.
    pub fn reset_cpu(&self, local: &mut LrBank) -> VcpuSet {
        let vcpu = local.vcpu;
        let Some(private) = self.private(vcpu) else { return VcpuSet::EMPTY };
        let mut woken = VcpuSet::EMPTY;
        for (index, spi) in (1u32..).zip(&self.spis) {
            for n in bits(spi.bank.active.load(SeqCst)).filter(|&n| spi.holder(n) == Some(vcpu)) {
                spi.bank.set_active(1 << n, false);
                if let Some(irq) = self.irq(vcpu, IntId::new(index * 32 + n)) {
                    woken = woken.union(self.release(vcpu, IntId::new(index * 32 + n), irq));
                }
            }
        }
        private.withdraw(u32::MAX);
        private.bank.active.store(0, SeqCst);
        private.bank.drive(private.bank.linked, false);
        *local = LrBank::new(vcpu);
        woken
    }
}
