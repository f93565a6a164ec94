//! How much RAM the hypervisor may keep from its domains, and whether a run's own account of it stays below that.

/// KiB for the hypervisor itself: image, variables, stacks, heap.
const FIXED: u64 = 1024;
/// KiB for each of the first two domains, stage 2 tables not counted: those follow from a domain's memory.
const PER_DOMAIN: u64 = 64;
/// KiB for each further domain, which finds no heap that is there anyway. 96 are its ports and their counters.
const PER_FURTHER: u64 = 160;

/// What is wrong with the line `RAM kept:` of a run, if the run has got that far.
pub fn excess(log: &str) -> Option<String> {
    let account = log.lines().find_map(|line| line.split_once("RAM kept: "))?.1;
    let domains = log.lines().find_map(|line| {
        let (before, _) = line.split_once(" unpaused, the counter at ")?;
        before.split(' ').rev().nth(1)?.parse::<u64>().ok()
    })?;
    let Some((total, tables)) = total_and_tables(account) else {
        return Some(format!("cannot be read: RAM kept: {account}"));
    };
    let allowed = FIXED + PER_DOMAIN * domains.min(2) + PER_FURTHER * domains.saturating_sub(2);
    let kept = total.saturating_sub(tables);
    (kept > allowed).then(|| {
        format!(
            "{kept} KiB of RAM are kept besides stage 2 tables; {allowed} are allowed for {domains} domains"
        )
    })
}

/// The first number, and the last.
fn total_and_tables(account: &str) -> Option<(u64, u64)> {
    let (total, _) = account.split_once(" KiB")?;
    let (_, tables) = account.trim_end().rsplit_once("stage 2 ")?;
    Some((total.parse().ok()?, tables.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(total: u64) -> String {
        format!(
            "(portunus) RAM kept: {total} KiB: image 796, stacks 64, more heap 0, domains 40, stage 2 600\r\n\
             (portunus) 2 domains unpaused, the counter at 7\r\n"
        )
    }

    #[test]
    fn what_is_kept_besides_stage_2_is_bounded() {
        assert_eq!(excess(&log(600 + 1152)), None);
        assert!(excess(&log(600 + 1153)).is_some_and(|why| why.starts_with("1153 KiB")));
        assert_eq!(excess("no domain was built"), None);
        assert!(excess(&log(1).replace("stage 2", "stage II")).is_some_and(|why| why.starts_with("cannot")));
    }
}
