//! Channels by name: which domains they join, and the ports where the file leaves the choice.

use super::partition::{At, Channel, Domain, End};
use super::report::{Problem, Spot, did_you_mean};

/// A channel as it is written.
pub struct Draft {
    /// Its name.
    pub name: At<String>,
    /// Which way events go, if it is said.
    pub direction: Option<At<String>>,
    /// `DOMAIN` or `DOMAIN:PORT`, twice.
    pub ends: Vec<At<String>>,
}

/// An end whose port may not be chosen yet.
struct Loose {
    domain: usize,
    port: Option<u32>,
    at: Spot,
}

/// A channel's name, its direction if one is given, and its ends.
type Found = (At<String>, Option<At<String>>, [Loose; 2]);

/// Resolves the names of domains, and gives each end without a port the lowest free one of its domain, in the order of
/// the file.
///
/// `names` are the domains of the file; of those, `domains` could be read. A channel to one that could not is left out
/// silently: what is wrong there is said already.
pub fn join(
    drafts: Vec<Draft>,
    names: &[&str],
    domains: &[Domain],
    problems: &mut Vec<Problem>,
) -> Vec<Channel> {
    let mut found: Vec<Found> = Vec::new();
    for draft in drafts {
        let count = draft.ends.len();
        let Ok([one, two]) = <[At<String>; 2]>::try_from(draft.ends) else {
            let help = "a channel has two ends: ends = [\"one-domain\", \"other-domain\"]";
            let what = format!("this channel has {count}");
            problems.push(Problem::new("channel without two ends", &draft.name.at, what, help));
            continue;
        };
        let (one, two) = (end(&one, names, domains, problems), end(&two, names, domains, problems));
        if let (Some(one), Some(two)) = (one, two) {
            found.push((draft.name, draft.direction, [one, two]));
        }
    }
    let ends = found.iter().flat_map(|(.., ends)| ends);
    let mut taken: Vec<(usize, u32)> = ends.filter_map(|end| Some((end.domain, end.port?))).collect();
    let mut place = |Loose { domain, port, at }: Loose| {
        let free = || (1..).find(|port| !taken.contains(&(domain, *port))).unwrap_or(1);
        let port = port.unwrap_or_else(free);
        taken.push((domain, port));
        End { domain, port, at }
    };
    found
        .into_iter()
        .map(|(name, direction, ends)| Channel { name, direction, ends: ends.map(&mut place) })
        .collect()
}

/// The domain's index and the port, if one is given.
fn end(text: &At<String>, names: &[&str], domains: &[Domain], problems: &mut Vec<Problem>) -> Option<Loose> {
    let (name, port) = match text.value.split_once(':') {
        Some((name, port)) => (name.trim(), Some(port.trim())),
        None => (text.value.trim(), None),
    };
    if !names.contains(&name) {
        let what = format!("there is no domain {name}");
        problems.push(Problem::new("channel to nobody", &text.at, what, did_you_mean(name, names)));
        return None;
    }
    let domain = domains.iter().position(|domain| domain.name.value == name)?;
    let number = port.map(|port| match port.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => port.parse(),
    });
    match number.transpose() {
        Ok(port) => Some(Loose { domain, port, at: text.at.clone() }),
        Err(_) => {
            let what = format!("{} is no number", port.unwrap_or_default());
            let help = "write \"DOMAIN:PORT\", such as \"ping:10\", or leave the port to be chosen: \"ping\"";
            problems.push(Problem::new("port that cannot be read", &text.at, what, help));
            None
        }
    }
}
