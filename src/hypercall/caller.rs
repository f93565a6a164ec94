//! The world as a hypercall sees it.

use super::CallState;
use crate::addr::{DomainId, Gva, Ipa, VcpuId};
use crate::evtchn::{Attention, Events, VcpuInfo};

/// The guest's own translation, or stage 2, does not allow the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// A page of the hypervisor's that a guest may place in its address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialPage {
    /// `shared_info`.
    SharedInfo,
    /// Grant-table frame of this number, below [`CallState::grant_frames`]. It is private to the domain.
    Grant(u32),
}

/// Why the guest's address space was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The page is mapped somewhere already, perhaps in that very place.
    AlreadyMapped,
    /// The frame is beyond the guest's physical address space, or holds something the guest may not replace.
    OutOfRange,
    /// The frames set aside for page tables are used up.
    NoTables,
    /// Nothing is mapped there.
    NotMapped,
    /// Another vCPU of the domain is changing the address space: the guest tries again.
    Busy,
}

/// Why vCPU information cannot live at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// There is no RAM of the domain's there.
    NotRam,
    /// There is, and the guest may not write it.
    ReadOnly,
}

/// The vCPU that executes a hypercall, with its domain and the machine around it.
///
/// All of it is called on the vCPU's own pCPU, at EL2, before the guest goes on. Nothing may wait.
pub trait Caller: Attention {
    /// The domain of the vCPU.
    fn domain(&self) -> DomainId;
    /// Its number in that domain.
    fn vcpu(&self) -> VcpuId;
    /// The event channels of all domains.
    fn events(&self) -> &Events;
    /// What hypercalls remember about the domain.
    fn state(&self) -> &CallState;

    /// Reads guest memory at a virtual address, through the vCPU's current stage 1 and its stage 2. The bytes may
    /// cross pages. On a fault, what `into` holds does not matter.
    fn read_guest(&self, from: Gva, into: &mut [u8]) -> Result<(), Fault>;
    /// Writes guest memory likewise. On a fault, a part may have been written.
    fn write_guest(&self, to: Gva, bytes: &[u8]) -> Result<(), Fault>;

    /// Maps a page of the hypervisor's at guest frame `frame`, readable and writable, in place of whatever was
    /// there. A page can be mapped in one place only.
    fn map_special(&self, page: SpecialPage, frame: u64) -> Result<(), MapError>;
    /// Unmaps guest frame `frame`. Guest RAM unmapped so stays the domain's until it restarts.
    fn unmap(&self, frame: u64) -> Result<(), MapError>;
    /// The view of 48 bytes of guest RAM at `at`, which is 8-byte aligned; they do not cross a page. Must refuse
    /// what is not RAM of the domain, its shared information page included. The view stays valid whatever the
    /// guest unmaps later.
    fn vcpu_info_at(&self, at: Ipa) -> Result<&'static VcpuInfo, PlaceError>;
    /// RAM of the domain, in 4 KiB pages.
    fn memory_pages(&self) -> u64;
    /// The highest guest frame that is RAM.
    fn highest_frame(&self) -> u64;

    /// Takes text for the domain's console: printable characters, tabs and newlines. Lines may come in pieces.
    /// Takes as much from the beginning of `text` as there is room for, and answers how many bytes that was; the
    /// rest is offered again after the guest was entered. (A domain without a console takes all and drops it.)
    fn console_write(&self, text: &[u8]) -> usize;
    /// Remembers where `vcpu` wants its run states accounted: an address of its own stage 1. What cannot be written when
    /// there is something to write is not written.
    fn register_runstate(&self, vcpu: VcpuId, area: Gva);
    /// A watchdog of the domain was started, fed or stopped: whoever keeps time for it looks at
    /// [`CallState::watchdog_deadline`] again.
    fn watchdogs_changed(&self);
    /// System time in ns since boot.
    fn now(&self) -> u64;
    /// PSTATE.I of the guest: whether it holds off interrupts.
    fn interrupts_masked(&self) -> bool;
}
