//! The record that the tracer leaves, `qemu/tracer`: what every CPU executed in each stretch that a guest marked.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};

use super::marks;

/// Something that a CPU did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It executed the instruction at this virtual address.
    Executed(u64),
    /// It accessed a device at this physical address, in the instruction before.
    Accessed(u64),
    /// It executed so many instructions of the hypervisor (0), a kernel (1) or a program (2); the tracer counted only.
    Counted(u8, u64),
}

/// What was done between a mark and the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// The mark that opened it.
    pub mark: u16,
    /// The CPU on which it was opened.
    pub opener: u8,
    /// What each CPU did, in order; the marks themselves are not in it.
    pub deeds: Vec<(u8, Deed)>,
}

/// A whole run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The stretches, in order. The last one may have no end.
    pub stretches: Vec<Stretch>,
    /// Instructions from reset to the first of any guest.
    pub start: Option<u64>,
    /// Instructions from reset to each domain's init process.
    pub inits: Vec<u64>,
}

impl Record {
    /// Reads a file of the tracer.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has something in it that no tracer writes.
    pub fn read(path: &str) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| format!("{path}: {e}"))?;
        let mut words = BufReader::with_capacity(1 << 20, file);
        let mut record = Self::default();
        let mut open = None;
        let mut word = [0; 8];
        loop {
            match words.read_exact(&mut word) {
                Ok(()) => record.add(u64::from_le_bytes(word), &mut open)?,
                // Whoever was ended may have left half a word.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
                Err(e) => return Err(format!("{path}: {e}")),
            }
        }
        record.stretches.extend(open.filter(|open| open.mark != marks::END));
        Ok(record)
    }

    fn add(&mut self, word: u64, open: &mut Option<Stretch>) -> Result<(), String> {
        let cpu = (word >> 56 & 0xf) as u8;
        let value = word & ((1 << 56) - 1);
        let deed = match word >> 60 {
            0 => Deed::Executed(value),
            1 => return self.mark((value >> 48) as u16, cpu, value & ((1 << 48) - 1), open),
            2 => Deed::Accessed(value),
            3 => Deed::Counted((value >> 48) as u8, value & ((1 << 48) - 1)),
            other => return Err(format!("a record of kind {other}: not from this tracer")),
        };
        if let Some(open) = open {
            open.deeds.push((cpu, deed));
        }
        Ok(())
    }

    fn mark(&mut self, mark: u16, cpu: u8, before: u64, open: &mut Option<Stretch>) -> Result<(), String> {
        match mark {
            // What is only counted is counted behind the end, too: until the next beginning.
            marks::END => {
                self.stretches.extend(open.take());
                *open = Some(Stretch { mark, opener: cpu, deeds: Vec::new() });
            }
            marks::START => self.start = self.start.or(Some(before)),
            marks::INIT => self.inits.push(before),
            marks::DONE => {}
            // Two guests may fall asleep: what counts begins with the later one.
            mark => {
                let behind = open.take().filter(|open| open.mark == marks::END && !open.deeds.is_empty());
                self.stretches.extend(behind);
                *open = Some(Stretch { mark, opener: cpu, deeds: Vec::new() });
            }
        }
        Ok(())
    }

    /// The stretches that `mark` opened.
    pub fn of(&self, mark: u16) -> impl Iterator<Item = &Stretch> {
        self.stretches.iter().filter(move |stretch| stretch.mark == mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_marks_is_a_stretch() {
        let mark = |cpu: u64, mark: u16, count: u64| 1 << 60 | cpu << 56 | u64::from(mark) << 48 | count;
        let words = [
            mark(0, marks::START, 70),
            mark(1, marks::START, 90),
            5,
            mark(1, marks::HYPERCALL, 100),
            1 << 56 | 0x4000,
            2 << 60 | 1 << 56 | 0x800_0004,
            0x4100,
            mark(1, marks::END, 102),
            6,
        ];
        let (mut record, mut open) = (Record::default(), None);
        for word in words {
            record.add(word, &mut open).unwrap();
        }
        let deeds =
            vec![(1, Deed::Executed(0x4000)), (1, Deed::Accessed(0x800_0004)), (0, Deed::Executed(0x4100))];
        assert_eq!(record.start, Some(70));
        assert_eq!(record.stretches, [Stretch { mark: marks::HYPERCALL, opener: 1, deeds }]);
        assert!(record.add(4 << 60, &mut None).is_err());
    }

    #[test]
    fn totals_belong_to_what_lies_between_two_marks_and_behind_an_end() {
        let mark = |mark: u16| 1 << 60 | u64::from(mark) << 48;
        let total = |cpu: u64, whose: u64, count: u64| 3 << 60 | cpu << 56 | whose << 48 | count;
        let words = [
            mark(marks::ROUND_TRIP),
            total(0, 1, 500),
            total(1, 0, 70),
            mark(marks::END),
            total(1, 1, 30),
            mark(marks::ROUND_TRIP),
        ];
        let (mut record, mut open) = (Record::default(), None);
        for word in words {
            record.add(word, &mut open).unwrap();
        }
        let [trip, behind] = &record.stretches[..] else { panic!("{record:?}") };
        assert_eq!(trip.deeds, [(0, Deed::Counted(1, 500)), (1, Deed::Counted(0, 70))]);
        assert_eq!((behind.mark, &behind.deeds[..]), (marks::END, &[(1, Deed::Counted(1, 30))][..]));
    }
}
