//! Memory, to scale: what lies where, and how much of it each domain gets.
//!
//! The two bars have one scale. Banks stand side by side, whatever lies between them; within a bank a byte is as wide
//! anywhere. What is too small to see is three points wide.

use portunus::addr::PaSpan;
use portunus::plan::Plan;

use super::MARGIN;
use super::canvas::{Anchor, Canvas, EDGE, FAINT, INK, PALE, bytes, hue, width};

const BAR: f64 = 46.0;
const THIN: f64 = 3.0;
/// Between two banks.
const BREAK: f64 = 26.0;

/// The banks on the page.
struct Scale {
    banks: Vec<(PaSpan, f64)>,
    per_byte: f64,
}

impl Scale {
    fn of(plan: &Plan, room: f64) -> Self {
        let ram = &plan.machine.ram;
        let total: u64 = ram.iter().map(|bank| bank.size()).sum();
        let breaks = ram.len().saturating_sub(1) as f64 * BREAK;
        let per_byte = (room - breaks) / total.max(1) as f64;
        let mut x = MARGIN;
        let mut banks = Vec::new();
        for bank in ram {
            banks.push((*bank, x));
            x += bank.size() as f64 * per_byte + BREAK;
        }
        Self { banks, per_byte }
    }

    /// Where a range is: left edge and width, for each bank that it touches.
    fn places(&self, span: &PaSpan) -> Vec<(f64, f64)> {
        let touched = self.banks.iter().filter(|(bank, _)| bank.overlaps(span));
        touched
            .map(|(bank, x)| {
                let start = span.start().max(bank.start()).get();
                let end = span.end().min(bank.end()).get();
                let left = x + (start - bank.start().get()) as f64 * self.per_byte;
                (left, ((end - start) as f64 * self.per_byte).max(THIN))
            })
            .collect()
    }
}

/// Draws the section.
pub fn draw(canvas: &mut Canvas, plan: &Plan) {
    if plan.machine.ram.is_empty() {
        return;
    }
    let scale = Scale::of(plan, canvas.width - 2.0 * MARGIN);
    canvas.heading(MARGIN, "Memory by address", "to scale: what the boot loader has put where");
    banks(canvas, &scale);
    let labels = contents(canvas, plan, &scale);
    notes(canvas, labels);
    canvas.heading(MARGIN, "Memory by owner", "the same scale: where each domain's lies is decided at boot");
    shares(canvas, plan, &scale);
}

fn banks(canvas: &mut Canvas, scale: &Scale) {
    let top = canvas.y + 18.0;
    for (bank, x) in &scale.banks {
        let extent = bank.size() as f64 * scale.per_byte;
        canvas.block([*x, top, extent, BAR], 3.0, PALE, EDGE);
        let (start, end) = (format!("{:#x}", bank.start().get()), format!("{:#x}", bank.end().get()));
        canvas.text([*x, top - 6.0], 11.0, FAINT, false, Anchor::Start, &start);
        if extent > width(&start, 11.0) + width(&end, 11.0) + 12.0 {
            canvas.text([x + extent, top - 6.0], 11.0, FAINT, false, Anchor::End, &end);
        }
    }
    canvas.y = top;
}

/// A text that wants to stand below a place.
struct Label {
    x: f64,
    text: String,
    color: String,
}

/// Draws what the tree places: reserved ranges and modules. Answers their labels.
fn contents(canvas: &mut Canvas, plan: &Plan, scale: &Scale) -> Vec<Label> {
    let top = canvas.y;
    let mut labels = Vec::new();
    for span in &plan.machine.reserved {
        for (x, extent) in scale.places(span) {
            canvas.hint([x, top, extent, BAR], "#9aa5b1", &format!("reserved {span}"));
        }
        if let Some((x, extent)) = scale.places(span).first() {
            labels.push(Label { x: x + extent / 2.0, text: "reserved".into(), color: FAINT.into() });
        }
    }
    for span in &plan.machine.modules {
        let owners: Vec<(usize, &str, &str)> = owners(plan, span);
        for (x, extent) in scale.places(span) {
            let slice = BAR / owners.len().max(1) as f64;
            for (row, (index, name, what)) in owners.iter().enumerate() {
                let hint = format!("{what} of {name}, {span}");
                canvas.hint([x, top + row as f64 * slice, extent, slice], &hue(*index, false), &hint);
            }
            if owners.is_empty() {
                canvas.hint(
                    [x, top, extent, BAR],
                    "#d5dbe2",
                    &format!("module of a domain that is left out, {span}"),
                );
            }
        }
        let text = match owners.as_slice() {
            [] => "left out".to_owned(),
            [(_, name, what)] => format!("{name} {what}"),
            [(_, one, what), (_, two, _)] => format!("{what} of {one}, {two}"),
            [(_, _, what), ..] => format!("{what} of {} domains", owners.len()),
        };
        let color = owners.first().map_or(FAINT.to_owned(), |(index, ..)| hue(*index, false));
        if let Some((x, extent)) = scale.places(span).first() {
            labels.push(Label { x: x + extent / 2.0, text, color });
        }
    }
    canvas.y = top + BAR;
    labels
}

/// The domains that a module belongs to.
fn owners<'p>(plan: &'p Plan, span: &PaSpan) -> Vec<(usize, &'p str, &'static str)> {
    let mut owners = Vec::new();
    for (index, domain) in plan.domains.iter().enumerate() {
        if domain.kernel.image == *span {
            owners.push((index, domain.name.as_str(), "kernel"));
        } else if domain.ramdisk == Some(*span) {
            owners.push((index, domain.name.as_str(), "ramdisk"));
        }
    }
    owners
}

/// Writes labels below the bar, each with a line up to its place. From right to left, each takes the first row where
/// neither its text nor its line meets what is there.
fn notes(canvas: &mut Canvas, mut labels: Vec<Label>) {
    const ROW: f64 = 16.0;
    labels.sort_by(|one, two| two.x.total_cmp(&one.x));
    let top = canvas.y;
    let mut taken: Vec<f64> = Vec::new();
    for label in labels {
        let extent = width(&label.text, 11.0) + 14.0;
        // At the right edge the text stands to the left of its line.
        let before = label.x + extent > canvas.width - MARGIN / 2.0;
        let end = if before { label.x } else { label.x + extent };
        let row = taken.iter().position(|from| end < *from).unwrap_or(taken.len());
        taken.resize(taken.len().max(row + 1), f64::INFINITY);
        let start = if before { label.x - extent } else { label.x };
        for (index, from) in taken.iter_mut().enumerate().take(row + 1) {
            // The text takes its own row, the line those above.
            *from = from.min(if index == row { start } else { label.x - 2.0 });
        }
        let y = top + 20.0 + row as f64 * ROW;
        let (tick, anchor) = if before { (-1.0, Anchor::End) } else { (1.0, Anchor::Start) };
        canvas.line([label.x, top], [label.x, y - 4.0], &label.color, 0.8);
        canvas.line([label.x, y - 4.0], [label.x + tick * 5.0, y - 4.0], &label.color, 0.8);
        canvas.text([label.x + tick * 8.0, y], 11.0, &label.color, false, anchor, &label.text);
    }
    canvas.y = top + 10.0 + taken.len() as f64 * ROW;
}

/// How memory is divided.
fn shares(canvas: &mut Canvas, plan: &Plan, scale: &Scale) {
    let top = canvas.y + 4.0;
    let whole: u64 = plan.machine.ram.iter().map(|bank| bank.size()).sum();
    let kept: u64 = plan.machine.reserved.iter().chain(&plan.machine.modules).map(PaSpan::size).sum();
    canvas.block([MARGIN, top, whole as f64 * scale.per_byte, BAR], 3.0, PALE, EDGE);
    let mut x = MARGIN;
    let mut labels = Vec::new();
    let mut share = |canvas: &mut Canvas, size: u64, fill: &str, ink: &str, name: &str| {
        let extent = (size as f64 * scale.per_byte).max(1.0);
        canvas.hint([x, top, extent, BAR], fill, &format!("{name}: {}", bytes(size)));
        if extent > width(name, 12.0) * 1.1 + 12.0 {
            canvas.text([x + 6.0, top + 20.0], 12.0, ink, true, Anchor::Start, name);
            canvas.text([x + 6.0, top + 36.0], 11.0, ink, false, Anchor::Start, &bytes(size));
        } else {
            labels.push(Label {
                x: x + extent / 2.0,
                text: format!("{name} {}", bytes(size)),
                color: fill.into(),
            });
        }
        x += extent;
    };
    for (index, domain) in plan.domains.iter().enumerate() {
        share(canvas, domain.memory, &hue(index, false), "white", &domain.name);
    }
    if kept > 0 {
        share(canvas, kept, "#9aa5b1", "white", "reserved and modules");
    }
    let used: u64 = plan.domains.iter().map(|domain| domain.memory).sum::<u64>() + kept;
    share(canvas, whole.saturating_sub(used), PALE, INK, "the hypervisor's, and free");
    canvas.y = top + BAR;
    notes(canvas, labels);
}
