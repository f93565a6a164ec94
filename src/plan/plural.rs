//! Numbers of things, for people.

use core::fmt;

/// A number and what it counts, such as "1 error" and "2 errors".
pub(super) struct Count(pub usize, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}
