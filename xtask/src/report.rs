//! How a mistake is shown on a developer's screen: what, where, the line with a caret under it, and the remedy.
//!
//! The first two lines and the help are those that the hypervisor prints, word for word. What a screen adds is the
//! excerpt between them: the line of the source, or the value of the property where there is no source.

use std::fmt;

use anstyle::{AnsiColor, Style};

/// How much a report matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is left out.
    Error,
    /// It works, but probably not as its author meant it.
    Warning,
    /// Worth knowing.
    Note,
}

impl Level {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    const fn style(self) -> Style {
        let color = match self {
            Self::Error => AnsiColor::BrightRed,
            Self::Warning => AnsiColor::BrightYellow,
            Self::Note => AnsiColor::BrightGreen,
        };
        color.on_default().bold()
    }
}

/// Some text with a part of it marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Number of the line in its file, from 1; `None` where the text is from no file.
    pub line: Option<usize>,
    /// The text, one line.
    pub text: String,
    /// The marked bytes of `text`.
    pub mark: std::ops::Range<usize>,
}

impl Excerpt {
    /// The line around the bytes `range` of a file's text, with as much of the range as lies on its first line marked.
    pub fn of(text: &str, range: std::ops::Range<usize>) -> Option<Self> {
        let before = text.get(..range.start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(line_start..)?.lines().next().unwrap_or_default();
        let start = range.start - line_start;
        let end = (range.end - line_start).clamp(start, line.len().max(start));
        Some(Self {
            line: Some(before.matches('\n').count() + 1),
            text: line.to_owned(),
            mark: start..end.max(start),
        })
    }

    /// The column of the mark, from 1, in characters.
    pub fn column(&self) -> usize {
        self.text.get(..self.mark.start).map_or(0, |text| text.chars().count()) + 1
    }
}

/// One thing to say. Displays as several lines, with colours: print it through `anstream`, which drops them where
/// nobody would see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How much it matters.
    pub level: Level,
    /// Its code, such as `P0214`; empty if it has none.
    pub code: String,
    /// What it is about, in a few words.
    pub title: String,
    /// Where: a file with line and column, the path of a node, or both.
    pub place: String,
    /// The line, if there is one to show.
    pub excerpt: Option<Excerpt>,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty if there is nothing to say.
    pub help: String,
}

const FRAME: Style = AnsiColor::BrightBlue.on_default().bold();
const STRONG: Style = Style::new().bold();
/// What is shown of a long line.
const WIDTH: usize = 96;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = self.level.style();
        write!(f, "{style}{}", self.level.name())?;
        if !self.code.is_empty() {
            write!(f, "[{}]", self.code)?;
        }
        writeln!(f, "{style:#}{STRONG}: {}{STRONG:#}", self.title)?;
        let number = self.excerpt.as_ref().and_then(|excerpt| excerpt.line);
        let number = number.map(|line| line.to_string()).unwrap_or_default();
        // The bar stands in the fourth column, as in what the hypervisor prints, or behind the number of the line.
        let width = number.len().max(2);
        if !self.place.is_empty() {
            writeln!(f, "{:width$}{FRAME}-->{FRAME:#} {}", "", self.place)?;
        }
        match self.excerpt.as_ref().map(|excerpt| Shown::of(excerpt, WIDTH)) {
            Some(shown) => {
                writeln!(f, "{FRAME}{number:>width$} |{FRAME:#}  {}", shown.text)?;
                write!(f, "{:width$} {FRAME}|{FRAME:#}  {:indent$}", "", "", indent = shown.indent)?;
                write!(f, "{style}{} {}{style:#}", "^".repeat(shown.carets), self.what)?;
            }
            None => write!(f, "{:width$} {FRAME}={FRAME:#} {}", "", self.what)?,
        }
        if !self.help.is_empty() {
            write!(f, "\n{:width$} {FRAME}={FRAME:#} {STRONG}help{STRONG:#}: {}", "", self.help)?;
        }
        Ok(())
    }
}

/// A line as it appears: tabs are spaces, what is left of a long line is around the mark.
struct Shown {
    text: String,
    indent: usize,
    carets: usize,
}

impl Shown {
    fn of(excerpt: &Excerpt, width: usize) -> Self {
        let expand = |text: &str| text.replace('\t', "    ");
        let part = |range| excerpt.text.get(range).map(expand).unwrap_or_default();
        let (start, end) = (excerpt.mark.start, excerpt.mark.end);
        let (before, marked) = (part(0..start), part(start..end));
        let after = part(end..excerpt.text.len());
        // What every line of a file has to its left says nothing.
        let margin = before.len() - before.trim_start_matches(' ').len();
        let before: Vec<char> = before.chars().skip(margin.min(before.chars().count())).collect();
        let carets = marked.chars().count().max(1);
        let room = width.saturating_sub(carets.min(width / 2));
        let (cut, lead) = match before.len().checked_sub(room) {
            Some(over) if over > 0 => (over + 4, "... "),
            _ => (0, ""),
        };
        let kept: String = before.iter().skip(cut).collect();
        let line = format!("{lead}{kept}{marked}{after}");
        let text: String = line.chars().take(width + 24).collect();
        let dots = if text.len() < line.len() { " ..." } else { "" };
        let indent = lead.len() + kept.chars().count();
        let carets = carets.min((width + 24).saturating_sub(indent).max(1));
        Self { text: format!("{text}{dots}"), indent, carets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&report.to_string()).to_string()
    }

    fn taken(excerpt: Option<Excerpt>) -> Report {
        Report {
            level: Level::Error,
            code: "P0214".into(),
            title: "channel port already taken".into(),
            place: "/chosen/domU2/evtchn@2, property xen,evtchn, cell 0".into(),
            excerpt,
            what: "port 11 of domU2 is bound".into(),
            help: "take 0xc, for example".into(),
        }
    }

    #[test]
    fn a_value_is_shown_with_a_caret_under_the_cell() {
        let text = String::from("xen,evtchn = <0xb &ec1>");
        let report = taken(Some(Excerpt { line: None, text, mark: 14..17 }));
        assert_eq!(
            plain(&report),
            "error[P0214]: channel port already taken\n\
             \x20 --> /chosen/domU2/evtchn@2, property xen,evtchn, cell 0\n\
             \x20  |  xen,evtchn = <0xb &ec1>\n\
             \x20  |                ^^^ port 11 of domU2 is bound\n\
             \x20  = help: take 0xc, for example"
        );
    }

    #[test]
    fn a_line_of_a_file_has_its_number_and_tabs_do_not_move_the_caret() {
        let text = "\n\t\ta = <1>;\t/* why */\n";
        let report = taken(Excerpt::of(text, 8..9));
        assert!(
            plain(&report).contains("\n 2 |  a = <1>;    /* why */\n   |       ^ port"),
            "{}",
            plain(&report)
        );
        assert_eq!(report.excerpt.map(|excerpt| excerpt.column()), Some(8));
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let text = format!("bootargs = \"{}\"; x = <7>;", "y".repeat(400));
        let at = text.len() - 3;
        let shown = plain(&taken(Excerpt::of(&text, at..at + 1)));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[2].len() < 140, "{shown}");
        assert_eq!(lines[2].as_bytes()[lines[3].find('^').unwrap_or(0)], b'7', "{shown}");
    }

    #[test]
    fn without_an_excerpt_it_is_what_the_hypervisor_prints() {
        assert!(plain(&taken(None)).contains("\n   = port 11 of domU2 is bound\n   = help: take"));
    }
}
