//! 32 shared peripheral interrupts: a bank, where each of them goes, and who has it.
//!
//! # Route and holder
//!
//! The *route* is what the guest wrote to IROUTER. The *holder* is the vCPU whose home pCPU has the interrupt
//! in a list register, or has it active outside one. Only the home takes an interrupt that nobody holds (by
//! compare-and-swap, so one of two wins) and only the holder lets it go.
//!
//! So after a change of route the old home still has the interrupt for a while. The new target, asked to look,
//! finds it held and leaves it; the old home, asked too, lets go and *then* looks whether it is still pending,
//! and if so asks the target to look again. With sequentially consistent accesses either the target sees the
//! holder gone, or the old home sees the interrupt pending: it cannot fall between the two.
//!
//! An active interrupt keeps its holder wherever it is routed, for the vCPU that acknowledged it is the one
//! that deactivates it (IHI 0069, "Shared peripheral interrupts": the active state is not rerouted).

use super::bank::Bank;
use super::sync::{AtomicU8, SeqCst};
use crate::addr::VcpuId;

/// Neither a vCPU nor routed to one.
const NOBODY: u8 = u8::MAX;

/// 32 SPIs.
#[repr(C)]
pub struct SpiBank {
    /// Their state.
    pub bank: Bank,
    route: [AtomicU8; 32],
    holder: [AtomicU8; 32],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<SpiBank>() == 128);

const fn encode(vcpu: Option<VcpuId>) -> u8 {
    match vcpu {
        Some(vcpu) if vcpu.get() < NOBODY as u16 => vcpu.get() as u8,
        _ => NOBODY,
    }
}

fn decode(raw: u8) -> Option<VcpuId> {
    if raw == NOBODY { None } else { Some(VcpuId::new(u16::from(raw))) }
}

impl SpiBank {
    /// 32 SPIs in their reset state: disabled, level-sensitive, routed to vCPU 0.
    pub fn new() -> Self {
        Self {
            bank: Bank::new(0, 0),
            route: core::array::from_fn(|_| AtomicU8::new(0)),
            holder: core::array::from_fn(|_| AtomicU8::new(NOBODY)),
        }
    }

    /// Back to the reset state. The domain is stopped.
    pub fn reset(&self) {
        self.bank.reset(0);
        for cell in &self.route {
            cell.store(0, SeqCst);
        }
        for cell in &self.holder {
            cell.store(NOBODY, SeqCst);
        }
    }

    /// Where interrupt `n` goes, if anywhere.
    pub fn route(&self, n: u32) -> Option<VcpuId> {
        decode(self.route.get(n as usize)?.load(SeqCst))
    }

    /// Sends interrupt `n` to `target` from now on. Where it went before.
    pub fn set_route(&self, n: u32, target: Option<VcpuId>) -> Option<VcpuId> {
        decode(self.route.get(n as usize)?.swap(encode(target), SeqCst))
    }

    /// Who has interrupt `n`.
    pub fn holder(&self, n: u32) -> Option<VcpuId> {
        decode(self.holder.get(n as usize)?.load(SeqCst))
    }

    /// Takes interrupt `n` for `vcpu`. Whether it has it now.
    pub fn acquire(&self, n: u32, vcpu: VcpuId) -> bool {
        let (Some(cell), me) = (self.holder.get(n as usize), encode(Some(vcpu))) else { return false };
        match cell.compare_exchange(NOBODY, me, SeqCst, SeqCst) {
            Ok(_) => true,
            Err(holder) => holder == me,
        }
    }

    /// Lets interrupt `n` go; only its holder calls this.
    pub fn release(&self, n: u32) {
        if let Some(cell) = self.holder.get(n as usize) {
            cell.store(NOBODY, SeqCst);
        }
    }
}
