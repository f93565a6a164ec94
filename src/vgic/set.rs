//! A small set of vCPUs of one domain.

use core::fmt;

use crate::addr::VcpuId;

/// vCPUs of one domain, by number (0-127): who needs attention.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "a vCPU that needs attention and does not get it loses an interrupt"]
pub struct VcpuSet(u128);

impl VcpuSet {
    /// Nobody.
    pub const EMPTY: Self = Self(0);

    /// One vCPU.
    pub const fn one(vcpu: VcpuId) -> Self {
        Self::EMPTY.with(vcpu)
    }

    /// The first `count` vCPUs.
    pub const fn first(count: usize) -> Self {
        if count >= 128 { Self(u128::MAX) } else { Self((1 << count) - 1) }
    }

    /// This set and `vcpu`; numbers above 127 do not exist and change nothing.
    pub const fn with(self, vcpu: VcpuId) -> Self {
        if vcpu.index() < 128 { Self(self.0 | 1 << vcpu.index()) } else { self }
    }

    /// This set without `vcpu`.
    pub const fn without(self, vcpu: VcpuId) -> Self {
        Self(self.0 & !Self::one(vcpu).0)
    }

    /// The vCPUs in either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nobody is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `vcpu` is in it.
    #[must_use]
    pub const fn contains(self, vcpu: VcpuId) -> bool {
        vcpu.index() < 128 && self.0 >> vcpu.index() & 1 != 0
    }

    /// The members, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = VcpuId> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let vcpu = VcpuId::new(rest.trailing_zeros() as u16);
            rest &= rest.wrapping_sub(1);
            Some(vcpu)
        })
    }
}

impl fmt::Debug for VcpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
