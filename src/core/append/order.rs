//! Keeps what one connection sends to a room in order when some of it fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::RoomId;

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
    epoch: AtomicU64,
    broken: Mutex<Vec<(RoomId, u64)>>,
}

impl OrderGuard {
    /// The order of an item that is admitted now.
    #[must_use]
    pub fn admit(self: &Arc<Self>) -> Order {
        Order { guard: Arc::clone(self), epoch: self.epoch.load(Ordering::Acquire) }
    }

    /// The connection has learned of a failure: what it sends from now on is new.
    pub fn acknowledge(&self) {
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel);
        // What was admitted before may still wait, for as long as a connection can have requests in flight.
        let is_recent = |broken: u64| broken + IN_FLIGHT_MAX as u64 > epoch;
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, broken)| is_recent(*broken));
    }
}

impl Order {
    /// An order that nothing shares: for the server's own entries.
    #[must_use]
    pub fn none() -> Self {
        Arc::new(OrderGuard::default()).admit()
    }

    /// Whether something before this in the same room failed.
    #[must_use]
    pub fn is_broken(&self, room: RoomId) -> bool {
        self.guard.broken.lock().unwrap_or_else(PoisonError::into_inner).contains(&(room, self.epoch))
    }

    /// Whether both were admitted by the same connection, with no failure learned of in between.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.guard, &other.guard) && self.epoch == other.epoch
    }

    /// This failed: nothing admitted with it may follow.
    pub fn mark_broken(&self, room: RoomId) {
        let mut broken = self.guard.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if !broken.contains(&(room, self.epoch)) {
            broken.push((room, self.epoch));
        }
    }
}
