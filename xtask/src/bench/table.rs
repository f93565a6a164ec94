//! The table on the terminal.

use serde_json::{Value, json};

use super::guard;
use super::measure::{self, Column, Title};
use super::rows::Figure;
use super::run::Hypervisor;

/// Prints every row that a column has something for.
pub fn print(columns: &[(Hypervisor, Column)]) {
    print!("{:<42}{:>9}{:>24}", "instructions: least / median / most", "at most", "Portunus");
    let others: Vec<_> = columns.iter().filter(|(who, _)| *who != Hypervisor::Portunus).collect();
    for (who, _) in &others {
        print!("{:>26}{:>7}", who.name(), "ratio");
    }
    println!();
    let ours = columns.iter().find(|(who, _)| *who == Hypervisor::Portunus).map(|(_, column)| column);
    for title in measure::titles() {
        let Some(own) = ours.and_then(|column| find(column, title)) else { continue };
        let goal = title.goal.map_or_else(|| String::from("-"), number);
        let verdict = if title.goal.is_some_and(|goal| own.median > goal as f64) { " *" } else { "  " };
        print!("{:<42}{goal:>9}{:>22}{verdict}", title.name, figure(own));
        for (_, column) in &others {
            match find(column, title) {
                Some(theirs) => print!("{:>26}{:>7}", figure(theirs), ratio(theirs, own)),
                None => print!("{:>26}{:>7}", "-", "-"),
            }
        }
        println!();
    }
    println!("* more than it may be");
}

/// Prints the rows of a Markdown table, as in `docs/performance.md`.
pub fn print_markdown(columns: &[(Hypervisor, Column)]) {
    for title in measure::titles() {
        let figures: Vec<_> = columns.iter().map(|(_, column)| find(column, title)).collect();
        if figures.iter().all(Option::is_none) {
            continue;
        }
        let goal = title.goal.map_or_else(|| String::from("–"), number);
        print!("| {} | {goal} |", title.name);
        for found in figures {
            print!(" {} |", found.map_or_else(|| String::from("–"), figure));
        }
        println!();
    }
}

/// Everything, for machines: each row with what every hypervisor needs.
pub fn json(gic: u8, columns: &[(Hypervisor, Column)]) -> String {
    let rows: Vec<Value> = measure::titles()
        .into_iter()
        .filter_map(|title| {
            let mut row = json!({ "key": title.key, "name": title.name, "at_most": title.goal });
            for (who, column) in columns {
                if let Some(Figure { least, median, most }) = find(column, title) {
                    row[who.key()] = json!({ "least": least, "median": median, "most": most });
                }
            }
            columns.iter().any(|(who, _)| row.get(who.key()).is_some()).then_some(row)
        })
        .collect();
    format!("{:#}", json!({ "qemu": guard::qemu_version(), "gic": gic, "cpu": "cortex-a57", "rows": rows }))
}

/// What a column has for a row.
pub fn find(column: &Column, title: Title) -> Option<Figure> {
    column.iter().find(|(other, _)| *other == title).map(|(_, figure)| *figure)
}

/// Least, median and most, or one number if they are equal.
pub fn figure(figure: Figure) -> String {
    let Figure { least, median, most } = figure;
    if least == most {
        value(median)
    } else {
        format!("{} / {} / {}", value(least), value(median), value(most))
    }
}

/// How many of ours are one of theirs.
fn ratio(theirs: Figure, ours: Figure) -> String {
    if ours.median == 0.0 { "-".into() } else { format!("{:.1}", theirs.median / ours.median) }
}

/// A number with commas between thousands; with a decimal if it is no integer.
pub fn value(value: f64) -> String {
    if value.fract() == 0.0 { number(value as u64) } else { format!("{value:.2}") }
}

/// With commas between thousands.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_be_read() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1_048_592), "1,048,592");
        assert_eq!(value(2.5), "2.50");
    }
}
