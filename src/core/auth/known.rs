//! From where accounts were entered lately: what others guess elsewhere keeps nobody out who comes from there. In memory
//! alone; after a start, and from anywhere, a device is known by its id, which the store has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::core::network::network;

/// Accounts that are remembered; then those that were entered longest ago are not.
const ACCOUNTS_MAX: usize = 16_384;
/// Networks of one account.
const NETWORKS_MAX: usize = 4;
/// How long a right password is remembered.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A network, and when somebody came from there.
type Entered = (IpAddr, Duration);

/// Networks from which accounts were entered, by login name without its case.
#[derive(Default)]
pub(in crate::core) struct Known(Mutex<HashMap<Box<str>, Vec<Entered>>>);

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Vec<Entered>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A right password.
    pub(super) fn note(&self, name: &str, from: IpAddr, now: Duration) {
        let (name, mut accounts) = (name.to_ascii_lowercase(), self.lock());
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(name.as_str()) {
            let last = |networks: &Vec<Entered>| networks.first().map(|(_, at)| *at);
            let oldest = accounts.iter().min_by_key(|(_, networks)| last(networks)).map(|(name, _)| name.clone());
            oldest.and_then(|name| accounts.remove(&name));
        }
        let networks = accounts.entry(name.into()).or_default();
        networks.retain(|(known, _)| *known != network(from));
        // The newest first.
        networks.insert(0, (network(from), now));
        networks.truncate(NETWORKS_MAX);
    }

    /// Whether somebody came from there with the right password.
    pub(super) fn contains(&self, name: &str, from: IpAddr, now: Duration) -> bool {
        let is_it = |(known, at): &Entered| *known == network(from) && now.saturating_sub(*at) < REMEMBERED;
        self.lock().get(name.to_ascii_lowercase().as_str()).is_some_and(|networks| networks.iter().any(is_it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn of(number: u32) -> IpAddr {
        Ipv4Addr::from(number << 8).into()
    }

    #[test]
    fn a_network_is_known_to_the_account_that_came_from_there_for_a_month() {
        let (known, now) = (Known::default(), Duration::from_secs(9));
        known.note("Alice", of(1), now);
        assert!(known.contains("alice", of(1), now) && known.contains("ALICE", of(1), now));
        assert!(!known.contains("bob", of(1), now) && !known.contains("alice", of(2), now));
        assert!(!known.contains("alice", of(1), now + REMEMBERED));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let known = Known::default();
        let at = |number| Duration::from_secs(u64::from(number));
        for number in 1..=9 {
            known.note("alice", of(number), at(number));
        }
        let remembered: Vec<_> = (1..=9).filter(|number| known.contains("alice", of(*number), at(9))).collect();
        assert_eq!(remembered, [6, 7, 8, 9], "the last four");
        for number in 10..=u32::try_from(ACCOUNTS_MAX).unwrap() + 9 {
            known.note(&format!("user{number}"), of(number), at(number));
        }
        assert_eq!(known.lock().len(), ACCOUNTS_MAX);
        let now = at(u32::try_from(ACCOUNTS_MAX).unwrap() + 9);
        assert!(!known.contains("alice", of(9), now) && known.contains("user10", of(10), now), "the oldest went");
    }
}
