//! Event channels: Xen's two-level ABI, with channels laid out before the first domain runs.
//!
//! **Decides** what a send, an unmask, a bind or a close does to the bits that guests see, and which vCPU has to
//! be told. **Trusts** nothing in guest-writable memory: pending, mask, selector and upcall words are read as
//! allegations, and whatever they hold, the worst outcome is that the guest that wrote them misses its own
//! events. **Refuses** to allocate, to wait, or to touch an interrupt controller: callers learn through
//! [`Attention`] who needs service.
//!
//! # Static channels
//!
//! A static channel belongs to the device tree, not to the guests at its ends. No hypercall can take it away:
//!
//! * `EVTCHNOP_close` on a static port answers 0, discards an event that is pending there, and moves
//!   notification back to vCPU 0. The port stays bound to its peer. Linux treats any other answer as a bug in the
//!   hypervisor, so refusing is not an option; Xen itself frees the port and so destroys the channel for both.
//! * `EVTCHNOP_reset` does the same to every static port, and frees all others.
//! * [`Events::rearm`], for a domain that starts again, does the same, forgets where vCPU information was
//!   registered, and clears the mask.
//! * None of these touches the peer's port, its pending bit or its notification: whichever end restarts, however
//!   often, the other end's channel is the one it always had.
//! * A channel whose other end could not be built keeps its port reserved: status reports it *unbound*, sends
//!   are dropped with answer 0.
//! * Neither end starts with an event pending. (Xen leaves one on whichever end its tree names second, a side
//!   effect of how it binds. Guests have to tolerate both.)
//!
//! # Ordering
//!
//! A sender and the receiving guest run at the same time and share no lock. Three pairs of accesses matter, all
//! of the same shape: *each side writes its own word, then reads the other's; at least one must see the other*.
//!
//! | sender | other side | otherwise lost |
//! |---|---|---|
//! | sets pending, reads mask | clears mask, reads pending | an event behind a mask just lifted |
//! | sets pending, reads the notified vCPU and its information address | moves them, then looks for pending bits | an upcall sent to the old place |
//! | sets pending, reads the polling flag | sets the polling flag, reads pending | a wake-up |
//!
//! So in each pair the write is a sequentially consistent read-modify-write or store, and the read is one that
//! cannot be satisfied before it ([`word`] says which instructions these are on AArch64). The sender reads the
//! notified vCPU *after* it set the pending bit: read before, it could announce to a vCPU that the guest has just
//! stopped listening on, while the guest's own look at the pending bit came too early.
//!
//! Loom drives this very code through all interleavings of the pairs (`loom_tests`).
#![deny(unsafe_code)]

mod bind;
mod build;
mod deliver;
mod domain;
mod page;
mod port;
mod vcpu;
mod view;
pub mod word;

#[cfg(test)]
#[cfg(not(any(loom, miri)))]
mod bind_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod deliver_tests;
#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod model_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use bind::{Refusal, Status};
pub use build::{Bound, Builder};
pub use deliver::{Attention, Sender, Sent};
pub use domain::{Bell, Events, Line, Traffic};
pub use page::{SharedInfo, VcpuInfo};
pub use port::Binding;
pub use vcpu::Poll;

/// Words in each level-two bitmap.
#[cfg(not(loom))]
const WORDS: usize = 64;
/// Ports of a domain, port 0 included.
#[cfg(not(any(loom, miri)))]
const PORT_COUNT: usize = crate::addr::PORTS as usize;

/// Under loom every word is tracked, so its domains are small. The algorithms do not change.
#[cfg(loom)]
const WORDS: usize = 1;
/// See [`WORDS`].
#[cfg(loom)]
const PORT_COUNT: usize = 4;
/// Miri takes seconds to fill the tables of two domains of full size.
#[cfg(miri)]
const PORT_COUNT: usize = 128;

/// One past the highest domain number: domain ids are VMIDs of 8 bits.
const DOMAINS: usize = 256;
