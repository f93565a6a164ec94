//! What is wrong with a partition file, and where in it.

use std::fmt::{Display, Write};
use std::ops::Range;

use crate::report::{Excerpt, Level, Report};

/// A place in the file, in bytes.
pub type Spot = Range<usize>;

/// A file that was read.
pub struct Source {
    /// Its path, as it was given.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// One problem.
#[derive(Debug)]
pub struct Problem {
    /// How much it matters: of an error nothing is written.
    pub level: Level,
    /// Its code, if the hypervisor has one for it.
    pub code: String,
    /// What it is about.
    pub title: String,
    /// Where, if it is about a place.
    pub at: Option<Spot>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    /// An error at a place.
    pub fn new(title: impl Display, at: &Spot, what: impl Display, help: impl Display) -> Self {
        Self {
            level: Level::Error,
            code: String::new(),
            title: title.to_string(),
            at: Some(at.clone()),
            what: what.to_string(),
            help: help.to_string(),
        }
    }

    fn report(&self, source: &Source) -> Report {
        let excerpt = self.at.as_ref().and_then(|at| Excerpt::of(&source.text, at.clone()));
        let place = match &excerpt {
            Some(excerpt) => {
                format!("{}:{}:{}", source.path, excerpt.line.unwrap_or(1), excerpt.column())
            }
            None => source.path.clone(),
        };
        Report {
            level: self.level,
            code: self.code.clone(),
            title: self.title.clone(),
            place,
            excerpt,
            what: self.what.clone(),
            help: self.help.clone(),
        }
    }
}

/// All problems of one file, as text with colours: each with its place, in the order of the file, and their number.
pub fn render(source: &Source, problems: &[Problem]) -> String {
    let mut order: Vec<&Problem> = problems.iter().collect();
    order.sort_by_key(|problem| problem.at.as_ref().map_or(0, |at| at.start));
    let mut text = String::new();
    for problem in order {
        let _ = writeln!(text, "{}\n", problem.report(source));
    }
    let count = |level| problems.iter().filter(|problem| problem.level == level).count();
    let plural = |count: usize, noun| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let _ = write!(text, "{}: {}, {}", source.path, plural(errors, "error"), plural(warnings, "warning"));
    text
}

/// What to do about a word that is not known.
pub fn did_you_mean(word: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min();
    match near {
        Some((_, name)) => format!("did you mean {name}?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_near_is_offered_and_another_is_not() {
        assert_eq!(did_you_mean("memry", &["kernel", "memory"]), "did you mean memory?");
        assert_eq!(did_you_mean("colour", &["kernel", "memory"]), "known here: kernel, memory");
    }
}
