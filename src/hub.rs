//! Room -> subscribers, sharded; one bounded outbox per connection. It copies references and nothing else,
//! waits for nobody, and knows neither core nor store.

mod outbox;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use confab_protocol::close::CloseCode;
use confab_protocol::model::{DeviceId, RoomId, Seq, SessionId, UserId};

pub use self::outbox::{Batch, Outbox};
use crate::metrics::Metrics;

/// A reader's interest in a room.
struct Subscriber {
    outbox: Arc<Outbox>,
    /// `None` until it is live; then what it knew when it became so.
    live_from: Option<Seq>,
    /// One who left while being caught up is fed to their leaving and no further.
    until: Option<Seq>,
}

/// How a connection stands to a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It follows it, live or not.
    Follows,
    /// It is to be fed up to this seq.
    Until(Seq),
    /// It does not.
    Gone,
}

#[derive(Default)]
struct Room {
    /// The last seq that was delivered since the first subscriber came.
    last: Seq,
    subscribers: Vec<Subscriber>,
}

/// All live interest of this process.
pub struct Hub {
    shards: Box<[Mutex<HashMap<RoomId, Room>>]>,
    sessions: Mutex<HashMap<SessionId, Arc<Outbox>>>,
    users: Mutex<HashMap<UserId, Vec<Arc<Outbox>>>>,
    connections_per_user: usize,
    metrics: Metrics,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove_from(users: &mut HashMap<UserId, Vec<Arc<Outbox>>>, user: UserId, outbox: &Arc<Outbox>) {
    if let Some(outboxes) = users.get_mut(&user) {
        outboxes.retain(|other| !Arc::ptr_eq(other, outbox));
        if outboxes.is_empty() {
            users.remove(&user);
        }
    }
}

impl Hub {
    /// An empty hub with a power of two of shards, at least twice the cores.
    #[must_use]
    pub fn new(connections_per_user: usize, metrics: Metrics) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let shards = (0..(2 * cores).next_power_of_two()).map(|_| Mutex::default()).collect();
        Self { shards, sessions: Mutex::default(), users: Mutex::default(), connections_per_user, metrics }
    }

    fn shard(&self, room: RoomId) -> MutexGuard<'_, HashMap<RoomId, Room>> {
        // The low bits of a UUIDv7 are random; the number of shards is a power of two, never zero.
        let index = room.as_u128() as usize & (self.shards.len() - 1);
        #[expect(clippy::indexing_slicing, reason = "masked by the length")]
        lock(&self.shards[index])
    }

    /// A connection comes.
    #[must_use]
    pub fn connect(&self, session: SessionId) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::new(session));
        lock(&self.sessions).insert(session, Arc::clone(&outbox));
        outbox
    }

    /// A connection goes, with all its interest.
    pub fn disconnect(&self, outbox: &Arc<Outbox>) {
        lock(&self.sessions).remove(&outbox.session());
        if let Some((user, _)) = outbox.owner() {
            remove_from(&mut lock(&self.users), user, outbox);
        }
        for room in outbox.take_rooms() {
            self.drop_subscriber(room, |other| Arc::ptr_eq(other, outbox));
        }
    }

    /// Binds a connection to a user's device. `false`: the user has too many.
    pub fn identify(&self, session: SessionId, user: UserId, device: DeviceId) -> bool {
        let Some(outbox) = self.outbox(session) else { return true };
        let before = outbox.owner().map(|(owner, _)| owner);
        if before == Some(user) {
            outbox.set_owner(user, device);
            return true;
        }
        let mut users = lock(&self.users);
        let outboxes = users.entry(user).or_default();
        if outboxes.len() >= self.connections_per_user {
            return false;
        }
        outbox.set_owner(user, device);
        outboxes.push(Arc::clone(&outbox));
        if let Some(before) = before {
            remove_from(&mut users, before, &outbox);
        }
        true
    }

    /// Notes an interest; nothing is delivered until [`Self::go_live`].
    pub fn attach(&self, session: SessionId, room: RoomId) {
        let Some(outbox) = self.outbox(session) else { return };
        let mut shard = self.shard(room);
        let state = shard.entry(room).or_default();
        match state.subscribers.iter_mut().find(|subscriber| Arc::ptr_eq(&subscriber.outbox, &outbox)) {
            Some(subscriber) => (subscriber.live_from, subscriber.until) = (None, None),
            None => {
                outbox.add_room(room);
                state.subscribers.push(Subscriber { outbox, live_from: None, until: None });
                self.metrics.subscriptions.inc();
            }
        }
    }

    /// Live from a seq, if nothing after it was delivered. `true` also for one who is not attached.
    pub fn go_live(&self, session: SessionId, room: RoomId, known: Seq) -> bool {
        let Some(outbox) = self.outbox(session) else { return true };
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return true };
        if state.last > known {
            return false;
        }
        let mine = state.subscribers.iter_mut().find(|subscriber| Arc::ptr_eq(&subscriber.outbox, &outbox));
        if let Some(subscriber) = mine {
            subscriber.live_from = Some(known);
        }
        true
    }

    /// How a connection stands to a room.
    #[must_use]
    pub fn standing(&self, session: SessionId, room: RoomId) -> Standing {
        let Some(outbox) = self.outbox(session) else { return Standing::Gone };
        let shard = self.shard(room);
        let subscribers = shard.get(&room).map_or(&[][..], |state| &state.subscribers);
        let mine = subscribers.iter().find(|subscriber| Arc::ptr_eq(&subscriber.outbox, &outbox));
        mine.map_or(Standing::Gone, |subscriber| subscriber.until.map_or(Standing::Follows, Standing::Until))
    }

    /// Ends an interest.
    pub fn detach(&self, session: SessionId, room: RoomId) {
        if let Some(outbox) = self.outbox(session) {
            outbox.remove_room(room);
            self.drop_subscriber(room, |other| Arc::ptr_eq(other, &outbox));
        }
    }

    /// Ends the interest of all of a user's connections with their leaving, which live ones have just been given.
    pub fn detach_user(&self, room: RoomId, user: UserId, leaving: Seq) {
        let outboxes = lock(&self.users).get(&user).cloned().unwrap_or_default();
        for outbox in outboxes {
            if self.bound_if_behind(room, &outbox, leaving) {
                continue;
            }
            outbox.remove_room(room);
            self.drop_subscriber(room, |other| Arc::ptr_eq(other, &outbox));
        }
    }

    fn bound_if_behind(&self, room: RoomId, outbox: &Arc<Outbox>, leaving: Seq) -> bool {
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return false };
        let mine = state.subscribers.iter_mut().find(|subscriber| Arc::ptr_eq(&subscriber.outbox, outbox));
        match mine {
            Some(subscriber) if subscriber.live_from.is_none() => {
                subscriber.until.get_or_insert(leaving);
                true
            }
            _ => false,
        }
    }

    /// Whether anybody in this process follows the room.
    #[must_use]
    pub fn is_watched(&self, room: RoomId) -> bool {
        self.shard(room).contains_key(&room)
    }

    /// Hands a push to every live subscriber. Called by the tail alone, in seq order for each room.
    pub fn deliver(&self, room: RoomId, last: Seq, push: &Bytes) {
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return };
        state.last = last;
        let mut delivered = 0;
        for subscriber in &state.subscribers {
            // One who became live from the store may have seen this already.
            if subscriber.live_from.is_some_and(|known| known < last) {
                delivered += 1;
                if !subscriber.outbox.push(push) {
                    self.metrics.slow_consumers_total.inc();
                }
            }
        }
        drop(shard);
        self.metrics.deliveries_total.inc_by(delivered);
    }

    /// Closes the connections of a user's device.
    pub fn close_device(&self, user: UserId, device: DeviceId, code: CloseCode) {
        let outboxes = lock(&self.users).get(&user).cloned().unwrap_or_default();
        for outbox in outboxes.iter().filter(|outbox| outbox.owner() == Some((user, device))) {
            outbox.close(code);
        }
    }

    fn outbox(&self, session: SessionId) -> Option<Arc<Outbox>> {
        lock(&self.sessions).get(&session).cloned()
    }

    fn drop_subscriber(&self, room: RoomId, is_it: impl Fn(&Arc<Outbox>) -> bool) {
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return };
        if let Some(index) = state.subscribers.iter().position(|subscriber| is_it(&subscriber.outbox)) {
            state.subscribers.swap_remove(index);
            self.metrics.subscriptions.dec();
        }
        if state.subscribers.is_empty() {
            shard.remove(&room);
        }
    }
}
