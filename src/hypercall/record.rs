//! Structures of the ABI as bytes with typed, compile-time checked offsets.

use super::{Caller, Fault};
use crate::addr::Gva;

/// A structure of `N` bytes, little endian. Aligned, or the compiler would move it byte by byte.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub(super) struct Record<const N: usize>([u8; N]);

macro_rules! field {
    ($get:ident, $set:ident, $raw:ty) => {
        #[doc = concat!("The `", stringify!($raw), "` at byte `AT`.")]
        #[inline(always)]
        pub(super) fn $get<const AT: usize>(&self) -> $raw {
            const { assert!(AT + size_of::<$raw>() <= N) };
            self.0.get(AT..).and_then(|rest| rest.first_chunk()).map_or(0, |raw| <$raw>::from_le_bytes(*raw))
        }
        #[doc = concat!("Writes the `", stringify!($raw), "` at byte `AT`.")]
        #[inline(always)]
        pub(super) fn $set<const AT: usize>(&mut self, value: $raw) {
            const { assert!(AT + size_of::<$raw>() <= N) };
            if let Some(raw) = self.0.get_mut(AT..).and_then(|rest| rest.first_chunk_mut()) {
                *raw = value.to_le_bytes();
            }
        }
    };
}

impl<const N: usize> Record<N> {
    /// Reads the structure from the guest.
    pub(super) fn read(caller: &impl Caller, from: Gva) -> Result<Self, Fault> {
        let mut record = Self([0; N]);
        caller.read_guest(from, &mut record.0)?;
        Ok(record)
    }

    /// Writes the whole structure back.
    pub(super) fn write(&self, caller: &impl Caller, to: Gva) -> Result<(), Fault> {
        caller.write_guest(to, &self.0)
    }

    field!(u16, set_u16, u16);
    field!(u32, set_u32, u32);
    field!(u64, set_u64, u64);
}
