//! What an event costs, in instructions, next to Xen.
//!
//! Time under emulation says nothing, but QEMU counts: with `-icount shift=4` an instruction takes 16 ns of virtual time,
//! one tick of a counter at 62.5 MHz, so that the guest `bench` reads instructions off its timer. The runs are
//! deterministic. Xen is Debian's package, as it comes and at its best (`sched=null vwfi=native`).

use crate::image::IMAGE;
use crate::qemu::{self, BASE, Expectation};
use crate::{trees, xen};

const MACHINE: [&str; 8] = ["-M", trees::VIRT, "-cpu", "cortex-a57", "-smp", "2", "-m", "1G"];
const COUNT: [&str; 4] = ["-accel", "tcg,thread=single", "-icount", "shift=4,sleep=off"];
const DONE: &str = "bench: done";

/// A figure: what was measured, and least, median and most.
type Row = (String, [u64; 3]);

/// Runs the guests under Portunus and, unless `ours_only`, under Xen; prints the table.
pub fn run(ours_only: bool) -> Result<(), String> {
    let text = trees::read("bench")?;
    let ours = measure(&text, IMAGE, "portunus")?;
    let mut columns = vec![("Portunus", ours)];
    if !ours_only {
        let image = xen::image()?;
        for (name, options) in [("Xen 4.17", ""), ("Xen, tuned", "sched=null vwfi=native ")] {
            let text = text.replace("xen,xen-bootargs = \"", &format!("xen,xen-bootargs = \"{options}"));
            columns.push((name, measure(&text, &image, &name.replace([' ', ','], "-"))?));
        }
    }
    print(&columns);
    Ok(())
}

fn measure(text: &str, image: &str, name: &str) -> Result<Vec<Row>, String> {
    let tree = trees::compose_source(&MACHINE, text, &format!("bench-{name}"))?;
    let mut arguments: Vec<String> =
        MACHINE.iter().chain(&BASE).chain(&COUNT).map(ToString::to_string).collect();
    arguments.extend(["-kernel".into(), image.into()]);
    arguments.extend(tree.arguments);
    let run = qemu::watch(&arguments, &Expectation { wanted: &[DONE], forbidden: &[], limit: 300 });
    match run.failure {
        Some(why) => Err(format!("bench under {name}: {why}\n{}", run.log)),
        None => Ok(run.log.lines().filter_map(row).collect()),
    }
}

/// Reads `… bench: NAME: LEAST MEDIAN MOST instructions`.
fn row(line: &str) -> Option<Row> {
    let (name, rest) = line.split_once("bench: ")?.1.rsplit_once(": ")?;
    let mut numbers = rest.strip_suffix(" instructions")?.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((name.to_owned(), [next()?, next()?, next()?]))
}

fn print(columns: &[(&str, Vec<Row>)]) {
    print!("{:<26}", "instructions: median (least)");
    for (name, _) in columns {
        print!("{name:>18}");
    }
    println!();
    for (name, _) in columns.first().map_or(&[][..], |(_, rows)| rows) {
        print!("{name:<28}");
        for (_, rows) in columns {
            match rows.iter().find(|(other, _)| other == name) {
                Some((_, [least, median, _])) => print!("{:>18}", format!("{median} ({least})")),
                None => print!("{:>18}", "-"),
            }
        }
        println!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_guest_is_read() {
        let line = "(domU1) bench: send, peer woken: 1 20 300 instructions";
        assert_eq!(row(line), Some(("send, peer woken".into(), [1, 20, 300])));
        assert_eq!(row("(domU1) bench: done"), None);
    }
}
