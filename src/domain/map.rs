//! The guest physical map: the same as Xen's on Arm64 (`xen/include/public/arch-arm.h`), so that a guest cannot tell.

use crate::addr::{GIB, IntId, Ipa};

/// GIC distributor.
pub const GICD: Ipa = Ipa::new(0x0300_1000);
/// Size of a GICv2 distributor, bytes.
pub const GICD_V2_SIZE: u64 = 0x1000;
/// GICv2 CPU interface: the machine's own virtual one is mapped here.
pub const GICC: Ipa = Ipa::new(0x0300_2000);
/// Size of the GICv2 CPU interface, bytes: the registers, and a page for GICC_DIR.
pub const GICC_SIZE: u64 = 0x2000;
/// Size of a GICv3 distributor, bytes.
pub const GICD_V3_SIZE: u64 = 0x1_0000;
/// GICv3 redistributors, two 64 KiB frames a vCPU.
pub const GICR: Ipa = Ipa::new(0x0302_0000);
/// Window of the redistributors, bytes: 128 vCPUs.
pub const GICR_SIZE: u64 = 0x0100_0000;
/// vPL011.
pub const VPL011: Ipa = Ipa::new(0x2200_0000);
/// Size of the vPL011, bytes.
pub const VPL011_SIZE: u64 = 0x1000;
/// Where a guest may map its grant table.
pub const GRANT_TABLE: Ipa = Ipa::new(0x3800_0000);
/// Size of that window, bytes.
pub const GRANT_TABLE_SIZE: u64 = 0x0100_0000;
/// RAM banks: start and largest size in bytes. The first is filled first.
pub const RAM_BANKS: [(Ipa, u64); 2] =
    [(Ipa::new(0x4000_0000), 3 * GIB), (Ipa::new(0x2_0000_0000), 1016 * GIB)];

/// EL1 virtual timer.
pub const TIMER_VIRTUAL: IntId = IntId::new(27);
/// EL1 secure physical timer: in the tree because the binding wants it first; nothing raises it.
pub const TIMER_SECURE: IntId = IntId::new(29);
/// EL1 physical timer.
pub const TIMER_PHYSICAL: IntId = IntId::new(30);
/// Event-channel upcall.
pub const UPCALL: IntId = IntId::new(31);
/// vPL011, the first SPI.
pub const VPL011_IRQ: IntId = IntId::new(32);
/// Phandle of the interrupt controller in a guest's tree.
pub const GIC_PHANDLE: u32 = 65000;

const _: () = assert!(GICD.get() + GICD_V2_SIZE <= GICC.get());
const _: () = assert!(GICD.get() + GICD_V3_SIZE <= GICR.get());
const _: () = assert!(GRANT_TABLE.get() + GRANT_TABLE_SIZE <= RAM_BANKS[0].0.get());
