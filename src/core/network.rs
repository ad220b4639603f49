//! What counts as one origin: nobody has one address alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
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
/// How long a wrong guess is remembered.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// Networks from which passwords were guessed wrong lately.
#[derive(Default)]
pub struct Suspects(Mutex<HashMap<IpAddr, Duration>>);

impl Suspects {
    /// A wrong guess.
    pub fn note(&self, from: IpAddr, now: Duration) {
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if suspects.len() < NETWORKS_MAX || suspects.contains_key(&network(from)) {
            suspects.insert(network(from), now);
        }
    }

    /// Whether there was one lately.
    pub fn contains(&self, from: IpAddr, now: Duration) -> bool {
        let suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.get(&network(from)).is_some_and(|at| now.saturating_sub(*at) < REMEMBERED)
    }

    /// Drops those that are forgiven.
    pub fn evict(&self, now: Duration) {
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.retain(|_, at| now.saturating_sub(*at) < REMEMBERED);
        suspects.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_and_wrong_guesses_are_forgotten() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(ip("10.1.2.3")), network(ip("::ffff:10.1.2.99")));
        assert_ne!(network(ip("10.1.2.3")), network(ip("10.1.3.3")));
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8:0:7::1")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:1::1")));
        let (suspects, start) = (Suspects::default(), Duration::from_secs(5));
        suspects.note(ip("10.1.2.3"), start);
        assert!(suspects.contains(ip("10.1.2.4"), start) && !suspects.contains(ip("10.1.3.4"), start));
        assert!(!suspects.contains(ip("10.1.2.3"), start + REMEMBERED));
        suspects.evict(start + REMEMBERED);
        assert!(suspects.0.lock().unwrap().is_empty());
    }
}
