//! Address and number types.
//!
//! A hypervisor juggles three address spaces and half a dozen small integers that look alike. Each has its
//! own type here, without `From<u64>`: making one is a visible act (`new`), and so is leaving the type (`get`).
//! All address arithmetic is checked; nothing in this module can panic.

use core::fmt;

/// Size of a translation granule in bytes. Portunus uses 4 KiB pages at both stages, as the Xen ABI does.
pub const PAGE_SIZE: u64 = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in one MiB.
pub const MIB: u64 = 1024 * 1024;
/// Bytes in one GiB.
pub const GIB: u64 = 1024 * MIB;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident, $tag:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a raw byte address.
            #[must_use]
            #[inline]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }
            /// The raw byte address.
            #[must_use]
            #[inline]
            pub const fn get(self) -> u64 {
                self.0
            }
            /// The address `bytes` further on, or `None` where it would wrap.
            #[must_use]
            #[inline]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }
            /// Bytes from `base` up to this address, or `None` if this address lies below `base`.
            #[must_use]
            #[inline]
            pub const fn checked_sub(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }
            /// Whether the address is a multiple of `align` (a power of two; anything else answers `false`).
            #[must_use]
            #[inline]
            pub const fn is_aligned(self, align: u64) -> bool {
                align.is_power_of_two() && self.0 & align.wrapping_sub(1) == 0
            }
            /// Rounds down to a multiple of `align` (a power of two).
            #[must_use]
            #[inline]
            pub const fn align_down(self, align: u64) -> Self {
                Self(self.0 & !align.wrapping_sub(1))
            }
            /// Rounds up to a multiple of `align` (a power of two), or `None` where that would wrap.
            #[must_use]
            #[inline]
            pub const fn align_up(self, align: u64) -> Option<Self> {
                match self.0.checked_add(align.wrapping_sub(1)) {
                    Some(raw) => Some(Self(raw & !align.wrapping_sub(1))),
                    None => None,
                }
            }
            /// The start of the 4 KiB page that holds this address.
            #[must_use]
            #[inline]
            pub const fn page(self) -> Self {
                self.align_down(PAGE_SIZE)
            }
            /// Byte offset within the 4 KiB page.
            #[must_use]
            #[inline]
            pub const fn page_offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }
            /// The 4 KiB frame number (`gfn`/`mfn` in the Xen ABI).
            #[must_use]
            #[inline]
            pub const fn frame(self) -> u64 {
                self.0 >> PAGE_SHIFT
            }
            /// The address of 4 KiB frame `frame`, or `None` where it does not fit 64 bits.
            #[must_use]
            #[inline]
            pub const fn from_frame(frame: u64) -> Option<Self> {
                if frame >> (64 - PAGE_SHIFT) != 0 { None } else { Some(Self(frame << PAGE_SHIFT)) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($tag, ":{:#x}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address!(
    /// A physical address: what stage 2 produces and the bus sees.
    Pa, "PA"
);
address!(
    /// An intermediate physical address: what a guest believes to be physical.
    Ipa, "IPA"
);
address!(
    /// A guest virtual address. An allegation: nothing says that it is mapped, or to what.
    Gva, "GVA"
);

/// A range of bytes `[start, start + size)` that does not wrap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span<A> {
    start: A,
    size: u64,
}

/// A range of physical addresses.
pub type PaSpan = Span<Pa>;
/// A range of intermediate physical addresses.
pub type IpaSpan = Span<Ipa>;

macro_rules! span {
    ($addr:ident) => {
        impl Span<$addr> {
            /// The range of `size` bytes from `start`, or `None` if its end does not fit 64 bits.
            #[must_use]
            #[inline]
            pub const fn new(start: $addr, size: u64) -> Option<Self> {
                match start.checked_add(size) {
                    Some(_) => Some(Self { start, size }),
                    None => None,
                }
            }
            /// The range `[start, end)`, or `None` if `end` lies below `start`.
            #[must_use]
            #[inline]
            pub const fn from_bounds(start: $addr, end: $addr) -> Option<Self> {
                match end.checked_sub(start) {
                    Some(size) => Some(Self { start, size }),
                    None => None,
                }
            }
            /// First byte.
            #[must_use]
            #[inline]
            pub const fn start(&self) -> $addr {
                self.start
            }
            /// One past the last byte.
            #[must_use]
            #[inline]
            pub const fn end(&self) -> $addr {
                $addr::new(self.start.get().wrapping_add(self.size))
            }
            /// Length in bytes.
            #[must_use]
            #[inline]
            pub const fn size(&self) -> u64 {
                self.size
            }
            /// Whether the range holds no byte.
            #[must_use]
            #[inline]
            pub const fn is_empty(&self) -> bool {
                self.size == 0
            }
            /// Whether `addr` lies inside.
            #[must_use]
            #[inline]
            pub const fn contains(&self, addr: $addr) -> bool {
                match addr.checked_sub(self.start) {
                    Some(offset) => offset < self.size,
                    None => false,
                }
            }
            /// Whether every byte of `other` lies inside.
            #[must_use]
            #[inline]
            pub const fn covers(&self, other: &Self) -> bool {
                match other.start.checked_sub(self.start) {
                    Some(offset) => offset <= self.size && other.size <= self.size.wrapping_sub(offset),
                    None => false,
                }
            }
            /// Whether the two ranges share a byte.
            #[must_use]
            #[inline]
            pub const fn overlaps(&self, other: &Self) -> bool {
                self.size != 0
                    && other.size != 0
                    && self.start.get() < other.end().get()
                    && other.start.get() < self.end().get()
            }
        }

        impl fmt::Debug for Span<$addr> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "[{:#x}, {:#x})", self.start.get(), self.end().get())
            }
        }

        impl fmt::Display for Span<$addr> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}-{:#x}", self.start.get(), self.end().get())
            }
        }
    };
}

span!(Pa);
span!(Ipa);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($raw:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name($raw);

        impl $name {
            /// Wraps a raw number.
            #[must_use]
            #[inline]
            pub const fn new(raw: $raw) -> Self {
                Self(raw)
            }
            /// The raw number.
            #[must_use]
            #[inline]
            pub const fn get(self) -> $raw {
                self.0
            }
            /// The number as an index into a table.
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// A domain. As in Xen, domUs count from 1 in tree order; 0 stays reserved. It is also the VMID (8 bits on
    /// Armv8.0), so at most 255 domains exist.
    DomainId(u16), "d"
);
number!(
    /// A virtual CPU, counted from 0 within its domain.
    VcpuId(u16), "v"
);
number!(
    /// A physical CPU by logical number: its place among the `/cpus` nodes of the tree.
    CpuId(u16), "cpu"
);
number!(
    /// An event-channel port, local to a domain. Port 0 is never valid; the 2-level ABI ends at 4095.
    Port(u32), "port"
);
number!(
    /// A GIC interrupt number (INTID): SGIs 0-15, PPIs 16-31, SPIs 32-1019. *Not* the SPI number of a device
    /// tree, which is 32 less.
    IntId(u32), "INTID"
);

impl IntId {
    /// The INTID of shared peripheral interrupt `spi` (device-tree type 0), if it exists (SPI 0-987).
    #[must_use]
    #[inline]
    pub const fn from_spi(spi: u32) -> Option<Self> {
        if spi < 988 { Some(Self(spi + 32)) } else { None }
    }
    /// The INTID of private peripheral interrupt `ppi` (device-tree type 1), if it exists (PPI 0-15).
    #[must_use]
    #[inline]
    pub const fn from_ppi(ppi: u32) -> Option<Self> {
        if ppi < 16 { Some(Self(ppi + 16)) } else { None }
    }
    /// Whether this is a software-generated interrupt.
    #[must_use]
    #[inline]
    pub const fn is_sgi(self) -> bool {
        self.0 < 16
    }
    /// Whether this interrupt is banked per CPU (an SGI or a PPI).
    #[must_use]
    #[inline]
    pub const fn is_private(self) -> bool {
        self.0 < 32
    }
    /// Whether this is a shared peripheral interrupt.
    #[must_use]
    #[inline]
    pub const fn is_spi(self) -> bool {
        self.0 >= 32 && self.0 < 1020
    }
}

/// Number of ports in the 2-level ABI on a 64-bit guest: 64 words of 64 bits.
pub const PORTS: u32 = 4096;

/// The affinity fields of an MPIDR (Aff3:Aff2:Aff1:Aff0 in bits 39-32 and 23-0), without the flag bits, as
/// `/cpus/cpu@…/reg` and PSCI use them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Affinity(u64);

impl Affinity {
    const MASK: u64 = 0xff_00ff_ffff;

    /// Takes the affinity fields of an MPIDR value (Arm ARM DDI 0487, MPIDR_EL1), dropping MT, U and RES1.
    #[must_use]
    #[inline]
    pub const fn from_mpidr(mpidr: u64) -> Self {
        Self(mpidr & Self::MASK)
    }
    /// The affinity of vCPU `vcpu` as Xen gives it out: 16 CPUs a cluster.
    #[must_use]
    #[inline]
    pub const fn of_vcpu(vcpu: VcpuId) -> Self {
        let id = vcpu.get() as u64;
        Self((id & 0xf) | (id >> 4) << 8)
    }
    /// The fields in MPIDR position.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
    /// Packed as Aff3.Aff2.Aff1.Aff0 in 32 bits, the form of `GICR_TYPER[63:32]`.
    #[must_use]
    #[inline]
    pub const fn packed(self) -> u32 {
        (((self.0 >> 32) & 0xff) << 24 | (self.0 & 0xff_ffff)) as u32
    }
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_would_wrap_does_not_exist() {
        assert!(PaSpan::new(Pa::new(u64::MAX - 10), 20).is_none());
        assert!(PaSpan::from_bounds(Pa::new(2), Pa::new(1)).is_none());
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let low = PaSpan::new(Pa::new(0x1000), 0x1000).unwrap();
        let high = PaSpan::new(Pa::new(0x2000), 0x1000).unwrap();
        assert!(!low.overlaps(&high));
        assert!(low.overlaps(&PaSpan::new(Pa::new(0x1fff), 1).unwrap()));
        assert!(!low.overlaps(&PaSpan::new(Pa::new(0x1800), 0).unwrap()));
        assert!(low.covers(&PaSpan::new(Pa::new(0x1800), 0x800).unwrap()));
        assert!(!low.covers(&PaSpan::new(Pa::new(0x1800), 0x801).unwrap()));
    }

    #[test]
    fn vcpu_affinity_has_sixteen_cpus_a_cluster() {
        assert_eq!(Affinity::of_vcpu(VcpuId::new(15)).get(), 0xf);
        assert_eq!(Affinity::of_vcpu(VcpuId::new(16)).get(), 0x100);
        assert_eq!(Affinity::from_mpidr(0x81_8000_0203).packed(), 0x8100_0203);
    }

    #[test]
    fn interrupt_numbers_keep_spi_and_intid_apart() {
        assert_eq!(IntId::from_spi(0), Some(IntId::new(32)));
        assert_eq!(IntId::from_spi(988), None);
        assert_eq!(IntId::from_ppi(15), Some(IntId::new(31)));
        assert_eq!(IntId::from_ppi(16), None);
    }

    #[test]
    fn alignment_never_wraps() {
        assert_eq!(Pa::new(u64::MAX).align_up(PAGE_SIZE), None);
        assert_eq!(Pa::new(0x1001).align_up(PAGE_SIZE), Some(Pa::new(0x2000)));
        assert_eq!(Pa::from_frame(1 << 52), None);
    }
}
