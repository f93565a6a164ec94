//! Any sequence of operations of two domains, against a [`reference`] that is too simple to be wrong.
//!
//! After every step: the same answer, the same ports, the same pending, mask, selector and upcall words, and the
//! same calls for attention. After every sequence: the static channels are what they were.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod reference;

use proptest::prelude::*;

use self::reference::{Kind, Reference};
use super::testing::{Asked, Witness, dom, domains, end, forever};
use super::word::Word;
use super::*;
use crate::addr::{Port, VcpuId};

const PORTS: u32 = PORT_COUNT as u32;
/// The static channels: domain 1's port and domain 2's. The last one's other end was not built.
const CHANNELS: [(u32, u32); 2] = [(2, 70), (5, 1)];
const HALF: u32 = 4;
const NOBODY: u16 = 9;

/// What a domain does: hypercalls, and what it writes into its own pages.
#[derive(Clone, Copy, Debug)]
enum Op {
    AllocUnbound {
        owner: u16,
        offered: u16,
    },
    BindInterdomain {
        remote: u16,
        port: u32,
    },
    BindVirq {
        virq: u32,
        vcpu: u32,
    },
    BindIpi {
        vcpu: u32,
    },
    BindVcpu {
        port: u32,
        vcpu: u32,
    },
    Close {
        port: u32,
    },
    Reset {
        domain: u16,
    },
    Send {
        port: u32,
    },
    Unmask {
        port: u32,
    },
    Register {
        vcpu: u16,
    },
    Poll {
        vcpu: u16,
        port: u32,
    },
    /// Sets the mask bit.
    Mask {
        port: u32,
    },
    /// Clears the pending bit.
    Consume {
        port: u32,
    },
    /// Clears upcall and selector.
    Acknowledge {
        vcpu: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Port(u32),
    Ready(bool),
}

/// The real thing, and the pages as the two guests see them.
struct Real {
    events: Events,
    pages: Vec<&'static SharedInfo>,
    places: [[Option<&'static VcpuInfo>; 2]; 2],
    witness: Witness,
}

impl Real {
    fn new() -> Self {
        let [first, second] = CHANNELS.map(|(one, two)| [end(1, one), end(2, two)]);
        let (events, pages) = domains(&[2, 2], &[first, second, [end(1, HALF), end(NOBODY, 1)]]);
        let places = [pages[0], pages[1]].map(|page| [Some(&page.vcpu_info), None]);
        Self { events, pages, places, witness: Witness::default() }
    }

    fn step(&mut self, me: u16, op: Op) -> Result<Answer, Refusal> {
        let (events, witness, id) = (&self.events, &self.witness, dom(me));
        let page = self.pages[usize::from(me) - 1];
        let places = &mut self.places[usize::from(me) - 1];
        let word = |port: u32| ((port / 64) as usize, 1 << (port % 64));
        let port = |port: Port| Answer::Port(port.get());
        let done = |()| Answer::Done;
        match op {
            Op::AllocUnbound { owner, offered } => {
                events.alloc_unbound(id, dom(owner), dom(offered)).map(port)
            }
            Op::BindInterdomain { remote, port: theirs } => {
                events.bind_interdomain(id, dom(remote), Port::new(theirs), witness).map(port)
            }
            Op::BindVirq { virq, vcpu } => events.bind_virq(id, virq, vcpu).map(port),
            Op::BindIpi { vcpu } => events.bind_ipi(id, vcpu).map(port),
            Op::BindVcpu { port, vcpu } => events.bind_vcpu(id, Port::new(port), vcpu).map(done),
            Op::Close { port } => events.close(id, Port::new(port)).map(done),
            Op::Reset { domain } => events.reset(id, dom(domain)).map(done),
            Op::Send { port } => Ok(events.send(id, Port::new(port), witness).map(done)?),
            Op::Unmask { port } => Ok(events.unmask(id, Port::new(port), witness).map(done)?),
            Op::Register { vcpu } => {
                let place = forever(VcpuInfo::new());
                events.register_vcpu_info(id, VcpuId::new(vcpu), place, witness)?;
                places[usize::from(vcpu)] = Some(place);
                Ok(Answer::Done)
            }
            Op::Poll { vcpu, port } => {
                let poll = events.poll(id, VcpuId::new(vcpu), [port].into_iter())?;
                Ok(Answer::Ready(poll == Poll::Ready))
            }
            Op::Mask { port } => {
                page.mask[word(port).0].set(word(port).1);
                Ok(Answer::Done)
            }
            Op::Consume { port } => {
                page.pending[word(port).0].clear(word(port).1);
                Ok(Answer::Done)
            }
            Op::Acknowledge { vcpu } => {
                if let Some(info) = places[usize::from(vcpu)] {
                    info.upcall.put(0);
                    info.selector.swap(0);
                }
                Ok(Answer::Done)
            }
        }
    }

    /// Everything about domain `me` that a guest or the hypervisor can see is as the reference has it.
    fn agrees(&self, me: u16, want: &reference::Domain) -> Result<(), TestCaseError> {
        let (page, id) = (self.pages[usize::from(me) - 1], dom(me));
        for (words, set) in [(&page.pending, &want.pending), (&page.mask, &want.mask)] {
            let mut bits = [0_u64; WORDS];
            set.iter().for_each(|port| bits[(port / 64) as usize] |= 1 << (port % 64));
            let held = words.each_ref().map(Word::get);
            prop_assert_eq!(held, bits, "bits of domain {}", me);
        }
        for vcpu in 0..2_u16 {
            let place = self.places[usize::from(me) - 1][usize::from(vcpu)];
            let held = place
                .map(|info| reference::Info { selector: info.selector.get(), upcall: info.upcall.get() });
            prop_assert_eq!(held, want.infos[usize::from(vcpu)], "information of {}.{}", me, vcpu);
            let line = self.events.upcall_line(id, VcpuId::new(vcpu));
            prop_assert_eq!(line, held.is_some_and(|info| info.upcall != 0));
            let polling = self.events.is_polling(id, VcpuId::new(vcpu));
            prop_assert_eq!(polling, want.polling[usize::from(vcpu)]);
        }
        for number in (0..24).chain([70, 71, PORTS - 1]) {
            let status = self.events.status(id, id, Port::new(number)).unwrap();
            let (binding, vcpu) = match want.ports.get(&number) {
                None if number == 0 => (Binding::Reserved, 0),
                None => (Binding::Free, 0),
                Some(port) => (binding(port.kind), port.vcpu),
            };
            prop_assert_eq!(status, Status { binding, vcpu: VcpuId::new(vcpu) }, "port {} of {}", number, me);
        }
        Ok(())
    }
}

fn binding(kind: Kind) -> Binding {
    match kind {
        Kind::Unbound(domain) => Binding::Unbound { domain: dom(domain) },
        Kind::Interdomain(domain, port) => {
            Binding::Interdomain { domain: dom(domain), port: Port::new(port) }
        }
        Kind::Virq(virq) => Binding::Virq { virq: virq as u8 },
        Kind::Ipi => Binding::Ipi,
    }
}

fn booted() -> Reference {
    let mut ends = vec![(1, HALF, Kind::Unbound(NOBODY))];
    for (one, two) in CHANNELS {
        ends.extend([(1, one, Kind::Interdomain(2, two)), (2, two, Kind::Interdomain(1, one))]);
    }
    Reference::new(&ends)
}

/// Ports that are in use more often than not, and a few that cannot be.
fn port() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 0..9_u32, 2 => Just(70), 1 => Just(PORTS - 1), 1 => Just(PORTS), 1 => any::<u32>()]
}

fn valid_port() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..9_u32, 1 => Just(70), 1 => 0..PORTS]
}

fn op() -> impl Strategy<Value = Op> {
    let domain = || prop_oneof![4 => 1..3_u16, 1 => Just(NOBODY)];
    let vcpu = || prop_oneof![8 => 0..2_u32, 1 => 2..4_u32];
    prop_oneof![
        3 => (domain(), domain()).prop_map(|(owner, offered)| Op::AllocUnbound { owner, offered }),
        6 => (domain(), port()).prop_map(|(remote, port)| Op::BindInterdomain { remote, port }),
        2 => (0..26_u32, vcpu()).prop_map(|(virq, vcpu)| Op::BindVirq { virq, vcpu }),
        2 => vcpu().prop_map(|vcpu| Op::BindIpi { vcpu }),
        3 => (port(), vcpu()).prop_map(|(port, vcpu)| Op::BindVcpu { port, vcpu }),
        4 => port().prop_map(|port| Op::Close { port }),
        1 => domain().prop_map(|domain| Op::Reset { domain }),
        10 => port().prop_map(|port| Op::Send { port }),
        4 => port().prop_map(|port| Op::Unmask { port }),
        1 => (0..2_u16).prop_map(|vcpu| Op::Register { vcpu }),
        2 => (0..2_u16, port()).prop_map(|(vcpu, port)| Op::Poll { vcpu, port }),
        4 => valid_port().prop_map(|port| Op::Mask { port }),
        4 => valid_port().prop_map(|port| Op::Consume { port }),
        3 => (0..2_u16).prop_map(|vcpu| Op::Acknowledge { vcpu }),
    ]
}

/// Both ends notify, and each end's next event arrives at the other.
fn static_channels_live(real: &mut Real) -> Result<(), TestCaseError> {
    for (one, two) in CHANNELS {
        for (from, sent, to, arrives) in [(1, one, 2, two), (2, two, 1, one)] {
            let status = real.events.status(dom(from), dom(from), Port::new(sent)).unwrap();
            let binding = Binding::Interdomain { domain: dom(to), port: Port::new(arrives) };
            prop_assert_eq!(status.binding, binding);
            real.step(to, Op::Consume { port: arrives }).unwrap();
            real.step(from, Op::Send { port: sent }).unwrap();
            let word = real.pages[usize::from(to) - 1].pending[(arrives / 64) as usize].get();
            prop_assert_ne!(word & 1 << (arrives % 64), 0, "{}:{} is deaf", to, arrives);
        }
    }
    let half = real.events.status(dom(1), dom(1), Port::new(HALF)).unwrap().binding;
    prop_assert_eq!(half, Binding::Unbound { domain: dom(NOBODY) });
    Ok(())
}

/// Miri is slow, and sees no file in which failures could be kept.
fn cases(natively: u32) -> ProptestConfig {
    let usual = ProptestConfig { cases: natively, ..ProptestConfig::default() };
    if cfg!(miri) { ProptestConfig { cases: 1, failure_persistence: None, ..usual } } else { usual }
}

const STEPS: usize = if cfg!(miri) { 16 } else { 80 };

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn any_operations_do_what_the_reference_does(ops in proptest::collection::vec((1..3_u16, op()), 1..STEPS)) {
        let (mut real, mut reference) = (Real::new(), booted());
        for (me, op) in ops {
            let (got, want) = (real.step(me, op), reference.step(me, op));
            prop_assert_eq!(got, want.map_err(Refusal::Error), "{:?} of domain {}", op, me);
            prop_assert_eq!(real.witness.take(), core::mem::take(&mut reference.asked), "{:?} of {}", op, me);
            for domain in 1..3_u16 {
                real.agrees(domain, reference.of(domain))?;
            }
        }
        static_channels_live(&mut real)?;
    }

    /// Guests that follow the protocol, on whatever ports they have: they mask before they bind and unmask by the
    /// hypervisor, and handle events when, and only when, they are interrupted.
    #[test]
    fn guests_that_follow_the_protocol_lose_nothing(ops in proptest::collection::vec((1..3_u16, op()), 1..STEPS)) {
        let mut real = Real::new();
        for me in 1..3_u16 {
            for vcpu in 0..2 {
                real.step(me, Op::Register { vcpu }).unwrap();
            }
        }
        for (me, op) in ops {
            match op {
                // These write what only the handler may write, or take the machine's answer for a poll.
                Op::Consume { .. } | Op::Acknowledge { .. } | Op::Poll { .. } => continue,
                Op::BindVcpu { port, .. } if port < PORTS => {
                    real.step(me, Op::Mask { port }).unwrap();
                    let _ = real.step(me, op);
                    real.step(me, Op::Unmask { port }).unwrap();
                }
                // What was pending on a port that is closed is nobody's any more; the mask stays and is lifted.
                _ => drop(real.step(me, op)),
            }
            take_interrupts(&mut real)?;
        }
        for me in 1..3_u16 {
            for port in 1..PORTS.min(130) {
                real.step(me, Op::Unmask { port }).unwrap();
            }
        }
        take_interrupts(&mut real)?;
        static_channels_live(&mut real)?;
    }
}

/// Every vCPU that was interrupted handles what is pending. Then nothing is, unless it is masked.
fn take_interrupts(real: &mut Real) -> Result<(), TestCaseError> {
    for asked in real.witness.take() {
        let Asked::Upcall(domain, vcpu) = asked else { continue };
        let page = real.pages[usize::from(domain) - 1];
        let info = real.places[usize::from(domain) - 1][usize::from(vcpu)].unwrap();
        info.upcall.put(0);
        let selected = info.selector.swap(0);
        for word in (0..WORDS).filter(|word| selected & 1 << word != 0) {
            let ready = page.pending[word].get() & !page.mask[word].get();
            page.pending[word].clear(ready);
        }
    }
    for (page, me) in real.pages.iter().zip(1..) {
        for (word, (pending, mask)) in page.pending.iter().zip(&page.mask).enumerate() {
            prop_assert_eq!(pending.get() & !mask.get(), 0, "lost in word {} of domain {}", word, me);
        }
    }
    Ok(())
}
