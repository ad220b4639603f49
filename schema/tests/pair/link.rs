//! The wire between the two ends: latency per lane, silence, and cuts that lose what is in flight. It
//! knows frames and ends, and nothing of sessions.

use std::collections::BTreeMap;

use bytes::Bytes;
use confab_protocol::close::Close;
use confab_protocol::model::Millis;

/// Which end something arrives at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Client,
    Server,
}

/// Each lane keeps its own order; there is none between lanes (as in QUIC).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Lane {
    Upstream,
    Control,
    Push,
}

/// What travels.
#[derive(Debug)]
pub(crate) enum Parcel {
    Frame(Bytes),
    Connected,
    Disconnected(Close),
}

/// A link with latency.
#[derive(Debug)]
pub(crate) struct Link {
    /// A new connection can be had.
    pub(crate) available: bool,
    /// The present connection swallows everything and never recovers: streams do not lose their middle.
    pub(crate) dead: bool,
    /// Both directions of the control stream, milliseconds.
    pub(crate) control_ms: u64,
    /// The lane of the pushes, milliseconds.
    pub(crate) push_ms: u64,
    flights: BTreeMap<(Millis, u64), (End, Parcel)>,
    last_due: BTreeMap<Lane, Millis>,
    sent: u64,
}

impl Link {
    pub(crate) fn new(latency_ms: u64) -> Self {
        Self {
            available: true,
            dead: false,
            control_ms: latency_ms,
            push_ms: latency_ms,
            flights: BTreeMap::new(),
            last_due: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Sends something; a dead link loses it.
    pub(crate) fn send(&mut self, now: Millis, lane: Lane, parcel: Parcel) {
        if !self.dead {
            self.schedule(now, lane, parcel);
        }
    }

    /// Delivers something in any case: what the client's own machine tells it.
    pub(crate) fn schedule(&mut self, now: Millis, lane: Lane, parcel: Parcel) {
        let (latency_ms, end) = match lane {
            Lane::Upstream => (self.control_ms, End::Server),
            Lane::Control => (self.control_ms, End::Client),
            Lane::Push => (self.push_ms, End::Client),
        };
        let last = self.last_due.entry(lane).or_default();
        let due = now.after(latency_ms).max(*last);
        *last = due;
        self.sent += 1;
        self.flights.insert((due, self.sent), (end, parcel));
    }

    pub(crate) fn next_due(&self) -> Millis {
        self.flights.keys().next().map_or(Millis::NEVER, |(due, _)| *due)
    }

    pub(crate) fn take_due(&mut self, now: Millis) -> Option<(End, Parcel)> {
        let first = self.flights.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Loses all that is in flight.
    pub(crate) fn clear(&mut self) {
        self.flights.clear();
        self.last_due.clear();
    }
}
