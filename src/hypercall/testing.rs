//! A guest for the tests of hypercalls: its memory, and a record of all that was done in its name.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::*;
use crate::addr::{Ipa, PAGE_SIZE, VcpuId};
use crate::evtchn::testing::{Asked, Witness, dom, domains, end, forever};
use crate::evtchn::{Attention, Bell, Events, SharedInfo, VcpuInfo};

pub(super) const MEMORY_OP: u64 = 12;
pub(super) const XEN_VERSION: u64 = 17;
pub(super) const CONSOLE_IO: u64 = 18;
pub(super) const GRANT_TABLE_OP: u64 = 20;
pub(super) const VCPU_OP: u64 = 24;
pub(super) const SCHED_OP: u64 = 29;
pub(super) const HVM_OP: u64 = 34;

/// Two pages that the guest may write, at `RAM` and behind it; nothing is mapped before or after them.
pub(super) const RAM: u64 = 0xffff_8000_0010_0000;
/// A page that it may only read, with nothing around it.
pub(super) const READ_ONLY: u64 = 0x40_0000;
/// Where nothing is mapped.
pub(super) const NOWHERE: u64 = 0x1234_5678_9000;
/// The first address behind the memory at `RAM`.
pub(super) const RAM_END: u64 = RAM + 2 * PAGE_SIZE;

/// A page in which the guest may have `vcpu_info`, one that is read-only, by guest frame. No other is RAM.
pub(super) const INFO_FRAME: u64 = 0x40_123;
pub(super) const LOCKED_FRAME: u64 = 0x40_124;
/// Grant frames the domain may have.
pub(super) const GRANT_FRAMES: u32 = 4;

/// What padding and outputs hold before a call.
const JUNK: u8 = 0xa5;

/// A structure of the ABI: all junk but for the fields that are set.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Raw(pub(super) Vec<u8>);

impl Raw {
    pub(super) fn of(size: usize) -> Self {
        Self(vec![JUNK; size])
    }
    fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }
    pub(super) fn u16(self, at: usize, value: u16) -> Self {
        self.field(at, &value.to_le_bytes())
    }
    pub(super) fn u32(self, at: usize, value: u32) -> Self {
        self.field(at, &value.to_le_bytes())
    }
    pub(super) fn u64(self, at: usize, value: u64) -> Self {
        self.field(at, &value.to_le_bytes())
    }
}

impl core::fmt::Debug for Raw {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.chunks(4).try_for_each(|word| {
            word.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}")).and_then(|()| write!(f, " "))
        })
    }
}

/// What a hypercall did beyond guest memory and event channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Map(SpecialPage, u64),
    Unmap(u64),
    Runstate(u16, u64),
    Watchdogs,
}

struct Page {
    bytes: [u8; PAGE_SIZE as usize],
    writable: bool,
}

/// vCPU 0 of domain 1, which has two vCPUs and is connected to domain 2 by 1:10 - 2:70.
pub(super) struct Guest {
    pub(super) vcpu: Cell<VcpuId>,
    pub(super) shared: Vec<&'static SharedInfo>,
    pub(super) infos: RefCell<BTreeMap<u64, &'static VcpuInfo>>,
    pub(super) now: Cell<u64>,
    pub(super) masked: Cell<bool>,
    /// What the console has taken, and how much more it takes.
    pub(super) console: RefCell<String>,
    pub(super) room: Cell<usize>,
    /// What changes of the address space answer next.
    pub(super) map_error: Cell<Option<MapError>>,
    events: Events,
    state: CallState,
    witness: Witness,
    effects: RefCell<Vec<Effect>>,
    memory: RefCell<BTreeMap<u64, Page>>,
}

impl Guest {
    pub(super) fn new() -> Self {
        let (events, shared) = domains(&[2, 1], &[[end(1, 10), end(2, 70)]]);
        let page = |writable| Page { bytes: [JUNK; PAGE_SIZE as usize], writable };
        let memory = [(RAM, page(true)), (RAM + PAGE_SIZE, page(true)), (READ_ONLY, page(false))];
        Self {
            vcpu: Cell::new(VcpuId::new(0)),
            shared,
            infos: RefCell::default(),
            now: Cell::new(0),
            masked: Cell::new(false),
            console: RefCell::default(),
            room: Cell::new(usize::MAX),
            map_error: Cell::new(None),
            events,
            state: CallState::new(GRANT_FRAMES),
            witness: Witness::default(),
            effects: RefCell::default(),
            memory: RefCell::new(memory.into()),
        }
    }

    /// Writes memory as the guest itself does: also what is read-only to the hypervisor.
    pub(super) fn put(&self, at: u64, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            let mut memory = self.memory.borrow_mut();
            memory.get_mut(&(at & !0xfff)).unwrap().bytes[(at & 0xfff) as usize] = *byte;
        }
    }

    /// What memory holds.
    pub(super) fn peek(&self, at: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        self.read_guest(Gva::new(at), &mut bytes).unwrap();
        bytes
    }

    /// One HVC.
    pub(super) fn call(&self, number: u64, args: [u64; 5]) -> Outcome {
        dispatch(self, number, &args)
    }

    /// One hypercall, as the guest sees it: entered again as often as the hypervisor wants.
    pub(super) fn finish(&self, number: u64, mut args: [u64; 5]) -> i64 {
        for _ in 0..100_000 {
            match self.call(number, args) {
                Outcome::Return(result) => return result,
                Outcome::Continue(next) => args = next,
                Outcome::Yield | Outcome::Block | Outcome::Poll { .. } => return 0,
                other => panic!("{other:?}"),
            }
        }
        panic!("never ends")
    }

    /// Calls operation `cmd` with a pointer to `record`; answers the result and the record afterwards.
    pub(super) fn ask(&self, number: u64, cmd: u64, record: &Raw) -> (i64, Raw) {
        self.put(RAM, &record.0);
        let result = self.finish(number, [cmd, RAM, 0, 0, 0]);
        (result, Raw(self.peek(RAM, record.0.len())))
    }

    /// Calls operation `cmd` with a pointer to `record`, which must not change; answers the result.
    #[track_caller]
    pub(super) fn tell(&self, number: u64, cmd: u64, record: &Raw) -> i64 {
        let (result, after) = self.ask(number, cmd, record);
        assert_eq!(&after, record, "an input was written");
        result
    }

    /// The upcalls and wake-ups since last time.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.witness.take()
    }

    /// The other effects since last time.
    pub(super) fn effects(&self) -> Vec<Effect> {
        self.effects.take()
    }

    fn change(&self, effect: Effect) -> Result<(), MapError> {
        if let Some(error) = self.map_error.take() {
            return Err(error);
        }
        self.effects.borrow_mut().push(effect);
        Ok(())
    }
}

impl Attention for Guest {
    fn upcall(&self, domain: DomainId, vcpu: VcpuId, bell: Bell) {
        self.witness.upcall(domain, vcpu, bell);
    }
    fn wake(&self, domain: DomainId, vcpu: VcpuId) {
        self.witness.wake(domain, vcpu);
    }
}

impl Caller for Guest {
    fn domain(&self) -> DomainId {
        dom(1)
    }
    fn vcpu(&self) -> VcpuId {
        self.vcpu.get()
    }
    fn events(&self) -> &Events {
        &self.events
    }
    fn state(&self) -> &CallState {
        &self.state
    }
    fn read_guest(&self, from: Gva, into: &mut [u8]) -> Result<(), Fault> {
        for (at, byte) in into.iter_mut().enumerate() {
            let from = from.checked_add(at as u64).ok_or(Fault)?;
            let memory = self.memory.borrow();
            *byte = memory.get(&from.page().get()).ok_or(Fault)?.bytes[from.page_offset() as usize];
        }
        Ok(())
    }
    fn write_guest(&self, to: Gva, bytes: &[u8]) -> Result<(), Fault> {
        for (at, byte) in bytes.iter().enumerate() {
            let to = to.checked_add(at as u64).ok_or(Fault)?;
            let mut memory = self.memory.borrow_mut();
            let page = memory.get_mut(&to.page().get()).filter(|page| page.writable).ok_or(Fault)?;
            page.bytes[to.page_offset() as usize] = *byte;
        }
        Ok(())
    }
    fn map_special(&self, page: SpecialPage, frame: u64) -> Result<(), MapError> {
        self.change(Effect::Map(page, frame))
    }
    fn unmap(&self, frame: u64) -> Result<(), MapError> {
        self.change(Effect::Unmap(frame))
    }
    fn vcpu_info_at(&self, at: Ipa) -> Result<&'static VcpuInfo, PlaceError> {
        assert!(at.is_aligned(8) && at.page_offset() <= PAGE_SIZE - 48, "the caller's promise");
        match at.frame() {
            INFO_FRAME => {
                Ok(*self.infos.borrow_mut().entry(at.get()).or_insert_with(|| forever(VcpuInfo::new())))
            }
            LOCKED_FRAME => Err(PlaceError::ReadOnly),
            _ => Err(PlaceError::NotRam),
        }
    }
    fn memory_pages(&self) -> u64 {
        0x8000
    }
    fn highest_frame(&self) -> u64 {
        0x47fff
    }
    fn console_write(&self, text: &[u8]) -> usize {
        assert!(!text.is_empty(), "nothing is offered");
        let taken = text.len().min(self.room.get());
        self.room.set(self.room.get() - taken);
        self.console.borrow_mut().push_str(core::str::from_utf8(&text[..taken]).unwrap());
        taken
    }
    fn register_runstate(&self, vcpu: VcpuId, area: Gva) {
        self.effects.borrow_mut().push(Effect::Runstate(vcpu.get(), area.get()));
    }
    fn watchdogs_changed(&self) {
        self.effects.borrow_mut().push(Effect::Watchdogs);
    }
    fn now(&self) -> u64 {
        self.now.get()
    }
    fn interrupts_masked(&self) -> bool {
        self.masked.get()
    }
}
