//! Room -> subscribers, sharded; one bounded outbox per connection. It copies references and nothing else,
//! waits for nobody, and knows neither core nor store.

mod news;
mod outbox;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use confab_protocol::close::CloseCode;
use confab_protocol::command::PresenceStatus;
use confab_protocol::model::{Cursor, DeviceId, Incarnation, RoomId, Seq, SessionId, UserId};

use prometheus::IntCounter;

pub use self::news::NewsKey;
use self::outbox::Pushed;
pub use self::outbox::{Batch, Begun, Outbox, TryWriter};
use crate::metrics::Metrics;

/// A reader's interest in a room.
struct Subscriber {
    outbox: Arc<Outbox>,
    /// `None` until it is live; then what it knew when it became so.
    live_from: Option<Seq>,
    /// One who left while being caught up is fed to their leaving by the store, and never becomes live.
    has_left: bool,
    /// Whether it was found that they may read: an interest is noted before that, so that nothing falls between.
    is_admitted: bool,
}

impl Subscriber {
    /// Whether they are of those who hear news of the room, and are news themselves.
    const fn is_here(&self) -> bool {
        self.is_admitted && !self.has_left
    }
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
    connections_per_user: AtomicUsize,
    metrics: Metrics,
}

/// What a push holds: the entries of one room from one seq to another.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Span {
    pub room: RoomId,
    pub incarnation: Incarnation,
    pub first: Seq,
    pub last: Seq,
}

/// A push: the same bytes for everybody, and others for those who are given more.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Copies {
    pub everyone: Bytes,
    pub own: Vec<(UserId, Bytes)>,
}

impl Copies {
    fn of(&self, outbox: &Outbox) -> &Bytes {
        // Mostly there are none.
        let own = self.own.iter().find(|(user, _)| outbox.owner().is_some_and(|(owner, _)| owner == *user));
        own.map_or(&self.everyone, |(_, push)| push)
    }
}

/// Readers that one flusher writes to: a few hundred microseconds of system calls, and one wake-up for all of them.
const FLUSHER_OUTBOXES: usize = 32;

/// Some of a push's readers, who wait and are to be written to.
pub struct Flusher {
    outboxes: Vec<Arc<Outbox>>,
    pushes_sent_total: IntCounter,
}

impl Flusher {
    /// Writes to each what is queued for it by now; whoever cannot take it is woken.
    pub fn flush(self) {
        let sent: usize = self.outboxes.iter().map(|outbox| outbox.flush()).sum();
        self.pushes_sent_total.inc_by(sent as u64);
    }
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
        let connections_per_user = AtomicUsize::new(connections_per_user);
        Self { shards, sessions: Mutex::default(), users: Mutex::default(), connections_per_user, metrics }
    }

    /// Another bound for those who come from now on; who is there stays.
    pub fn set_connections_per_user(&self, connections: usize) {
        self.connections_per_user.store(connections, Ordering::Relaxed);
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

    /// How many connections there are.
    #[must_use]
    pub fn count_connections(&self) -> usize {
        lock(&self.sessions).len()
    }

    /// A connection goes, with all its interest: whose it was, how it showed, and the rooms that it followed.
    pub fn disconnect(&self, outbox: &Arc<Outbox>) -> Option<(UserId, PresenceStatus, Vec<RoomId>)> {
        outbox.retire();
        lock(&self.sessions).remove(&outbox.session());
        if let Some((user, _)) = outbox.owner() {
            remove_from(&mut lock(&self.users), user, outbox);
        }
        let rooms = outbox.take_rooms();
        for room in &rooms {
            self.drop_subscriber(*room, |other| Arc::ptr_eq(other, outbox));
        }
        outbox.owner().map(|(user, _)| (user, outbox.status.get(), rooms))
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
        if outboxes.len() >= self.connections_per_user.load(Ordering::Relaxed) {
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
            Some(subscriber) => {
                // Who was put out meanwhile is to be admitted anew.
                subscriber.is_admitted = subscriber.is_here();
                (subscriber.live_from, subscriber.has_left) = (None, false);
            }
            None => {
                outbox.add_room(room);
                state.subscribers.push(Subscriber { outbox, live_from: None, has_left: false, is_admitted: false });
                self.metrics.subscriptions.inc();
            }
        }
    }

    /// The interest is in a room that they may read. `true`: it was not admitted before.
    pub fn admit(&self, session: SessionId, room: RoomId) -> bool {
        let Some(outbox) = self.outbox(session) else { return false };
        let mut shard = self.shard(room);
        let subscribers = shard.get_mut(&room).map_or(&mut [][..], |state| &mut state.subscribers);
        let mine = subscribers.iter_mut().find(|subscriber| Arc::ptr_eq(&subscriber.outbox, &outbox));
        mine.is_some_and(|subscriber| !std::mem::replace(&mut subscriber.is_admitted, true))
    }

    /// Live from a seq, if nothing after it was delivered and they have not left. `true` also for one who is not
    /// attached.
    pub fn go_live(&self, session: SessionId, room: RoomId, known: Seq) -> bool {
        let Some(outbox) = self.outbox(session) else { return true };
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return true };
        if state.last > known {
            return false;
        }
        let mine = state.subscribers.iter_mut().find(|subscriber| Arc::ptr_eq(&subscriber.outbox, &outbox));
        match mine {
            Some(Subscriber { has_left: true, .. }) => false,
            Some(subscriber) => {
                subscriber.live_from = Some(known);
                true
            }
            None => true,
        }
    }

    /// Whether a connection was put out of a room while it was not live in it.
    #[must_use]
    pub fn has_left(&self, session: SessionId, room: RoomId) -> bool {
        let Some(outbox) = self.outbox(session) else { return false };
        let shard = self.shard(room);
        let subscribers = shard.get(&room).map_or(&[][..], |state| &state.subscribers);
        subscribers.iter().any(|subscriber| subscriber.has_left && Arc::ptr_eq(&subscriber.outbox, &outbox))
    }

    /// Whether a connection follows a room, live or not.
    #[must_use]
    pub fn is_attached(&self, session: SessionId, room: RoomId) -> bool {
        let Some(outbox) = self.outbox(session) else { return false };
        let shard = self.shard(room);
        let subscribers = shard.get(&room).map_or(&[][..], |state| &state.subscribers);
        subscribers.iter().any(|subscriber| Arc::ptr_eq(&subscriber.outbox, &outbox))
    }

    /// Ends an interest.
    pub fn detach(&self, session: SessionId, room: RoomId) {
        if let Some(outbox) = self.outbox(session) {
            outbox.remove_room(room);
            self.drop_subscriber(room, |other| Arc::ptr_eq(other, &outbox));
        }
    }

    /// Ends the interest of all of a user's connections with their leaving, which live ones have just been given.
    pub fn detach_user(&self, room: RoomId, user: UserId) {
        let outboxes = lock(&self.users).get(&user).cloned().unwrap_or_default();
        for outbox in outboxes {
            if self.note_left_if_behind(room, &outbox) {
                continue;
            }
            outbox.remove_room(room);
            self.drop_subscriber(room, |other| Arc::ptr_eq(other, &outbox));
        }
    }

    fn note_left_if_behind(&self, room: RoomId, outbox: &Arc<Outbox>) -> bool {
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return false };
        let mine = state.subscribers.iter_mut().find(|subscriber| Arc::ptr_eq(&subscriber.outbox, outbox));
        match mine {
            Some(subscriber) if subscriber.live_from.is_none() => {
                subscriber.has_left = true;
                true
            }
            _ => false,
        }
    }

    /// How many connections a room's entries go to; also those on their way in or out.
    #[must_use]
    pub fn count_attached(&self, room: RoomId) -> usize {
        self.shard(room).get(&room).map_or(0, |state| state.subscribers.len())
    }

    /// Whether anybody in this process follows the room.
    #[must_use]
    pub fn is_watched(&self, room: RoomId) -> bool {
        self.shard(room).contains_key(&room)
    }

    /// Hands a push to every live subscriber. Called by the tail alone. Who has not seen what stands before it, or has
    /// no place for it, lags: they are fed from the store until they are live again. What comes back is to be flushed,
    /// on any thread.
    #[must_use]
    pub fn deliver(&self, span: Span, push: &Copies) -> Vec<Flusher> {
        let Span { room, incarnation, first, last } = span;
        let mut flushers = Vec::new();
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return flushers };
        let delivered_until = state.last;
        state.last = last.max(delivered_until);
        let (mut delivered, mut lagging) = (0, 0);
        for subscriber in &mut state.subscribers {
            let Some(known) = subscriber.live_from else { continue };
            let seen = known.max(delivered_until);
            // One who became live from the store may have seen this already.
            if last <= seen {
                continue;
            }
            let pushed =
                if first <= seen.next() { subscriber.outbox.push(push.of(&subscriber.outbox)) } else { Pushed::Full };
            match pushed {
                Pushed::Queued => delivered += 1,
                Pushed::ToFlush => {
                    delivered += 1;
                    self.add(&mut flushers, &subscriber.outbox);
                }
                Pushed::Full => {
                    lagging += 1;
                    subscriber.live_from = None;
                    subscriber.outbox.lag(Cursor { room, incarnation, seq: seen });
                }
            }
        }
        drop(shard);
        self.metrics.deliveries_total.inc_by(delivered);
        self.metrics.lagging_readers_total.inc_by(lagging);
        flushers
    }

    /// Up to where a room was delivered since the first of those came who follow it.
    #[must_use]
    pub fn delivered_until(&self, room: RoomId) -> Seq {
        self.shard(room).get(&room).map_or(Seq(0), |state| state.last)
    }

    /// The rooms that are followed live, each up to where its least knowing reader knows it.
    #[must_use]
    pub fn seen(&self) -> Vec<(RoomId, Seq)> {
        let mut seen = Vec::new();
        for shard in &self.shards {
            for (room, state) in lock(shard).iter() {
                let least = state.subscribers.iter().filter_map(|it| it.live_from).min();
                seen.extend(least.map(|known| (*room, known.max(state.last))));
            }
        }
        seen
    }

    /// The log goes on to here, and nobody will deliver it: live readers who know less are fed from the store. Returns how
    /// many they are.
    pub fn feed_to(&self, room: RoomId, incarnation: Incarnation, head: Seq) -> usize {
        let mut shard = self.shard(room);
        let Some(state) = shard.get_mut(&room) else { return 0 };
        let delivered_until = state.last;
        // They are live again when they have read so far.
        state.last = head.max(delivered_until);
        let mut fed = 0;
        for subscriber in &mut state.subscribers {
            let Some(seq) = subscriber.live_from.map(|known| known.max(delivered_until)) else { continue };
            if seq < head {
                subscriber.live_from = None;
                subscriber.outbox.lag(Cursor { room, incarnation, seq });
                fed += 1;
            }
        }
        fed
    }

    fn add(&self, flushers: &mut Vec<Flusher>, outbox: &Arc<Outbox>) {
        match flushers.last_mut().filter(|last| last.outboxes.len() < FLUSHER_OUTBOXES) {
            Some(last) => last.outboxes.push(Arc::clone(outbox)),
            None => {
                let mut outboxes = Vec::with_capacity(FLUSHER_OUTBOXES);
                outboxes.push(Arc::clone(outbox));
                flushers.push(Flusher { outboxes, pushes_sent_total: self.metrics.pushes_sent_total.clone() });
            }
        }
    }

    /// Closes connections of a user, perhaps only of a device: those whose standing was last found good before this epoch.
    pub fn revoke(&self, user: UserId, device: Option<DeviceId>, epoch: u64, code: CloseCode) {
        let outboxes = lock(&self.users).get(&user).cloned().unwrap_or_default();
        let is_meant = |outbox: &&Arc<Outbox>| {
            outbox.owner().is_some_and(|(_, own)| device.is_none_or(|device| device == own))
                && outbox.good_at.load(Ordering::Acquire) < epoch
        };
        outboxes.iter().filter(is_meant).for_each(|outbox| outbox.close(code));
    }

    /// The standing of who is behind a connection was found good as of this epoch.
    pub fn confirm(&self, session: SessionId, epoch: u64) {
        if let Some(outbox) = self.outbox(session) {
            outbox.good_at.store(epoch, Ordering::Release);
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
