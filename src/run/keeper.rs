//! What becomes of a domain when its last vCPU is out, and the work of starting it again.
//!
//! The home of a domain's first vCPU decides and works. A restart is work in slices: the scheduler runs it in the place of
//! that vCPU, so other vCPUs of the pCPU keep their share, and between two slices the pCPU takes its interrupts. No other
//! pCPU does more for it than to look at its doorbell once.
//!
//! | Step | Why then |
//! |---|---|
//! | the UART forgets keys and interrupt mask, and lowers its line | before the interrupt controller: its line is an input |
//! | ports, `shared_info` and places of `vcpu_info` | events sent from here on are for the next life |
//! | every pCPU is seen between two visits to EL2 | a sender may still hold the address of a `vcpu_info` in the domain's RAM |
//! | stage 2 forgets everything, then maps what it mapped at boot | shared pages that were mapped over RAM are out of the way |
//! | RAM zeroed, images and device tree copied | by the code that did so at boot ([`Loading`]) |
//! | interrupt controller, hypercall state, power switches; caches | nothing of the former life acts any more |
//!
//! Whatever a vCPU had in list registers, timers and registers went when it was taken out ([`Here::retire`]).

use core::sync::atomic::Ordering;

use portunus::addr::VcpuId;
use portunus::domain::gzip::Workspace;
use portunus::domain::image::ImageError;
use portunus::domain::life::{Lives, Obituary, Verdict};
use portunus::domain::load::{CHUNK, Loading};
use portunus::domain::map;
use portunus::sched::Slot;
use portunus::sync::Epoch;
use portunus::vdev::power::Power;

use super::Here;
use super::end::Machine;
use super::interrupt::pump;
use super::memory::Restoring;
use super::pcpu::Pcpu;
use super::ram::Ram;
use super::runstate::Record;
use super::world::{Domain, World};
use crate::arch::aarch64::{cache, timer};

/// What the home of a domain's first vCPU knows of the domain.
pub struct Keeper {
    lives: Lives,
    /// To unpack the kernel, if it is packed and the domain may start again.
    workspace: Option<Workspace>,
    /// The last life whose end was dealt with.
    buried: Option<u32>,
    /// A restart in progress.
    work: Option<Work>,
    /// When the first of its watchdogs runs out, in ns of system time.
    pub watchdog: Option<u64>,
}

/// The next thing to do for a restart.
enum Work {
    /// Nothing before this time.
    Rest(u64),
    Devices,
    Events,
    /// All pCPUs have to see it.
    Wait(Epoch),
    Restore(Restoring),
    Load(Loading),
}

/// How a slice of the work ended.
enum Slice {
    More(Work),
    /// There is nothing to do before this time.
    Sleep(u64),
    Done,
}

impl Keeper {
    /// For a domain that is about to start for the first time.
    #[must_use]
    pub fn new(lives: Lives, workspace: Option<Workspace>) -> Self {
        Self { lives, workspace, buried: None, work: None, watchdog: None }
    }
}

impl Here<'_> {
    /// The vCPU in `slot` is the first of a domain that has stopped. Decides what becomes of it, once, when the last of its
    /// vCPUs is out.
    pub(super) fn bury(&mut self, slot: Slot) {
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        let (domain, Some(keeper)) = (vcpu.domain, &mut vcpu.keeper) else { return };
        let Some(ended) = domain.stopped() else { return };
        if domain.remaining.load(Ordering::Acquire) != 0 || keeper.buried == Some(ended.life) {
            return;
        }
        keeper.buried = Some(ended.life);
        domain.stream.finish();
        let now = timer::now();
        let verdict = keeper.lives.end(ended.reason, now);
        log::info!("{} {}", domain.name, Obituary { reason: ended.reason, verdict, lives: &keeper.lives });
        match verdict {
            Verdict::Restart(at) => {
                keeper.work = Some(Work::Rest(at));
                self.local.restarting |= slot.bit();
                self.local.scheduler.wake(slot, now);
                self.local.reschedule = true;
            }
            Verdict::Stop | Verdict::Enough => self.gone(),
            Verdict::ResetMachine => self.end_machine(Machine::Reset),
            Verdict::PowerOffMachine => self.end_machine(Machine::PowerOff),
        }
        pump(self.pcpu);
    }

    /// Does a slice of the restart that the scheduler chose in the place of the vCPU in `slot`; `false` if it is a vCPU and
    /// nothing else. Nothing is loaded afterwards.
    #[inline(always)]
    pub(super) fn restart(&mut self, slot: Slot) -> bool {
        let restarts = self.local.restarting >> slot.index() & 1 != 0;
        if restarts {
            self.go_on(slot);
        }
        restarts
    }

    #[inline(never)]
    fn go_on(&mut self, slot: Slot) {
        self.account();
        self.put_away();
        self.share();
        self.slice(slot);
        self.interrupts();
    }

    fn slice(&mut self, slot: Slot) {
        let (world, pcpu) = (self.world, self.pcpu);
        let Some(vcpu) = self.local.vcpus.get_mut(slot.index()) else { return };
        let (domain, Some(keeper)) = (vcpu.domain, &mut vcpu.keeper) else { return };
        let Some(work) = keeper.work.take() else { return };
        let over = slot.bit();
        match work.go_on(domain, &mut keeper.workspace, world, pcpu) {
            Ok(Slice::More(work)) => keeper.work = Some(work),
            Ok(Slice::Sleep(until)) => {
                keeper.work = Some(Work::Rest(until));
                self.local.scheduler.block(Some(until), timer::now());
            }
            Ok(Slice::Done) => {
                self.local.restarting &= !over;
                // Once more: peers may have sent since, and the new life may look with its caches off.
                domain.memory.tell_time(world.utc(timer::now()));
                domain.reset();
                // Off, as all its vCPUs are, so it is taken at once.
                if let Some(start) = domain.power.first().and_then(|power| {
                    let _ = power.request(domain.start);
                    power.take_start()
                }) {
                    self.local.scheduler.turn_off(slot, timer::now());
                    self.begin(slot, start);
                }
            }
            Err(error) => {
                self.local.restarting &= !over;
                log::error!("{} cannot start again and stays off: {error}", domain.name);
                self.local.scheduler.turn_off(slot, timer::now());
                self.gone();
            }
        }
    }
}

impl Work {
    fn go_on(
        self,
        domain: &'static Domain,
        workspace: &mut Option<Workspace>,
        world: &World,
        pcpu: &Pcpu,
    ) -> Result<Slice, ImageError> {
        Ok(Slice::More(match self {
            Self::Rest(until) if timer::now() < until => return Ok(Slice::Sleep(until)),
            Self::Rest(_) => Self::Devices,
            Self::Devices => {
                let line =
                    |high| domain.publish(domain.vgic.set_line(VcpuId::new(0), map::VPL011_IRQ, high), pcpu);
                match domain.uart.as_ref().map(|uart| uart.reset(line)) {
                    None | Some(Ok(())) => Self::Events,
                    Some(Err(_)) => Self::Devices,
                }
            }
            Self::Events => match world.events.rearm(domain.id) {
                Ok(()) => {
                    domain.memory.clean_shared_info();
                    let epoch = world.epochs.turn();
                    // Whichever slot: it is the look at the doorbell that counts.
                    let slot = Slot::new(0).into_iter();
                    for (slot, other) in
                        slot.flat_map(|slot| world.pcpus.iter().map(move |other| (slot, other)))
                    {
                        other.ring_other(slot, pcpu);
                    }
                    Self::Wait(epoch)
                }
                Err(_) => Self::Events,
            },
            Self::Wait(epoch) => {
                if !world.pcpus.iter().all(|pcpu| pcpu.doorbell.has_seen(epoch)) {
                    return Ok(Slice::More(self));
                }
                domain.memory.forget(domain.id.get() as u8);
                Self::Restore(Restoring::default())
            }
            Self::Restore(mut restoring) => {
                if domain.memory.restore(&domain.contents.extents, &mut restoring) {
                    Self::Load(Loading::begin(domain.lives().wrapping_add(1), CHUNK))
                } else {
                    Self::Restore(restoring)
                }
            }
            Self::Load(mut loading) => {
                // SAFETY: no vCPU of the domain runs, and no pCPU holds an address in its RAM: all were seen to look anew.
                let mut ram = unsafe { Ram::new() };
                if loading.step(&domain.contents, workspace.as_mut(), &mut ram)? {
                    return Ok(Slice::Done);
                }
                Self::Load(loading)
            }
        }))
    }
}

impl Domain {
    /// Everything that acts for the domain is as it was before it first ran; its memory is so already.
    fn reset(&self) {
        self.vgic.reset();
        self.calls.reset();
        self.faults.store(0, Ordering::Relaxed);
        self.records.iter().for_each(Record::forget);
        self.power.iter().for_each(Power::turn_off);
        cache::forget_instructions();
        self.revive();
    }
}
