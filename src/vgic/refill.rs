//! Choosing what the list registers hold.
//!
//! List register 0 is the upcall's. The others hold, in this order of claim:
//!
//! 1. what the guest has active, most urgent first, because its deactivation is matched there;
//! 2. what is pending, enabled and routed here, most urgent first, then by lowest INTID.
//!
//! When something is pending, at least one register goes to it, be it at the cost of the least urgent active
//! interrupt. An active interrupt without a list register is ended through EOIcount (IHI 0069,
//! ICH_HCR_EL2.EOIcount). Pending ones that find no room are called for by the "none pending" maintenance
//! interrupt; they are never more urgent than one that did find room.
//!
//! An active interrupt that is raised again becomes pending *and* active in its register, so that it comes again as
//! soon as the guest has ended it, unless something more urgent waits. Not so a linked one, for which that state is
//! forbidden (IHI 0069, `ICH_LR<n>_EL2`.State), nor a level-sensitive one that is merely still asserted: its register asks for a
//! maintenance interrupt at its end and the line is looked at then. The upcall is the exception to the
//! exception: its line is memory that the guest clears without a trap, and a maintenance interrupt per event is
//! too dear, so it is made pending and active, at worst for one upcall that finds nothing to do.

use arrayvec::ArrayVec;

use super::inject::UPCALL_BIT;
use super::state::{Irq, Vgic};
use super::sync::{SeqCst, bits};
use super::{ListRegisters, Lr, LrBank, MAX_LRS, Maintenance, UPCALL, VcpuSet};
use crate::addr::IntId;

/// An interrupt that wants a list register.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub priority: u8,
    pub intid: IntId,
    pub active: bool,
    /// It may be made pending: enabled, in Group 1, routed here.
    pub eligible: bool,
}

impl Wish {
    /// What is active stays listed; but pending behind it, it would come before what found no register, so it waits with
    /// that if it is the less urgent.
    fn unless_outranked(self, most_urgent_left: Option<u8>) -> Self {
        let outranked = self.active && most_urgent_left.is_some_and(|waiting| waiting < self.priority);
        Self { eligible: self.eligible && !outranked, ..self }
    }
}

/// The most urgent of the wishes seen so far.
#[derive(Default)]
struct Shortlist {
    wishes: ArrayVec<Wish, MAX_LRS>,
    /// There were more.
    overflowed: bool,
}

impl Shortlist {
    fn add(&mut self, wish: Wish) {
        let key = |wish: &Wish| (wish.priority, wish.intid);
        let place = self.wishes.partition_point(|other| key(other) < key(&wish));
        if self.wishes.is_full() {
            self.overflowed = true;
            if place == MAX_LRS {
                return;
            }
            self.wishes.pop();
        }
        // There is room: at most one less than the capacity is left.
        let _ = self.wishes.try_insert(place, wish);
    }

    /// Whether more than `served` wishes came in.
    fn exceeds(&self, served: usize) -> bool {
        self.overflowed || self.wishes.len() > served
    }
}

impl Vgic {
    /// Makes the list registers hold what they should. Everything in them has just been folded. Returns vCPUs
    /// that need attention.
    pub(super) fn refill<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H) -> VcpuSet {
        let mut woken = self.settle(local);
        let (mut actives, mut pendings) = (Shortlist::default(), Shortlist::default());
        let banks = self.gather(local, &mut actives, &mut pendings);

        let slots = local.count.saturating_sub(1);
        let for_pending = usize::from(!pendings.wishes.is_empty());
        let served_active = actives.wishes.len().min(slots.saturating_sub(for_pending));
        let served_pending = pendings.wishes.len().min(slots.saturating_sub(served_active));
        let chosen = || {
            let pendings = pendings.wishes.iter().take(served_pending);
            actives.wishes.iter().take(served_active).chain(pendings)
        };

        for index in bits(local.used & !1) {
            let stays = local.slot(index).is_some_and(|lr| chosen().any(|wish| wish.intid == lr.vintid));
            if !stays {
                woken = woken.union(self.evict(local, hw, index));
            }
        }
        let most_urgent_left = pendings.wishes.get(served_pending).map(|wish| wish.priority);
        for wish in chosen() {
            woken = woken.union(self.place(local, hw, &wish.unless_outranked(most_urgent_left)));
        }
        self.place_upcall(local, hw, most_urgent_left);

        local.waiting = pendings.exceeds(served_pending);
        let unlisted = actives.exceeds(served_active);
        if local.waiting || unlisted {
            self.hint(local.vcpu, banks);
        }
        let none_pending = local.waiting && served_pending > 0;
        request(local, hw, Maintenance { none_pending, unlisted_eoi: unlisted });
        woken
    }

    /// Collects what wants a list register, other than the upcall. The banks of SPIs it came from, in the form
    /// of `Private::hints`.
    fn gather(&self, local: &LrBank, actives: &mut Shortlist, pendings: &mut Shortlist) -> u32 {
        let Some(private) = self.private(local.vcpu) else { return 0 };
        // First the hints, then the state: a change that comes later leaves its hint for the next time.
        let hinted = private.hints.swap(0, SeqCst);
        let used = bits(local.used & !1).filter_map(|index| local.slot(index));
        let listed = used.fold(0u32, |banks, lr| banks | 1u32.wrapping_shl(lr.vintid.get() / 32));
        let gate = if self.is_enabled() { u32::MAX } else { 0 };

        let bank = &private.bank;
        let active = bank.active.load(SeqCst) & !UPCALL_BIT;
        let eligible = private.eligible() & gate & !UPCALL_BIT;
        for n in bits(active | eligible) {
            let (active, eligible) = (active >> n & 1 != 0, eligible >> n & 1 != 0);
            let list = if active { &mut *actives } else { &mut *pendings };
            list.add(Wish { priority: bank.priority(n), intid: IntId::new(n), active, eligible });
        }

        let mut wishing = 0;
        for index in bits((hinted | listed) & !1) {
            let Some(spi) = self.spis.get(index as usize - 1) else { continue };
            let active = spi.bank.active.load(SeqCst);
            let eligible = spi.bank.eligible(spi.bank.pending()) & gate;
            for n in bits(active | eligible) {
                let routed = spi.route(n) == Some(local.vcpu);
                let ours = match spi.holder(n) {
                    Some(holder) => holder == local.vcpu,
                    None => routed,
                };
                let (active, eligible) = (active >> n & 1 != 0, eligible >> n & 1 != 0 && routed);
                if ours && (active || eligible) {
                    wishing |= 1 << index;
                    let intid = IntId::new(index * 32 + n);
                    let list = if active { &mut *actives } else { &mut *pendings };
                    list.add(Wish { priority: spi.bank.priority(n), intid, active, eligible });
                }
            }
        }
        wishing
    }

    /// Gives one interrupt its list register: the one it has, or a free one. Returns vCPUs that need attention.
    fn place<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, wish: &Wish) -> VcpuSet {
        let Some(irq) = self.irq(local.vcpu, wish.intid) else { return VcpuSet::EMPTY };
        if irq.spi.is_some_and(|spi| !spi.acquire(irq.n, local.vcpu)) {
            // Another vCPU was quicker, by an older route. It will see the newer one and pass the interrupt on.
            return VcpuSet::EMPTY;
        }
        let present = local.find(wish.intid);
        let lr = self.compose(local, irq, wish);
        let free = || bits(!local.used & !1).find(|&index| (index as usize) < local.count);
        match (present, free()) {
            (Some(index), _) | (None, Some(index)) if lr.is_valid() => local.put(hw, index, lr),
            // It was withdrawn since it was gathered.
            (Some(index), _) => return self.evict(local, hw, index),
            (None, _) if wish.active => self.park(local, wish.intid),
            (None, _) => return self.release(local.vcpu, wish.intid, irq),
        }
        VcpuSet::EMPTY
    }

    /// What the list register of this interrupt should hold, its token claimed.
    pub(super) fn compose(&self, local: &mut LrBank, irq: Irq<'_>, wish: &Wish) -> Lr {
        let mask = if wish.intid.is_private() { irq.bit } else { 0 };
        let linked = if wish.active { local.held_active & mask != 0 } else { local.held & mask != 0 };
        let cell = local.senders.get_mut(wish.intid.index());
        let active = cell.as_ref().filter(|_| wish.active).map(|source| **source);

        let claimable = wish.eligible && !(wish.active && linked);
        let token = if claimable { irq.claim(active) } else { None };
        let source = token.or(active).unwrap_or(0);
        if let Some(cell) = cell {
            *cell = source;
        }
        let asserted = irq.is_asserted();
        let level = irq.bank.edge.load(SeqCst) & irq.bit == 0;
        let look_again = level || irq.others_wait(source) || irq.is_routed_away(local.vcpu);
        Lr {
            vintid: wish.intid,
            priority: wish.priority,
            pending: token.is_some() || wish.eligible && !wish.active && asserted,
            active: wish.active,
            hw: linked.then_some(wish.intid),
            source,
            eoi: look_again && !linked,
        }
    }

    /// Makes list register 0 hold what it should, unless an interrupt that found no register is more urgent:
    /// then the upcall waits too, for the "none pending" maintenance interrupt.
    fn place_upcall<H: ListRegisters>(&self, local: &mut LrBank, hw: &mut H, most_urgent_left: Option<u8>) {
        let Some(irq) = self.irq(local.vcpu, UPCALL) else { return };
        let priority = irq.priority();
        let outranked = most_urgent_left.is_some_and(|waiting| waiting < priority);
        let eligible = self.is_enabled() && irq.is_eligible();
        let pending = eligible && !outranked && (irq.claim(None).is_some() || irq.is_asserted());
        let active = irq.is_active();
        if pending || active {
            let lr = Lr { vintid: UPCALL, priority, pending, active, ..Lr::EMPTY };
            local.put(hw, 0, lr);
        } else if local.used & 1 != 0 {
            local.take(hw, 0);
        }
    }
}

/// Asks the hardware for maintenance interrupts, if that is a change.
fn request<H: ListRegisters>(local: &mut LrBank, hw: &mut H, wanted: Maintenance) {
    if wanted.unlisted_eoi && !local.requested.unlisted_eoi {
        // What it counted before was not about interrupts of ours.
        let _ = hw.take_eoi_count();
    }
    if local.requested != wanted {
        local.requested = wanted;
        hw.request(wanted);
    }
}
