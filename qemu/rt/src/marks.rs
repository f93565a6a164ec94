//! What a HINT between 0x60 and 0x7f means to the tracer, `qemu/tracer`; to a CPU it is a NOP.
//!
//! Each of the first opens a stretch in which every instruction is recorded, and [`END`] closes it. Those from [`START`] on
//! are points in time. The tool that reads the record includes this file.

/// The end of what another mark began.
pub const END: u16 = 0x60;
/// A hypercall that does nothing.
pub const HYPERCALL: u16 = 0x61;
/// PSCI_VERSION.
pub const PSCI: u16 = 0x62;
/// A read of a vPL011 register.
pub const UART_READ: u16 = 0x63;
/// A read of a distributor register.
pub const GIC_READ: u16 = 0x64;
/// From an SGI to oneself to the first instruction of its handler.
pub const SGI: u16 = 0x65;
/// From before the timer's time to the first instruction of its handler.
pub const TIMER: u16 = 0x66;
/// A send to a port that its owner has masked.
pub const SEND_MASKED: u16 = 0x67;
/// A send to a port that is pending already.
pub const SEND_PENDING: u16 = 0x68;
/// A send to oneself, until it is counted.
pub const SEND_SELF: u16 = 0x69;
/// A send to a domain that sleeps.
pub const SEND_WOKEN: u16 = 0x6a;
/// To a domain that sleeps and back, asleep meanwhile.
pub const ROUND_TRIP: u16 = 0x6b;
/// Nothing: every domain sleeps.
pub const IDLE: u16 = 0x6c;
/// Once around a ring of domains.
pub const RING: u16 = 0x6d;
/// An SGI to another vCPU that sleeps.
pub const SGI_SENT: u16 = 0x6e;
/// To another vCPU that sleeps and back, asleep meanwhile, by SGIs.
pub const SGI_TRIP: u16 = 0x6f;
/// The first instruction of a domain.
pub const START: u16 = 0x78;
/// The first instruction of a Linux domain's init process.
pub const INIT: u16 = 0x7a;
/// Everything was measured.
pub const DONE: u16 = 0x79;
