//! What counts as one origin: nobody has one address alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The network that limits count by: a /24 of IPv4, a /48 of IPv6, which one customer may have to themselves.
#[must_use]
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !(u128::MAX >> 48)).into()),
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & !0xff).into()),
    }
}

/// Networks that are remembered; more than an attacker finds addresses in.
const NETWORKS_MAX: usize = 65_536;
/// How long a try is remembered after the last.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// Tries of a network.
struct Tries {
    count: u32,
    last: Duration,
}

/// Networks from which somebody asked for a password to be looked at lately, and was not let in.
#[derive(Default)]
pub struct Suspects(Mutex<HashMap<IpAddr, Tries>>);

impl Suspects {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Tries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more try; how many there were before.
    pub fn note(&self, from: IpAddr, now: Duration) -> u32 {
        let mut suspects = self.lock();
        if suspects.len() >= NETWORKS_MAX && !suspects.contains_key(&network(from)) {
            return 0;
        }
        let tries = suspects.entry(network(from)).or_insert(Tries { count: 0, last: now });
        let before = if now.saturating_sub(tries.last) < REMEMBERED { tries.count } else { 0 };
        *tries = Tries { count: before.saturating_add(1), last: now };
        before
    }

    /// A try was none: somebody was let in.
    pub fn forgive(&self, from: IpAddr) {
        if let Some(tries) = self.lock().get_mut(&network(from)) {
            tries.count = tries.count.saturating_sub(1);
        }
    }

    /// Drops those that are forgotten.
    pub fn evict(&self, now: Duration) {
        let mut suspects = self.lock();
        suspects.retain(|_, tries| tries.count > 0 && now.saturating_sub(tries.last) < REMEMBERED);
        suspects.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_and_tries_are_forgotten() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(ip("10.1.2.3")), network(ip("::ffff:10.1.2.99")));
        assert_ne!(network(ip("10.1.2.3")), network(ip("10.1.3.3")));
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8:0:7::1")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:1::1")));
        let (suspects, start) = (Suspects::default(), Duration::from_secs(5));
        assert_eq!(suspects.note(ip("10.1.2.3"), start), 0);
        assert_eq!(suspects.note(ip("10.1.2.4"), start), 1);
        assert_eq!(suspects.note(ip("10.1.3.4"), start), 0);
        suspects.forgive(ip("10.1.2.9"));
        assert_eq!(suspects.note(ip("10.1.2.3"), start), 1, "who was let in counts for nothing");
        assert_eq!(suspects.note(ip("10.1.2.3"), start + REMEMBERED), 0);
        suspects.forgive(ip("10.1.3.4"));
        suspects.evict(start);
        assert_eq!(suspects.lock().len(), 1);
        suspects.evict(start + REMEMBERED * 2);
        assert!(suspects.lock().is_empty());
    }
}
