//! An archive in cpio's "newc" format, as Linux unpacks it into its first file system.
//!
//! Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. Everything belongs to root and is of the
//! year 1970, so the same files make the same archive.

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;

/// An archive that grows.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a directory. Its parent must be there already.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    /// Adds a file that may be executed.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, DEVICE, (major, minor), &[]);
    }

    /// The archive, with its trailer.
    pub fn finish(mut self) -> Vec<u8> {
        self.entries = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let inode = self.entries;
        self.entries += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let (size, name) = (content.len() as u32, path.len() as u32 + 1);
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_the_content_each_padded_to_4() {
        let mut archive = Archive::default();
        archive.file("init", b"hello");
        let bytes = archive.finish();
        let header = "070701\
            00000000000081ed000000000000000000000001000000000000000500000000\
            0000000000000000000000000000000500000000";
        let entry = [header.as_bytes(), b"init\0\0", b"hello\0\0\0"].concat();
        assert_eq!(bytes.get(..entry.len()), Some(entry.as_slice()));
        assert!(bytes.len().is_multiple_of(4) && bytes.windows(11).any(|part| part == b"TRAILER!!!\0"));
    }
}
