//! What an event costs, in instructions, next to Xen.
//!
//! Time under emulation says nothing, but QEMU counts exactly. A guest, `bench`, does each thing some hundred times between
//! two marks; a plugin of QEMU, `qemu/tracer`, records every instruction in between, and which CPU executed it. What the
//! hypervisor did is read off the record: an address says whose instruction it is. Xen is Debian's package, as it comes and
//! at its best (`sched=null vwfi=native`).

mod guard;
mod linux;
#[path = "../../../qemu/rt/src/marks.rs"]
mod marks;
mod measure;
mod plot;
mod record;
mod rows;
mod run;
mod scaling;
mod table;
mod trace;

use run::Hypervisor;

/// Counts everything of ours; fails if a row is worse than recorded.
pub fn guard() -> Result<(), String> {
    run::prepare()?;
    guard::check()
}

/// What was asked for.
struct Options {
    ours: bool,
    gic: u8,
    trace: Option<String>,
    lines: bool,
    markdown: bool,
    json: bool,
    scaling: bool,
    record: bool,
    check: bool,
    plot: Option<String>,
}

/// Does what the words behind `cargo xtask bench` say.
pub fn run(words: &[String]) -> Result<(), String> {
    if words.first().is_some_and(|word| word == "linux") {
        run::prepare()?;
        return linux::run(words.iter().any(|word| word == "--json"));
    }
    let options = read(words)?;
    run::prepare()?;
    if let Some(name) = &options.trace {
        return trace::run(name, options.gic, options.lines);
    }
    if options.scaling {
        return scaling::run();
    }
    if options.check {
        return guard::check();
    }
    if options.record {
        return guard::record();
    }
    let all = [Hypervisor::Portunus, Hypervisor::Xen, Hypervisor::XenTuned];
    let wanted = all.into_iter().filter(|who| !options.ours || *who == Hypervisor::Portunus);
    let columns: Result<Vec<_>, String> =
        wanted.map(|who| Ok((who, measure::column(who, options.gic)?))).collect();
    let columns = columns?;
    if let Some(file) = &options.plot {
        plot::write(file, &columns)?;
    }
    if options.json {
        println!("{}", table::json(options.gic, &columns));
    } else if options.markdown {
        table::print_markdown(&columns);
    } else {
        table::print(&columns);
    }
    Ok(())
}

fn read(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        ours: false,
        gic: 3,
        trace: None,
        lines: false,
        markdown: false,
        json: false,
        scaling: false,
        record: false,
        check: false,
        plot: None,
    };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--ours" => options.ours = true,
            "--json" => options.json = true,
            "scaling" => options.scaling = true,
            "--check" => options.check = true,
            "--record" => options.record = true,
            "--plot" => match words.next() {
                Some(file) => options.plot = Some(file.to_owned()),
                None => return Err("--plot is followed by the name of a file, FILE.svg".into()),
            },
            "--markdown" => options.markdown = true,
            "--lines" => options.lines = true,
            "--trace" => options.trace = Some(words.next().unwrap_or_default().to_owned()),
            "--gic" => match words.next() {
                Some("2") => options.gic = 2,
                Some("3") => options.gic = 3,
                _ => return Err("--gic is followed by 2 or 3".into()),
            },
            other => return Err(format!("bench does not know `{other}`")),
        }
    }
    Ok(options)
}
