//! What two-level event channels are, said as simply as possible: sets, maps, and no concurrency.
//!
//! Written from Xen's rules (public/event_channel.h and what Xen answers), not from the code it is compared with.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Op, PORTS};
use crate::evtchn::testing::Asked;
use crate::hypercall::Errno::{self, *};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unbound(u16),
    Interdomain(u16, u32),
    Virq(u32),
    Ipi,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub(super) kind: Kind,
    pub(super) vcpu: u16,
    pub(super) of_the_tree: bool,
}

impl Port {
    fn new(kind: Kind) -> Self {
        Self { kind, vcpu: 0, of_the_tree: false }
    }
}

/// `vcpu_info` of one vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) selector: u64,
    pub(super) upcall: u8,
}

#[derive(Default)]
pub(super) struct Domain {
    pub(super) ports: BTreeMap<u32, Port>,
    pub(super) pending: BTreeSet<u32>,
    pub(super) mask: BTreeSet<u32>,
    pub(super) infos: [Option<Info>; 2],
    pub(super) registered: [bool; 2],
    pub(super) polling: [bool; 2],
}

pub(super) struct Reference {
    /// Domains 1 and 2.
    pub(super) domains: [Domain; 2],
    pub(super) asked: Vec<Asked>,
}

type Result<T = Answer> = core::result::Result<T, Errno>;

impl Reference {
    /// Domains as booted, with these ends of static channels.
    pub(super) fn new(ends: &[(u16, u32, Kind)]) -> Self {
        let booted = || Domain { infos: [Some(Info::default()), None], ..Domain::default() };
        let mut domains = [booted(), booted()];
        for &(domain, port, kind) in ends {
            let port_of_tree = Port { of_the_tree: true, ..Port::new(kind) };
            domains[usize::from(domain) - 1].ports.insert(port, port_of_tree);
        }
        Self { domains, asked: Vec::new() }
    }

    pub(super) fn of(&mut self, domain: u16) -> &mut Domain {
        &mut self.domains[usize::from(domain) - 1]
    }

    fn exists(&self, domain: u16) -> Result<()> {
        if (1..=2).contains(&domain) { Ok(()) } else { Err(ESRCH) }
    }

    fn vcpu_exists(&self, vcpu: u32) -> Result<u16> {
        if vcpu < 2 { Ok(vcpu as u16) } else { Err(ENOENT) }
    }

    fn lowest_free(&mut self, domain: u16) -> Result<u32> {
        (1..PORTS).find(|port| !self.of(domain).ports.contains_key(port)).ok_or(ENOSPC)
    }

    fn port(&mut self, domain: u16, port: u32) -> Result<Port> {
        self.of(domain).ports.get(&port).copied().ok_or(EINVAL)
    }

    fn take(&mut self, domain: u16, port: u32, entry: Port) -> Result {
        self.of(domain).ports.insert(port, entry);
        self.of(domain).pending.remove(&port);
        Ok(Answer::Port(port))
    }

    fn announce(&mut self, domain: u16, port: u32, vcpu: u16) {
        let Some(info) = &mut self.of(domain).infos[usize::from(vcpu)] else { return };
        let bit = 1 << (port / 64);
        let known = info.selector & bit != 0;
        info.selector |= bit;
        if !known {
            let asserted = info.upcall & 1 != 0;
            info.upcall |= 1;
            if !asserted {
                self.asked.push(Asked::Upcall(domain, vcpu));
            }
        }
    }

    fn set_pending(&mut self, domain: u16, port: u32) {
        if !self.of(domain).pending.insert(port) {
            return;
        }
        let vcpu = self.of(domain).ports.get(&port).map_or(0, |entry| entry.vcpu);
        if !self.of(domain).mask.contains(&port) {
            self.announce(domain, port, vcpu);
        }
        for poller in 0..2_u16 {
            if core::mem::take(&mut self.of(domain).polling[usize::from(poller)]) {
                self.asked.push(Asked::Wake(domain, poller));
            }
        }
    }

    fn close(&mut self, me: u16, port: u32) -> Result {
        let entry = self.port(me, port)?;
        if entry.of_the_tree {
            self.of(me).ports.insert(port, Port { vcpu: 0, ..entry });
        } else {
            self.of(me).ports.remove(&port);
            if let Kind::Interdomain(_, other) = entry.kind
                && let Some(other) = self.of(me).ports.get_mut(&other)
            {
                other.kind = Kind::Unbound(me);
            }
        }
        self.of(me).pending.remove(&port);
        Ok(Answer::Done)
    }

    fn bind_virq(&mut self, me: u16, virq: u32, vcpu: u32) -> Result {
        let per_vcpu = [0, 1, 7, 13].contains(&virq);
        if virq >= 24 || (!per_vcpu && vcpu != 0) {
            return Err(EINVAL);
        }
        let vcpu = self.vcpu_exists(vcpu)?;
        if !per_vcpu && virq != 11 {
            return Err(EBUSY);
        }
        let same = |port: &Port| port.kind == Kind::Virq(virq) && (port.vcpu == vcpu || !per_vcpu);
        if self.of(me).ports.values().any(same) {
            return Err(EEXIST);
        }
        let port = self.lowest_free(me)?;
        self.take(me, port, Port { vcpu, ..Port::new(Kind::Virq(virq)) })
    }

    fn bind_interdomain(&mut self, me: u16, remote: u16, remote_port: u32) -> Result {
        self.exists(remote)?;
        let port = self.lowest_free(me)?;
        let theirs = self.port(remote, remote_port)?;
        if theirs.kind != Kind::Unbound(me) {
            return Err(EINVAL);
        }
        if remote != me {
            return Err(EPERM);
        }
        self.take(me, port, Port::new(Kind::Interdomain(me, remote_port)))?;
        let theirs = Port { kind: Kind::Interdomain(me, port), of_the_tree: false, ..theirs };
        self.of(me).ports.insert(remote_port, theirs);
        self.set_pending(me, port);
        Ok(Answer::Port(port))
    }

    fn poll(&mut self, me: u16, vcpu: u16, port: u32) -> Result {
        self.of(me).polling[usize::from(vcpu)] = true;
        let looked = self.port(me, port).map(|_| self.of(me).pending.contains(&port));
        if looked != Ok(false) {
            self.of(me).polling[usize::from(vcpu)] = false;
        }
        looked.map(Answer::Ready)
    }

    /// What domain `me` is answered.
    pub(super) fn step(&mut self, me: u16, op: Op) -> Result {
        match op {
            Op::AllocUnbound { owner, offered } => {
                self.exists(owner)?;
                let port = self.lowest_free(owner)?;
                self.exists(offered)?;
                if [owner, offered] != [me, me] {
                    return Err(EPERM);
                }
                self.take(me, port, Port::new(Kind::Unbound(me)))
            }
            Op::BindInterdomain { remote, port } => self.bind_interdomain(me, remote, port),
            Op::BindVirq { virq, vcpu } => self.bind_virq(me, virq, vcpu),
            Op::BindIpi { vcpu } => {
                let vcpu = self.vcpu_exists(vcpu)?;
                let port = self.lowest_free(me)?;
                self.take(me, port, Port { vcpu, ..Port::new(Kind::Ipi) })
            }
            Op::BindVcpu { port, vcpu } => {
                let vcpu = self.vcpu_exists(vcpu)?;
                let entry = self.port(me, port)?;
                if matches!(entry.kind, Kind::Ipi | Kind::Virq(0 | 1 | 7 | 13)) {
                    return Err(EINVAL);
                }
                self.of(me).ports.insert(port, Port { vcpu, ..entry });
                Ok(Answer::Done)
            }
            Op::Close { port } => self.close(me, port),
            Op::Reset { domain } => {
                self.exists(domain)?;
                if domain != me {
                    return Err(EPERM);
                }
                let all: Vec<u32> = self.of(me).ports.keys().copied().collect();
                all.into_iter().try_for_each(|port| self.close(me, port).map(|_| ()))?;
                Ok(Answer::Done)
            }
            Op::Send { port } => {
                match self.port(me, port)?.kind {
                    Kind::Interdomain(domain, remote) => self.set_pending(domain, remote),
                    Kind::Ipi => self.set_pending(me, port),
                    Kind::Unbound(_) => {}
                    Kind::Virq(_) => return Err(EINVAL),
                }
                Ok(Answer::Done)
            }
            Op::Unmask { port } => {
                if port >= PORTS {
                    return Err(EINVAL);
                }
                if let Ok(entry) = self.port(me, port)
                    && self.of(me).mask.remove(&port)
                    && self.of(me).pending.contains(&port)
                {
                    self.announce(me, port, entry.vcpu);
                }
                Ok(Answer::Done)
            }
            Op::Register { vcpu } => {
                if core::mem::replace(&mut self.of(me).registered[usize::from(vcpu)], true) {
                    return Err(EBUSY);
                }
                self.of(me).infos[usize::from(vcpu)] = Some(Info { selector: u64::MAX, upcall: 1 });
                self.asked.push(Asked::Upcall(me, vcpu));
                Ok(Answer::Done)
            }
            Op::Poll { vcpu, port } => self.poll(me, vcpu, port),
            Op::Mask { port } => {
                self.of(me).mask.insert(port);
                Ok(Answer::Done)
            }
            Op::Consume { port } => {
                self.of(me).pending.remove(&port);
                Ok(Answer::Done)
            }
            Op::Acknowledge { vcpu } => {
                if let Some(info) = &mut self.of(me).infos[usize::from(vcpu)] {
                    *info = Info::default();
                }
                Ok(Answer::Done)
            }
        }
    }
}
