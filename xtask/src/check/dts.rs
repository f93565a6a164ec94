//! Source text: compiled by dtc, which can also say where each node and property stands.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use super::sources::{Mark, Sources};

/// Compiles a source file. Where its nodes and properties stand is added to `sources`, with `rename` applied to their
/// paths: what it has no answer for is left out.
pub fn compile(
    path: &Path,
    sources: &mut Sources,
    rename: &dyn Fn(&str, &[u8]) -> Option<String>,
) -> Result<Vec<u8>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let preprocessed = if text.lines().any(|line| line.trim_start().starts_with("#include")) {
        Some(preprocess(path)?)
    } else {
        None
    };
    let blob = dtc(path, preprocessed.as_deref(), &["-O", "dtb", "-@"])?;
    let annotated = dtc(path, preprocessed.as_deref(), &["-O", "dts", "-T", "-T"])?;
    let mut files = HashMap::new();
    for entry in entries(&String::from_utf8_lossy(&annotated)) {
        let Some(node) = rename(&entry.node, &blob) else { continue };
        let Some(place) = entry.place else { continue };
        let file = *files.entry(place.file.clone()).or_insert_with(|| {
            sources.file(&shortest(&place.file), || fs::read_to_string(&place.file).unwrap_or_default())
        });
        let text = sources.text(file);
        let (Some(start), Some(end)) = (offset(text, place.start), offset(text, place.end)) else { continue };
        match entry.property {
            None => {
                // dtc points at the brace; the name stands before it.
                let line = text.get(..start).map_or(0, |before| before.rfind('\n').map_or(0, |at| at + 1));
                let head = text.get(line..start).unwrap_or_default();
                let name = head.trim_end().rsplit([' ', '\t', '{', ';', ':']).next().unwrap_or_default();
                let at = line + head.trim_end().len() - name.len();
                sources.node(&node, Mark { file, range: at..at + name.len(), elements: Vec::new() });
            }
            Some(name) => {
                let value = text.get(start..end).unwrap_or_default();
                let value_at = value.find('=').map_or(value.len(), |at| at + 1);
                let elements = elements(value.get(value_at..).unwrap_or_default())
                    .into_iter()
                    .map(|(bytes, range)| {
                        (bytes, start + value_at + range.start..start + value_at + range.end)
                    })
                    .collect();
                let shown = value.trim_end().trim_end_matches(';').len();
                sources.prop(&node, &name, Mark { file, range: start..start + shown, elements });
            }
        }
    }
    Ok(blob)
}

/// A path without the detours that includes leave in it, and relative to here if it is below.
fn shortest(file: &str) -> String {
    let here = std::env::current_dir().and_then(fs::canonicalize);
    match (fs::canonicalize(file), here) {
        (Ok(full), Ok(here)) => full.strip_prefix(here).unwrap_or(Path::new(file)).display().to_string(),
        _ => file.to_owned(),
    }
}

fn preprocess(path: &Path) -> Result<Vec<u8>, String> {
    let mut cpp = Command::new("cpp");
    cpp.args(["-nostdinc", "-undef", "-D__DTS__", "-x", "assembler-with-cpp"]);
    cpp.arg("-I").arg(path.parent().unwrap_or(Path::new("."))).arg(path);
    run(&mut cpp, None, "the C preprocessor (cpp), which #include needs")
}

fn dtc(path: &Path, text: Option<&[u8]>, options: &[&str]) -> Result<Vec<u8>, String> {
    let mut dtc = Command::new("dtc");
    dtc.args(["-q", "-I", "dts"]).args(options);
    dtc.arg("-i").arg(path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")));
    match text {
        Some(_) => dtc.arg("-"),
        None => dtc.arg(path),
    };
    run(&mut dtc, text, "dtc, of the package device-tree-compiler")
}

/// Runs a program; its complaints are the error.
pub fn run(command: &mut Command, input: Option<&[u8]>, name: &str) -> Result<Vec<u8>, String> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run {name}: {e}"))?;
    let writer = child.stdin.take().zip(input.map(<[u8]>::to_vec)).map(|(mut pipe, text)| {
        std::thread::spawn(move || {
            // A program that stops reading says why in its own words.
            let _ = pipe.write_all(&text);
        })
    });
    let output = child.wait_with_output().map_err(|e| format!("{name}: {e}"))?;
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    }
}

/// What one line of annotated output is about.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    node: String,
    property: Option<String>,
    place: Option<Place>,
}

/// A range in a file: lines and columns from 1, the end exclusive.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    file: String,
    start: (usize, usize),
    end: (usize, usize),
}

/// Reads what `dtc -T -T` writes: a node or property a line, with its places in a comment behind it.
fn entries(annotated: &str) -> Vec<Entry> {
    let mut path: Vec<String> = Vec::new();
    let mut entries = Vec::new();
    for line in annotated.lines() {
        let (code, comment) = line.rsplit_once("/* ").unwrap_or((line, ""));
        let code = code.trim();
        let place = comment.trim_end_matches("*/").split(", ").next().and_then(place);
        let here = |path: &[String]| match path {
            [_] => String::from("/"),
            _ => path.join("/"),
        };
        if let Some(name) = code.strip_suffix('{') {
            let name = name.trim().rsplit(' ').next().unwrap_or_default();
            path.push(if name == "/" { String::new() } else { name.to_owned() });
            entries.push(Entry { node: here(&path), property: None, place });
        } else if code == "};" {
            path.pop();
        } else if !path.is_empty()
            && let Some(code) = code.strip_suffix(';')
        {
            let name = code.split(" =").next().unwrap_or_default();
            let name = name.rsplit(' ').next().unwrap_or_default().to_owned();
            entries.push(Entry { node: here(&path), property: Some(name), place });
        }
    }
    entries
}

/// Reads `file:line:column-line:column`.
fn place(text: &str) -> Option<Place> {
    let (rest, end_column) = text.trim().rsplit_once(':')?;
    let (rest, end_line) = rest.rsplit_once('-')?;
    let (rest, column) = rest.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    let number = |text: &str| text.parse().ok();
    Some(Place {
        file: file.to_owned(),
        start: (number(line)?, number(column)?),
        end: (number(end_line)?, number(end_column)?),
    })
}

/// The byte at a line and column.
fn offset(text: &str, (line, column): (usize, usize)) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text.get(start..)?.find('\n')? + 1;
    }
    (start + column.checked_sub(1)? <= text.len()).then_some(start + column - 1)
}

/// The elements of a value as it is written: for each cell, string or byte how many bytes of the value come before it,
/// and where it stands in the text.
fn elements(text: &str) -> Vec<(usize, Range<usize>)> {
    let mut found = Vec::new();
    let (mut at, mut bytes, mut width, mut inside) = (0, 0, 4, '\0');
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let next = rest.chars().next().unwrap_or(' ');
        if let Some(comment) = rest.strip_prefix("/*") {
            at += 4 + comment.find("*/").unwrap_or(comment.len());
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(bits) = rest.strip_prefix("/bits/") {
            let number = bits.trim_start();
            let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
            width = number.get(..digits).and_then(|bits| bits.parse::<usize>().ok()).unwrap_or(32) / 8;
            at += "/bits/".len() + (bits.len() - number.len()) + digits;
        } else if next == '<' || next == '[' {
            inside = next;
            at += 1;
        } else if next == '>' || next == ']' {
            (inside, width) = ('\0', 4);
            at += 1;
        } else if next == '"' {
            let length = string_end(rest);
            found.push((bytes, at..at + length));
            // Escapes make it a little shorter, which only matters for what comes behind.
            bytes += length - 1;
            at += length;
        } else if inside == '<' && !next.is_whitespace() && next != ',' {
            let length = element_end(rest);
            // A label in the middle of a value takes no room.
            if !rest.get(..length).unwrap_or_default().ends_with(':') {
                found.push((bytes, at..at + length));
                bytes += width;
            }
            at += length;
        } else if inside == '[' && next.is_ascii_hexdigit() {
            found.push((bytes, at..at + 2));
            bytes += 1;
            at += 2;
        } else {
            at += next.len_utf8();
        }
    }
    found
}

fn string_end(text: &str) -> usize {
    let mut escaped = true;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a cell: up to the next space, or to the parenthesis that closes it.
fn element_end(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '(' | '{' => depth += 1,
            ')' | '}' if depth <= 1 => return at + 1,
            ')' | '}' => depth -= 1,
            '>' if depth == 0 => return at,
            _ if depth == 0 && character.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotated_output_is_read_line_by_line() {
        let text = "/ { /* a b.dts:2:3-9:4, c.dts:1:1-2:2 */\n\tx = \"/* \"; /* a b.dts:3:5-3:12 */\n\
                    \tl: n@1 { /* c.dts:1:8-1:9 */\n\t\tphandle = <0x04>; /* <no-file>:<no-line> */\n\t\tq;\n\t}; /* x */\n};\n";
        let entries = entries(text);
        let names: Vec<_> = entries.iter().map(|e| (e.node.as_str(), e.property.as_deref())).collect();
        assert_eq!(
            names,
            [("/", None), ("/", Some("x")), ("/n@1", None), ("/n@1", Some("phandle")), ("/n@1", Some("q"))]
        );
        let first = entries[0].place.as_ref().unwrap();
        assert_eq!((first.file.as_str(), first.start, first.end), ("a b.dts", (2, 3), (9, 4)));
        assert!(entries[3].place.is_none());
    }

    #[test]
    fn every_cell_of_a_value_is_found() {
        let text = " <0xb /* > */ &ec1>, <(1 + 2) &{/a b}>, \"x\\\"y\", [de ad], /bits/ 64 <1 l: 2>";
        let found: Vec<_> = elements(text).into_iter().map(|(at, range)| (at, &text[range])).collect();
        assert_eq!(
            found,
            [
                (0, "0xb"),
                (4, "&ec1"),
                (8, "(1 + 2)"),
                (12, "&{/a b}"),
                (16, "\"x\\\"y\""),
                (21, "de"),
                (22, "ad"),
                (23, "1"),
                (31, "2")
            ]
        );
    }
}
