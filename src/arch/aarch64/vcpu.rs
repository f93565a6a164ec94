//! A vCPU in registers: what is taken from a pCPU when another vCPU gets it, and what a vCPU starts with.
//!
//! A vCPU that is alone on its pCPU is loaded once and never saved.

use portunus::addr::{Affinity, Pa, VcpuId};
use portunus::mm::stage2;

use super::el1::{El1, stop_walks};
use super::fp::FpRegisters;
use super::gic::VirtualCpu;
use super::stage2::forget_local;
use super::start::TrapFrame;
use super::sysreg::{ELR_EL2, MIDR_EL1, SPSR_EL2, VMPIDR_EL2, VPIDR_EL2, VTTBR_EL2};
use super::timer::Timers;

/// PSTATE of a vCPU that starts: EL1h, DAIF masked (boot protocol of Linux; PSCI, DEN 0022, 6.4).
const PSTATE_START: u64 = 0x3c5;

/// Everything of a vCPU that lives in registers while it is loaded.
pub struct Registers {
    frame: TrapFrame,
    pc: u64,
    pstate: u64,
    el1: El1,
    gic: VirtualCpu,
    timers: Timers,
    fp: FpRegisters,
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
            frame: TrapFrame::default(),
            pc: 0,
            pstate: PSTATE_START,
            el1: El1::reset(),
            gic: VirtualCpu::new(),
            timers: Timers::new(counter_offset),
            fp: FpRegisters::new(),
            vmpidr: Affinity::of_vcpu(vcpu).get() | RES1,
            vttbr: stage2::vttbr(root, vmid),
            counter_offset,
        }
    }

    /// As after CPU_ON: at `entry` with `context` in x0, MMU off, everything else zero.
    pub fn reset(&mut self, entry: u64, context: u64) {
        self.frame = TrapFrame::default();
        self.frame.set_register(0, context);
        self.pc = entry;
        self.pstate = PSTATE_START;
        self.el1 = El1::reset();
        self.gic = VirtualCpu::new();
        self.timers = Timers::new(self.counter_offset);
        self.fp = FpRegisters::new();
    }

    /// First step of leaving a pCPU: the timers stop. The list registers are emptied next.
    pub fn stop_timers(&mut self) {
        self.timers.stop();
    }

    /// Second step: takes everything else.
    pub fn save(&mut self, frame: &TrapFrame) {
        self.frame = *frame;
        self.pc = ELR_EL2::read();
        self.pstate = SPSR_EL2::read();
        self.el1 = El1::save();
        self.gic = VirtualCpu::save();
        self.fp.save();
    }

    /// First step of getting a pCPU: everything but list registers, which are filled next, and timers.
    pub fn restore(&self, frame: &mut TrapFrame) {
        *frame = self.frame;
        ELR_EL2::write(self.pc);
        SPSR_EL2::write(self.pstate);
        stop_walks();
        VPIDR_EL2::write(MIDR_EL1::read());
        VMPIDR_EL2::write(self.vmpidr);
        VTTBR_EL2::write(self.vttbr);
        self.el1.restore();
        forget_local();
        self.gic.restore();
        self.fp.restore();
    }

    /// Last step: the timers run, and may interrupt at once.
    pub fn start_timers(&self) {
        self.timers.start();
    }

    /// When the first of the timers interrupts, as a physical counter value. For a vCPU that is loaded. `counts` says
    /// whether the virtual and the physical one are of interest.
    #[must_use]
    pub fn next_timer(&self, counts: [bool; 2]) -> Option<u64> {
        Timers::next_of_loaded(self.counter_offset, counts)
    }

    /// What an interrupt has to be more urgent than to end a WFI. For a vCPU that is not loaded.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.gic.threshold()
    }
}
