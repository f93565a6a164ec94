//! All interleavings of senders with what the other side does at the same time.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test --release --lib --target-dir target/loom loom_`
//!
//! The receiving guest follows the protocol that guests follow (Linux: drivers/xen/events/events_base.c and
//! events_2l.c). Its interrupt is modelled as an *edge*, the weaker of the two ways to deliver upcalls: it
//! handles events only when [`Attention::upcall`] was called. So each model shows that no upcall is lost either,
//! even by a caller that never samples the line.

use loom::sync::Arc;
use loom::thread;

use super::testing::{dom, end};
use super::word::Word;
use super::*;
use crate::addr::{DomainId, Port, VcpuId};
use crate::sync::{Epochs, Observer};

const A: DomainId = dom(1);
const B: DomainId = dom(2);
const V0: VcpuId = VcpuId::new(0);
const V1: VcpuId = VcpuId::new(1);
const P1: Port = Port::new(1);
const P2: Port = Port::new(2);

/// Two domains, connected by A:1 - B:1 and A:2 - B:2, and the guest of B.
struct World {
    events: Events,
    b: &'static SharedInfo,
    /// The interrupt is pending, by vCPU of B.
    interrupts: [Word; 2],
    /// Ports whose events the guest has handled.
    handled: Word,
}

impl Attention for World {
    fn upcall(&self, domain: DomainId, vcpu: VcpuId, _: Bell) {
        if domain == B {
            self.interrupts[vcpu.index()].swap(1);
        }
    }
    fn wake(&self, _: DomainId, _: VcpuId) {}
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl World {
    /// B has one vCPU.
    fn new() -> Arc<Self> {
        Self::with(1)
    }

    fn with(vcpus: u16) -> Arc<Self> {
        let (a, b) = (leak(SharedInfo::new()), leak(SharedInfo::new()));
        let mut builder = Builder::new();
        builder.add_domain(A, 1, a).unwrap();
        builder.add_domain(B, vcpus, b).unwrap();
        builder.bind_static([end(1, 1), end(2, 1)]).unwrap();
        builder.bind_static([end(1, 2), end(2, 2)]).unwrap();
        let interrupts = [Word::new(0), Word::new(0)];
        Arc::new(Self { events: builder.freeze(), b, interrupts, handled: Word::new(0) })
    }

    fn send(&self, port: Port) {
        self.events.send(A, port, self).unwrap();
    }

    /// What a guest with one vCPU does on an interrupt: its upcall handler, with information at `info`.
    fn interrupted(&self, info: &VcpuInfo) {
        self.handle(V0, info, u64::MAX);
    }

    /// The handler of `vcpu`, which looks after the ports `mine`.
    fn handle(&self, vcpu: VcpuId, info: &VcpuInfo, mine: u64) {
        if self.interrupts[vcpu.index()].swap(0) == 0 {
            return;
        }
        loop {
            info.upcall.put(0);
            if info.selector.swap(0) & 1 != 0 {
                let ready = self.b.pending[0].get() & !self.b.mask[0].get() & mine;
                self.b.pending[0].clear(ready);
                self.handled.set(ready);
            }
            if info.upcall.get() == 0 {
                break;
            }
        }
    }

    /// What a guest does when `vcpu` starts: registers `place`, again for as long as others are at it.
    fn register(&self, vcpu: VcpuId, place: &'static VcpuInfo) {
        while let Err(refusal) = self.events.register_vcpu_info(B, vcpu, place, self) {
            assert_eq!(refusal, Refusal::Busy);
            thread::yield_now();
        }
    }

    /// After all senders are done: the guest takes the interrupts that are left, then must know of `ports`.
    fn all_arrived(&self, info: &VcpuInfo, ports: u64) {
        self.interrupted(info);
        assert_eq!(self.handled.get() & ports, ports, "an event was lost");
        assert_eq!(info.upcall.get(), 0, "an upcall is asserted without an interrupt");
    }
}

#[test]
fn loom_two_senders_and_a_receiver_lose_nothing() {
    loom::model(|| {
        let world = World::new();
        let senders = [P1, P2].map(|port| {
            let world = world.clone();
            thread::spawn(move || world.send(port))
        });
        world.interrupted(&world.b.vcpu_info);
        for sender in senders {
            sender.join().unwrap();
        }
        world.all_arrived(&world.b.vcpu_info, 0b110);
    });
}

#[test]
fn loom_two_senders_on_one_port_leave_one_event() {
    loom::model(|| {
        let world = World::new();
        let senders = [P1, P1].map(|port| {
            let world = world.clone();
            thread::spawn(move || world.send(port))
        });
        for sender in senders {
            sender.join().unwrap();
        }
        world.all_arrived(&world.b.vcpu_info, 0b10);
    });
}

/// The guest of Linux unmasks in its own memory first and asks the hypervisor only if something is pending.
#[test]
fn loom_an_event_sent_while_the_guest_unmasks_is_not_lost() {
    loom::model(|| {
        let world = World::new();
        world.b.mask[0].set(0b10);
        let sender = {
            let world = world.clone();
            thread::spawn(move || world.send(P1))
        };
        world.b.mask[0].clear(0b10);
        if world.b.pending[0].get() & 0b10 != 0 {
            world.b.mask[0].set(0b10);
            world.events.unmask(B, P1, &*world).unwrap();
        }
        sender.join().unwrap();
        world.all_arrived(&world.b.vcpu_info, 0b10);
    });
}

#[test]
fn loom_an_event_sent_during_an_unmask_is_not_lost() {
    loom::model(|| {
        let world = World::new();
        world.b.mask[0].set(0b110);
        let sender = {
            let world = world.clone();
            thread::spawn(move || {
                world.send(P1);
                world.send(P2);
            })
        };
        world.events.unmask(B, P1, &*world).unwrap();
        world.events.unmask(B, P2, &*world).unwrap();
        sender.join().unwrap();
        world.all_arrived(&world.b.vcpu_info, 0b110);
    });
}

/// The guest closes its static port while the peer sends: that event may be discarded, the next one may not.
#[test]
fn loom_a_send_after_a_close_arrives() {
    loom::model(|| {
        let world = World::new();
        let sender = {
            let world = world.clone();
            thread::spawn(move || world.send(P1))
        };
        world.events.close(B, P1).unwrap();
        sender.join().unwrap();
        world.send(P1);
        world.all_arrived(&world.b.vcpu_info, 0b10);
    });
}

/// A sender that is overtaken by close and by the next allocation of the same port may leave an event there, but
/// one that is announced: the guest finds it, and no later event is swallowed.
#[test]
fn loom_a_late_sender_does_not_swallow_events_of_a_port_used_again() {
    loom::model(|| {
        let world = World::new();
        let ipi = world.events.bind_ipi(B, 0).unwrap();
        let sender = {
            let world = world.clone();
            thread::spawn(move || {
                let _ = world.events.send(B, ipi, &*world);
            })
        };
        world.events.close(B, ipi).unwrap();
        assert_eq!(world.events.bind_ipi(B, 0), Ok(ipi));
        world.events.send(B, ipi, &*world).unwrap();
        sender.join().unwrap();
        world.all_arrived(&world.b.vcpu_info, 1 << ipi.get());
    });
}

#[test]
fn loom_an_event_sent_while_vcpu_information_moves_is_found_at_the_new_place() {
    loom::model(|| {
        let world = World::new();
        let place = leak(VcpuInfo::new());
        let sender = {
            let world = world.clone();
            thread::spawn(move || {
                world.send(P1);
                world.send(P2);
            })
        };
        world.events.register_vcpu_info(B, V0, place, &*world).unwrap();
        world.interrupted(place);
        sender.join().unwrap();
        world.all_arrived(place, 0b110);
    });
}

/// Both vCPUs of B start at the same time, each with a port of its own, while A sends to `ports`. All
/// interleavings in which a thread is interrupted at most `preemptions` times (or any number of times).
fn two_vcpus_register(ports: &'static [Port], preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let world = World::with(2);
        world.events.bind_vcpu(B, P2, 1).unwrap();
        let (mine, others) = (leak(VcpuInfo::new()), leak(VcpuInfo::new()));
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                world.register(V1, others);
                world.handle(V1, others, 0b100);
            })
        };
        let sender = {
            let world = world.clone();
            thread::spawn(move || ports.iter().for_each(|port| world.send(*port)))
        };
        world.register(V0, mine);
        other.join().unwrap();
        sender.join().unwrap();
        world.handle(V0, mine, 0b010);
        world.handle(V1, others, 0b100);
        let sent = ports.iter().fold(0, |bits, port| bits | 1 << port.get());
        assert_eq!(world.handled.get(), sent, "an event was lost");
        assert_eq!([mine, others].map(|info| info.upcall.get()), [0, 0], "an upcall without an interrupt");
    });
}

#[test]
fn loom_an_event_sent_while_another_vcpu_registers_is_found_at_the_new_place() {
    two_vcpus_register(&[P2], None);
}

/// Without a bound this takes hours.
#[test]
fn loom_events_for_two_vcpus_that_register_at_once_are_found_by_both() {
    two_vcpus_register(&[P2, P1], Some(3));
}

/// One vCPU registers for another, `vcpu`, which runs already and takes an interrupt at its new place meanwhile. The
/// ABI allows it, though Linux does not do it. All interleavings with at most four preemptions.
fn one_registers_for_another(vcpu: VcpuId, port: Port) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(move || {
        let world = World::with(2);
        world.events.bind_vcpu(B, P2, 1).unwrap();
        world.interrupts[vcpu.index()].put(1);
        let (place, mine) = (leak(VcpuInfo::new()), 1 << port.get());
        let running = {
            let world = world.clone();
            thread::spawn(move || world.handle(vcpu, place, mine))
        };
        let sender = {
            let world = world.clone();
            thread::spawn(move || world.send(port))
        };
        world.register(vcpu, place);
        running.join().unwrap();
        sender.join().unwrap();
        world.handle(vcpu, place, mine);
        assert_eq!(world.handled.get(), mine, "an event was lost");
        assert_eq!(place.upcall.get(), 0, "an upcall is asserted without an interrupt");
    });
}

#[test]
fn loom_an_event_sent_while_one_vcpu_registers_for_another_is_found() {
    one_registers_for_another(V1, P2);
}

#[test]
fn loom_an_event_sent_while_another_vcpu_registers_for_the_first_is_found() {
    one_registers_for_another(V0, P1);
}

/// Two vCPUs register the same vCPU: one of the places is it, and the event is told there.
#[test]
fn loom_of_two_registrations_of_one_vcpu_one_counts() {
    loom::model(|| {
        let world = World::new();
        let places = [leak(VcpuInfo::new()), leak(VcpuInfo::new())];
        let register = |world: &World, place| loop {
            match world.events.register_vcpu_info(B, V0, place, world) {
                Err(Refusal::Busy) => thread::yield_now(),
                done => break done.is_ok(),
            }
        };
        let other = {
            let (world, place) = (world.clone(), places[1]);
            thread::spawn(move || register(&world, place))
        };
        let sender = {
            let world = world.clone();
            thread::spawn(move || world.send(P1))
        };
        let mine = register(&world, places[0]);
        assert_eq!(other.join().unwrap(), !mine, "exactly one");
        sender.join().unwrap();
        world.all_arrived(places[usize::from(!mine)], 0b010);
    });
}

/// Moves the port to vCPU 1 as Linux does: mask, bind, unmask, and look. Each vCPU ignores ports of the other.
#[test]
fn loom_an_event_sent_while_its_port_moves_is_told_to_the_new_vcpu() {
    loom::model(|| {
        let world = World::with(2);
        let b = world.b;
        let place = leak(VcpuInfo::new());
        world.events.register_vcpu_info(B, V1, place, &*world).unwrap();
        place.selector.put(0);
        place.upcall.put(0);
        let sender = {
            let world = world.clone();
            thread::spawn(move || world.send(P1))
        };
        b.mask[0].set(0b10);
        world.events.bind_vcpu(B, P1, 1).unwrap();
        b.mask[0].clear(0b10);
        if b.pending[0].get() & 0b10 != 0 {
            b.mask[0].set(0b10);
            world.events.unmask(B, P1, &*world).unwrap();
        }
        sender.join().unwrap();
        assert_eq!(place.upcall.get(), 1, "the new vCPU was not told");
        assert_eq!(place.selector.get(), 1);
    });
}

#[test]
fn loom_an_event_sent_while_a_vcpu_starts_to_poll_wakes_it_or_is_seen() {
    loom::model(|| {
        let world = World::new();
        world.b.mask[0].set(0b10);
        let sender = {
            let world = world.clone();
            thread::spawn(move || world.send(P1))
        };
        let poll = world.events.poll(B, V0, [1].into_iter()).unwrap();
        sender.join().unwrap();
        assert!(poll == Poll::Ready || !world.events.is_polling(B, V0), "the wake-up was lost");
    });
}

/// Two events and one poller: whichever sender turns the pollers' flag off, the poller is woken.
#[test]
fn loom_two_senders_wake_a_poller() {
    loom::model(|| {
        let world = World::new();
        world.b.mask[0].set(0b110);
        let senders = [P1, P2].map(|port| {
            let world = world.clone();
            thread::spawn(move || world.send(port))
        });
        let poll = world.events.poll(B, V0, [1].into_iter()).unwrap();
        for sender in senders {
            sender.join().unwrap();
        }
        assert!(poll == Poll::Ready || !world.events.is_polling(B, V0), "the wake-up was lost");
    });
}

/// A peer sends while the domain is made ready for its next life: if the event is still there afterwards, the
/// next life is told.
#[test]
fn loom_an_event_that_survives_a_rearm_is_announced() {
    loom::model(|| {
        let world = World::new();
        world.b.mask[0].set(0b10);
        let old = leak(VcpuInfo::new());
        world.events.register_vcpu_info(B, V0, old, &*world).unwrap();
        let sender = {
            let world = world.clone();
            thread::spawn(move || world.send(P1))
        };
        world.events.rearm(B).unwrap();
        sender.join().unwrap();
        let info = &world.b.vcpu_info;
        assert_eq!(world.b.mask[0].get(), 0);
        if world.b.pending[0].get() & 0b10 != 0 {
            assert_eq!((info.selector.get() & 1, info.upcall.get()), (1, 1), "the event is there, untold");
        }
        world.events.send(A, P1, &*world).unwrap();
        assert_eq!((info.selector.get() & 1, info.upcall.get()), (1, 1));
    });
}

/// A peer sends while the domain is made ready and its memory filled anew: what was filled after the peer's CPU was seen
/// between two visits to EL2 stays as it is, whatever place for events was registered there before.
#[test]
fn loom_no_send_writes_to_memory_that_was_filled_for_the_next_life() {
    loom::model(|| {
        let world = World::new();
        let old = leak(VcpuInfo::new());
        world.events.register_vcpu_info(B, V0, old, &*world).unwrap();
        let seen = Arc::new((Epochs::new(), Observer::new()));
        let sender = {
            let (world, seen) = (world.clone(), seen.clone());
            thread::spawn(move || {
                seen.0.observe(&seen.1);
                world.send(P1);
                seen.0.observe(&seen.1);
            })
        };
        world.events.rearm(B).unwrap();
        let epoch = seen.0.turn();
        let filled = seen.1.has_seen(epoch);
        if filled {
            old.selector.swap(0);
            old.upcall.swap(0);
        }
        sender.join().unwrap();
        if filled {
            assert_eq!(
                (old.selector.get(), old.upcall.get()),
                (0, 0),
                "a late sender wrote to the new memory"
            );
        }
        if world.b.pending[0].get() != 0 {
            let info = &world.b.vcpu_info;
            assert_eq!((info.selector.get() & 1, info.upcall.get()), (1, 1), "an event is there, untold");
        }
    });
}
