//! A vCPU in registers: what is taken from a pCPU when another vCPU gets it, and what a vCPU starts with.
//!
//! A vCPU that is alone on its pCPU is loaded once and never saved.

use portunus::addr::{Affinity, Pa, VcpuId};
use portunus::mm::stage2;

use super::context::{Context, stop_walks};
use super::gic::VirtualCpu;
use super::stage2::forget_local;
use super::start::TrapFrame;
use super::sysreg::{VMPIDR_EL2, VTTBR_EL2};
use super::timer::Timers;

/// Everything of a vCPU that lives in registers while it is loaded.
pub struct Registers {
    context: Context,
    /// Its virtual CPU interface, which goes and comes with its interrupts.
    pub gic: VirtualCpu,
    timers: Timers,
    /// It was turned on and has not run since.
    starts: bool,
    vmpidr: u64,
    vttbr: u64,
    counter_offset: u64,
}

impl Registers {
    /// A vCPU that has not started, with stage 2 tables at `root`. `counter_offset` is what its virtual counter is
    /// behind the physical one.
    #[must_use]
    pub fn new(vcpu: VcpuId, root: Pa, vmid: u8, counter_offset: u64) -> Self {
        /// MPIDR_EL1 bit 31 is RES1.
        const RES1: u64 = 1 << 31;
        Self {
            context: Context::new(0, 0),
            gic: VirtualCpu::default(),
            timers: Timers::new(counter_offset),
            starts: false,
            vmpidr: Affinity::of_vcpu(vcpu).get() | RES1,
            vttbr: stage2::vttbr(root, vmid),
            counter_offset,
        }
    }

    /// As after CPU_ON: at `entry` with `context` in x0, MMU off, everything else zero.
    pub fn reset(&mut self, entry: u64, context: u64) {
        self.context = Context::new(entry, context);
        self.gic = VirtualCpu::default();
        self.timers = Timers::new(self.counter_offset);
        self.starts = true;
    }

    /// First step of leaving a pCPU: the timers stop. The virtual CPU interface comes next.
    #[inline]
    pub fn stop_timers(&mut self) {
        self.timers.stop();
    }

    /// Last step: takes everything else.
    #[inline]
    pub fn save(&mut self, frame: &TrapFrame) {
        self.context.save(frame);
    }

    /// First step of getting a pCPU: everything but the virtual CPU interface, which comes next, and timers. `forget` says
    /// whether this pCPU may remember translations of another vCPU of the domain. One that starts finds none of its own either,
    /// as a CPU that is turned on.
    #[inline]
    pub fn restore(&mut self, frame: &mut TrapFrame, forget: bool) {
        stop_walks();
        VMPIDR_EL2::write(self.vmpidr);
        VTTBR_EL2::write(self.vttbr);
        if forget || self.starts {
            self.starts = false;
            forget_local();
        }
        self.context.restore(frame);
    }

    /// Last step: the timers run, and may interrupt at once.
    #[inline]
    pub fn start_timers(&self) {
        self.timers.start();
    }

    /// When the first of the timers interrupts, as a physical counter value. For a vCPU that is loaded. `counts` says
    /// whether the virtual and the physical one are of interest.
    #[inline]
    #[must_use]
    pub fn next_timer(&self, counts: [bool; 2]) -> Option<u64> {
        Timers::next_of_loaded(self.counter_offset, counts)
    }

    /// What an interrupt has to be more urgent than to end a WFI. For a vCPU that is not loaded.
    #[inline]
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.gic.threshold()
    }
}
