//! Words of a U-Boot script, as its shell splits them: quotes, backslashes, variables, comments.

use std::ops::Range;

/// One word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What the command gets.
    pub text: String,
    /// Where it stands in the script.
    pub range: Range<usize>,
    /// Whether it stands there just like that: without quotes, backslashes and variables.
    pub plain: bool,
}

impl Word {
    /// Where a part of the word stands in the script; of a word that does not stand there as it is, all of it.
    pub fn part(&self, part: Range<usize>) -> Range<usize> {
        if self.plain {
            self.range.start + part.start..self.range.start + part.end
        } else {
            self.range.clone()
        }
    }
}

/// A command, and what follows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Its words; there may be none.
    pub words: Vec<Word>,
    /// Variables in it that are not set, with their places: they have become nothing.
    pub unset: Vec<(String, Range<usize>)>,
    /// Whether `||` follows: the next command is for when this one fails.
    pub alternative: bool,
}

/// Reads the command at `at` and moves behind it; `None` at the end of the script.
pub fn next(text: &str, at: &mut usize, value: &dyn Fn(&str) -> Option<String>) -> Option<Command> {
    let mut reader = Reader { text, at: *at, command: Command::default(), word: None };
    reader.peek()?;
    reader.run(value);
    *at = reader.at;
    Some(reader.command)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    command: Command,
    word: Option<Word>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// The word being read, from `start` on if it begins here.
    fn word(&mut self, start: usize) -> &mut Word {
        self.word.get_or_insert_with(|| Word { text: String::new(), range: start..start, plain: true })
    }

    fn finish(&mut self) {
        if let Some(mut word) = self.word.take() {
            word.range.end = word.range.end.max(word.range.start);
            self.command.words.push(word);
        }
    }

    fn put(&mut self, start: usize, character: char, plain: bool) {
        let end = self.at;
        let word = self.word(start);
        word.text.push(character);
        word.plain &= plain;
        word.range.end = end;
    }

    fn run(&mut self, value: &dyn Fn(&str) -> Option<String>) {
        let mut quote = None;
        loop {
            let start = self.at;
            let Some(next) = self.take() else { break };
            match (quote, next) {
                (Some(open), close) if open == close => {
                    quote = None;
                    let end = self.at;
                    self.word(start).range.end = end;
                }
                (None, '"' | '\'') => {
                    quote = Some(next);
                    let end = self.at;
                    let word = self.word(start);
                    word.plain = false;
                    word.range.end = end;
                }
                (None | Some('"'), '\\') => match self.take() {
                    Some('\n') | None => {}
                    Some(escaped) => self.put(start, escaped, false),
                },
                (None | Some('"'), '$') => self.variable(start, quote.is_some(), value),
                (None, '#') if self.word.is_none() => {
                    while self.peek().is_some_and(|next| next != '\n') {
                        self.take();
                    }
                }
                (None, '\n' | ';') => break,
                (None, '&') if self.peek() == Some('&') => {
                    self.take();
                    break;
                }
                (None, '|') if self.peek() == Some('|') => {
                    self.take();
                    self.command.alternative = true;
                    break;
                }
                (None, space) if space.is_whitespace() => self.finish(),
                (_, character) => self.put(start, character, true),
            }
        }
        self.finish();
    }

    /// `$name` or `${name}`. Without quotes around it, its value is split into words.
    fn variable(&mut self, start: usize, quoted: bool, value: &dyn Fn(&str) -> Option<String>) {
        let mut name = String::new();
        if self.peek() == Some('{') {
            self.take();
            while let Some(next) = self.take().filter(|next| *next != '}') {
                name.push(next);
            }
        } else {
            while let Some(next) = self.peek().filter(|next| next.is_ascii_alphanumeric() || *next == '_') {
                self.take();
                name.push(next);
            }
        }
        let text = value(&name).unwrap_or_else(|| {
            self.command.unset.push((name, start..self.at));
            String::new()
        });
        let end = self.at;
        for character in text.chars() {
            if !quoted && character.is_whitespace() {
                self.finish();
            } else {
                self.put(start, character, false);
            }
        }
        if let Some(word) = &mut self.word {
            word.plain = false;
            word.range.end = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let value = |name: &str| (name == "a").then(|| String::from("1 2"));
        let mut at = 0;
        std::iter::from_fn(|| next(text, &mut at, &value))
            .map(|command| command.words.into_iter().map(|word| word.text).collect())
            .collect()
    }

    #[test]
    fn words_are_split_as_by_a_shell() {
        assert_eq!(
            words("fdt set /c \\#x \"a b\" 'c $a' # why\nx${a}y \"$a\"; z"),
            [vec!["fdt", "set", "/c", "#x", "a b", "c $a"], vec!["x1", "2y", "1 2"], vec!["z"]]
        );
    }

    #[test]
    fn places_of_plain_words_are_kept_and_unset_variables_named() {
        let mut at = 0;
        let command = next("fdt set <0x0 ${size}>", &mut at, &|_| None).unwrap();
        assert_eq!(command.words[2].part(1..4), 9..12);
        assert_eq!(command.unset, [(String::from("size"), 13..20)]);
    }
}
