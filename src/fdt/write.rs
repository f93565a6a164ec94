//! Writing a device tree into a buffer, front to back, without a heap.
//!
//! The structure block grows from the front and the strings block from the back of the buffer, until
//! [`Writer::finish`] brings them together. A buffer that is too small is an error, never a cut-off tree.

use super::check::HEADER;

/// The buffer is too small for the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

/// Version 17 trees begin with the header and an empty reservation block.
const STRUCTURE_AT: usize = HEADER + 16;

/// A tree being written. Nodes must be ended in the order in which they were begun.
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    /// End of the structure block so far.
    end: usize,
    /// Start of the strings block, which grows downwards.
    strings: usize,
}

impl<'b> Writer<'b> {
    /// Begins a tree in `buffer`.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn new(buffer: &'b mut [u8]) -> Result<Self, TooSmall> {
        buffer.get_mut(..STRUCTURE_AT).ok_or(TooSmall)?.fill(0);
        let strings = buffer.len();
        Ok(Self { buffer, end: STRUCTURE_AT, strings })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TooSmall> {
        let end = self.end.checked_add(bytes.len()).filter(|end| *end <= self.strings).ok_or(TooSmall)?;
        self.buffer.get_mut(self.end..end).ok_or(TooSmall)?.copy_from_slice(bytes);
        self.end = end;
        Ok(())
    }

    fn word(&mut self, word: u32) -> Result<(), TooSmall> {
        self.put(&word.to_be_bytes())
    }

    fn pad(&mut self) -> Result<(), TooSmall> {
        let missing = self.end.next_multiple_of(4) - self.end;
        self.put([0; 4].get(..missing).unwrap_or_default())
    }

    /// Begins a node; the root has the name "".
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn begin(&mut self, name: &str) -> Result<(), TooSmall> {
        self.word(1)?;
        self.put(name.as_bytes())?;
        self.put(&[0])?;
        self.pad()
    }

    /// Ends the node begun last.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn end(&mut self) -> Result<(), TooSmall> {
        self.word(2)
    }

    /// A property made of `parts`, one behind the other.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn bytes(&mut self, name: &str, parts: &[&[u8]]) -> Result<(), TooSmall> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let name = self.string(name)?;
        self.word(3)?;
        self.word(u32::try_from(length).map_err(|_| TooSmall)?)?;
        // Offset from the end of the strings block for now: its start is not known yet.
        self.word(name)?;
        parts.iter().try_for_each(|part| self.put(part))?;
        self.pad()
    }

    /// A property of `length` zeroes, at most 32; answers where in the tree they are.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn zeroes(&mut self, name: &str, length: usize) -> Result<usize, TooSmall> {
        self.bytes(name, &[[0; 32].get(..length).ok_or(TooSmall)?])?;
        self.end.checked_sub(length.next_multiple_of(4)).ok_or(TooSmall)
    }

    /// A property of cells.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn cells(&mut self, name: &str, cells: &[u32]) -> Result<(), TooSmall> {
        self.bytes(name, &[])?;
        let length_at = self.end.checked_sub(8).ok_or(TooSmall)?;
        cells.iter().try_for_each(|cell| self.word(*cell))?;
        let length = u32::try_from(cells.len().saturating_mul(4)).map_err(|_| TooSmall)?;
        self.patch(length_at, length)
    }

    /// A property of 64-bit numbers, two cells each.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn numbers(&mut self, name: &str, numbers: &[u64]) -> Result<(), TooSmall> {
        self.bytes(name, &[])?;
        let length_at = self.end.checked_sub(8).ok_or(TooSmall)?;
        numbers.iter().try_for_each(|number| self.put(&number.to_be_bytes()))?;
        let length = u32::try_from(numbers.len().saturating_mul(8)).map_err(|_| TooSmall)?;
        self.patch(length_at, length)
    }

    /// A property of text: several strings make a list.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn text(&mut self, name: &str, strings: &[&str]) -> Result<(), TooSmall> {
        self.bytes(name, &[])?;
        let length_at = self.end.checked_sub(8).ok_or(TooSmall)?;
        let start = self.end;
        for string in strings {
            self.put(string.as_bytes())?;
            self.put(&[0])?;
        }
        let length = u32::try_from(self.end - start).map_err(|_| TooSmall)?;
        self.pad()?;
        self.patch(length_at, length)
    }

    fn patch(&mut self, at: usize, word: u32) -> Result<(), TooSmall> {
        let end = at.checked_add(4).ok_or(TooSmall)?;
        self.buffer.get_mut(at..end).ok_or(TooSmall)?.copy_from_slice(&word.to_be_bytes());
        Ok(())
    }

    /// Where `name` lies in the strings block, as distance from its end; it is added if it is not there yet.
    fn string(&mut self, name: &str) -> Result<u32, TooSmall> {
        let total = self.buffer.len();
        let block = self.buffer.get(self.strings..).unwrap_or_default();
        let mut at = 0;
        for known in block.split_inclusive(|byte| *byte == 0) {
            if known.strip_suffix(&[0]) == Some(name.as_bytes()) {
                return u32::try_from(block.len() - at).map_err(|_| TooSmall);
            }
            at += known.len();
        }
        let start =
            self.strings.checked_sub(name.len() + 1).filter(|start| *start >= self.end).ok_or(TooSmall)?;
        let slot = self.buffer.get_mut(start..self.strings).ok_or(TooSmall)?;
        let (text, terminator) = slot.split_at_mut(name.len());
        text.copy_from_slice(name.as_bytes());
        terminator.fill(0);
        self.strings = start;
        u32::try_from(total - start).map_err(|_| TooSmall)
    }

    /// Ends the tree; answers its size in bytes.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn finish(mut self) -> Result<usize, TooSmall> {
        self.word(9)?;
        let strings_size = self.buffer.len() - self.strings;
        self.resolve_names(strings_size)?;
        self.buffer.copy_within(self.strings.., self.end);
        let total = self.end + strings_size;
        let header = [
            0xd00d_feed,
            total,
            STRUCTURE_AT,
            self.end,
            HEADER,
            17,
            16,
            0,
            strings_size,
            self.end - STRUCTURE_AT,
        ];
        for (index, word) in header.iter().enumerate() {
            self.patch(4 * index, u32::try_from(*word).map_err(|_| TooSmall)?)?;
        }
        Ok(total)
    }

    /// Turns the distances from the end of the strings block into offsets from its start. The tokens are our own, so
    /// the walk only has to step over names and values.
    fn resolve_names(&mut self, strings_size: usize) -> Result<(), TooSmall> {
        let mut at = STRUCTURE_AT;
        while at < self.end {
            at = match self.peek(at)? {
                1 => {
                    let name = self.buffer.get(at + 4..self.end).ok_or(TooSmall)?;
                    let length = name.iter().position(|byte| *byte == 0).ok_or(TooSmall)?;
                    (at + 4 + length + 1).next_multiple_of(4)
                }
                3 => {
                    let offset = strings_size.checked_sub(self.peek(at + 8)? as usize).ok_or(TooSmall)?;
                    self.patch(at + 8, u32::try_from(offset).map_err(|_| TooSmall)?)?;
                    (at + 12 + self.peek(at + 4)? as usize).next_multiple_of(4)
                }
                _ => at + 4,
            };
        }
        Ok(())
    }

    fn peek(&self, at: usize) -> Result<u32, TooSmall> {
        let bytes = self.buffer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or(TooSmall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fdt::Tree;

    #[test]
    fn what_is_written_can_be_read() {
        let mut buffer = [0xaa; 512];
        let mut writer = Writer::new(&mut buffer).unwrap();
        writer.begin("").unwrap();
        writer.cells("#address-cells", &[2]).unwrap();
        writer.begin("node@1").unwrap();
        writer.text("compatible", &["one", "two"]).unwrap();
        writer.numbers("reg", &[0x1_0000_0002]).unwrap();
        writer.cells("#address-cells", &[1]).unwrap();
        writer.bytes("empty", &[]).unwrap();
        writer.end().unwrap();
        writer.end().unwrap();
        let size = writer.finish().unwrap();
        let tree = Tree::parse(&buffer[..size]).unwrap();
        let seen = tree.at("/node", |node| {
            assert!(node.is_compatible("two"));
            assert_eq!(node.prop("reg").unwrap().cells().collect::<Vec<_>>(), [1, 2]);
            assert_eq!(node.prop("#address-cells").unwrap().u32(), Ok(1));
            assert_eq!(node.prop("empty").unwrap().cell_count(), 0);
        });
        assert!(seen.is_some());
    }

    #[test]
    fn a_buffer_of_any_smaller_size_is_refused() {
        let write = |size: usize| {
            let mut buffer = vec![0; size];
            let mut writer = Writer::new(&mut buffer)?;
            writer.begin("")?;
            writer.text("model", &["a machine"])?;
            writer.begin("child")?;
            writer.cells("model", &[1, 2, 3])?;
            writer.end()?;
            writer.end()?;
            writer.finish()
        };
        let needed = write(4096).unwrap();
        assert_eq!(write(needed), Ok(needed));
        for size in 0..needed {
            assert_eq!(write(size), Err(TooSmall), "{size}");
        }
    }
}
