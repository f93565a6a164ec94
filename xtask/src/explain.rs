//! `cargo xtask explain P0214`: the page of the book about one diagnostic.

use std::fs;
use std::path::Path;

const PAGES: &str = "docs/diagnostics";

/// The section about a code, which may be written with or without its P and its zeros.
pub fn explain(code: &str) -> Result<String, String> {
    let wanted = format!("P{:0>4}", code.trim_start_matches(['P', 'p']));
    for page in pages()? {
        let text = fs::read_to_string(&page).map_err(|e| format!("{page}: {e}"))?;
        if let Some(section) = section(&text, &wanted) {
            return Ok(section);
        }
    }
    Err(format!("there is no diagnostic {wanted}; {PAGES}/README.md lists all"))
}

fn pages() -> Result<Vec<String>, String> {
    let entries = fs::read_dir(Path::new(PAGES)).map_err(|e| format!("{PAGES}: {e}"))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.path().display().to_string()));
    Ok(names.filter(|name| name.ends_with(".md")).collect())
}

/// The section with this code in its heading, as plain text: examples are indented instead of fenced.
fn section(text: &str, code: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\n## {code}: "))?;
    let rest = rest.split("\n## ").next()?;
    let mut shown = format!("{code}: ");
    let mut example = false;
    for line in rest.lines() {
        match line.strip_prefix("```dts ") {
            Some(kind) => {
                let kind = kind.split(' ').next().unwrap_or_default();
                shown += &format!(
                    "{}{}:\n",
                    kind.get(..1).unwrap_or_default().to_uppercase(),
                    kind.get(1..).unwrap_or_default()
                );
                example = true;
            }
            None if line == "```" => example = false,
            None => shown += &format!("{}{line}\n", if example { "    " } else { "" }),
        }
    }
    Some(shown.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text =
            "# T\n\n## P0001: one\n\n*error*\n\nWhy.\n\n```dts wrong\n/ { };\n```\n\n## P0002: two\n\nx\n";
        assert_eq!(section(text, "P0001").unwrap(), "P0001: one\n\n*error*\n\nWhy.\n\nWrong:\n    / { };");
        assert_eq!(section(text, "P0002").unwrap(), "P0002: two\n\nx");
        assert!(section(text, "P0003").is_none());
    }
}
