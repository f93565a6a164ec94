//! The table as a drawing: for each row a bar per hypervisor, and a stroke where ours is to end.
//!
//! Each row has a scale of its own, up to the most that any hypervisor needs: what is compared is what stands in one row.

use super::measure::{self, Column, Title};
use super::rows::Figure;
use super::run::Hypervisor;
use super::table;
use crate::check::draw::canvas::{Anchor, Canvas, EDGE, FAINT, INK};

const WIDTH: f64 = 1080.0;
const MARGIN: f64 = 32.0;
/// Where bars begin, and how long the longest is.
const BARS: f64 = 400.0;
const LONGEST: f64 = 520.0;
/// The height of a bar, and between two rows.
const BAR: f64 = 11.0;
const GAP: f64 = 12.0;

/// Writes the drawing.
pub fn write(file: &str, columns: &[(Hypervisor, Column)]) -> Result<(), String> {
    std::fs::write(file, draw(columns)).map_err(|e| format!("{file}: {e}"))?;
    println!("{file} is written");
    Ok(())
}

const fn color(who: Hypervisor) -> &'static str {
    match who {
        Hypervisor::Portunus => "#0b7a75",
        Hypervisor::Xen => "#b9c2cc",
        Hypervisor::XenTuned => "#7f8c99",
    }
}

fn draw(columns: &[(Hypervisor, Column)]) -> String {
    let mut canvas = Canvas::new(WIDTH);
    canvas.text([MARGIN, 44.0], 22.0, INK, true, Anchor::Start, "What it costs, in instructions");
    let below = "Median. QEMU virt, Cortex-A57, counted exactly; each row has a scale of its own.";
    canvas.text([MARGIN, 66.0], 13.0, FAINT, false, Anchor::Start, below);
    legend(&mut canvas, columns);
    canvas.y = 112.0;
    for title in measure::titles() {
        row(&mut canvas, title, columns);
    }
    canvas.y += MARGIN - GAP;
    canvas.finish()
}

fn legend(canvas: &mut Canvas, columns: &[(Hypervisor, Column)]) {
    let mut x = BARS;
    for (who, _) in columns {
        canvas.block([x, 82.0, 12.0, 12.0], 2.0, color(*who), "none");
        canvas.text([x + 18.0, 92.5], 13.0, INK, false, Anchor::Start, who.name());
        x += 120.0;
    }
    canvas.line([x + 6.0, 81.0], [x + 6.0, 95.0], INK, 2.0);
    canvas.text([x + 16.0, 92.5], 13.0, INK, false, Anchor::Start, "Portunus at most");
}

fn row(canvas: &mut Canvas, title: Title, columns: &[(Hypervisor, Column)]) {
    let found: Vec<(Hypervisor, Figure)> =
        columns.iter().filter_map(|(who, column)| Some((*who, table::find(column, title)?))).collect();
    if found.is_empty() {
        return;
    }
    let goal = title.goal.map_or(0.0, |goal| goal as f64);
    let most = found.iter().map(|(_, figure)| figure.median).fold(goal, f64::max).max(1.0);
    let length = |value: f64| value / most * LONGEST;
    let (top, height) = (canvas.y, BAR * found.len() as f64);
    canvas.text([MARGIN, top + height / 2.0 + 4.5], 13.5, INK, false, Anchor::Start, title.name);
    for (index, (who, figure)) in found.iter().enumerate() {
        let y = top + BAR * index as f64;
        let width = length(figure.median).max(1.0);
        canvas.hint([BARS, y, width, BAR - 1.5], color(*who), &table::figure(*figure));
        let (ink, bold) = if *who == Hypervisor::Portunus { (color(*who), true) } else { (FAINT, false) };
        // The stroke is not to go through the number.
        let stroke = length(goal);
        let hidden = index == 0 && title.goal.is_some() && (width - 4.0..width + 60.0).contains(&stroke);
        let at = [BARS + if hidden { stroke } else { width } + 8.0, y + BAR - 2.0];
        canvas.text(at, 11.0, ink, bold, Anchor::Start, &table::value(figure.median));
    }
    if title.goal.is_some() {
        let x = BARS + length(goal);
        canvas.line([x, top - 3.0], [x, top + BAR + 1.5], INK, 2.0);
    }
    canvas.y = top + height + GAP;
    canvas.line([MARGIN, canvas.y - GAP / 2.0], [WIDTH - MARGIN, canvas.y - GAP / 2.0], EDGE, 0.5);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_as_long_as_the_drawing_allows() {
        let title = measure::titles()[0];
        let column = |value| vec![(title, Figure::exact(value))];
        let drawing = draw(&[(Hypervisor::Portunus, column(50.0)), (Hypervisor::Xen, column(400.0))]);
        assert!(drawing.contains("width=\"520\"") && drawing.contains("width=\"65\""));
        assert!(drawing.contains(title.name));
    }
}
