//! Where the instructions of one send, one interrupt, one trap go: by function, in the order in which they were executed.

use std::collections::BTreeMap;
use std::fs;

use addr2line::Loader;
use object::{Object, ObjectSymbol};

use super::marks;
use super::record::{Deed, Stretch};
use super::rows::Run;
use super::run::{self, Hypervisor, Machine, linked};
use crate::image::ELF;
use crate::trees;

/// The names that `--trace` understands, what they stand for, and where the guests are meanwhile.
const NAMES: [(&str, u16, Run); 14] = [
    ("hypercall", marks::HYPERCALL, Run::Apart),
    ("psci", marks::PSCI, Run::Apart),
    ("uart", marks::UART_READ, Run::Apart),
    ("gic", marks::GIC_READ, Run::Apart),
    ("sgi", marks::SGI, Run::Apart),
    ("timer", marks::TIMER, Run::Apart),
    ("masked", marks::SEND_MASKED, Run::Apart),
    ("pending", marks::SEND_PENDING, Run::Apart),
    ("self", marks::SEND_SELF, Run::Apart),
    ("send", marks::SEND_WOKEN, Run::Apart),
    ("receive", marks::ROUND_TRIP, Run::Apart),
    ("one-cpu", marks::ROUND_TRIP, Run::Together),
    ("sgi-send", marks::SGI_SENT, Run::Pair),
    ("sgi-trip", marks::SGI_TRIP, Run::Pair),
];

/// Prints what `name` executes at EL2, on a machine with this GIC. The stretch shown is the median one: what most of them
/// are like.
pub fn run(name: &str, gic: u8, lines: bool) -> Result<(), String> {
    let Some((_, mark, place)) = NAMES.iter().find(|(known, ..)| *known == name) else {
        let names: Vec<_> = NAMES.iter().map(|(name, ..)| *name).collect();
        return Err(format!("--trace is followed by one of {}", names.join(", ")));
    };
    let tree = if *place == Run::Pair { "bench-pair" } else { "bench" };
    let text = trees::read(tree)?.replace("rounds=200", "rounds=21");
    let (cpus, text) = match place {
        Run::Apart | Run::Pair => (2, text),
        Run::Together => (1, text.replace("role=measure", "role=measure only=events")),
    };
    let machine = Machine { gic, cpus };
    let outcome = run::counted(Hypervisor::Portunus, machine, &text, "trace")?;
    let mut stretches: Vec<&Stretch> = outcome.record.of(*mark).collect();
    stretches.sort_by_key(|stretch| stretch.deeds.len());
    let Some(stretch) = stretches.get(stretches.len() / 2) else {
        return Err(format!("nothing was marked as {name}"));
    };
    let symbols = Symbols::load()?;
    for visit in visits(stretch) {
        print(&visit, stretch.opener, &symbols, lines);
    }
    Ok(())
}

/// A CPU's stay at EL2, from the vector to the ERET.
struct Visit {
    cpu: u8,
    deeds: Vec<Deed>,
}

/// The stays at EL2 in the order in which they began.
fn visits(stretch: &Stretch) -> Vec<Visit> {
    let mut done: Vec<Visit> = Vec::new();
    let mut open: BTreeMap<u8, usize> = BTreeMap::new();
    for (cpu, deed) in &stretch.deeds {
        match deed {
            Deed::Executed(address) if !Hypervisor::Portunus.owns(*address) => drop(open.remove(cpu)),
            _ => {
                let index = *open.entry(*cpu).or_insert_with(|| {
                    done.push(Visit { cpu: *cpu, deeds: Vec::new() });
                    done.len() - 1
                });
                done.get_mut(index).into_iter().for_each(|visit| visit.deeds.push(*deed));
            }
        }
    }
    done
}

/// What is known of an address.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    /// The functions that it is in, the outermost first; those behind it are inlined. What is of Rust's own library counts
    /// as part of what uses it.
    functions: Vec<String>,
    /// File and line.
    line: String,
}

struct Symbols {
    lines: Loader,
    /// Every name by its address, for what is written in assembly.
    names: BTreeMap<u64, String>,
}

impl Symbols {
    fn load() -> Result<Self, String> {
        let bytes = fs::read(ELF).map_err(|e| format!("{ELF}: {e}"))?;
        let file = object::File::parse(&*bytes).map_err(|e| format!("{ELF}: {e}"))?;
        let names = file.symbols().filter_map(|symbol| {
            let name = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with('$'))?;
            (symbol.section_index().is_some()).then(|| (symbol.address(), name.to_owned()))
        });
        let names = names.collect();
        Ok(Self { lines: Loader::new(ELF).map_err(|e| format!("{ELF}: {e}"))?, names })
    }

    fn place(&self, address: u64) -> Place {
        let mut functions = Vec::new();
        let mut line = String::new();
        let mut library = true;
        if let Ok(mut frames) = self.lines.find_frames(address) {
            // The innermost comes first.
            while let Ok(Some(frame)) = frames.next() {
                let location = frame.location.and_then(|place| Some((place.file?, place.line?)));
                library &= location.is_some_and(|(file, _)| file.starts_with("/rustc/"));
                if library {
                    continue;
                }
                if let Some((file, number)) = location.filter(|_| line.is_empty()) {
                    line = format!("{}:{number}", file.split_once("/src/").map_or(file, |(_, rest)| rest));
                }
                if let Some(name) = frame.function.as_ref().and_then(|function| function.demangle().ok()) {
                    functions.insert(0, short(&name));
                }
            }
        }
        if functions.is_empty() {
            functions.push(self.label(address));
        }
        Place { functions, line }
    }

    /// The label before an address. A vector is named by its offset.
    fn label(&self, address: u64) -> String {
        match self.names.range(..=address).next_back() {
            // There may be several tables, for CPUs that differ.
            Some((start, name)) if name.starts_with("vectors") => {
                format!("{name} + {:#x}", (address - start) & !0x7f)
            }
            Some((_, name)) => short(&rustc_demangle(name)),
            None => "?".into(),
        }
    }
}

fn rustc_demangle(name: &str) -> String {
    addr2line::demangle_auto(name.into(), None).into_owned()
}

/// A path without its first modules and what generics it has: `evtchn::deliver::Domain::send` is `Domain::send`.
fn short(name: &str) -> String {
    let plain = strip_generics(name);
    let parts: Vec<&str> = plain.split("::").filter(|part| !part.is_empty()).collect();
    parts.get(parts.len().saturating_sub(2)..).unwrap_or_default().join("::")
}

/// Without anything in angle brackets, except what the path begins with: `<A as B>::c` is `A::c`.
fn strip_generics(name: &str) -> String {
    let inner = name.strip_prefix('<').and_then(|rest| {
        let (own, method) = rest.rsplit_once(">::")?;
        Some(format!("{}::{method}", own.split(" as ").next().unwrap_or(own)))
    });
    let mut depth = 0_u32;
    let mut plain = String::new();
    for letter in inner.as_deref().unwrap_or(name).chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    plain
}

fn print(visit: &Visit, opener: u8, symbols: &Symbols, lines: bool) {
    let executed = visit.deeds.iter().filter_map(address).count();
    let accesses = visit.deeds.len() - executed;
    let who = if visit.cpu == opener { "the one that measures" } else { "the other" };
    print!("\nCPU {} ({who}): {executed} instructions at EL2", visit.cpu);
    println!("{}", if accesses == 0 { String::new() } else { format!(", {accesses} accesses to devices") });
    let mut runs: Vec<(Place, usize)> = Vec::new();
    for deed in &visit.deeds {
        let Deed::Executed(address) = deed else {
            if lines && let Deed::Accessed(physical) = deed {
                println!("  device {physical:#x}");
            }
            continue;
        };
        let place = symbols.place(linked(*address));
        if lines {
            let functions = place.functions.join(" > ");
            println!("  {:#08x}  {:<36}  {functions}", linked(*address), place.line);
        }
        match runs.last_mut() {
            Some((last, count)) if last.functions == place.functions => *count += 1,
            _ => runs.push((place, 1)),
        }
    }
    if !lines {
        in_order(&runs);
    }
    by_function(&runs);
}

/// Each run of instructions in one function; what is inlined stands further right than what it is inlined in.
fn in_order(runs: &[(Place, usize)]) {
    let mut before: &[String] = &[];
    for (place, count) in runs {
        let functions = place.functions.as_slice();
        let common = functions.iter().zip(before).take_while(|(one, other)| one == other).count();
        let shown = common.min(functions.len() - 1);
        let rest = functions.get(shown..).unwrap_or_default().join(" > ");
        println!("  {count:>5}  {:indent$}{rest}", "", indent = 2 * shown);
        before = functions;
    }
}

/// What is executed in each function itself, the most first.
fn by_function(runs: &[(Place, usize)]) {
    let mut sums: Vec<(&str, usize)> = Vec::new();
    for (place, count) in runs {
        let innermost = place.functions.last().map_or("", String::as_str);
        match sums.iter_mut().find(|(name, _)| *name == innermost) {
            Some((_, sum)) => *sum += count,
            None => sums.push((innermost, *count)),
        }
    }
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    println!("  by function:");
    for (name, sum) in sums {
        println!("  {sum:>5}  {name}");
    }
}

const fn address(deed: &Deed) -> Option<u64> {
    match deed {
        Deed::Executed(address) => Some(*address),
        Deed::Accessed(_) | Deed::Counted(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        assert_eq!(short("portunus::evtchn::deliver::send"), "deliver::send");
        assert_eq!(short("<portunus::vgic::Front<T> as core::fmt::Debug>::fmt::<u8>"), "Front::fmt");
        assert_eq!(short("vectors"), "vectors");
    }

    #[test]
    fn a_stay_ends_where_the_guest_goes_on() {
        let deeds = [0x4000_0000, 0x7000_0000, 0x7000_0004, 0x4000_0004, 0x7000_0000]
            .map(|address| (0, Deed::Executed(address)));
        let stretch = Stretch { mark: marks::SGI, opener: 0, deeds: deeds.to_vec() };
        let lengths: Vec<usize> = visits(&stretch).iter().map(|visit| visit.deeds.len()).collect();
        assert_eq!(lengths, [2, 1]);
    }
}
