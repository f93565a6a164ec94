//! `bench linux`: two Linux domains from power-on to their init processes, and a round trip between their user spaces.
//!
//! The same kernel, initramfs and tree run under Portunus and under Debian's Xen. The init process begins with a mark, and
//! `evtchn-ping` has one at either end of a round trip, so the tracer counts every instruction of both CPUs, and in a round
//! trip also says whose it was.

use serde_json::json;

use super::marks;
use super::record::{Deed, Stretch};
use super::run::{self, Hypervisor};
use crate::linux;
use crate::linux_tree::{Domain, source};

const KERNEL: &str = "6.12";
/// Round trips that are counted.
const TRIPS: u32 = 100;
/// The kernel's addresses begin with ones; the tracer keeps 56 bits of an address.
const KERNEL_SPACE: u64 = 0xff << 48;

/// What was found under one hypervisor. Instructions of both CPUs.
struct Found {
    who: Hypervisor,
    /// From power-on to the later init process.
    both: u64,
    trips: Vec<Trip>,
}

/// Whose instructions a round trip took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Trip {
    hypervisor: u64,
    kernels: u64,
    programs: u64,
}

impl Trip {
    const fn all(&self) -> u64 {
        self.hypervisor + self.kernels + self.programs
    }

    fn of(who: Hypervisor, stretch: &Stretch) -> Self {
        let mut trip = Self::default();
        for (_, deed) in &stretch.deeds {
            let Deed::Executed(address) = deed else { continue };
            let whose = match *address {
                KERNEL_SPACE.. => &mut trip.kernels,
                address if who.owns(address) && address < 1 << 32 => &mut trip.hypervisor,
                _ => &mut trip.programs,
            };
            *whose += 1;
        }
        trip
    }
}

/// Counts under both, and prints the table, or it as JSON.
pub fn run(as_json: bool) -> Result<(), String> {
    linux::possible()?;
    linux::build_programs()?;
    let found = [Hypervisor::Portunus, Hypervisor::Xen].map(count);
    let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
    if as_json {
        let columns = found.iter().map(|found| {
            let trip = json!({ "best": found.best(), "mean": found.mean(), "hypervisor": found.share(|t| t.hypervisor),
                "kernels": found.share(|t| t.kernels), "programs": found.share(|t| t.programs) });
            (found.who.key().to_owned(), json!({ "both_init": found.both, "round_trip": trip }))
        });
        println!("{}", serde_json::Value::Object(columns.collect()));
        return Ok(());
    }
    print!("{:<52}", "instructions, both CPUs");
    found.iter().for_each(|found| print!("{:>16}", found.who.name()));
    println!();
    let row = |name: &str, value: &dyn Fn(&Found) -> u64| {
        print!("{name:<52}");
        found.iter().for_each(|found| print!("{:>16}", value(found)));
        println!();
    };
    row("power-on to both init processes", &|found| found.both);
    row("round trip between user spaces, best", &Found::best);
    row("round trip between user spaces, mean", &Found::mean);
    row("  of it the hypervisor", &|found| found.share(|trip| trip.hypervisor));
    row("  of it both kernels", &|found| found.share(|trip| trip.kernels));
    row("  of it both programs", &|found| found.share(|trip| trip.programs));
    Ok(())
}

impl Found {
    fn best(&self) -> u64 {
        self.trips.iter().map(Trip::all).min().unwrap_or(0)
    }

    fn mean(&self) -> u64 {
        self.share(|trip| trip.all())
    }

    /// The mean of a part.
    fn share(&self, part: impl Fn(&Trip) -> u64) -> u64 {
        self.trips.iter().map(part).sum::<u64>() / (self.trips.len() as u64).max(1)
    }
}

fn count(who: Hypervisor) -> Result<Found, String> {
    let domain = |name: &str, role: &str| Domain {
        name: name.into(),
        kernel: format!("linux-{KERNEL}"),
        ramdisk: format!("initramfs-{KERNEL}"),
        memory: 256,
        vcpus: 1,
        roles: format!("rdinit=/bin/marked-init {role} portunus.then=idle"),
        properties: String::new(),
    };
    let domains = [
        domain("domU1", &format!("portunus.settle=60 portunus.ping=10 portunus.count={TRIPS}")),
        domain("domU2", "portunus.pong=110"),
    ];
    let said = format!("linux: domU1: round=1 exit=0 evtchn-ping: {TRIPS} round trips, 0 lost");
    let outcome = run::said(who, &source(&domains, &[[(0, 10), (1, 110)]]), "linux", &[said])?;
    let record = outcome.record;
    let [_, both] = record.inits[..] else {
        return Err(format!(
            "{}: {} init processes were marked\n{}",
            who.name(),
            record.inits.len(),
            outcome.log
        ));
    };
    let trips: Vec<Trip> = record.of(marks::ROUND_TRIP).map(|stretch| Trip::of(who, stretch)).collect();
    if trips.len() < TRIPS as usize {
        return Err(format!("{}: {} of {TRIPS} round trips were marked", who.name(), trips.len()));
    }
    Ok(Found { who, both, trips })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_whose_instruction_it_is() {
        let addresses = [0x7000_1000, 0xff_8000_8001_0000, 0x6002_0000, 0xff_8000_8001_0004];
        let deeds = addresses.map(|address| (0, Deed::Executed(address))).to_vec();
        let stretch = Stretch { mark: marks::ROUND_TRIP, opener: 0, deeds };
        let trip = Trip::of(Hypervisor::Portunus, &stretch);
        assert_eq!(trip, Trip { hypervisor: 1, kernels: 2, programs: 1 });
        assert_eq!(trip.all(), 4);
    }
}
