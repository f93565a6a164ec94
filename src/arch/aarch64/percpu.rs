//! What belongs to one physical CPU. TPIDR_EL2 holds its address for good.

use portunus::addr::{Affinity, CpuId};

use super::gicv3::Redistributor;

/// One physical CPU.
pub struct PerCpu {
    /// Its number in the plan.
    pub cpu: CpuId,
    /// Its place in the system.
    pub affinity: Affinity,
    /// Its part of the interrupt controller.
    pub redistributor: Redistributor,
}

impl PerCpu {
    /// A block for the CPU `cpu`.
    #[must_use]
    pub const fn new(cpu: CpuId, affinity: Affinity, redistributor: Redistributor) -> Self {
        Self { cpu, affinity, redistributor }
    }
}
