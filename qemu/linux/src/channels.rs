//! What the domain's device tree says about its channels: a node for each below `/hypervisor/channels`, called like the
//! channel. Linux shows nodes as directories and properties as files.

use std::fs;
use std::path::PathBuf;

const COMPATIBLE: &[u8] = b"portunus,channels-v1\0";

/// Where the channels are described.
pub struct Directory(PathBuf);

impl Default for Directory {
    fn default() -> Self {
        Self::at("/proc/device-tree/hypervisor/channels")
    }
}

impl Directory {
    /// The node at `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Whether the channels are described, in a way that is known.
    #[must_use]
    pub fn exists(&self) -> bool {
        fs::read(self.0.join("compatible")).is_ok_and(|value| value == COMPATIBLE)
    }

    /// This domain's port of the channel called `name`.
    ///
    /// # Errors
    ///
    /// There is no such channel, and what to do.
    pub fn port(&self, name: &str) -> Result<u32, String> {
        if self.exists() {
            let value = fs::read(self.0.join(name).join("port")).ok();
            let port = value.and_then(|value| <[u8; 4]>::try_from(value).ok()).map(u32::from_be_bytes);
            return port.ok_or_else(|| format!("no channel is called {name}\nthere is: {}", self.names()));
        }
        Err(format!(
            "{name}: the device tree describes no channels, at {}\nnumbers can be used everywhere; names need Portunus, \
             and xen,enhanced = \"no-xenstore\" in the domain's node",
            self.0.display()
        ))
    }

    fn names(&self) -> String {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let nodes = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> =
            nodes.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        if names.is_empty() { String::from("none") } else { names.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(name: &str) -> Directory {
        let directory = std::env::temp_dir().join(format!("portunus-{}-{name}", std::process::id()));
        for channel in ["request", "domU2.0"] {
            fs::create_dir_all(directory.join(channel)).unwrap();
        }
        fs::write(directory.join("compatible"), COMPATIBLE).unwrap();
        fs::write(directory.join("request/port"), 10u32.to_be_bytes()).unwrap();
        fs::write(directory.join("domU2.0/port"), 4095u32.to_be_bytes()).unwrap();
        Directory::at(directory)
    }

    #[test]
    fn a_channel_is_found_by_name() {
        let channels = made_up("found");
        assert_eq!((channels.port("request"), channels.port("domU2.0")), (Ok(10), Ok(4095)));
        let wrong = channels.port("reqest").unwrap_err();
        assert!(wrong.ends_with("there is: domU2.0, request"), "{wrong}");
        fs::remove_dir_all(channels.0).unwrap();
    }

    #[test]
    fn a_tree_of_another_version_is_not_read() {
        let channels = made_up("version");
        fs::write(channels.0.join("compatible"), b"portunus,channels-v2\0").unwrap();
        assert!(channels.port("request").unwrap_err().contains("describes no channels"));
        fs::remove_dir_all(channels.0).unwrap();
    }
}
