//! Writing a device tree, front to back, into memory that was set aside for it.
//!
//! Nothing is allocated for the tree itself: what does not fit the capacity of its vector is an error, never a cut-off tree.
//! Property names are kept apart, each once, and become the strings block at the end.

use alloc::vec::Vec;

use super::check::HEADER;

/// The tree does not fit the memory that was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

/// Version 17 trees begin with the header and an empty reservation block.
const STRUCTURE_AT: usize = HEADER + 16;

/// A tree being written. Nodes must be ended in the order in which they were begun.
pub struct Writer<'n> {
    /// Header and structure block so far.
    tree: Vec<u8>,
    /// The names in the strings block.
    names: Vec<&'n str>,
}

impl<'n> Writer<'n> {
    /// Begins a tree in `memory`: in its capacity, that is, since whatever is in it is thrown away.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn new(mut memory: Vec<u8>) -> Result<Self, TooSmall> {
        memory.clear();
        let mut writer = Self { tree: memory, names: Vec::new() };
        writer.put(&[0; STRUCTURE_AT])?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TooSmall> {
        if bytes.len() > self.tree.capacity() - self.tree.len() {
            return Err(TooSmall);
        }
        self.tree.extend_from_slice(bytes);
        Ok(())
    }

    fn word(&mut self, word: u32) -> Result<(), TooSmall> {
        self.put(&word.to_be_bytes())
    }

    /// Ends a string, or what is not whole cells.
    fn pad(&mut self) -> Result<(), TooSmall> {
        let missing = self.tree.len().wrapping_neg() % 4;
        self.put([0; 4].get(..missing).unwrap_or_default())
    }

    fn string(&mut self, string: &str) -> Result<(), TooSmall> {
        self.put(string.as_bytes())?;
        self.put(&[0])
    }

    /// Begins a node; the root has the name "".
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn begin(&mut self, name: &str) -> Result<(), TooSmall> {
        self.word(1)?;
        self.put(name.as_bytes())?;
        self.put([0; 4].get(name.len() % 4..).unwrap_or_default())
    }

    /// Ends the node begun last.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn end(&mut self) -> Result<(), TooSmall> {
        self.word(2)
    }

    /// The head of a property whose value has `length` bytes.
    fn property(&mut self, name: &'n str, length: usize) -> Result<(), TooSmall> {
        let length = u32::try_from(length).map_err(|_| TooSmall)?;
        let name = u32::try_from(self.name(name)).map_err(|_| TooSmall)?;
        self.put([3, length, name].map(u32::to_be_bytes).as_flattened())
    }

    /// Where `name` is in the strings block; it is added if it is not there yet.
    fn name(&mut self, name: &'n str) -> usize {
        let mut at = 0;
        for known in &self.names {
            if *known == name {
                return at;
            }
            at += known.len() + 1;
        }
        self.names.push(name);
        at
    }

    /// A property without a value.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn mark(&mut self, name: &'n str) -> Result<(), TooSmall> {
        self.property(name, 0)
    }

    /// A property of `length` zeroes, at most 32; answers where in the tree they are.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn zeroes(&mut self, name: &'n str, length: usize) -> Result<usize, TooSmall> {
        self.property(name, length)?;
        let at = self.tree.len();
        self.put([0; 32].get(..length).ok_or(TooSmall)?)?;
        self.pad()?;
        Ok(at)
    }

    /// A property of cells.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn cells(&mut self, name: &'n str, cells: &[u32]) -> Result<(), TooSmall> {
        self.property(name, size_of_val(cells))?;
        cells.iter().try_for_each(|cell| self.word(*cell))
    }

    /// A property of 64-bit numbers, two cells each.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn numbers(&mut self, name: &'n str, numbers: &[u64]) -> Result<(), TooSmall> {
        self.property(name, size_of_val(numbers))?;
        numbers.iter().try_for_each(|number| self.put(&number.to_be_bytes()))
    }

    /// A property of text: several strings make a list.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn text(&mut self, name: &'n str, strings: &[&str]) -> Result<(), TooSmall> {
        self.property(name, strings.iter().map(|string| string.len() + 1).sum())?;
        strings.iter().try_for_each(|string| self.string(string))?;
        self.pad()
    }

    /// Ends the tree, and answers it.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn finish(mut self) -> Result<Vec<u8>, TooSmall> {
        self.word(9)?;
        let strings = self.tree.len();
        for name in core::mem::take(&mut self.names) {
            self.string(name)?;
        }
        let total = self.tree.len();
        let header = [
            0xd00d_feed,
            total,
            STRUCTURE_AT,
            strings,
            HEADER,
            17,
            16,
            0,
            total - strings,
            strings - STRUCTURE_AT,
        ];
        for (place, word) in self.tree.as_chunks_mut().0.iter_mut().zip(header) {
            *place = u32::try_from(word).map_err(|_| TooSmall)?.to_be_bytes();
        }
        Ok(self.tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fdt::Tree;

    #[test]
    fn what_is_written_can_be_read() {
        let mut writer = Writer::new(vec![0xaa; 512]).unwrap();
        writer.begin("").unwrap();
        writer.cells("#address-cells", &[2]).unwrap();
        writer.begin("node@1").unwrap();
        writer.text("compatible", &["one", "two"]).unwrap();
        writer.numbers("reg", &[0x1_0000_0002]).unwrap();
        writer.cells("#address-cells", &[1]).unwrap();
        writer.mark("empty").unwrap();
        writer.end().unwrap();
        writer.end().unwrap();
        let blob = writer.finish().unwrap();
        let tree = Tree::parse(&blob).unwrap();
        let seen = tree.at("/node", |node| {
            assert!(node.is_compatible("two"));
            assert_eq!(node.prop("reg").unwrap().cells().collect::<Vec<_>>(), [1, 2]);
            assert_eq!(node.prop("#address-cells").unwrap().u32(), Ok(1));
            assert_eq!(node.prop("empty").unwrap().cell_count(), 0);
        });
        assert!(seen.is_some());
    }

    #[test]
    fn memory_of_any_smaller_size_is_refused() {
        let write = |size: usize| {
            let mut writer = Writer::new(Vec::with_capacity(size))?;
            writer.begin("")?;
            writer.text("model", &["a machine"])?;
            writer.begin("child")?;
            writer.cells("model", &[1, 2, 3])?;
            writer.end()?;
            writer.end()?;
            writer.finish()
        };
        let tree = write(4096).unwrap();
        let needed = tree.len();
        assert_eq!(write(needed), Ok(tree));
        for size in 0..needed {
            assert_eq!(write(size), Err(TooSmall), "{size}");
        }
    }
}
