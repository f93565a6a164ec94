//! Event channels: Xen's two-level bitmaps in `shared_info`, upcall on PPI 31 (xen/include/public/xen.h,
//! event_channel.h).
//!
//! [`init`] maps `shared_info` behind RAM and masks every port. A port is let in by [`listen`], on one vCPU; its events
//! are counted there by the upcall, and waited for by [`wait`].

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::{cpu, gic, hypercall, mmu};

/// The upcall's interrupt.
pub const UPCALL: u32 = 31;
/// Ports of the two-level interface.
pub const PORTS: usize = 4096;
const WORDS: usize = PORTS / 64;

const BIND_INTERDOMAIN: u64 = 0;
const CLOSE: u64 = 3;
const SEND: u64 = 4;
const ALLOC_UNBOUND: u64 = 6;
const BIND_IPI: u64 = 7;
const BIND_VCPU: u64 = 8;
const UNMASK: u64 = 9;
const REGISTER_VCPU_INFO: u64 = 10;

/// Per-vCPU part of the interface.
#[repr(C, align(64))]
pub struct VcpuInfo {
    /// Set by the hypervisor with the upcall.
    pub upcall_pending: AtomicU8,
    pad: [u8; 7],
    /// Words of the pending bitmap to look at.
    pub pending_sel: AtomicU64,
    time: [u64; 4],
}

/// What the hypervisor and the domain share.
#[repr(C)]
pub struct SharedInfo {
    vcpu0: [u64; 6],
    /// Bit per port: an event is there.
    pub pending: [AtomicU64; WORDS],
    /// Bit per port: it raises no upcall.
    pub mask: [AtomicU64; WORDS],
}

struct Place(UnsafeCell<VcpuInfo>);

// SAFETY: only reached through its atomics, by the hypervisor as well.
unsafe impl Sync for Place {}

static INFO: [Place; cpu::MAX] = [const {
    Place(UnsafeCell::new(VcpuInfo {
        upcall_pending: AtomicU8::new(0),
        pad: [0; 7],
        pending_sel: AtomicU64::new(0),
        time: [0; 4],
    }))
}; cpu::MAX];
static REGISTERED: [AtomicBool; cpu::MAX] = [const { AtomicBool::new(false) }; cpu::MAX];
static SHARED: AtomicUsize = AtomicUsize::new(0);

/// Events counted per port since the start, and upcalls taken per vCPU.
static COUNTS: [AtomicU32; PORTS] = [const { AtomicU32::new(0) }; PORTS];
static UPCALLS: [AtomicU64; cpu::MAX] = [const { AtomicU64::new(0) }; cpu::MAX];
/// Ports that a vCPU listens to.
static MINE: [[AtomicU64; WORDS]; cpu::MAX] = [const { [const { AtomicU64::new(0) }; WORDS] }; cpu::MAX];

/// The page shared with the hypervisor. Panics before [`init`].
#[must_use]
pub fn shared() -> &'static SharedInfo {
    let address = SHARED.load(Ordering::Relaxed);
    assert!(address != 0, "event::init comes first");
    // SAFETY: the hypervisor mapped shared_info there; it is only reached through atomics, and stays.
    unsafe { &*(address as *const SharedInfo) }
}

/// This vCPU's part of the interface: where it was registered, or the first bytes of `shared_info` for vCPU 0.
#[must_use]
pub fn vcpu_info() -> &'static VcpuInfo {
    let number = cpu::number();
    if REGISTERED[number].load(Ordering::Relaxed) {
        // SAFETY: reached through atomics only.
        return unsafe { &*INFO[number].0.get() };
    }
    assert!(number == 0, "vCPU {number} has registered no vcpu_info");
    // SAFETY: shared_info begins with the vcpu_info of vCPU 0, 48 bytes of it; the rest is pending words, which this
    // type's alignment covers and nothing touches.
    unsafe { &*(shared() as *const SharedInfo).cast::<VcpuInfo>() }
}

/// Maps `shared_info` into the window behind RAM, masks all ports, lets the upcall in on vCPU 0.
pub fn init() {
    let page = mmu::window().start;
    let answer = hypercall::add_to_physmap(0, 0, (page / 4096) as u64);
    assert!(answer == 0, "shared_info cannot be mapped at {page:#x}: {answer}");
    SHARED.store(page, Ordering::Relaxed);
    for word in &shared().mask {
        word.store(u64::MAX, Ordering::Relaxed);
    }
    gic::enable(UPCALL);
}

/// Gives this vCPU a `vcpu_info` in RAM, and lets its upcall in. Needed on every vCPU but the first; allowed there.
/// A vCPU that was off before has one already: then what came meanwhile is taken now, because the hypervisor need not
/// ring again for a flag that it finds set.
pub fn register_vcpu_info() {
    let number = cpu::number();
    if REGISTERED[number].load(Ordering::SeqCst) {
        gic::enable(UPCALL);
        cpu::without_irqs(upcall);
        return;
    }
    let place = INFO[number].0.get() as usize;
    let (low, high) = hypercall::halves((place / 4096) as u64);
    // mfn@0(8) offset@8(4) rsvd@12(4)
    let record = [low, high, (place % 4096) as u32, 0];
    let args = [REGISTER_VCPU_INFO, number as u64, record.as_ptr() as u64, 0, 0];
    // From the moment of the call the hypervisor uses the new place.
    let answer = cpu::without_irqs(|| {
        let answer = hypercall::call(hypercall::VCPU_OP, args);
        REGISTERED[number].store(answer == 0, Ordering::SeqCst);
        answer
    });
    assert!(answer == 0, "vCPU {number} cannot register its vcpu_info: {answer}");
    gic::enable(UPCALL);
}

/// An operation on one port.
fn port_op(command: u64, port: u32) -> i64 {
    hypercall::with(hypercall::EVENT_CHANNEL_OP, command, &mut [port])
}

/// Sends an event through a port. 0, or a negative error.
#[inline]
pub fn send(port: u32) -> i64 {
    port_op(SEND, port)
}

/// Frees a port.
pub fn close(port: u32) -> i64 {
    port_op(CLOSE, port)
}

/// Makes two ports of this domain that are each other's ends.
///
/// # Errors
/// The hypervisor's error number, negative.
pub fn loopback() -> Result<(u32, u32), i64> {
    let own = u32::from(hypercall::DOMID_SELF);
    // dom@0(2) remote_dom@2(2) -> port@4(4)
    let mut offer = [own | own << 16, 0];
    // remote_dom@0(2) remote_port@4(4) -> local_port@8(4)
    let mut bind = [own, 0, 0];
    match hypercall::with(hypercall::EVENT_CHANNEL_OP, ALLOC_UNBOUND, &mut offer) {
        0 => bind[1] = offer[1],
        error => return Err(error),
    }
    match hypercall::with(hypercall::EVENT_CHANNEL_OP, BIND_INTERDOMAIN, &mut bind) {
        0 => Ok((bind[1], bind[2])),
        error => Err(error),
    }
}

/// Makes a port that rings on vCPU `vcpu` when this domain sends to it.
///
/// # Errors
/// The hypervisor's error number, negative.
pub fn bind_ipi(vcpu: u32) -> Result<u32, i64> {
    let mut record = [vcpu, 0];
    match hypercall::with(hypercall::EVENT_CHANNEL_OP, BIND_IPI, &mut record) {
        0 => Ok(record[1]),
        error => Err(error),
    }
}

/// Makes the port ring on vCPU `vcpu`.
pub fn bind_vcpu(port: u32, vcpu: u32) -> i64 {
    hypercall::with(hypercall::EVENT_CHANNEL_OP, BIND_VCPU, &mut [port, vcpu])
}

/// Keeps the upcall for this port back; events are still recorded.
pub fn mask(port: u32) {
    let (word, bit) = place(port);
    shared().mask[word].fetch_or(bit, Ordering::SeqCst);
}

/// Lets the upcall for this port in again; one that was kept back comes now.
pub fn unmask(port: u32) -> i64 {
    port_op(UNMASK, port)
}

/// Counts this port's events on vCPU `vcpu` from here on. The hypervisor must ring there: [`bind_vcpu`] or
/// [`bind_ipi`], vCPU 0 otherwise.
pub fn listen_on(port: u32, vcpu: usize) {
    let (word, bit) = place(port);
    for (number, ports) in MINE.iter().enumerate() {
        if number == vcpu {
            ports[word].fetch_or(bit, Ordering::SeqCst);
        } else {
            ports[word].fetch_and(!bit, Ordering::SeqCst);
        }
    }
    let answer = unmask(port);
    assert!(answer == 0, "port {port} cannot be unmasked: {answer}");
}

/// Counts this port's events on this vCPU from here on. What was recorded before counts too.
pub fn listen(port: u32) {
    listen_on(port, cpu::number());
}

/// Forgets what was recorded for a port; answers whether there was something.
pub fn forget(port: u32) -> bool {
    let (word, bit) = place(port);
    shared().pending[word].fetch_and(!bit, Ordering::SeqCst) & bit != 0
}

/// Events counted on this port.
#[inline]
#[must_use]
pub fn count(port: u32) -> u32 {
    COUNTS.get(port as usize).map_or(0, |count| count.load(Ordering::Acquire))
}

/// Upcalls that vCPU `vcpu` has taken.
#[must_use]
pub fn upcalls(vcpu: usize) -> u64 {
    UPCALLS[vcpu].load(Ordering::Relaxed)
}

/// Sleeps until more than `seen` events were counted on this port; answers how many were.
pub fn wait(port: u32, seen: u32) -> u32 {
    cpu::wait_until(|| count(port) != seen);
    count(port)
}

const fn place(port: u32) -> (usize, u64) {
    (port as usize / 64 % WORDS, 1 << (port % 64))
}

/// The upcall: the order of the steps is the interface's. Clear the flag before taking the selector, the selector
/// before looking at the words; what comes later raises the flag again.
pub(crate) fn upcall() {
    let number = cpu::number();
    UPCALLS[number].fetch_add(1, Ordering::Relaxed);
    let (info, shared) = (vcpu_info(), shared());
    info.upcall_pending.store(0, Ordering::SeqCst);
    let mut selected = info.pending_sel.swap(0, Ordering::SeqCst);
    while selected != 0 {
        let word = selected.trailing_zeros() as usize;
        selected &= selected - 1;
        let mine = MINE[number][word].load(Ordering::Relaxed);
        let mut events =
            shared.pending[word].load(Ordering::SeqCst) & !shared.mask[word].load(Ordering::SeqCst);
        events &= mine;
        shared.pending[word].fetch_and(!events, Ordering::SeqCst);
        while events != 0 {
            let port = word * 64 + events.trailing_zeros() as usize;
            events &= events - 1;
            COUNTS[port].fetch_add(1, Ordering::Release);
        }
    }
}
