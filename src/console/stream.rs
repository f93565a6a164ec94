//! The way out for one source of output: a domain, or the hypervisor on one pCPU.

use core::fmt;

use super::ring::{Ring, Upto};
use crate::sync::{AtomicU32, Ordering, Retry, TryLock};

/// A line longer than this is shown although it has not ended, in bytes.
pub const LONGEST_LINE: u32 = 256;
/// Room for output that the UART has not taken yet, in bytes per source.
const CAPACITY: u32 = 4096;

/// Output of one source on its way to the UART.
///
/// Domains write bytes and wait (in the guest) while there is no room. The hypervisor writes whole lines, never
/// waits, and counts the lines that found no room.
#[derive(Debug)]
pub struct Stream {
    ring: Ring,
    producer: TryLock,
    lost: AtomicU32,
}

impl Stream {
    /// An empty stream, or `None` if there is no memory for it.
    #[must_use]
    pub fn new() -> Option<Self> {
        Some(Self { ring: Ring::new(CAPACITY)?, producer: TryLock::new(), lost: AtomicU32::new(0) })
    }

    /// Writes one byte for a domain: shown with its line, or at once while the domain has the input focus.
    ///
    /// # Errors
    ///
    /// [`Retry`] if another vCPU of the domain is writing, or the UART has fallen too far behind.
    pub fn put(&self, byte: u8) -> Result<(), Retry> {
        let _held = self.producer.try_take().ok_or(Retry)?;
        self.append(byte)
    }

    /// Writes `bytes` for a domain, as many as there is room for; answers how many. Zero means to try again.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let Some(_held) = self.producer.try_take() else { return 0 };
        bytes.iter().take_while(|byte| self.append(**byte).is_ok()).count()
    }

    /// Shows the unfinished line of a domain that has ended.
    pub fn finish(&self) {
        if let Some(_held) = self.producer.try_take()
            && self.ring.uncommitted() != 0
        {
            let _ = self.ring.stage(b'\n');
            self.ring.commit();
        }
    }

    /// Writes a line for the hypervisor, or counts it as lost.
    pub fn line(&self, text: fmt::Arguments<'_>) {
        if let Some(_held) = self.producer.try_take() {
            let lost = self.lost.load(Ordering::Relaxed);
            if self.stage_line(lost, text).is_ok() {
                self.ring.commit();
                self.lost.fetch_sub(lost, Ordering::Relaxed);
                return;
            }
            self.ring.roll_back();
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the next byte for the UART; `live` also takes of a line that has not ended.
    #[must_use]
    pub(super) fn take(&self, live: bool) -> Option<u8> {
        self.ring.take(if live { Upto::Staged } else { Upto::Committed })
    }

    /// Whether a line is ready for the UART.
    #[must_use]
    pub(super) fn has_line(&self) -> bool {
        self.ring.waiting() != 0
    }

    fn append(&self, byte: u8) -> Result<(), Retry> {
        if !self.ring.stage(byte) {
            return Err(Retry);
        }
        if byte == b'\n' || self.ring.uncommitted() >= LONGEST_LINE {
            self.ring.commit();
        }
        Ok(())
    }

    fn stage_line(&self, lost: u32, text: fmt::Arguments<'_>) -> fmt::Result {
        use fmt::Write;
        let mut writer = Stage(&self.ring);
        if lost != 0 {
            writeln!(writer, "(no room for {lost} earlier lines)")?;
        }
        writeln!(writer, "{text}")
    }
}

struct Stage<'a>(&'a Ring);

impl fmt::Write for Stage<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| self.0.stage(byte)) { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn all(stream: &Stream, live: bool) -> String {
        let bytes: Vec<u8> = core::iter::from_fn(|| stream.take(live)).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_shows_when_it_ends() {
        let stream = Stream::new().unwrap();
        assert_eq!(stream.write(b"login: "), 7);
        assert_eq!(all(&stream, false), "");
        assert_eq!(all(&stream, true), "login: ");
        stream.put(b'\n').unwrap();
        assert_eq!(all(&stream, false), "\n");
    }

    #[test]
    fn a_line_without_end_shows_when_it_gets_long() {
        let stream = Stream::new().unwrap();
        for _ in 0..LONGEST_LINE + 1 {
            stream.put(b'x').unwrap();
        }
        assert_eq!(all(&stream, false).len(), LONGEST_LINE as usize);
    }

    #[test]
    fn a_domain_waits_when_there_is_no_room_and_loses_nothing() {
        let stream = Stream::new().unwrap();
        let text = vec![b'x'; 2 * CAPACITY as usize];
        assert_eq!(stream.write(&text), CAPACITY as usize);
        assert_eq!(stream.put(b'y'), Err(Retry));
        assert_eq!(all(&stream, false).len(), CAPACITY as usize);
        assert_eq!(stream.put(b'y'), Ok(()));
    }

    #[test]
    fn two_vcpus_at_once_do_not_mix_their_states() {
        let stream = Stream::new().unwrap();
        let held = stream.producer.try_take();
        assert_eq!(stream.put(b'a'), Err(Retry));
        assert_eq!(stream.write(b"ab"), 0);
        drop(held);
        assert_eq!(stream.put(b'a'), Ok(()));
    }

    #[test]
    fn the_hypervisor_loses_whole_lines_and_says_how_many() {
        let stream = Stream::new().unwrap();
        let long = "y".repeat(1500);
        for _ in 0..4 {
            stream.line(format_args!("{long}"));
        }
        let shown = all(&stream, false);
        assert_eq!(shown.lines().map(str::len).collect::<Vec<_>>(), [1500, 1500]);
        stream.line(format_args!("next"));
        assert_eq!(all(&stream, false), "(no room for 2 earlier lines)\nnext\n");
        stream.line(format_args!("last"));
        assert_eq!(all(&stream, false), "last\n");
    }

    #[test]
    fn the_last_words_of_a_domain_show_without_a_newline() {
        let stream = Stream::new().unwrap();
        stream.write(b"reboot: Power down");
        stream.finish();
        stream.finish();
        assert_eq!(all(&stream, false), "reboot: Power down\n");
    }
}
