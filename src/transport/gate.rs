//! How many connections may be open, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Default)]
struct Counts {
    all_max: usize,
    per_ip_max: usize,
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Counts open connections.
pub struct Gate {
    counts: Mutex<Counts>,
}

/// A place, until it is dropped.
pub struct Ticket {
    gate: Arc<Gate>,
    /// The network that it is counted for; none while a proxy has not said whose it is.
    network: Option<IpAddr>,
}

impl Gate {
    /// With these bounds.
    #[must_use]
    pub fn new(all_max: usize, per_ip_max: usize) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::new(Counts { all_max, per_ip_max, ..Counts::default() }) })
    }

    /// Other bounds for those who come from now on; who is there stays.
    pub fn replace(&self, all_max: usize, per_ip_max: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        (counts.all_max, counts.per_ip_max) = (all_max, per_ip_max);
    }

    /// A place for this address, or the name of the limit that is reached.
    ///
    /// # Errors
    /// The limit's name, for metrics.
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Ticket, &'static str> {
        let mut ticket = self.admit_proxy()?;
        ticket.count_for(ip)?;
        Ok(ticket)
    }

    /// A place for a proxy, who comes for many.
    ///
    /// # Errors
    /// The limit's name, for metrics.
    pub fn admit_proxy(self: &Arc<Self>) -> Result<Ticket, &'static str> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= counts.all_max {
            return Err("connections");
        }
        counts.all += 1;
        drop(counts);
        Ok(Ticket { gate: Arc::clone(self), network: None })
    }

    /// Whether more than half of the places are taken, of all or of this address.
    #[must_use]
    pub fn is_past_half(&self, ip: IpAddr) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let from_ip = counts.by_ip.get(&network(ip)).copied().unwrap_or_default();
        counts.all > counts.all_max / 2 || from_ip > counts.per_ip_max / 2
    }
}

/// Who has one IPv6 address has its whole /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

impl Ticket {
    /// The place is this address's from now on.
    ///
    /// # Errors
    /// The limit's name, for metrics; the place stays whose it was.
    pub fn count_for(&mut self, ip: IpAddr) -> Result<(), &'static str> {
        let network = network(ip);
        if self.network == Some(network) {
            return Ok(());
        }
        let mut counts = self.gate.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let per_ip_max = counts.per_ip_max;
        let from_ip = counts.by_ip.entry(network).or_default();
        if *from_ip >= per_ip_max {
            return Err("connections_per_ip");
        }
        *from_ip += 1;
        let before = self.network.replace(network);
        counts.give_back(before);
        Ok(())
    }
}

impl Counts {
    fn give_back(&mut self, network: Option<IpAddr>) {
        let Some(network) = network else { return };
        if let Some(from_ip) = self.by_ip.get_mut(&network) {
            *from_ip = from_ip.saturating_sub(1);
            if *from_ip == 0 {
                self.by_ip.remove(&network);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.gate.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        counts.give_back(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let gate = Gate::new(3, 2);
        let ip = |text: &str| text.parse().unwrap();
        let first = gate.admit(ip("10.0.0.1")).unwrap();
        assert!(!gate.is_past_half(ip("10.0.0.1")), "half is not past half");
        let _second = gate.admit(ip("::ffff:10.0.0.1")).unwrap();
        assert_eq!(gate.admit(ip("10.0.0.1")).err(), Some("connections_per_ip"));
        assert!(gate.is_past_half(ip("10.0.0.1")) && gate.is_past_half(ip("10.9.9.9")));
        let _third = gate.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(gate.admit(ip("2001:db8:1::1")).err(), Some("connections"));
        drop(first);
        assert!(gate.admit(ip("10.0.0.1")).is_ok());
        assert_eq!(gate.counts.lock().unwrap().by_ip.len(), 2);
    }

    #[test]
    fn other_bounds_hold_for_those_who_come() {
        let gate = Gate::new(2, 2);
        let ip = "10.0.0.1".parse().unwrap();
        let places = [gate.admit(ip).unwrap(), gate.admit(ip).unwrap()];
        gate.replace(1, 1);
        assert_eq!(gate.admit(ip).err(), Some("connections"));
        gate.replace(3, 1);
        assert_eq!(gate.admit(ip).err(), Some("connections_per_ip"));
        drop(places);
        assert!(gate.admit(ip).is_ok(), "who was refused holds no place");
    }
}
