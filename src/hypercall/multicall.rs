//! `multicall` (13): a list of hypercalls in one.
//!
//! Entry, 64 bytes: `op@0(8) result@8(8) args@16(6 x 8)`; only five arguments are used. A list may be of any
//! length, so only a few entries are done at a time; the guest is then sent back to the HVC with the rest.

use super::record::Record;
use super::{Answer, Caller, Early, Errno, MULTICALL, Outcome, offset, single};
use crate::addr::Gva;

const ENTRY: u64 = 64;
/// Entries done before other work on this pCPU gets a turn.
const BATCH: u32 = 8;

#[inline(never)]
pub(super) fn multicall(caller: &impl Caller, args: [u64; 5]) -> Answer {
    let [list, count, x2, x3, x4] = args;
    let mut entry = Gva::new(list);
    let mut left = count;
    for _ in 0..BATCH {
        if left == 0 {
            return Ok(0);
        }
        let again = Early::Instead(Outcome::Continue([entry.get(), left, x2, x3, x4]));
        let mut op = Record::<64>::read(caller, entry)?;
        let inner = [op.u64::<16>(), op.u64::<24>(), op.u64::<32>(), op.u64::<40>(), op.u64::<48>()];
        let outcome = match op.u64::<0>() {
            MULTICALL => Outcome::Return(Errno::EINVAL.code()),
            number => single(caller, number, inner),
        };
        left -= 1;
        match outcome {
            Outcome::Return(result) => caller.write_guest(offset(entry, 8)?, &result.to_le_bytes())?,
            Outcome::Retry => return Err(again),
            Outcome::Continue([x0, x1, x2, x3, x4]) => {
                op.set_u64::<16>(x0);
                op.set_u64::<24>(x1);
                op.set_u64::<32>(x2);
                op.set_u64::<40>(x3);
                op.set_u64::<48>(x4);
                op.write(caller, entry)?;
                return Err(again);
            }
            Outcome::Shutdown(_) => return Err(Early::Instead(outcome)),
            // Waiting in the middle of a list ends at once, as any wait may; at its end it is honoured.
            Outcome::Yield | Outcome::Block | Outcome::Poll { .. } => {
                caller.write_guest(offset(entry, 8)?, &0_u64.to_le_bytes())?;
                if left == 0 {
                    return Err(Early::Instead(outcome));
                }
                caller.events().stop_polling(caller.domain(), caller.vcpu());
            }
        }
        entry = offset(entry, ENTRY)?;
    }
    if left == 0 {
        return Ok(0);
    }
    Err(Early::Instead(Outcome::Continue([entry.get(), left, x2, x3, x4])))
}
