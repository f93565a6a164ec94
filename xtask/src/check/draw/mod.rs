//! The partition as a drawing: domains, the channels between them as wires, who runs on which CPU, and memory.
//!
//! Each domain is a column with a colour of its own; a channel is a wire between two columns. So wires never cross a
//! domain, with two of them or with sixteen.

pub mod canvas;
mod memory;

use std::collections::HashMap;

use portunus::plan::{ChannelPlan, Direction, DomainPlan, Endpoint, Gic, Plan};

use self::canvas::{ALARM, Anchor, Canvas, EDGE, FAINT, INK, PALE, bytes, fit, hue, width};

const MARGIN: f64 = 36.0;
const GAP: f64 = 18.0;
/// Height of a channel's lane.
const LANE: f64 = 30.0;

/// Draws a plan. `broken` is how many domains are left out.
pub fn draw(plan: &Plan, errors: usize) -> String {
    let count = plan.domains.len().max(1) as f64;
    let column = ((1200.0 - 2.0 * MARGIN) / count - GAP).clamp(148.0, 360.0);
    let used = count * (column + GAP) - GAP;
    let total = (used + 2.0 * MARGIN).max(900.0);
    let left = (total - used) / 2.0;
    let columns = plan.domains.iter().enumerate().map(|(index, domain)| {
        (domain.id.get(), Column { index, x: left + index as f64 * (column + GAP), width: column })
    });
    let mut page = Page { canvas: Canvas::new(total), plan, columns: columns.collect() };
    page.title(errors);
    page.domains();
    page.channels();
    page.cpus();
    memory::draw(&mut page.canvas, plan);
    page.canvas.y += MARGIN;
    page.canvas.finish()
}

/// The column of a domain.
#[derive(Clone, Copy)]
struct Column {
    index: usize,
    x: f64,
    width: f64,
}

impl Column {
    fn middle(&self) -> f64 {
        self.x + self.width / 2.0
    }
}

struct Page<'p> {
    canvas: Canvas,
    plan: &'p Plan,
    columns: HashMap<u16, Column>,
}

impl Page<'_> {
    fn title(&mut self, errors: usize) {
        let plan = self.plan;
        let canvas = &mut self.canvas;
        canvas.text([MARGIN, 44.0], 22.0, INK, true, Anchor::Start, &plan.machine.model);
        let gic = match &plan.machine.gic {
            Gic::V2 { .. } => "GICv2",
            Gic::V3 { .. } => "GICv3",
        };
        let memory: u64 = plan.machine.ram.iter().map(|bank| bank.size()).sum();
        let uart =
            plan.machine.uart.as_ref().map_or("no console".into(), |uart| format!("console {}", uart.path));
        let line =
            format!("{}, {} of memory, {gic}, {uart}", count(plan.machine.cpus.len(), "CPU"), bytes(memory),);
        canvas.text([MARGIN, 66.0], 13.0, FAINT, false, Anchor::Start, &line);
        if errors > 0 {
            let line = format!("{}: what is broken is not drawn", count(errors, "error"));
            let x = canvas.width - MARGIN;
            canvas.text([x, 44.0], 13.0, ALARM, true, Anchor::End, &line);
        }
        canvas.y = 66.0;
    }

    fn domains(&mut self) {
        let plan = self.plan;
        self.canvas.heading(MARGIN, "Domains", "");
        let top = self.canvas.y;
        let lines = plan.domains.iter().map(|domain| facts(domain).len()).max().unwrap_or(0);
        let height = 46.0 + lines as f64 * 20.0 + 40.0;
        for domain in &plan.domains {
            let Some(column) = self.columns.get(&domain.id.get()).copied() else { continue };
            card(&mut self.canvas, domain, column, top, height);
        }
        self.canvas.y = top + height;
    }

    fn channels(&mut self) {
        let plan = self.plan;
        let lanes = plan.channels.len() + plan.severed.len();
        if lanes == 0 {
            return;
        }
        // The columns go on below the cards, and the wires hang between them.
        let top = self.canvas.y;
        let bottom = top + 30.0 + lanes as f64 * LANE;
        let mut columns: Vec<Column> = self.columns.values().copied().collect();
        columns.sort_by_key(|column| column.index);
        for column in columns {
            let x = column.middle();
            self.canvas.line([x, top], [x, bottom - LANE / 2.0], &hue(column.index, false), 1.2);
        }
        let mut y = top + 34.0;
        for channel in &plan.channels {
            self.wire(channel, y);
            y += LANE;
        }
        for channel in &plan.severed {
            self.stub(channel, y);
            y += LANE;
        }
        self.canvas.y = bottom;
    }

    fn wire(&mut self, channel: &ChannelPlan, y: f64) {
        let ends = channel.ends.map(|end| self.columns.get(&end.domain.get()).copied());
        let [Some(one), Some(two)] = ends else { return };
        let name = name(channel);
        let canvas = &mut self.canvas;
        let [from, to] = channel.ends;
        if one.index == two.index {
            let color = hue(one.index, false);
            canvas.loop_back([one.middle(), y - 7.0], 14.0, &color);
            canvas.dot([one.middle(), y - 7.0], &color);
            canvas.dot([one.middle(), y + 7.0], &color);
            let label = format!("{name} {:#x}–{:#x}", from.port.get(), to.port.get());
            return canvas.text([one.middle() + 32.0, y + 4.0], 12.0, INK, false, Anchor::Start, &label);
        }
        let (left, right, ports) =
            if one.x < two.x { (one, two, [from, to]) } else { (two, one, [to, from]) };
        let (start, end) = (left.middle(), right.middle());
        canvas.line([start, y], [end, y], "#3d4b5c", 2.5);
        canvas.dot([start, y], &hue(left.index, false));
        canvas.dot([end, y], &hue(right.index, false));
        port(canvas, ports[0], [start - 10.0, y + 4.0], Anchor::End);
        port(canvas, ports[1], [end + 10.0, y + 4.0], Anchor::Start);
        // As the wire is drawn, from left to right.
        let direction = if one.x < two.x { channel.direction } else { channel.direction.mirrored() };
        let name = match direction {
            Direction::Send => format!("{name} →"),
            Direction::Receive => format!("← {name}"),
            Direction::Both => name,
        };
        let name = fit(&name, 12.0, (right.index - left.index) as f64 * (left.width + GAP) - 24.0);
        // Over the wire, but on none of the columns that it passes.
        let middle = if (right.index - left.index).is_multiple_of(2) {
            start + (left.width + GAP) / 2.0
        } else {
            (start + end) / 2.0
        };
        canvas.text([middle, y - 5.0], 12.0, INK, false, Anchor::Middle, &name);
    }

    /// A channel whose other end is left out.
    fn stub(&mut self, channel: &ChannelPlan, y: f64) {
        for end in channel.ends {
            let Some(column) = self.columns.get(&end.domain.get()).copied() else { continue };
            let (canvas, x) = (&mut self.canvas, column.middle());
            canvas.dashes([x, y], [x + 60.0, y], ALARM, 2.0);
            canvas.dot([x, y], &hue(column.index, false));
            port(canvas, end, [x - 10.0, y + 4.0], Anchor::End);
            canvas.text([x + 66.0, y + 4.0], 12.0, ALARM, false, Anchor::Start, "peer left out");
        }
    }

    /// A box for each CPU, with the vCPUs that live on it.
    fn cpus(&mut self) {
        const WIDTH: f64 = 132.0;
        const CHIP: f64 = 24.0;
        let plan = self.plan;
        self.canvas.heading(MARGIN, "CPUs", "a vCPU that is alone on its CPU is never interrupted");
        let mut living: HashMap<u16, Vec<(String, usize)>> = HashMap::new();
        for (index, domain) in plan.domains.iter().enumerate() {
            for vcpu in &domain.vcpus {
                let label = format!("{} vCPU {}", domain.name, vcpu.id);
                living.entry(vcpu.home.get()).or_default().push((label, index));
            }
        }
        let fit_in_row = (((self.canvas.width - 2.0 * MARGIN + 12.0) / (WIDTH + 12.0)) as usize).max(1);
        for row in plan.machine.cpus.chunks(fit_in_row) {
            let most =
                row.iter().filter_map(|cpu| living.get(&cpu.id.get())).map(Vec::len).max().unwrap_or(0);
            let (top, height) = (self.canvas.y, 44.0 + most.max(1) as f64 * (CHIP + 4.0) + 4.0);
            for (position, cpu) in row.iter().enumerate() {
                let x = MARGIN + position as f64 * (WIDTH + 12.0);
                let canvas = &mut self.canvas;
                canvas.block([x, top, WIDTH, height], 8.0, PALE, EDGE);
                canvas.text(
                    [x + 10.0, top + 20.0],
                    13.0,
                    INK,
                    true,
                    Anchor::Start,
                    &format!("cpu{}", cpu.id),
                );
                let kind = cpu.compatible.split(',').next_back().unwrap_or_default();
                canvas.text(
                    [x + 10.0, top + 35.0],
                    11.0,
                    FAINT,
                    false,
                    Anchor::Start,
                    &fit(kind, 11.0, WIDTH - 20.0),
                );
                let chips = living.get(&cpu.id.get()).map(Vec::as_slice).unwrap_or_default();
                if chips.is_empty() {
                    canvas.text([x + 10.0, top + 59.0], 11.5, FAINT, false, Anchor::Start, "idle");
                }
                for (index, (label, domain)) in chips.iter().enumerate() {
                    let y = top + 44.0 + index as f64 * (CHIP + 4.0);
                    canvas.block([x + 6.0, y, WIDTH - 12.0, CHIP], 5.0, &hue(*domain, false), "none");
                    let label = fit(label, 11.5, WIDTH - 26.0);
                    canvas.text([x + 13.0, y + 16.0], 11.5, "white", false, Anchor::Start, &label);
                }
            }
            self.canvas.y = top + height + 10.0;
        }
    }
}

/// What a wire is called: the name that its ends were given, or else the node that describes it.
fn name(channel: &ChannelPlan) -> String {
    let [one, two] = &channel.names;
    let node = channel.path.rsplit('/').next().unwrap_or_default();
    // A name with a dot was made up.
    match (one.contains('.'), two.contains('.')) {
        (true, true) => node.to_owned(),
        (true, false) => two.to_string(),
        (false, true) => one.to_string(),
        (false, false) if one == two => one.to_string(),
        (false, false) => format!("{one} / {two}"),
    }
}

fn port(canvas: &mut Canvas, end: Endpoint, at: [f64; 2], anchor: Anchor) {
    canvas.text(at, 12.0, INK, true, anchor, &format!("{:#x}", end.port.get()));
}

/// What the card of a domain says, as label and value.
fn facts(domain: &DomainPlan) -> Vec<(&'static str, String)> {
    let kernel = if domain.kernel.raw { "raw, " } else { "" };
    let mut facts = vec![
        ("memory", bytes(domain.memory)),
        ("kernel", format!("{kernel}{}", bytes(domain.kernel.image.size()))),
    ];
    if let Some(ramdisk) = domain.ramdisk {
        facts.push(("ramdisk", bytes(ramdisk.size())));
    }
    if !domain.cmdline.is_empty() {
        facts.push(("bootargs", domain.cmdline.clone()));
    }
    facts
}

fn card(canvas: &mut Canvas, domain: &DomainPlan, column: Column, top: f64, height: f64) {
    let Column { index, x, width: room } = column;
    canvas.block([x, top, room, height], 9.0, &hue(index, true), &hue(index, false));
    canvas.cap([x, top, room, 34.0], 9.0, &hue(index, false));
    let name = fit(&domain.name, 15.0, room - 50.0);
    canvas.text([x + 12.0, top + 23.0], 15.0, "white", true, Anchor::Start, &name);
    canvas.text([x + room - 12.0, top + 23.0], 12.0, "white", false, Anchor::End, &format!("d{}", domain.id));
    for (line, (label, value)) in facts(domain).iter().enumerate() {
        let y = top + 56.0 + line as f64 * 20.0;
        canvas.text([x + 12.0, y], 12.0, FAINT, false, Anchor::Start, label);
        canvas.text([x + 72.0, y], 12.0, INK, false, Anchor::Start, &fit(value, 12.0, room - 78.0));
    }
    let devices = [
        (domain.vpl011, "vPL011".to_owned()),
        (domain.enhanced, "/hypervisor".to_owned()),
        (domain.spis > 0, format!("{} SPIs", domain.spis)),
    ];
    let mut at = x + 10.0;
    for (_, label) in devices.iter().filter(|(there, _)| *there) {
        let chip = width(label, 10.5) + 12.0;
        if at + chip > x + room - 4.0 {
            break;
        }
        canvas.block([at, top + height - 32.0, chip, 20.0], 10.0, "white", &hue(index, false));
        canvas.text([at + chip / 2.0, top + height - 18.0], 10.5, INK, false, Anchor::Middle, label);
        at += chip + 5.0;
    }
}

fn count(number: usize, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}
