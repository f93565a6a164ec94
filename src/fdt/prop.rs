//! Properties: bytes that become numbers and strings, or an error that says why not.

use core::fmt;

use super::check::cell_at;

/// A property and its raw value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prop<'t> {
    /// Its name.
    pub name: &'t str,
    /// Its value, as it stands in the tree.
    pub value: &'t [u8],
}

/// Why a value is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// Fewer bytes than the type needs.
    Short {
        /// Bytes needed.
        wanted: usize,
        /// Bytes there.
        got: usize,
    },
    /// Not a NUL-terminated UTF-8 string.
    NotText,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { wanted, got } => write!(f, "the value has {got} bytes, {wanted} are needed"),
            Self::NotText => f.write_str("the value is not a NUL-terminated string"),
        }
    }
}

impl<'t> Prop<'t> {
    /// The first cell.
    ///
    /// # Errors
    /// [`ValueError::Short`] for less than four bytes.
    pub fn u32(self) -> Result<u32, ValueError> {
        self.cell(0).ok_or(ValueError::Short { wanted: 4, got: self.value.len() })
    }

    /// The first two cells as one number.
    ///
    /// # Errors
    /// [`ValueError::Short`] for less than eight bytes.
    pub fn u64(self) -> Result<u64, ValueError> {
        self.number_at(0, 2).ok_or(ValueError::Short { wanted: 8, got: self.value.len() })
    }

    /// A number that may be written in one cell or in two.
    ///
    /// # Errors
    /// [`ValueError::Short`] for less than four bytes.
    pub fn number(self) -> Result<u64, ValueError> {
        self.u64().or_else(|_| self.u32().map(u64::from))
    }

    /// The first string.
    ///
    /// # Errors
    /// [`ValueError::NotText`] where there is none.
    pub fn str(self) -> Result<&'t str, ValueError> {
        text(self.value).ok_or(ValueError::NotText)
    }

    /// The strings of a string list. Parts that are not UTF-8 are left out.
    pub fn strings(self) -> impl Iterator<Item = &'t str> {
        parts(self.value).filter_map(|part| core::str::from_utf8(part).ok())
    }

    /// Cell `index`.
    #[must_use]
    pub fn cell(self, index: usize) -> Option<u32> {
        cell_at(self.value, index.checked_mul(4)?)
    }

    /// The cells. Bytes that do not fill one are left out.
    pub fn cells(self) -> impl Iterator<Item = u32> {
        (0..self.cell_count()).filter_map(move |index| self.cell(index))
    }

    /// Number of whole cells.
    #[must_use]
    pub fn cell_count(self) -> usize {
        self.value.len() / 4
    }

    /// The number of `width` cells (0-2) that begins at cell `index`; of no cells, it is 0.
    #[must_use]
    pub fn number_at(self, index: usize, width: u32) -> Option<u64> {
        match width {
            0 => Some(0),
            1 => self.cell(index).map(u64::from),
            2 => {
                let high = u64::from(self.cell(index)?);
                let low = u64::from(self.cell(index.checked_add(1)?)?);
                Some(high << 32 | low)
            }
            _ => None,
        }
    }
}

/// The string that `bytes` begin with, up to its NUL.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(bytes.get(..end)?).ok()
}

/// The strings of a string list, as bytes.
pub(super) fn parts(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == 0).filter(|part| !part.is_empty())
}
