//! The CPU interface of the executing CPU (IHI 0048, 4.4): what EL2 itself takes and sends.

use core::arch::asm;

use portunus::addr::IntId;

use super::{Frames, GICD_CPENDSGIR, GICD_SGIR};

const GICC_CTLR: u64 = 0x000;
const GICC_PMR: u64 = 0x004;
const GICC_BPR: u64 = 0x008;
const GICC_IAR: u64 = 0x00c;
const GICC_EOIR: u64 = 0x010;
const GICC_APR: u64 = 0x0d0;
const GICC_DIR: u64 = 0x1000;

/// 1020 to 1023 are no interrupts (IHI 0048, 3.2.5).
const SPECIAL: u32 = 1020;
const INTID: u32 = 0x3ff;

impl Frames {
    /// Prepares the CPU interface: everything passes, EOImode 1. The bypass bits stay as firmware set them.
    pub(super) fn init_interface(&self) {
        const ENABLE: u32 = 1;
        const BYPASS: u32 = 0xf << 5;
        const EOIMODE: u32 = 1 << 9;
        let bypass = self.cpu.read32(GICC_CTLR) & BYPASS;
        self.cpu.write32(GICC_CTLR, bypass);
        // A boot loader may have been interrupted for good: nothing is running here any more.
        for word in 0..4 {
            self.cpu.write32(GICC_APR + 4 * word, 0);
        }
        self.cpu.write32(GICC_PMR, 0xff);
        self.cpu.write32(GICC_BPR, 0);
        self.cpu.write32(GICC_CTLR, bypass | ENABLE | EOIMODE);
    }

    /// Takes the most urgent physical interrupt: the value of GICC_IAR, an INTID in bits 9-0 and the sender of an SGI
    /// above. `None` if there is none (any more).
    #[inline(always)]
    #[must_use]
    pub fn acknowledge(&self) -> Option<u32> {
        let taken = self.cpu.read32(GICC_IAR);
        // SAFETY: a barrier: what the sender of the interrupt wrote before is read after. A read of a device is not
        // ordered with later reads of memory otherwise (Arm ARM B2.3).
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
        (taken & INTID < SPECIAL).then_some(taken)
    }

    /// Lets other interrupts come; this one stays active (EOImode 1). GICC_EOIR and GICC_DIR want back what GICC_IAR
    /// gave, the sender included.
    #[inline(always)]
    pub fn drop_priority(&self, taken: u32) {
        self.cpu.write32(GICC_EOIR, taken);
    }

    /// Ends an interrupt whose priority was dropped.
    #[inline(always)]
    pub fn deactivate(&self, taken: u32) {
        self.cpu.write32(GICC_DIR, taken);
    }

    /// SGI 0, from whomever, is no longer pending at the executing CPU. It is certain only after a read of any register
    /// of the controller.
    #[inline(always)]
    pub fn withdraw_sgi_0(&self) {
        self.dist.write32(GICD_CPENDSGIR, 0xff);
    }

    /// The address of GICD_SGIR.
    #[must_use]
    pub fn sgi_register(&self) -> u64 {
        self.dist.address(GICD_SGIR)
    }

    /// Sends SGI `sgi` to all CPUs but this one.
    pub fn send_sgi_to_others(&self, sgi: IntId) {
        const ALL_BUT_SELF: u32 = 1 << 24;
        // SAFETY: its own register.
        unsafe { send_sgi(self.sgi_register(), sgi, ALL_BUT_SELF) };
    }
}

/// Sends SGI `sgi` to `targets`, in the form of GICD_SGIR: the list in bits 23-16, the filter above. What was written before
/// is visible to them.
///
/// # Safety
///
/// `register` is what [`Frames::sgi_register`] says.
#[inline(always)]
pub unsafe fn send_sgi(register: u64, sgi: IntId, targets: u32) {
    let value = targets | sgi.get() & 0xf;
    // SAFETY: a barrier: a write to a device is not ordered with earlier writes to memory by itself (Arm ARM B2.3). The
    // register is mapped as Device memory for good.
    unsafe {
        asm!("dsb ishst", "str {:w}, [{}]", in(reg) value, in(reg) register, options(nostack, preserves_flags))
    };
}
