//! The shared half of a domain's virtual GIC, and the ways in which an interrupt comes in.

use alloc::boxed::Box;

use super::VcpuSet;
use super::bank::Bank;
use super::sgi::Senders;
use super::spi::SpiBank;
use super::sync::{AtomicU32, SeqCst, bits};
use crate::addr::{IntId, VcpuId};

/// Most SPIs of one virtual GIC (INTIDs 32-991): ITLinesNumber counts in 32s and the last group is special.
pub const MAX_SPIS: u32 = 960;
/// Most vCPUs of one domain, as in Xen (`GUEST_MAX_VCPUS`).
pub const MAX_VCPUS: usize = 128;

/// SGIs are edge-triggered, PPIs level-sensitive; neither can be changed.
pub(super) const PRIVATE_EDGE: u32 = 0x0000_ffff;
pub(super) const SGIS: u32 = 0x0000_ffff;

/// What belongs to one vCPU alone, though every pCPU may read and write it: its SGIs and PPIs.
#[repr(C, align(64))]
pub(super) struct Private {
    pub bank: Bank,
    /// Who sent each SGI. The bank's latch bits of SGIs are a summary of it.
    senders: [Senders; 16],
    /// Banks of SPIs in which something may have changed for this vCPU since its last resync: bit `n` for
    /// INTIDs 32n to 32n+31. It saves the resync from looking through all of them.
    pub hints: AtomicU32,
}

/// Who sent an SGI, as the receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SgiSource(u8);

impl SgiSource {
    /// GICv3 does not tell the receiver who sent an SGI.
    pub const ANONYMOUS: Self = Self(0);

    /// Its number.
    pub(super) const fn get(self) -> u8 {
        self.0
    }

    /// CPU interface `cpu` of a GICv2, 0 to 7.
    #[must_use]
    pub const fn new(cpu: u8) -> Option<Self> {
        if cpu < 8 { Some(Self(cpu)) } else { None }
    }
}

/// The shared half of one domain's virtual GIC: the distributor and every vCPU's private interrupts.
pub struct Vgic {
    /// GICD_CTLR.EnableGrp1.
    enabled: AtomicU32,
    pub(super) spis: Box<[SpiBank]>,
    pub(super) cpus: Box<[Private]>,
}

/// One interrupt as one vCPU sees it.
#[derive(Clone, Copy)]
pub(super) struct Irq<'a> {
    pub bank: &'a Bank,
    /// Its place in the bank.
    pub n: u32,
    /// Its place in the bank, as a mask.
    pub bit: u32,
    /// Its bank, if it is an SPI.
    pub spi: Option<&'a SpiBank>,
    /// Its senders, if it is an SGI.
    pub senders: Option<&'a Senders>,
}

impl Private {
    fn new(linked: u32) -> Self {
        Self {
            bank: Bank::new(PRIVATE_EDGE, linked),
            senders: core::array::from_fn(|_| Senders::new()),
            hints: AtomicU32::new(0),
        }
    }

    /// Which private interrupts are pending.
    pub fn pending(&self) -> u32 {
        let pending = self.bank.pending();
        let empty = self.sgis(pending).filter(|(_, senders)| !senders.any());
        empty.fold(pending, |pending, (sgi, _)| pending & !(1 << sgi))
    }

    /// Which private interrupts could be signalled, were they not active already.
    pub fn eligible(&self) -> u32 {
        self.bank.eligible(self.pending())
    }

    /// Makes private interrupts pending.
    pub fn latch(&self, mask: u32, source: SgiSource) {
        for (_, senders) in self.sgis(mask) {
            senders.send(source.0);
        }
        self.bank.latch(mask);
    }

    /// Makes private interrupts not pending, as far as their inputs let it.
    pub fn withdraw(&self, mask: u32) {
        for (_, senders) in self.sgis(mask) {
            senders.withdraw();
        }
        self.bank.withdraw(mask & !SGIS);
    }

    /// Who sent SGI `sgi`, if there is such an SGI.
    pub fn senders(&self, sgi: usize) -> Option<&Senders> {
        self.senders.get(sgi)
    }

    fn sgis(&self, mask: u32) -> impl Iterator<Item = (u32, &Senders)> {
        bits(mask & SGIS).filter_map(|sgi| Some((sgi, self.senders.get(sgi as usize)?)))
    }
}

impl Vgic {
    /// A virtual GIC in its reset state, for `vcpus` vCPUs and `spis` SPIs (rounded up to a multiple of 32),
    /// with the PPIs in `linked` tied to the physical PPIs of the same number. `None` if there are no vCPUs
    /// or too many, too many SPIs, or something other than a PPI in `linked`. The upcall cannot be linked.
    #[must_use]
    pub fn new(vcpus: usize, spis: u32, linked: &[IntId]) -> Option<Self> {
        if vcpus == 0 || vcpus > MAX_VCPUS || spis > MAX_SPIS {
            return None;
        }
        let mut mask = 0;
        for intid in linked {
            if intid.is_sgi() || !intid.is_private() || *intid == super::UPCALL {
                return None;
            }
            mask |= 1 << intid.get();
        }
        Some(Self {
            enabled: AtomicU32::new(0),
            spis: (0..spis.div_ceil(32)).map(|_| SpiBank::new()).collect(),
            cpus: (0..vcpus).map(|_| Private::new(mask)).collect(),
        })
    }

    /// How many vCPUs it serves.
    #[must_use]
    pub fn vcpus(&self) -> usize {
        self.cpus.len()
    }

    /// Whether the guest has enabled the distributor (GICD_CTLR.EnableGrp1).
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(SeqCst) != 0
    }

    /// Enables or disables the distributor.
    pub(super) fn set_enabled(&self, on: bool) -> VcpuSet {
        if self.enabled.swap(u32::from(on), SeqCst) == u32::from(on) {
            return VcpuSet::EMPTY;
        }
        for (index, spi) in self.spis.iter().enumerate() {
            let _ = self.notify(index, spi, spi.bank.pending());
        }
        VcpuSet::first(self.cpus.len())
    }

    pub(super) fn private(&self, vcpu: VcpuId) -> Option<&Private> {
        self.cpus.get(vcpu.index())
    }

    /// Interrupt `intid` as `vcpu` sees it.
    pub(super) fn irq(&self, vcpu: VcpuId, intid: IntId) -> Option<Irq<'_>> {
        let n = intid.get() % 32;
        let bit = 1 << n;
        if intid.is_private() {
            let private = self.private(vcpu)?;
            let senders = private.senders.get(intid.index());
            return Some(Irq { bank: &private.bank, n, bit, spi: None, senders });
        }
        let spi = self.spis.get((intid.index() / 32).wrapping_sub(1))?;
        Some(Irq { bank: &spi.bank, n, bit, spi: Some(spi), senders: None })
    }

    /// Something changed for the SPIs `mask` of bank `index` (counted from 0): tells their targets and holders
    /// where to look. Who needs attention.
    pub(super) fn notify(&self, index: usize, spi: &SpiBank, mask: u32) -> VcpuSet {
        let mut woken = VcpuSet::EMPTY;
        for n in bits(mask) {
            for vcpu in [spi.route(n), spi.holder(n)].into_iter().flatten() {
                self.hint(vcpu, 2 << index);
                woken = woken.with(vcpu);
            }
        }
        woken
    }

    /// Sends SPI `n` of bank `index` (counted from 0) to `target` from now on; to nobody if there is none. Who needs
    /// attention.
    pub(super) fn reroute(&self, index: usize, n: u32, target: Option<VcpuId>) -> VcpuSet {
        let Some(spi) = self.spis.get(index) else { return VcpuSet::EMPTY };
        let old = spi.set_route(n, target);
        if old == target {
            return VcpuSet::EMPTY;
        }
        // The old target may be about to take the interrupt by the old route: it has to look again, whether
        // it is seen to hold the interrupt or not.
        let woken = old.map_or(VcpuSet::EMPTY, VcpuSet::one);
        if let Some(old) = old {
            self.hint(old, 2 << index);
        }
        woken.union(self.notify(index, spi, 1 << n))
    }

    /// Tells `vcpu` to look through `banks` (in the form of [`Private::hints`]) at its next resync.
    pub(super) fn hint(&self, vcpu: VcpuId, banks: u32) {
        if let Some(private) = self.private(vcpu) {
            private.hints.fetch_or(banks, SeqCst);
        }
    }

    /// An edge on interrupt `intid`: pending until acknowledged, however it is configured. `vcpu` says whose
    /// it is if it is private. Who needs attention; nobody if there is no such interrupt.
    pub fn raise_edge(&self, vcpu: VcpuId, intid: IntId) -> VcpuSet {
        self.raise(vcpu, intid, SgiSource::ANONYMOUS)
    }

    /// Sends SGI `sgi` (0-15) to `target`. Who needs attention; nobody if there is no such SGI or vCPU.
    pub fn send_sgi(&self, target: VcpuId, sgi: IntId, source: SgiSource) -> VcpuSet {
        if sgi.is_sgi() { self.raise(target, sgi, source) } else { VcpuSet::EMPTY }
    }

    fn raise(&self, vcpu: VcpuId, intid: IntId, source: SgiSource) -> VcpuSet {
        let Some(irq) = self.irq(vcpu, intid) else { return VcpuSet::EMPTY };
        match (irq.spi, self.private(vcpu)) {
            (Some(spi), _) => {
                spi.bank.latch(irq.bit);
                self.notify(intid.index() / 32 - 1, spi, irq.bit)
            }
            (None, Some(private)) => {
                private.latch(irq.bit, source);
                VcpuSet::one(vcpu)
            }
            (None, None) => VcpuSet::EMPTY,
        }
    }

    /// Drives the input of interrupt `intid`. `vcpu` says whose it is if it is private. Who needs attention:
    /// nobody if the level did not change, or if there is no such input.
    ///
    /// The upcall's line is sampled by [`Vgic::resync`], and a linked PPI rises by [`Vgic::taken`] only, so
    /// neither is driven here; but a linked PPI is lowered here, on its home pCPU, when its device is seen to
    /// have dropped the line.
    pub fn set_line(&self, vcpu: VcpuId, intid: IntId, high: bool) -> VcpuSet {
        let Some(irq) = self.irq(vcpu, intid) else { return VcpuSet::EMPTY };
        let driven_elsewhere = intid == super::UPCALL || high && irq.bank.linked & irq.bit != 0;
        if intid.is_sgi() || driven_elsewhere || irq.bank.drive(irq.bit, high) == 0 {
            return VcpuSet::EMPTY;
        }
        match irq.spi {
            Some(spi) => self.notify(intid.index() / 32 - 1, spi, irq.bit),
            None => VcpuSet::one(vcpu),
        }
    }
}

impl Irq<'_> {
    /// Whether it is active, as of the last publication.
    pub fn is_active(&self) -> bool {
        self.bank.active.load(SeqCst) & self.bit != 0
    }

    /// Whether it could be signalled, were it not active already.
    pub fn is_eligible(&self) -> bool {
        let pending = self.bank.pending() & self.bit;
        self.bank.eligible(pending) != 0 && self.senders.is_none_or(Senders::any)
    }

    /// Whether its input alone makes it pending.
    pub fn is_asserted(&self) -> bool {
        self.bank.asserted() & self.bit != 0
    }

    /// Its priority.
    pub fn priority(&self) -> u8 {
        self.bank.priority(self.n)
    }

    /// Whether it is routed elsewhere than to `vcpu`.
    pub fn is_routed_away(&self, vcpu: VcpuId) -> bool {
        self.spi.is_some_and(|spi| spi.route(self.n) != Some(vcpu))
    }

    /// Moves its token to the home pCPU and says whether there is one, and from which sender; 0 for other than
    /// SGIs. `active`: the sender of the instance that is active, if one is.
    pub fn claim(&self, active: Option<u8>) -> Option<u8> {
        match self.senders {
            Some(senders) => senders.claim(active),
            None => self.bank.claim(self.bit).then_some(0),
        }
    }

    /// The guest has acknowledged it: the queued token is used up.
    pub fn consume(&self) {
        let Some(senders) = self.senders else { return self.bank.consume(self.bit) };
        if !senders.consume() {
            self.bank.unlatch(self.bit);
            if senders.any() {
                self.bank.latch(self.bit);
            }
        }
    }

    /// Whether it is an SGI for which senders other than `source` wait.
    pub fn others_wait(&self, source: u8) -> bool {
        self.senders.is_some_and(|senders| senders.others_wait(source))
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Private>() == 128);
