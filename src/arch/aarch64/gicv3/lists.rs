//! The virtual side of the CPU interface: list registers, and what a vCPU that is not loaded keeps of it.

use core::arch::asm;

use portunus::addr::IntId;
use portunus::vgic::{ListRegisters, Lr, Maintenance, PhysicalGic};

use super::super::sysreg::{
    ICH_AP0R0_EL2, ICH_AP0R1_EL2, ICH_AP0R2_EL2, ICH_AP0R3_EL2, ICH_AP1R0_EL2, ICH_AP1R1_EL2, ICH_AP1R2_EL2,
    ICH_AP1R3_EL2, ICH_HCR_EL2, ICH_VMCR_EL2, ICH_VTR_EL2,
};
use super::Redistributor;

// ICH_HCR_EL2 (IHI 0069).
const EN: u64 = 1;
const LRENPIE: u64 = 1 << 2;
const NPIE: u64 = 1 << 3;
const EOI_COUNT_SHIFT: u32 = 27;
const EOI_COUNT: u64 = 0x1f << EOI_COUNT_SHIFT;

/// Number of list registers of this CPU (ICH_VTR_EL2.ListRegs).
#[must_use]
pub fn list_registers() -> u32 {
    (ICH_VTR_EL2::read() & 0x1f) as u32 + 1
}

/// The priority that an interrupt must be more urgent than to end a WFI of the loaded vCPU: its ICC_PMR_EL1, or 0
/// (nothing is more urgent) while it has Group 1 disabled. `vmcr` is ICH_VMCR_EL2.
#[inline]
const fn threshold(vmcr: u64) -> u8 {
    const VENG1: u64 = 1 << 1;
    const VPMR_SHIFT: u32 = 24;
    if vmcr & VENG1 == 0 { 0 } else { (vmcr >> VPMR_SHIFT) as u8 }
}

/// [`threshold`] of the loaded vCPU.
#[must_use]
pub fn guest_threshold() -> u8 {
    threshold(ICH_VMCR_EL2::read())
}

/// Runs `$action` with the name of list register `$index`.
macro_rules! with_list_register {
    ($index:expr, $action:ident, $otherwise:expr) => {
        match $index {
            0 => $action!("S3_4_C12_C12_0"),
            1 => $action!("S3_4_C12_C12_1"),
            2 => $action!("S3_4_C12_C12_2"),
            3 => $action!("S3_4_C12_C12_3"),
            4 => $action!("S3_4_C12_C12_4"),
            5 => $action!("S3_4_C12_C12_5"),
            6 => $action!("S3_4_C12_C12_6"),
            7 => $action!("S3_4_C12_C12_7"),
            8 => $action!("S3_4_C12_C13_0"),
            9 => $action!("S3_4_C12_C13_1"),
            10 => $action!("S3_4_C12_C13_2"),
            11 => $action!("S3_4_C12_C13_3"),
            12 => $action!("S3_4_C12_C13_4"),
            13 => $action!("S3_4_C12_C13_5"),
            14 => $action!("S3_4_C12_C13_6"),
            15 => $action!("S3_4_C12_C13_7"),
            _ => $otherwise,
        }
    };
}

/// The list registers and the private physical interrupts of this pCPU.
pub struct Interface {
    count: usize,
    redistributor: Redistributor,
}

impl Interface {
    /// Those of the CPU whose redistributor is `redistributor`; it has no list registers before
    /// [`switch_on`](Self::switch_on).
    #[must_use]
    pub const fn new(redistributor: Redistributor) -> Self {
        Self { count: 0, redistributor }
    }

    /// Switches the virtual interface of the executing CPU on, with empty list registers.
    pub fn switch_on(&mut self) {
        self.count = list_registers() as usize;
        for index in 0..self.count {
            self.write(index, Lr::EMPTY);
        }
        ICH_HCR_EL2::write(EN);
    }

    #[inline(always)]
    fn read_raw(&self, index: usize) -> u64 {
        macro_rules! read {
            ($name:literal) => {{
                let raw: u64;
                // SAFETY: reads a list register that this pCPU has (`index` is below `count`).
                unsafe { asm!(concat!("mrs {}, ", $name), out(reg) raw, options(nostack, preserves_flags)) };
                raw
            }};
        }
        with_list_register!(index, read, 0)
    }

    #[inline(always)]
    fn write_raw(&self, index: usize, raw: u64) {
        macro_rules! write {
            ($name:literal) => {
                // SAFETY: writes a list register that this pCPU has (`index` is below `count`); the guest sees
                // it after the next context synchronisation, which the exception return is.
                unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) raw, options(nostack, preserves_flags)) }
            };
        }
        with_list_register!(index, write, {});
    }
}

impl ListRegisters for Interface {
    #[inline]
    fn count(&self) -> usize {
        self.count
    }

    #[inline(always)]
    fn read(&mut self, index: usize) -> Lr {
        Lr::from_ich(self.read_raw(index))
    }

    #[inline(always)]
    fn write(&mut self, index: usize, lr: Lr) {
        self.write_raw(index, lr.to_ich());
    }

    #[inline(always)]
    fn pend(&mut self, index: usize) -> (bool, bool) {
        let (pended, before) = Lr::pended_ich(self.read_raw(index));
        if !before.0 {
            self.write_raw(index, pended);
        }
        before
    }

    #[inline(always)]
    fn again(&mut self, index: usize) -> bool {
        macro_rules! again {
            ($name:literal) => {{
                let raw: u64;
                // SAFETY: as in `read_raw` and `write_raw`.
                unsafe { asm!(concat!("mrs {}, ", $name), out(reg) raw, options(nostack, preserves_flags)) };
                let pending = Lr::again_ich(raw);
                if let Some(raw) = pending {
                    // SAFETY: as above.
                    unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) raw, options(nostack, preserves_flags)) };
                }
                pending.is_some()
            }};
        }
        with_list_register!(index, again, false)
    }

    fn request(&mut self, wanted: Maintenance) {
        let mut hcr = ICH_HCR_EL2::read() & !(NPIE | LRENPIE);
        if wanted.none_pending {
            hcr |= NPIE;
        }
        if wanted.unlisted_eoi {
            hcr |= LRENPIE;
        }
        ICH_HCR_EL2::write(hcr);
    }

    fn take_eoi_count(&mut self) -> u32 {
        let hcr = ICH_HCR_EL2::read();
        ICH_HCR_EL2::write(hcr & !EOI_COUNT);
        (hcr >> EOI_COUNT_SHIFT & 0x1f) as u32
    }
}

impl PhysicalGic for Interface {
    fn deactivate(&mut self, intid: IntId) {
        super::deactivate(intid);
    }

    fn set_active(&mut self, intid: IntId, active: bool) {
        self.redistributor.set_active(intid, active);
    }
}

/// The virtual CPU interface of a vCPU that is not loaded: its priority mask, group enables and active priorities.
#[derive(Clone, Copy, Default)]
pub struct VirtualCpu {
    vmcr: u64,
    active: [[u64; 2]; 4],
}

/// Bits of preemption (ICH_VTR_EL2.PREbits). Up to five of them need one active-priority register for each group, which all
/// of Arm's own interfaces have; six need two, seven need four (IHI 0069, `ICH_AP1R<n>_EL2`).
#[inline(always)]
fn preemption_bits() -> u64 {
    (ICH_VTR_EL2::read() >> 26 & 7) + 1
}

impl VirtualCpu {
    /// Takes the registers of this pCPU.
    #[inline]
    pub fn save(&mut self) {
        let [first, ..] = &mut self.active;
        self.vmcr = ICH_VMCR_EL2::read();
        *first = [ICH_AP0R0_EL2::read(), ICH_AP1R0_EL2::read()];
        let bits = preemption_bits();
        if bits > 5 {
            self.save_more(bits);
        }
    }

    #[cold]
    fn save_more(&mut self, bits: u64) {
        let [_, second, third, fourth] = &mut self.active;
        *second = [ICH_AP0R1_EL2::read(), ICH_AP1R1_EL2::read()];
        if bits > 6 {
            *third = [ICH_AP0R2_EL2::read(), ICH_AP1R2_EL2::read()];
            *fourth = [ICH_AP0R3_EL2::read(), ICH_AP1R3_EL2::read()];
        }
    }

    /// Gives them back.
    #[inline]
    pub fn restore(&self) {
        let [[group0, group1], ..] = self.active;
        ICH_VMCR_EL2::write(self.vmcr);
        ICH_AP0R0_EL2::write(group0);
        ICH_AP1R0_EL2::write(group1);
        let bits = preemption_bits();
        if bits > 5 {
            self.restore_more(bits);
        }
    }

    #[cold]
    fn restore_more(&self, bits: u64) {
        let [_, second, third, fourth] = self.active;
        ICH_AP0R1_EL2::write(second[0]);
        ICH_AP1R1_EL2::write(second[1]);
        if bits > 6 {
            ICH_AP0R2_EL2::write(third[0]);
            ICH_AP1R2_EL2::write(third[1]);
            ICH_AP0R3_EL2::write(fourth[0]);
            ICH_AP1R3_EL2::write(fourth[1]);
        }
    }

    /// See [`guest_threshold`].
    #[inline]
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        threshold(self.vmcr)
    }
}
