//! Every hypercall as a domU calls it: what it answers, in which order it checks, and what it writes where.
//!
//! Rows are errors by name: `-22` is said `EINVAL`. The numbers themselves are checked once, in [`abi`].
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod abi;
mod console;
mod event;
mod grant;
mod hostile;
mod memory;
mod multicall;
mod sched;
mod vcpu;
mod version;

use super::testing::*;
use super::*;
use Errno::*;

/// A caller that is not there: the calling domain by that name, by number, a neighbour, and nobody.
const SELF: u16 = DOMID_SELF;
const ME: u16 = 1;
const PEER: u16 = 2;
const NOBODY: u16 = 9;

/// What x0 holds for an error.
fn err(errno: Errno) -> i64 {
    errno.code()
}
