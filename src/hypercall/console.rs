//! `console_io` (18): text for the domain's console, without a device.
//!
//! The console takes what it has room for. What it does not take, the guest offers again: the hypercall goes on
//! from the first byte not taken, so that no text is lost and the guest, not EL2, waits for the UART.

use super::{Answer, Caller, Early, Errno, Outcome, offset};
use crate::addr::Gva;

/// Bytes read from the guest at a time.
const CHUNK: u32 = 128;
/// Bytes taken before other work on this pCPU gets a turn.
const BATCH: u32 = 1024;

pub(super) fn console_io(caller: &impl Caller, args: [u64; 5]) -> Answer {
    let [cmd, count, text, x3, x4] = args;
    let count = count as u32;
    match cmd as u32 {
        0 => {
            let text = Gva::new(text);
            let done = write(caller, text, count.min(BATCH))?;
            if done == count {
                return Ok(0);
            }
            if done == 0 {
                return Err(Early::Instead(Outcome::Retry));
            }
            let rest = [cmd, (count - done).into(), offset(text, done.into())?.get(), x3, x4];
            Err(Early::Instead(Outcome::Continue(rest)))
        }
        1 if count > i32::MAX as u32 => Err(Errno::E2BIG.into()),
        // Console input goes to the domain's vPL011, if it goes to the domain at all.
        1 => Ok(0),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Prints `count` bytes, or as many of them as the console has room for; answers how many are done with.
fn write(caller: &impl Caller, text: Gva, count: u32) -> Result<u32, Early> {
    let mut done = 0;
    while done < count {
        let mut chunk = [0; CHUNK as usize];
        let length = (count - done).min(CHUNK);
        let bytes = chunk.get_mut(..length as usize).unwrap_or_default();
        caller.read_guest(offset(text, done.into())?, bytes)?;
        let taken = show(caller, bytes);
        done += taken as u32;
        if taken < bytes.len() {
            break;
        }
    }
    Ok(done)
}

/// Offers the text among `bytes` to the console and drops what is not text. Answers how many bytes, of both
/// kinds, come before the first that the console has no room for.
fn show(caller: &impl Caller, bytes: &[u8]) -> usize {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().position(|byte| !is_text(*byte)).unwrap_or(rest.len());
        let run = rest.get(..length).unwrap_or_default();
        if run.is_empty() {
            done += 1;
            continue;
        }
        let taken = caller.console_write(run).min(length);
        done += taken;
        if taken < length {
            break;
        }
    }
    done
}

const fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n')
}
