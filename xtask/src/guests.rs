//! The bare-metal guests: built all at once, each left as a flat Image.

use std::fs;
use std::process::Command;

use crate::image::{self, TARGET};

/// Where the guests' Images are left, each under the name of its source file.
const DIRECTORY: &str = "target/portunus/guests";

/// Builds every guest; answers a line that says which.
pub fn build() -> Result<String, String> {
    let arguments =
        ["build", "--quiet", "--release", "--bins", "--package", "portunus-guests", "--target", TARGET];
    image::run(Command::new("cargo").args(arguments))?;
    fs::create_dir_all(DIRECTORY).map_err(|e| format!("{DIRECTORY}: {e}"))?;
    let mut built = Vec::new();
    for name in names()? {
        let image = image::read(&format!("target/{TARGET}/release/{name}"))?;
        fs::write(path(&name), &image).map_err(|e| format!("{}: {e}", path(&name)))?;
        built.push(format!("{name} ({} bytes)", image.len()));
    }
    Ok(format!("{DIRECTORY}: {}", built.join(", ")))
}

/// The file of a guest.
pub fn path(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
}

fn names() -> Result<Vec<String>, String> {
    const SOURCES: &str = "qemu/guests/src/bin";
    let entries = fs::read_dir(SOURCES).map_err(|e| format!("{SOURCES}: {e}"))?;
    let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // A guest is a file, or a folder with a main.rs.
    let mut names: Vec<String> =
        files.map(|file| file.strip_suffix(".rs").unwrap_or(&file).to_owned()).collect();
    names.sort();
    Ok(names)
}
