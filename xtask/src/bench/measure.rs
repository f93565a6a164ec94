//! Everything that is measured of one hypervisor: the rows of the table.

use std::fs;
use std::time::Duration;

use super::marks;
use super::rows::{self, ACCESSES, Figure, ROWS, Row, Run};
use super::run::{self, Hypervisor, Machine, Outcome};
use crate::trees;

/// How long an idle machine is watched.
const ASLEEP: Duration = Duration::from_secs(5);

/// A row of the table, of all hypervisors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Title {
    /// Short name, for files.
    pub key: &'static str,
    /// What it says.
    pub name: &'static str,
    /// What ours may be at most.
    pub goal: Option<u64>,
}

/// A column of the table.
pub type Column = Vec<(Title, Figure)>;

const MAINTENANCE: Title =
    Title { key: "maintenance", name: "maintenance interrupts per event", goal: Some(0) };
const IDLE: Title = Title { key: "idle", name: "EL2 entries a second, all guests idle", goal: Some(0) };
const START: Title = Title { key: "start", name: "reset to first guest instruction", goal: Some(8_000_000) };
/// 1 MiB, and 64 KiB for each of the two domains.
const KEPT: Title = Title { key: "kept", name: "RAM kept but stage 2, KiB, two domains", goal: Some(1152) };
const IMAGE: Title = Title { key: "image", name: "image, bytes", goal: Some(131_072) };

const fn title(row: &Row) -> Title {
    Title { key: row.key, name: row.name, goal: row.goal }
}

/// Every row there can be, in the order of the table.
pub fn titles() -> Vec<Title> {
    let counted = ROWS.iter().chain(&ACCESSES).map(title);
    counted.chain([MAINTENANCE, IDLE, START, IMAGE, KEPT]).collect()
}

/// Measures a hypervisor on a machine with this GIC.
pub fn column(hypervisor: Hypervisor, gic: u8) -> Result<Column, String> {
    let text = trees::read("bench")?;
    let mut column = Column::new();
    let apart = run::counted(hypervisor, Machine { gic, cpus: 2 }, &text, "apart")?;
    add(&mut column, Run::Apart, hypervisor, gic, &apart);
    if let Some(start) = apart.record.start {
        column.push((START, Figure::exact(start as f64)));
    }
    column.extend(kept(&apart.log).map(|kib| (KEPT, Figure::exact(kib))));
    drop(apart);
    let events = text.replace("role=measure", "role=measure only=events");
    column.push((MAINTENANCE, maintenance(hypervisor, gic, &events)?));
    // The scheduler `null` gives each vCPU a CPU of its own: two do not run on one.
    if hypervisor != Hypervisor::XenTuned {
        let together = run::counted(hypervisor, Machine { gic, cpus: 1 }, &events, "together")?;
        add(&mut column, Run::Together, hypervisor, gic, &together);
    }
    let pair = run::counted(hypervisor, Machine { gic, cpus: 2 }, &trees::read("bench-pair")?, "pair")?;
    add(&mut column, Run::Pair, hypervisor, gic, &pair);
    column.push((IDLE, idle(hypervisor, gic, &text)?));
    let image = hypervisor.image()?;
    let bytes = fs::metadata(&image).map_err(|e| format!("{image}: {e}"))?.len();
    column.push((IMAGE, Figure::exact(bytes as f64)));
    Ok(column)
}

/// KiB that the hypervisor says it keeps for itself: `RAM kept: 1400 KiB: image 400, …, stage 2 40`. Those of stage-2
/// tables depend on the domains' memory and are taken off.
fn kept(log: &str) -> Option<f64> {
    let line = log.lines().find_map(|line| line.split_once("RAM kept: "))?.1;
    let number = |text: &str| text.split([' ', ',']).next()?.parse::<f64>().ok();
    Some(number(line)? - number(line.split_once("stage 2 ")?.1)?)
}

fn add(column: &mut Column, run: Run, hypervisor: Hypervisor, gic: u8, outcome: &Outcome) {
    let accesses = ACCESSES.iter().filter(|_| gic == 2);
    for row in ROWS.iter().chain(accesses).filter(|row| row.run == run) {
        if let Some(figure) = rows::figure(row, hypervisor, &outcome.record) {
            column.push((title(row), figure));
        }
    }
}

/// Maintenance interrupts that EL2 acknowledges in a run of events only, for each event.
fn maintenance(hypervisor: Hypervisor, gic: u8, events: &str) -> Result<Figure, String> {
    let (outcome, intids) = run::acknowledged(hypervisor, Machine { gic, cpus: 2 }, events, "events")?;
    // PPI 9 on QEMU's virt, as its device tree says.
    const MAINTENANCE: u32 = 25;
    let taken = intids.iter().filter(|intid| **intid == MAINTENANCE).count();
    let sends = outcome.record.of(marks::SEND_WOKEN).count() + outcome.record.of(marks::ROUND_TRIP).count();
    // Each is answered.
    Ok(Figure::exact(taken as f64 / (2 * sends) as f64))
}

/// Exceptions to EL2 a second while every guest sleeps without a timer.
fn idle(hypervisor: Hypervisor, gic: u8, text: &str) -> Result<Figure, String> {
    let text = text.replace("role=measure", "role=idle").replace("role=echo", "role=idle");
    let outcome = run::asleep(hypervisor, Machine { gic, cpus: 2 }, &text, ASLEEP)?;
    let Some(stretch) = outcome.record.of(marks::IDLE).last() else {
        return Err(format!("{}: the guests do not sleep\n{}", hypervisor.name(), outcome.log));
    };
    let entries = rows::entries(hypervisor, &outcome.record, stretch);
    Ok(Figure::exact(entries as f64 / ASLEEP.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_off_the_log() {
        let log =
            "(portunus) RAM kept: 1400 KiB: image 400, stacks 100, more heap 200, domains 300, stage 2 40\n";
        assert_eq!(kept(log), Some(1360.0));
        assert_eq!(kept("no such line"), None);
    }
}
