//! Shapes, colours and type: everything that the sections of the drawing share.

use svg::node::element::{Circle, Element, Line, Path, Rectangle, Text, Title};

/// Text.
pub const INK: &str = "#1f2933";
/// Text of less weight.
pub const FAINT: &str = "#66727f";
/// Frames and axes.
pub const EDGE: &str = "#c8d0d9";
/// Surfaces of what belongs to no domain.
pub const PALE: &str = "#f3f5f8";
/// What stands for mistakes and what is left out.
pub const ALARM: &str = "#c0392b";

/// Where a text stands relative to its point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// What has been drawn so far.
pub struct Canvas {
    /// The width of the drawing.
    pub width: f64,
    /// Where the next section begins.
    pub y: f64,
    shapes: Vec<Element>,
}

impl Canvas {
    /// An empty one.
    pub fn new(width: f64) -> Self {
        Self { width, y: 0.0, shapes: Vec::new() }
    }

    /// The drawing as text.
    pub fn finish(self) -> String {
        let height = self.y.ceil();
        let mut document = svg::Document::new()
            .set("viewBox", (0, 0, self.width, height))
            .set("width", self.width)
            .set("height", height)
            .set("font-family", "Inter, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif")
            .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "white"));
        for shape in self.shapes {
            document = document.add(shape);
        }
        document.to_string()
    }

    fn push(&mut self, shape: impl Into<Element>) {
        self.shapes.push(shape.into());
    }

    /// A box with round corners.
    pub fn block(&mut self, [x, y, width, height]: [f64; 4], radius: f64, fill: &str, stroke: &str) {
        let shape = Rectangle::new().set("x", x).set("y", y).set("width", width).set("height", height);
        self.push(shape.set("rx", radius).set("fill", fill).set("stroke", stroke));
    }

    /// The same with a text that shows when the pointer rests on it.
    pub fn hint(&mut self, [x, y, width, height]: [f64; 4], fill: &str, hint: &str) {
        let shape = Rectangle::new().set("x", x).set("y", y).set("width", width).set("height", height);
        self.push(shape.set("fill", fill).add(Title::new(hint)));
    }

    /// A box with round upper corners only.
    pub fn cap(&mut self, [x, y, width, height]: [f64; 4], radius: f64, fill: &str) {
        let path = format!(
            "M{x},{} v-{} a{radius},{radius} 0 0 1 {radius},-{radius} h{} a{radius},{radius} 0 0 1 {radius},{radius} v{} z",
            y + height,
            height - radius,
            width - 2.0 * radius,
            height - radius
        );
        self.push(Path::new().set("d", path).set("fill", fill));
    }

    /// A straight line.
    pub fn line(&mut self, from: [f64; 2], to: [f64; 2], color: &str, thickness: f64) {
        self.push(line(from, to, color, thickness));
    }

    /// A dashed one.
    pub fn dashes(&mut self, from: [f64; 2], to: [f64; 2], color: &str, thickness: f64) {
        self.push(line(from, to, color, thickness).set("stroke-dasharray", "5 4"));
    }

    /// A curve that leaves to the right and comes back.
    pub fn loop_back(&mut self, [x, y]: [f64; 2], height: f64, color: &str) {
        let path = format!("M{x},{y} c34,0 34,{height} 0,{height}");
        self.push(
            Path::new().set("d", path).set("fill", "none").set("stroke", color).set("stroke-width", 2.5),
        );
    }

    /// A filled dot with a white rim.
    pub fn dot(&mut self, [x, y]: [f64; 2], color: &str) {
        let dot = Circle::new().set("cx", x).set("cy", y).set("r", 5.5).set("fill", color);
        self.push(dot.set("stroke", "white").set("stroke-width", 1.5));
    }

    /// Text of a size and colour; `bold` is its weight.
    pub fn text(&mut self, [x, y]: [f64; 2], size: f64, color: &str, bold: bool, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let shape = Text::new(text).set("x", x).set("y", y).set("font-size", size).set("fill", color);
        self.push(shape.set("text-anchor", anchor).set("font-weight", if bold { 600 } else { 400 }));
    }

    /// The title of a section.
    pub fn heading(&mut self, x: f64, text: &str, aside: &str) {
        self.y += 44.0;
        let y = self.y;
        self.text([x, y], 15.0, INK, true, Anchor::Start, text);
        self.text([x + width(text, 15.0) * 1.12 + 14.0, y], 12.0, FAINT, false, Anchor::Start, aside);
        self.y += 14.0;
    }
}

fn line(from: [f64; 2], to: [f64; 2], color: &str, thickness: f64) -> Line {
    let line = Line::new().set("x1", from[0]).set("y1", from[1]).set("x2", to[0]).set("y2", to[1]);
    line.set("stroke", color).set("stroke-width", thickness)
}

/// About how wide a text is.
pub fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.58
}

/// As much of a text as fits.
pub fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let kept = (room / (size * 0.58)).floor() as usize;
    text.chars().take(kept.saturating_sub(1)).chain(['…']).collect()
}

/// A colour for each domain: neighbours differ most. `light` is for surfaces.
pub fn hue(index: usize, light: bool) -> String {
    let degrees = (205 + index * 137) % 360;
    if light { format!("hsl({degrees}, 62%, 93%)") } else { format!("hsl({degrees}, 52%, 42%)") }
}

/// Bytes in a unit that people read.
pub fn bytes(size: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if size >= unit {
            let whole = size as f64 / unit as f64;
            let digits = if size.is_multiple_of(unit) { 0 } else { 1 };
            return format!("{whole:.digits$} {name}");
        }
    }
    format!("{size} bytes")
}
