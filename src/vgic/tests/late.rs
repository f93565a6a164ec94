//! When pCPUs attend late, in any order and at any time, the guest may see an interrupt late, but it sees every
//! one, and none twice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::{IDLE, UPCALL, World, vcpu};

#[derive(Clone, Debug)]
enum Op {
    Raise(u32),
    Event,
    Enable(u32, bool),
    Route(u32, usize),
    Fold,
    Attend,
    Take,
    End,
    Unload,
    Load,
}

const VCPUS: usize = 3;
const INTIDS: [u32; 8] = [0, 1, 20, 32, 33, 34, 64, 65];

fn intid() -> impl Strategy<Value = u32> {
    prop::sample::select(INTIDS.to_vec())
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => intid().prop_map(Op::Raise),
        2 => Just(Op::Event),
        1 => (intid(), prop::bool::weighted(0.7)).prop_map(|(intid, on)| Op::Enable(intid, on)),
        2 => (32u32..35, 0..VCPUS).prop_map(|(intid, target)| Op::Route(intid, target)),
        1 => Just(Op::Fold),
        5 => Just(Op::Attend),
        6 => Just(Op::Take),
        5 => Just(Op::End),
        1 => Just(Op::Unload),
        2 => Just(Op::Load),
    ]
}

/// What was raised and what came, for each interrupt.
#[derive(Default, Debug)]
struct Account {
    raised: usize,
    taken: usize,
    /// Raised since it was last taken.
    owed: bool,
}

struct Late {
    world: World,
    accounts: BTreeMap<(usize, u32), Account>,
}

impl Late {
    fn account(&mut self, v: usize, intid: u32) -> &mut Account {
        self.accounts.entry((if intid < 32 { v } else { 0 }, intid)).or_default()
    }

    fn take(&mut self, v: usize) -> bool {
        let cpu = &mut self.world.cpus[v];
        let Some(lr) = cpu.hw.acknowledge(cpu.running_priority()) else { return false };
        let intid = lr.vintid.get();
        cpu.running.push((intid, lr.priority));
        if intid == UPCALL {
            // The handler's first deed; no exit.
            cpu.upcall = false;
        } else {
            let account = self.account(v, intid);
            account.taken += 1;
            account.owed = false;
        }
        true
    }

    fn end(&mut self, v: usize) {
        let cpu = &mut self.world.cpus[v];
        if let Some((intid, _)) = cpu.running.pop() {
            cpu.hw.deactivate_virtual(intid);
        }
    }

    fn apply(&mut self, v: usize, op: &Op) {
        let loaded = self.world.is_loaded(v);
        match *op {
            Op::Raise(intid) => {
                let account = self.account(v, intid);
                account.raised += 1;
                account.owed = true;
                self.world.raise(v, intid);
            }
            Op::Event => self.world.event(v, true),
            Op::Enable(intid, on) => self.world.enable(v, intid, on),
            Op::Route(intid, target) => self.world.route(intid, target),
            Op::Fold => self.world.fold(v),
            Op::Attend if loaded && self.world.attention.contains(vcpu(v)) => {
                self.world.attention = self.world.attention.without(vcpu(v));
                self.world.resync(v);
            }
            Op::Take if loaded => drop(self.take(v)),
            Op::End if loaded => {
                self.end(v);
                if self.world.cpus[v].hw.calls() {
                    self.world.resync(v);
                }
            }
            Op::Unload if loaded => self.world.unload(v),
            Op::Load if !loaded => self.world.load(v),
            Op::Attend | Op::Take | Op::End | Op::Unload | Op::Load => {}
        }
    }

    /// The guest enables everything and takes what there is, until nothing comes.
    fn drain(&mut self) {
        for v in 0..VCPUS {
            if !self.world.is_loaded(v) {
                self.world.load(v);
            }
            for intid in INTIDS {
                self.world.enable(v, intid, true);
            }
        }
        self.world.service();
        let mut busy = true;
        for _ in 0..200 {
            if !core::mem::take(&mut busy) {
                break;
            }
            for v in 0..VCPUS {
                while self.world.cpus[v].running_priority() != IDLE {
                    self.end(v);
                    busy = true;
                }
                self.world.service();
                busy |= self.take(v);
            }
        }
        assert!(!busy, "an interrupt storm");
    }
}

proptest! {
    #[test]
    fn late_attention_loses_nothing_and_doubles_nothing(
        lrs in 2usize..=5, ops in prop::collection::vec((0..VCPUS, op()), 1..150),
    ) {
        let mut world = World::ready(VCPUS, lrs, &INTIDS);
        for v in 0..VCPUS {
            world.enable(v, UPCALL, true);
            world.priority(v, UPCALL, 0x80);
        }
        for intid in INTIDS.into_iter().filter(|&intid| intid >= 32) {
            world.configure(intid, true);
        }
        world.service();
        let mut late = Late { world, accounts: BTreeMap::new() };
        for (v, op) in ops {
            late.apply(v, &op);
        }
        late.drain();
        for (key, account) in &late.accounts {
            prop_assert!(!account.owed, "{:?} was lost: {:?}", key, account);
            prop_assert!(account.taken <= account.raised, "{:?} came too often: {:?}", key, account);
        }
        for cpu in &late.world.cpus {
            prop_assert!(!cpu.upcall, "an upcall was lost");
        }
    }
}
