//! `console_io` (18): text for the domain's console, without a device.

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
            let now = count.min(BATCH);
            let text = Gva::new(text);
            write(caller, text, now)?;
            if now == count {
                return Ok(0);
            }
            let rest = [cmd, (count - now).into(), offset(text, now.into())?.get(), x3, x4];
            Err(Early::Instead(Outcome::Continue(rest)))
        }
        1 if count > i32::MAX as u32 => Err(Errno::E2BIG.into()),
        // Console input goes to the domain's vPL011, if it goes to the domain at all.
        1 => Ok(0),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Prints `count` bytes, dropping what is not text.
fn write(caller: &impl Caller, text: Gva, count: u32) -> Result<(), Early> {
    let mut done = 0;
    while done < count {
        let mut chunk = [0; CHUNK as usize];
        let length = (count - done).min(CHUNK);
        let bytes = chunk.get_mut(..length as usize).unwrap_or_default();
        caller.read_guest(offset(text, done.into())?, bytes)?;
        let mut kept = 0;
        for at in 0..bytes.len() {
            if let Some(&byte) = bytes.get(at)
                && matches!(byte, b' '..=b'~' | b'\t' | b'\n')
                && let Some(slot) = bytes.get_mut(kept)
            {
                *slot = byte;
                kept += 1;
            }
        }
        caller.console_write(bytes.get(..kept).unwrap_or_default());
        done += length;
    }
    Ok(())
}
