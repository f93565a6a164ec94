//! What guests have of the machine's interrupt controller: the virtual CPU interface and its list registers.

use portunus::addr::{IntId, Pa, PaSpan};
use portunus::vgic::{ListRegisters, Lr, Maintenance, PhysicalGic};

use super::super::{gicv2, gicv3};
use super::Private;

/// The registers that guests have for a CPU interface: on GICv2, pages of the machine's own.
#[must_use]
pub fn guest_pages() -> Option<PaSpan> {
    gicv2::frames().map(gicv2::Frames::guest)
}

/// Whether `address` is in a device that guests have in their memory map.
#[cold]
#[must_use]
pub fn is_guest_device(address: Pa) -> bool {
    guest_pages().is_some_and(|pages| pages.contains(address))
}

/// What an interrupt has to be more urgent than to end a WFI of the loaded vCPU.
#[must_use]
pub fn guest_threshold() -> u8 {
    gicv2::frames().map_or_else(gicv3::guest_threshold, gicv2::Frames::guest_threshold)
}

/// The list registers and the private physical interrupts of a pCPU.
pub enum Interface {
    /// Of a GICv2.
    V2(gicv2::Interface),
    /// Of a GICv3.
    V3(gicv3::Interface),
}

impl Interface {
    /// Those of the CPU whose part is `private`; it has no list registers before [`switch_on`](Self::switch_on).
    #[must_use]
    pub const fn new(private: Private) -> Self {
        match private {
            Private::V2(frames) => Self::V2(gicv2::Interface::new(frames)),
            Private::V3(redistributor) => Self::V3(gicv3::Interface::new(redistributor)),
        }
    }

    /// Switches the virtual interface of the executing CPU on, with empty list registers.
    pub fn switch_on(&mut self) {
        match self {
            Self::V2(interface) => interface.switch_on(),
            Self::V3(interface) => interface.switch_on(),
        }
    }
}

/// Passes a method on to whichever version it is.
macro_rules! pass_on {
    ($($(#[$attribute:meta])* fn $name:ident($self:ident: $receiver:ty $(, $argument:ident: $kind:ty)*) $(-> $answer:ty)?;)*) => {
        $($(#[$attribute])* fn $name($self: $receiver $(, $argument: $kind)*) $(-> $answer)? {
            match $self {
                Self::V2(interface) => interface.$name($($argument),*),
                Self::V3(interface) => interface.$name($($argument),*),
            }
        })*
    };
}

impl ListRegisters for Interface {
    pass_on! {
        #[inline]
        fn count(self: &Self) -> usize;
        #[inline]
        fn read(self: &mut Self, index: usize) -> Lr;
        #[inline]
        fn pend(self: &mut Self, index: usize) -> (bool, bool);
        #[inline]
        fn again(self: &mut Self, index: usize) -> bool;
        #[inline]
        fn write(self: &mut Self, index: usize, lr: Lr);
        fn request(self: &mut Self, wanted: Maintenance);
        fn take_eoi_count(self: &mut Self) -> u32;
    }
}

impl PhysicalGic for Interface {
    pass_on! {
        fn deactivate(self: &mut Self, intid: IntId);
        fn set_active(self: &mut Self, intid: IntId, active: bool);
    }
}

/// The virtual CPU interface of a vCPU that is not loaded, as after reset in the beginning: disabled, everything masked.
/// That of the version that the machine does not have stays so.
#[derive(Clone, Copy, Default)]
pub struct VirtualCpu {
    /// Of a GICv2.
    pub v2: gicv2::VirtualCpu,
    /// Of a GICv3.
    pub v3: gicv3::VirtualCpu,
}

impl VirtualCpu {
    /// See [`guest_threshold`].
    #[inline(always)]
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.v2.threshold() | self.v3.threshold()
    }
}
