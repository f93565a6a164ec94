//! Races between pCPUs, every interleaving of them: `RUSTFLAGS="--cfg loom" cargo test --release --lib races`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use loom::thread;

use super::super::v3::Register;
use super::super::{Listed, LrBank, SgiSource, VcpuSet, Vgic, Width};
use super::fake::FakeHw;
use crate::addr::{IntId, Ipa, VcpuId};

const GICD: u64 = 0x0300_1000;
const SPI: IntId = IntId::new(32);

/// What the pCPUs share: the virtual GIC and each vCPU's attention bit.
struct Shared {
    vgic: Vgic,
    attention: AtomicU32,
}

/// What a home pCPU owns.
struct Home {
    local: LrBank,
    hw: FakeHw,
    acknowledged: u32,
}

impl Shared {
    /// SPI 32 is enabled, edge-triggered, and routed to vCPU 0.
    fn new(vcpus: usize) -> Arc<Self> {
        let shared = Self { vgic: Vgic::new(vcpus, 32, &[]).unwrap(), attention: AtomicU32::new(0) };
        for (offset, value) in [(0, 2), (0xc08, 2), (0x104, 1)] {
            shared.write(offset, value);
        }
        shared.attention.store(0, SeqCst);
        Arc::new(shared)
    }

    fn publish(&self, woken: VcpuSet) {
        let mask = woken.iter().fold(0, |mask, vcpu| mask | 1 << vcpu.get());
        if mask != 0 {
            self.attention.fetch_or(mask, SeqCst);
        }
    }

    fn write(&self, offset: u64, value: u64) {
        let register = Register::at(Ipa::new(GICD + offset)).unwrap();
        self.publish(self.vgic.write(register, Width::Word, value).unwrap());
    }

    fn raise(&self) {
        self.publish(self.vgic.raise_edge(VcpuId::new(0), SPI));
    }
}

impl Home {
    fn new(vcpu: u16) -> Self {
        Self { local: LrBank::new(VcpuId::new(vcpu)), hw: FakeHw::new(3), acknowledged: 0 }
    }

    fn resync(&mut self, shared: &Shared) {
        shared.publish(shared.vgic.resync(&mut self.local, &mut self.hw, false));
    }

    /// Does what was asked for, if anything was. Whether something was.
    fn attend(&mut self, shared: &Shared) -> bool {
        let me = 1 << self.local.vcpu().get();
        let asked = shared.attention.fetch_and(!me, SeqCst) & me != 0;
        if asked {
            self.resync(shared);
        }
        asked
    }

    fn has_pending(&self) -> bool {
        self.hw.holds(SPI.get()).is_some_and(|lr| lr.pending)
    }

    fn acknowledge(&mut self) {
        if self.hw.acknowledge(0x100).is_some() {
            self.acknowledged += 1;
            self.hw.deactivate_virtual(SPI.get());
        }
    }
}

/// All homes attend until nobody is asked for.
fn settle(shared: &Shared, homes: &mut [&mut Home]) {
    for _ in 0..8 {
        let mut busy = false;
        for home in homes.iter_mut() {
            busy |= home.attend(shared);
        }
        if !busy {
            return;
        }
    }
    panic!("the pCPUs never come to rest");
}

fn explore(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

#[test]
fn an_edge_raised_after_an_acknowledge_is_delivered_again_and_none_twice() {
    explore(|| {
        let shared = Shared::new(1);
        let taken = Arc::new(AtomicBool::new(false));
        shared.raise();
        let mut home = Home::new(0);
        let raiser = {
            let (shared, taken) = (shared.clone(), taken.clone());
            thread::spawn(move || {
                let after = taken.load(SeqCst);
                shared.raise();
                after
            })
        };
        home.resync(&shared);
        home.acknowledge();
        taken.store(true, SeqCst);
        home.attend(&shared);
        home.acknowledge();
        let after = raiser.join().unwrap();
        settle(&shared, &mut [&mut home]);
        home.acknowledge();
        assert!(home.acknowledged >= if after { 2 } else { 1 }, "lost");
        assert!(home.acknowledged <= 2, "doubled");
    });
}

#[test]
fn a_withdrawal_is_final() {
    explore(|| {
        let shared = Shared::new(1);
        shared.raise();
        let mut home = Home::new(0);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || shared.write(0x284, 1))
        };
        home.attend(&shared);
        other.join().unwrap();
        settle(&shared, &mut [&mut home]);
        assert!(!home.has_pending(), "ICPENDR was lost");
    });
}

#[test]
fn a_raise_beside_a_withdrawal_of_an_older_one_is_kept_if_it_came_after() {
    explore(|| {
        let shared = Shared::new(1);
        shared.raise();
        let mut home = Home::new(0);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.write(0x284, 1);
                shared.raise();
            })
        };
        home.attend(&shared);
        home.attend(&shared);
        other.join().unwrap();
        settle(&shared, &mut [&mut home]);
        assert!(home.has_pending(), "the raise was lost");
        home.acknowledge();
        home.resync(&shared);
        assert!(!home.has_pending(), "doubled");
    });
}

#[test]
fn a_disabled_interrupt_leaves_its_list_register_and_stays_pending() {
    explore(|| {
        let shared = Shared::new(1);
        let mut home = Home::new(0);
        let raiser = {
            let shared = shared.clone();
            thread::spawn(move || shared.raise())
        };
        let disabler = {
            let shared = shared.clone();
            thread::spawn(move || shared.write(0x184, 1))
        };
        home.attend(&shared);
        raiser.join().unwrap();
        disabler.join().unwrap();
        settle(&shared, &mut [&mut home]);
        assert!(!home.has_pending(), "delivered though disabled");
        shared.write(0x104, 1);
        settle(&shared, &mut [&mut home]);
        assert!(home.has_pending(), "forgotten while disabled");
    });
}

#[test]
fn a_retargeted_interrupt_arrives_once_at_its_new_target() {
    explore(|| {
        let shared = Shared::new(2);
        let (mut old, mut new) = (Home::new(0), Home::new(1));
        old.resync(&shared);
        new.resync(&shared);
        shared.raise();
        let router = {
            let shared = shared.clone();
            thread::spawn(move || shared.write(0x6000 + 8 * 32, 1))
        };
        let first = {
            let shared = shared.clone();
            thread::spawn(move || {
                old.attend(&shared);
                old
            })
        };
        new.attend(&shared);
        router.join().unwrap();
        let mut old = first.join().unwrap();
        settle(&shared, &mut [&mut old, &mut new]);
        assert!(!old.has_pending(), "it is still at its old target");
        assert!(new.has_pending(), "it fell between the two");
    });
}

#[test]
fn an_interrupt_raised_while_its_old_target_lets_it_go_is_not_lost() {
    explore(|| {
        let shared = Shared::new(2);
        let (mut old, mut new) = (Home::new(0), Home::new(1));
        shared.raise();
        old.attend(&shared);
        old.hw.acknowledge(0x100);
        shared.write(0x6000 + 8 * 32, 1);
        settle(&shared, &mut [&mut old, &mut new]);
        old.hw.deactivate_virtual(SPI.get());
        let raiser = {
            let shared = shared.clone();
            thread::spawn(move || shared.raise())
        };
        let first = {
            let shared = shared.clone();
            thread::spawn(move || {
                old.resync(&shared);
                old
            })
        };
        new.attend(&shared);
        raiser.join().unwrap();
        let mut old = first.join().unwrap();
        settle(&shared, &mut [&mut old, &mut new]);
        assert!(new.has_pending(), "it fell between the two");
    });
}

#[test]
fn a_line_that_drops_while_it_is_listed_leaves_nothing_behind() {
    explore(|| {
        let shared = Shared::new(1);
        shared.write(0xc08, 0);
        let mut home = Home::new(0);
        let device = {
            let shared = shared.clone();
            thread::spawn(move || {
                for high in [true, false] {
                    shared.publish(shared.vgic.set_line(VcpuId::new(0), SPI, high));
                }
            })
        };
        home.attend(&shared);
        home.attend(&shared);
        device.join().unwrap();
        settle(&shared, &mut [&mut home]);
        assert!(!home.has_pending());
    });
}

#[test]
fn two_senders_of_an_sgi_are_both_seen() {
    explore(|| {
        let shared = Shared::new(1);
        enable_sgi(&shared);
        let mut home = Home::new(0);
        let senders = [1, 2].map(|cpu| {
            let shared = shared.clone();
            thread::spawn(move || send(&shared, cpu))
        });
        let mut seen = 0;
        home.attend(&shared);
        seen |= take_sgi(&mut home);
        home.resync(&shared);
        for sender in senders {
            sender.join().unwrap();
        }
        for _ in 0..2 {
            settle(&shared, &mut [&mut home]);
            seen |= take_sgi(&mut home);
            home.resync(&shared);
        }
        assert_eq!(seen, 0b110);
    });
}

#[test]
fn an_sgi_sent_after_a_withdrawal_is_delivered() {
    explore(|| {
        let shared = Shared::new(1);
        enable_sgi(&shared);
        send(&shared, 0);
        let mut home = Home::new(0);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.write(SGI_BASE + 0x280, 1);
                send(&shared, 0);
            })
        };
        home.attend(&shared);
        home.attend(&shared);
        other.join().unwrap();
        settle(&shared, &mut [&mut home]);
        assert_eq!(take_sgi(&mut home), 1, "lost");
        home.resync(&shared);
        assert_eq!(take_sgi(&mut home), 0, "doubled");
    });
}

/// SGI_base of redistributor 0, as an offset from the distributor.
const SGI_BASE: u64 = 0x2_f000;

fn enable_sgi(shared: &Shared) {
    shared.write(SGI_BASE + 0x100, 1);
    shared.attention.store(0, SeqCst);
}

fn send(shared: &Shared, cpu: u8) {
    let source = SgiSource::new(cpu).unwrap();
    shared.publish(shared.vgic.send_sgi(VcpuId::new(0), IntId::new(0), source));
}

/// The guest takes and ends one SGI. The sender's bit.
fn take_sgi(home: &mut Home) -> u32 {
    let Some(lr) = home.hw.acknowledge(0x100) else { return 0 };
    home.hw.deactivate_virtual(0);
    1 << lr.source
}

/// A vCPU that has sent itself SGI 0 and ended it: the next comes the shortest way.
fn steady(shared: &Shared) -> Home {
    let mut home = Home::new(0);
    home.resync(shared);
    send_to_self(shared, &mut home);
    assert_eq!(take_sgi(&mut home), 1);
    home
}

fn send_to_self(shared: &Shared, home: &mut Home) {
    let (sgi, source) = (IntId::new(0), SgiSource::ANONYMOUS);
    if !shared.vgic.sgi_again(&home.local, &mut home.hw, sgi, source)
        && shared.vgic.sgi_to_self(&mut home.local, &mut home.hw, sgi, source) == Listed::Resync
    {
        shared.publish(VcpuSet::one(VcpuId::new(0)));
    }
}

#[test]
fn an_sgi_to_oneself_beside_the_same_from_another_is_neither_lost_nor_doubled() {
    explore(|| {
        let shared = Shared::new(1);
        enable_sgi(&shared);
        let mut home = steady(&shared);
        let other = {
            let shared = shared.clone();
            thread::spawn(move || send(&shared, 0))
        };
        send_to_self(&shared, &mut home);
        let mut taken = take_sgi(&mut home);
        other.join().unwrap();
        for _ in 0..2 {
            settle(&shared, &mut [&mut home]);
            taken += take_sgi(&mut home);
            home.resync(&shared);
        }
        assert!((1..=2).contains(&taken), "taken {taken} times");
    });
}

/// A vCPU that sent itself SGI 0 while another CPU wrote its bit of the register at `offset` of SGI_base.
fn sent_beside_a_write(offset: u64) -> (Arc<Shared>, Home) {
    let shared = Shared::new(1);
    enable_sgi(&shared);
    let mut home = steady(&shared);
    let other = {
        let shared = shared.clone();
        thread::spawn(move || shared.write(SGI_BASE + offset, 1))
    };
    send_to_self(&shared, &mut home);
    other.join().unwrap();
    settle(&shared, &mut [&mut home]);
    (shared, home)
}

#[test]
fn an_sgi_to_oneself_beside_a_withdrawal_leaves_nothing_behind() {
    explore(|| {
        let (shared, mut home) = sent_beside_a_write(0x280);
        // Taken back, or sent after that: either way it is all there is.
        let taken = take_sgi(&mut home);
        home.resync(&shared);
        assert_eq!((taken <= 1, take_sgi(&mut home)), (true, 0));
        send_to_self(&shared, &mut home);
        settle(&shared, &mut [&mut home]);
        assert_eq!(take_sgi(&mut home), 1, "the next was lost");
    });
}

#[test]
fn an_sgi_to_oneself_beside_a_disable_waits_for_the_enable() {
    explore(|| {
        let (shared, mut home) = sent_beside_a_write(0x180);
        assert_eq!(take_sgi(&mut home), 0, "delivered though disabled");
        shared.write(SGI_BASE + 0x100, 1);
        settle(&shared, &mut [&mut home]);
        assert_eq!(take_sgi(&mut home), 1, "forgotten while disabled");
    });
}
