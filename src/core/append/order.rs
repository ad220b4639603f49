//! Keeps what one connection sends to a room in order when some of it fails.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::RoomId;

/// Rooms whose failures a connection remembers; those without any are forgotten past that.
const ROOMS_KEPT: usize = 256;

/// Keeps the order of one connection: when an append fails, what the connection had queued behind it for
/// the same room fails too, until the connection has learned of it.
#[derive(Clone, Debug)]
pub struct Order {
    guard: Arc<OrderGuard>,
    epoch: u64,
}

/// The shared part of [`Order`]; one for each connection.
#[derive(Debug, Default)]
pub struct OrderGuard {
    rooms: Mutex<HashMap<RoomId, Failures>>,
}

/// Of one room. Rooms are apart: that a connection has learned of a failure in one says nothing of another.
#[derive(Debug, Default)]
struct Failures {
    /// How many the connection has learned of.
    epoch: u64,
    broken: Vec<u64>,
}

impl OrderGuard {
    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, Failures>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The order of an item that is admitted to a room now.
    #[must_use]
    pub fn admit(self: &Arc<Self>, room: RoomId) -> Order {
        let epoch = self.lock().get(&room).map_or(0, |failures| failures.epoch);
        Order { guard: Arc::clone(self), epoch }
    }

    /// The connection has learned of a failure in a room: what it sends there from now on is new.
    pub fn acknowledge(&self, room: RoomId) {
        let mut rooms = self.lock();
        let Some(failures) = rooms.get_mut(&room).filter(|failures| failures.broken.contains(&failures.epoch)) else {
            // What failed broke no order: what still waits may yet.
            return;
        };
        failures.epoch += 1;
        // What was admitted before may still wait, for as long as a connection can have requests in flight.
        let epoch = failures.epoch;
        failures.broken.retain(|broken| broken + IN_FLIGHT_MAX as u64 > epoch);
        if rooms.len() > ROOMS_KEPT {
            rooms.retain(|_, failures| !failures.broken.is_empty());
        }
    }
}

impl Order {
    /// An order that nothing shares: for the server's own entries.
    #[must_use]
    pub fn none() -> Self {
        Arc::new(OrderGuard::default()).admit(RoomId::NONE)
    }

    /// Whether something before this in the same room failed.
    #[must_use]
    pub fn is_broken(&self, room: RoomId) -> bool {
        self.guard.lock().get(&room).is_some_and(|failures| failures.broken.contains(&self.epoch))
    }

    /// Whether both were admitted by the same connection, with no failure learned of in between.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.guard, &other.guard) && self.epoch == other.epoch
    }

    /// This failed: nothing admitted with it may follow.
    pub fn mark_broken(&self, room: RoomId) {
        let mut rooms = self.guard.lock();
        let broken = &mut rooms.entry(room).or_default().broken;
        if !broken.contains(&self.epoch) {
            broken.push(self.epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_of_one_room_says_nothing_of_another() {
        let guard = Arc::new(OrderGuard::default());
        let (a, b) = (RoomId::from_u128(1), RoomId::from_u128(2));
        let waiting = guard.admit(b);
        guard.admit(a).mark_broken(a);
        guard.acknowledge(a);
        let behind = guard.admit(b);
        waiting.mark_broken(b);
        assert!(behind.is_broken(b), "it was sent behind what failed, and nobody was told yet");
        guard.acknowledge(b);
        // A failure that broke nothing, such as a refused reaction, begins nothing new.
        let (early, late) = (guard.admit(b), {
            guard.acknowledge(b);
            guard.admit(b)
        });
        assert!(early.is_same(&late));
        assert!(behind.is_broken(b) && !guard.admit(b).is_broken(b) && !guard.admit(a).is_broken(a));
    }
}
