//! `bench linux`: two Linux domains from power-on to their init processes, and round trips between their user spaces.
//!
//! The same kernel, initramfs and tree run under Portunus and under Debian's Xen. The init process begins with a mark, and
//! `evtchn-ping` has one before each event that it sends and one behind each answer. In between the tracer counts every
//! instruction of both CPUs, and says whose it was.
//!
//! A trip begins when both domains sleep: `evtchn-ping` rests before each. Of the CPU that asks it is what lies between the
//! two marks; of the one that answers, everything until the next trip. Otherwise a trip would be short only because its last
//! part, the other domain's way back to sleep, happened to fall into the next one or between two.

use serde_json::{Value, json};

use super::marks;
use super::record::{Deed, Stretch};
use super::run::{self, Hypervisor};
use crate::linux;
use crate::linux_tree::{Domain, source};

const KERNEL: &str = "6.12";
/// Round trips that are counted. The first one warms up, and nothing says where the last one ends.
const TRIPS: usize = 1000;
/// Milliseconds of rest before each: both domains sleep long before.
const REST: u32 = 10;
/// How the domains come by random numbers.
const WAYS: [(&str, &str); 2] = [
    ("round trip between user spaces", ""),
    // As if each had a seed: otherwise a kernel without one counts for more than hypervisors do.
    ("the same, random numbers ready in all domains", "portunus.credit=1"),
];

/// What was found under one hypervisor. Instructions of both CPUs.
struct Found {
    /// From power-on to the later init process.
    both: u64,
    /// Sorted by how long they are.
    trips: Vec<Trip>,
}

/// Whose instructions a round trip took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Trip {
    hypervisor: u64,
    kernels: u64,
    programs: u64,
}

/// A row of the table: its name, as it is shown and as it is in JSON, and what it says.
type Row = (&'static str, &'static str, fn(&Found) -> u64);

const ROWS: [Row; 6] = [
    ("best", "best", |found| found.at(0)),
    ("median", "median", |found| found.at(found.trips.len() / 2)),
    ("mean", "mean", |found| found.mean(Trip::all)),
    ("of the mean, the hypervisor", "hypervisor", |found| found.mean(|trip| trip.hypervisor)),
    ("of the mean, both kernels", "kernels", |found| found.mean(|trip| trip.kernels)),
    ("of the mean, both programs", "programs", |found| found.mean(|trip| trip.programs)),
];

impl Trip {
    const fn all(&self) -> u64 {
        self.hypervisor + self.kernels + self.programs
    }

    /// A trip out of what was counted until the answer came, and behind it.
    fn of(trip: &Stretch, behind: &Stretch) -> Self {
        let mut all = Self::default();
        let answering = behind.deeds.iter().filter(|(cpu, _)| *cpu != trip.opener);
        for (_, deed) in trip.deeds.iter().chain(answering) {
            match *deed {
                Deed::Counted(0, count) => all.hypervisor += count,
                Deed::Counted(1, count) => all.kernels += count,
                Deed::Counted(_, count) => all.programs += count,
                _ => {}
            }
        }
        all
    }
}

impl Found {
    fn at(&self, place: usize) -> u64 {
        self.trips.get(place).map_or(0, Trip::all)
    }

    fn mean(&self, part: impl Fn(&Trip) -> u64) -> u64 {
        self.trips.iter().map(part).sum::<u64>() / (self.trips.len() as u64).max(1)
    }
}

/// Counts under both, and prints the table, or it as JSON.
pub fn run(as_json: bool) -> Result<(), String> {
    const COLUMNS: [Hypervisor; 2] = [Hypervisor::Portunus, Hypervisor::Xen];
    linux::possible()?;
    linux::build_programs()?;
    let mut ways = Vec::new();
    for (name, roles) in WAYS {
        let [ours, theirs] = COLUMNS.map(|who| count(who, roles));
        ways.push((name, [ours?, theirs?]));
    }
    if as_json {
        println!("{}", json(&COLUMNS, &ways));
        return Ok(());
    }
    let line = |name: &str, values: [String; 2]| println!("{name:<52}{:>16}{:>16}", values[0], values[1]);
    line("instructions, both CPUs", COLUMNS.map(|who| who.name().to_owned()));
    for (index, (name, found)) in ways.iter().enumerate() {
        let say =
            |name: &str, value: fn(&Found) -> u64| line(name, [0, 1].map(|i| value(&found[i]).to_string()));
        if index == 0 {
            say("power-on to both init processes", |found| found.both);
        }
        line(name, [String::new(), String::new()]);
        ROWS.iter().for_each(|(name, _, value)| say(&format!("  {name}"), *value));
    }
    Ok(())
}

fn json(columns: &[Hypervisor], ways: &[(&str, [Found; 2])]) -> Value {
    let column = |(index, who): (usize, &Hypervisor)| {
        let trips = |way: usize| -> Value {
            let found = ways.get(way).and_then(|(_, found)| found.get(index));
            found
                .into_iter()
                .flat_map(|found| ROWS.map(|(_, key, value)| (key.to_owned(), json!(value(found)))))
                .collect()
        };
        let both = ways.first().and_then(|(_, found)| found.get(index)).map(|found| found.both);
        (
            who.key().to_owned(),
            json!({ "both_init": both, "round_trip": trips(0), "round_trip_ready": trips(1) }),
        )
    };
    Value::Object(columns.iter().enumerate().map(column).collect())
}

fn count(who: Hypervisor, roles: &str) -> Result<Found, String> {
    let domain = |name: &str, role: &str| Domain {
        name: name.into(),
        kernel: format!("linux-{KERNEL}"),
        ramdisk: format!("initramfs-{KERNEL}"),
        memory: 256,
        vcpus: 1,
        roles: format!("rdinit=/bin/marked-init {roles} {role} portunus.then=idle"),
        properties: String::new(),
    };
    let asked = TRIPS + 1;
    let ping = format!("portunus.settle=60 portunus.rest={REST} portunus.ping=10 portunus.count={asked}");
    let domains = [domain("domU1", &ping), domain("domU2", "portunus.pong=110")];
    let said = format!("linux: domU1: round=1 exit=0 evtchn-ping: {asked} round trips, 0 lost");
    let outcome = run::said(who, &source(&domains, &[[(0, 10), (1, 110)]]), "linux", &[said])?;
    let record = outcome.record;
    let [_, both] = record.inits[..] else {
        let marked = record.inits.len();
        return Err(format!("{}: {marked} init processes were marked\n{}", who.name(), outcome.log));
    };
    let pairs = record.stretches.windows(2).filter_map(|pair| match pair {
        [trip, behind] if trip.mark == marks::ROUND_TRIP && behind.mark == marks::END => {
            Some(Trip::of(trip, behind))
        }
        _ => None,
    });
    // The first one was the greeting.
    let mut trips: Vec<Trip> = pairs.skip(1).collect();
    if trips.len() != TRIPS {
        return Err(format!("{}: {} of {TRIPS} round trips were marked", who.name(), trips.len()));
    }
    trips.sort_by_key(Trip::all);
    Ok(Found { both, trips })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_is_all_of_who_asks_until_the_answer_and_of_who_answers_until_it_sleeps() {
        let stretch = |mark, deeds: &[(u8, Deed)]| Stretch { mark, opener: 1, deeds: deeds.to_vec() };
        let trip = stretch(
            marks::ROUND_TRIP,
            &[(1, Deed::Counted(0, 1)), (1, Deed::Counted(1, 20)), (0, Deed::Counted(2, 300))],
        );
        let behind = stretch(marks::END, &[(1, Deed::Counted(1, 50_000)), (0, Deed::Counted(1, 4000))]);
        let trip = Trip::of(&trip, &behind);
        assert_eq!(trip, Trip { hypervisor: 1, kernels: 4020, programs: 300 });
        let found = Found { both: 0, trips: vec![trip, trip] };
        assert_eq!((found.at(1), found.mean(Trip::all)), (4321, 4321));
    }
}
