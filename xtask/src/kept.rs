//! How much RAM the hypervisor may keep from its domains, and whether a run's own account of it stays below that.

/// KiB for the hypervisor itself: image, variables, stacks, heap.
const FIXED: u64 = 1024;
/// KiB for each domain, stage 2 tables not counted: those follow from a domain's memory.
const PER_DOMAIN: u64 = 64;

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
    let allowed = FIXED + PER_DOMAIN * domains;
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

    fn log(domains: u64, total: u64) -> String {
        format!(
            "(portunus) RAM kept: {total} KiB: image 796, stacks 64, more heap 0, domains 40, stage 2 600\r\n\
             (portunus) {domains} domains unpaused, the counter at 7\r\n"
        )
    }

    #[test]
    fn what_is_kept_besides_stage_2_is_bounded() {
        assert_eq!(excess(&log(2, 600 + 1152)), None);
        assert!(excess(&log(2, 600 + 1153)).is_some_and(|why| why.starts_with("1153 KiB")));
        assert_eq!(excess(&log(32, 600 + 3072)), None);
        assert!(excess(&log(32, 600 + 3073)).is_some_and(|why| why.ends_with("for 32 domains")));
        assert_eq!(excess("no domain was built"), None);
        assert!(
            excess(&log(2, 1).replace("stage 2", "stage II")).is_some_and(|why| why.starts_with("cannot"))
        );
    }
}
