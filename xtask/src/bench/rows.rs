//! The rows of the table: what each says, how it is read off a record, and what it may be at most.

use std::collections::{BTreeMap, BTreeSet};

use super::marks;
use super::record::{Deed, Record, Stretch};
use super::run::Hypervisor;

/// What is counted in a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// From a trapping instruction to the one behind it: what EL2 executes, and the instruction itself.
    Trap,
    /// What EL2 executes on the CPU that the stretch was opened on.
    Own,
    /// Every instruction of that CPU.
    OwnAll,
    /// Every instruction of every CPU.
    All,
    /// Every instruction of the CPU that the stretch was opened on, from the vector of the physical interrupt on.
    FromInterrupt,
    /// From the vector of a physical interrupt to the first instruction of the guest, each time.
    Receive,
    /// Exceptions to EL2 for each of the two events of a round trip.
    Entries,
    /// Accesses of EL2 to devices on the CPU that the stretch was opened on.
    OwnAccesses,
    /// Accesses of EL2 to devices from the vector of a physical interrupt to the guest, each time.
    ReceiveAccesses,
}

/// Which run a row is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Each guest on a CPU of its own.
    Apart,
    /// Both on one.
    Together,
    /// One domain, each of its two vCPUs on a CPU of its own.
    Pair,
}

/// A row that is read off marked stretches.
pub struct Row {
    /// Short name, for files.
    pub key: &'static str,
    /// What it says.
    pub name: &'static str,
    /// The run that it is from.
    pub run: Run,
    /// What opens its stretches.
    pub mark: u16,
    /// What is counted in each.
    pub count: Count,
    /// What ours may be at most.
    pub goal: Option<u64>,
}

const fn row(key: &'static str, name: &'static str, mark: u16, count: Count, goal: Option<u64>) -> Row {
    Row { key, name, run: Run::Apart, mark, count, goal }
}

const fn of_pair(row: Row) -> Row {
    Row { run: Run::Pair, ..row }
}

/// The rows that are counted, in the order of the table.
pub const ROWS: [Row; 17] = [
    row("hypercall", "empty hypercall, HVC to next instruction", marks::HYPERCALL, Count::Trap, Some(90)),
    row("psci", "PSCI_VERSION", marks::PSCI, Count::Trap, Some(100)),
    row("send", "send, peer woken (EL2)", marks::SEND_WOKEN, Count::Own, Some(170)),
    row("pending", "send, already pending (EL2)", marks::SEND_PENDING, Count::Own, Some(120)),
    row("masked", "send, receiver has it masked (EL2)", marks::SEND_MASKED, Count::Own, None),
    row("receive", "receive, interrupt to guest (EL2)", marks::ROUND_TRIP, Count::Receive, Some(120)),
    row("round-trip", "event round trip, all of both CPUs", marks::ROUND_TRIP, Count::All, Some(1200)),
    Row {
        run: Run::Together,
        ..row("one-cpu", "the same, both on one CPU", marks::ROUND_TRIP, Count::All, Some(2200))
    },
    row("self", "event to itself, until counted", marks::SEND_SELF, Count::OwnAll, None),
    row("sgi", "SGI to itself, until its handler", marks::SGI, Count::OwnAll, Some(300)),
    of_pair(row("sgi-send", "SGI to another vCPU, sender (EL2)", marks::SGI_SENT, Count::Own, None)),
    of_pair(row("sgi-receive", "SGI, interrupt to guest (EL2)", marks::SGI_TRIP, Count::Receive, None)),
    of_pair(row("sgi-trip", "SGI round trip, all of both CPUs", marks::SGI_TRIP, Count::All, None)),
    row("timer", "timer expiry, until its handler", marks::TIMER, Count::FromInterrupt, Some(250)),
    row("uart", "vPL011 register read", marks::UART_READ, Count::Trap, Some(180)),
    row("gic", "vGIC distributor read", marks::GIC_READ, Count::Trap, Some(220)),
    row("entries", "EL2 entries per event", marks::ROUND_TRIP, Count::Entries, Some(2)),
];

/// The rows that count accesses of a GICv2's registers.
pub const ACCESSES: [Row; 3] = [
    row("send-mmio", "send, peer woken: GIC accesses", marks::SEND_WOKEN, Count::OwnAccesses, Some(3)),
    row("pending-mmio", "send, already pending: GIC accesses", marks::SEND_PENDING, Count::OwnAccesses, None),
    row("receive-mmio", "receive: GIC accesses", marks::ROUND_TRIP, Count::ReceiveAccesses, Some(3)),
];

/// What one row says of one hypervisor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Of all samples.
    pub least: f64,
    /// The one in the middle.
    pub median: f64,
    /// Of all samples.
    pub most: f64,
}

impl Figure {
    /// Of samples; none, of none.
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*samples.first()?, *samples.last()?);
        Some(Self { least, median: *samples.get(samples.len() / 2)?, most })
    }

    /// Of what is known without repeating it.
    pub const fn exact(value: f64) -> Self {
        Self { least: value, median: value, most: value }
    }
}

/// What `row` says of this record.
pub fn figure(row: &Row, hypervisor: Hypervisor, record: &Record) -> Option<Figure> {
    let reader = Reader { hypervisor, vectors: vectors(hypervisor, record) };
    Figure::of(record.of(row.mark).flat_map(|stretch| reader.samples(row.count, stretch)).collect())
}

/// How many exceptions were taken to EL2 in a stretch, on any CPU.
pub fn entries(hypervisor: Hypervisor, record: &Record, stretch: &Stretch) -> usize {
    Reader { hypervisor, vectors: vectors(hypervisor, record) }.entries(stretch)
}

/// Where the hypervisor's vectors begin: the first address behind one of a guest lies in them, and they are aligned to
/// 2 KiB (Arm ARM DDI 0487, VBAR_EL2). Only if no CPU was seen in a guest, it is guessed where one may have come from one.
fn vectors(hypervisor: Hypervisor, record: &Record) -> BTreeSet<u64> {
    let (mut found, mut guessed) = (BTreeSet::new(), BTreeSet::new());
    for stretch in &record.stretches {
        let mut in_guest = BTreeMap::new();
        for (cpu, address) in stretch.deeds.iter().filter_map(executed) {
            let guest = !hypervisor.owns(address);
            match in_guest.insert(cpu, guest) {
                Some(true) if !guest => found.insert(address & !0x7ff),
                None if FROM_GUEST.contains(&(address & 0x7ff)) => guessed.insert(address & !0x7ff),
                _ => false,
            };
        }
    }
    if found.is_empty() { guessed } else { found }
}

struct Reader {
    hypervisor: Hypervisor,
    vectors: BTreeSet<u64>,
}

/// The vectors of exceptions from a guest in AArch64 that are expected: synchronous ones and interrupts.
const FROM_GUEST: [u64; 2] = [0x400, 0x480];
/// The vectors of interrupts (Arm ARM DDI 0487, D1.3.1): at EL2 itself, and from a guest.
const INTERRUPTS: [u64; 2] = [0x280, 0x480];

impl Reader {
    fn samples(&self, count: Count, stretch: &Stretch) -> Vec<f64> {
        let own = |at_el2: bool| {
            let executed = stretch.deeds.iter().filter_map(executed);
            executed
                .filter(|(cpu, address)| {
                    *cpu == stretch.opener && (!at_el2 || self.hypervisor.owns(*address))
                })
                .count()
        };
        let all = || stretch.deeds.iter().filter_map(executed).count();
        let single = |value: usize| vec![value as f64];
        match count {
            Count::Trap => single(own(true) + 1),
            Count::Own => single(own(true)),
            Count::OwnAll => single(own(false)),
            Count::All => single(all()),
            Count::FromInterrupt => single(self.behind_interrupt(stretch)),
            Count::Receive => self.receives(stretch).map(|(instructions, _)| instructions as f64).collect(),
            Count::Entries => vec![self.entries(stretch) as f64 / 2.0],
            Count::OwnAccesses => single(own_accesses(stretch)),
            Count::ReceiveAccesses => self.receives(stretch).map(|(_, accesses)| accesses as f64).collect(),
        }
    }

    /// Whether an exception from EL2 or a guest begins here; if so, at which offset.
    fn vector(&self, address: u64) -> Option<u64> {
        let (base, offset) = (address & !0x7ff, address & 0x7ff);
        (offset % 0x80 == 0 && self.vectors.contains(&base)).then_some(offset)
    }

    fn interrupts(&self, address: u64) -> bool {
        self.vector(address).is_some_and(|offset| INTERRUPTS.contains(&offset))
    }

    fn entries(&self, stretch: &Stretch) -> usize {
        stretch
            .deeds
            .iter()
            .filter_map(executed)
            .filter(|(_, address)| self.vector(*address).is_some())
            .count()
    }

    fn behind_interrupt(&self, stretch: &Stretch) -> usize {
        let own = stretch.deeds.iter().filter_map(executed).filter(|(cpu, _)| *cpu == stretch.opener);
        own.skip_while(|(_, address)| !self.interrupts(*address)).count()
    }

    /// Instructions and accesses to devices of each way from a physical interrupt to a guest.
    fn receives(&self, stretch: &Stretch) -> impl Iterator<Item = (usize, usize)> {
        let mut open: BTreeMap<u8, (usize, usize)> = BTreeMap::new();
        let mut done = Vec::new();
        for (cpu, deed) in &stretch.deeds {
            match deed {
                Deed::Executed(address) if !self.hypervisor.owns(*address) => done.extend(open.remove(cpu)),
                Deed::Executed(address) if self.interrupts(*address) => {
                    open.entry(*cpu).or_default().0 += 1;
                }
                Deed::Executed(_) => open.get_mut(cpu).into_iter().for_each(|(executed, _)| *executed += 1),
                Deed::Accessed(_) => open.get_mut(cpu).into_iter().for_each(|(_, accessed)| *accessed += 1),
                Deed::Counted(..) => {}
            }
        }
        done.into_iter()
    }
}

fn own_accesses(stretch: &Stretch) -> usize {
    let own = |(cpu, deed): &&(u8, Deed)| *cpu == stretch.opener && matches!(deed, Deed::Accessed(_));
    stretch.deeds.iter().filter(own).count()
}

const fn executed((cpu, deed): &(u8, Deed)) -> Option<(u8, u64)> {
    match deed {
        Deed::Executed(address) => Some((*cpu, *address)),
        Deed::Accessed(_) | Deed::Counted(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: u64 = 0x7000_0800;

    /// A round trip in small: CPU 0 traps, CPU 1 is interrupted, then CPU 0.
    fn record() -> Record {
        let executed = |cpu, address| (cpu, Deed::Executed(address));
        let deeds = vec![
            executed(0, 0x4000_0000),
            executed(0, VECTORS + 0x400),
            executed(0, 0x7000_1000),
            (0, Deed::Accessed(0x0800_0f00)),
            executed(0, 0x4000_0004),
            executed(1, VECTORS + 0x480),
            executed(1, 0x7000_1004),
            (1, Deed::Accessed(0x0801_000c)),
            executed(1, 0x7000_1008),
            executed(1, 0x4000_0000),
        ];
        let stretch = Stretch { mark: marks::ROUND_TRIP, opener: 0, deeds };
        Record { stretches: vec![stretch], ..Record::default() }
    }

    #[test]
    fn each_kind_of_count_sees_its_part() {
        let record = record();
        let reader =
            Reader { hypervisor: Hypervisor::Portunus, vectors: vectors(Hypervisor::Portunus, &record) };
        let samples = |count| reader.samples(count, &record.stretches[0]);
        assert_eq!(samples(Count::Trap), [3.0]);
        assert_eq!(samples(Count::Own), [2.0]);
        assert_eq!(samples(Count::OwnAll), [4.0]);
        assert_eq!(samples(Count::All), [8.0]);
        assert_eq!(samples(Count::Receive), [3.0]);
        assert_eq!(samples(Count::Entries), [1.0]);
        assert_eq!(samples(Count::OwnAccesses), [1.0]);
        assert_eq!(samples(Count::ReceiveAccesses), [1.0]);
        assert_eq!(samples(Count::FromInterrupt), [0.0]);
    }

    #[test]
    fn a_figure_is_least_median_and_most() {
        let figure = Figure::of(vec![9.0, 1.0, 5.0]).unwrap();
        assert_eq!((figure.least, figure.median, figure.most), (1.0, 5.0, 9.0));
        assert_eq!(Figure::of(Vec::new()), None);
    }
}
