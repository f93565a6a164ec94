//! Overlays: applied by fdtoverlay, with their sources' places moved to where the nodes end up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::devtree::{Devtree, Node};
use super::sources::Sources;
use super::{dts, is_blob};

/// Applies the overlays to a tree, in order.
pub fn apply(base: Vec<u8>, overlays: &[PathBuf], sources: &mut Sources) -> Result<Vec<u8>, String> {
    overlays.iter().try_fold(base, |base, overlay| apply_one(base, overlay, sources))
}

fn apply_one(base: Vec<u8>, overlay: &Path, sources: &mut Sources) -> Result<Vec<u8>, String> {
    let tree = Devtree::parse(&base).map_err(|e| e.to_string())?;
    let blob = fs::read(overlay).map_err(|e| format!("{}: {e}", overlay.display()))?;
    let blob = if is_blob(&blob) {
        blob
    } else {
        dts::compile(overlay, sources, &|path, blob| destination(path, blob, &tree))?
    };
    // Several may be at it at once, in one process too.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("portunus-check-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let merged = merge(&directory, &base, &blob);
    // What is left of it harms nobody.
    let _ = fs::remove_dir_all(&directory);
    merged.map_err(|why| {
        let hint = if tree.root.children.iter().any(|child| child.name == "__symbols__") {
            "does every label that it refers to exist in the tree below it?"
        } else {
            "the tree below it has no labels: compile it with `dtc -@`"
        };
        format!("{} cannot be applied: {why}\n{hint}", overlay.display())
    })
}

fn merge(directory: &Path, base: &[u8], overlay: &[u8]) -> Result<Vec<u8>, String> {
    let file = |name: &str| directory.join(name);
    fs::write(file("base"), base)
        .and_then(|()| fs::write(file("overlay"), overlay))
        .map_err(|e| e.to_string())?;
    let mut fdtoverlay = Command::new("fdtoverlay");
    fdtoverlay.arg("-i").arg(file("base")).arg("-o").arg(file("merged")).arg(file("overlay"));
    dts::run(&mut fdtoverlay, None, "fdtoverlay, of the package device-tree-compiler")?;
    fs::read(file("merged")).map_err(|e| e.to_string())
}

/// Where a node of an overlay ends up: below the target of its fragment.
fn destination(path: &str, overlay: &[u8], base: &Devtree) -> Option<String> {
    let (fragment, rest) = path.strip_prefix('/')?.split_once("/__overlay__")?;
    let overlay = Devtree::parse(overlay).ok()?;
    let node = overlay.find(&format!("/{fragment}"))?;
    let target = match node.text("target-path") {
        Some(path) => path.to_owned(),
        None => {
            let wanted = format!("/{fragment}:target:0");
            let fixups = overlay.find("/__fixups__")?;
            let label = fixups.props.iter().find(|(_, value)| lists(value, &wanted))?;
            base.find("/__symbols__").and_then(|symbols: &Node| symbols.text(&label.0))?.to_owned()
        }
    };
    Some(format!("{}{rest}", target.trim_end_matches('/')))
}

fn lists(value: &[u8], wanted: &str) -> bool {
    value.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
}
