//! What is true for a moment: a queue of its own for each connection, of which pushes of the log never wait and which
//! is dropped first. Who follows a room stands beside it, for it is all that presence is made of.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use confab_protocol::codec::encode_ephemeral;
use confab_protocol::command::{Ephemeral, News, PresenceStatus};
use confab_protocol::model::{RoomId, SessionId, UserId};

use super::Hub;
use super::outbox::Batch;

/// News that may wait for one reader.
const NEWS_MAX: usize = 64;

/// What newer news of the same key replace; news without one do not.
pub type NewsKey = Option<(RoomId, UserId)>;

/// News that wait for one reader.
#[derive(Default)]
pub(super) struct Queue {
    news: VecDeque<(NewsKey, Bytes)>,
    /// Some did not find a place, and the reader is to be told.
    has_missed: bool,
}

impl Queue {
    /// Whether all of them have their place.
    pub(super) fn push(&mut self, key: NewsKey, push: &Bytes) -> bool {
        if key.is_some() {
            self.news.retain(|(other, _)| *other != key);
        }
        let is_full = self.news.len() >= NEWS_MAX;
        if is_full && let Some((dropped, _)) = self.news.pop_front() {
            // Who types is over soon; who is here is not.
            self.has_missed |= dropped.is_none();
        }
        self.news.push_back((key, push.clone()));
        !is_full
    }

    /// Behind what is in the batch.
    pub(super) fn take_into(self, batch: &mut Batch) {
        batch.extend(self.news.into_iter().map(|(_, push)| push));
        if self.has_missed {
            batch.push_back(encode_ephemeral(&Ephemeral { room: RoomId::NONE, news: News::Missed }));
        }
    }
}

/// How a connection shows.
pub(super) struct Status(AtomicU8);

impl Status {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(PresenceStatus::Online as u8))
    }

    fn set(&self, status: PresenceStatus) {
        self.0.store(status as u8, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> PresenceStatus {
        match self.0.load(Ordering::Relaxed) {
            0 => PresenceStatus::Online,
            1 => PresenceStatus::Away,
            _ => PresenceStatus::Invisible,
        }
    }
}

impl Hub {
    /// Hands news to everybody who follows a room, caught up or not.
    pub fn announce(&self, room: RoomId, key: NewsKey, push: &Bytes) {
        let shard = self.shard(room);
        let subscribers = shard.get(&room).map_or(&[][..], |state| &state.subscribers);
        let (mut handed, mut dropped) = (0, 0);
        for subscriber in subscribers.iter().filter(|subscriber| subscriber.is_here()) {
            handed += 1;
            dropped += u64::from(!subscriber.outbox.push_news(key, push));
        }
        self.metrics.news_total.inc_by(handed);
        self.metrics.news_dropped_total.inc_by(dropped);
    }

    /// How many connections follow a room.
    #[must_use]
    pub fn count_followers(&self, room: RoomId) -> usize {
        let shard = self.shard(room);
        shard.get(&room).map_or(0, |state| state.subscribers.iter().filter(|subscriber| subscriber.is_here()).count())
    }

    /// By how many connections a room is followed, and by whom: each once, as the most present of theirs shows.
    #[must_use]
    pub fn followers(&self, room: RoomId) -> (usize, HashMap<UserId, PresenceStatus>) {
        // Told apart outside the lock, which deliveries wait for.
        let outboxes: Vec<_> = self.shard(room).get(&room).map_or_else(Vec::new, |state| {
            let here = state.subscribers.iter().filter(|subscriber| subscriber.is_here());
            here.map(|subscriber| Arc::clone(&subscriber.outbox)).collect()
        });
        let mut users = HashMap::with_capacity(outboxes.len());
        for outbox in &outboxes {
            let (Some((user, _)), status) = (outbox.owner(), outbox.status.get()) else { continue };
            match users.entry(user) {
                Entry::Vacant(none) => drop(none.insert(status)),
                Entry::Occupied(mut other) => *other.get_mut() = status.min(*other.get()),
            }
        }
        (outboxes.len(), users)
    }

    /// Whether a connection is of those who are here.
    #[must_use]
    pub fn is_here(&self, session: SessionId, room: RoomId) -> bool {
        let Some(outbox) = self.outbox(session) else { return false };
        let shard = self.shard(room);
        let subscribers = shard.get(&room).map_or(&[][..], |state| &state.subscribers);
        subscribers.iter().any(|subscriber| subscriber.is_here() && Arc::ptr_eq(&subscriber.outbox, &outbox))
    }

    /// How a connection shows.
    #[must_use]
    pub fn status(&self, session: SessionId) -> PresenceStatus {
        self.outbox(session).map_or(PresenceStatus::Invisible, |outbox| outbox.status.get())
    }

    /// How a connection shows from now on; the rooms that it follows.
    pub fn set_status(&self, session: SessionId, status: PresenceStatus) -> Vec<RoomId> {
        let Some(outbox) = self.outbox(session) else { return Vec::new() };
        outbox.status.set(status);
        outbox.rooms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room's news are for those who may read it, and are in it.
    #[test]
    fn news_are_for_those_who_were_admitted_and_have_not_left() {
        use std::task::{Context, Waker};
        let hub = Hub::new(10, crate::metrics::Metrics::new());
        let (room, user) = (RoomId::from_u128(1), UserId::from_u128(2));
        let session = SessionId::from_u128(3);
        let outbox = hub.connect(session);
        assert!(hub.identify(session, user, confab_protocol::model::DeviceId::NONE));
        let hears = || {
            hub.announce(room, None, &Bytes::from_static(b"news"));
            let (mut batch, mut cx) = (Batch::new(), Context::from_waker(Waker::noop()));
            let _ = outbox.poll_take(&mut cx, &mut batch, &mut Vec::new());
            assert_eq!(hub.is_here(session, room), !batch.is_empty());
            assert_eq!(
                hub.followers(room),
                (batch.len(), batch.iter().map(|_| (user, PresenceStatus::Online)).collect())
            );
            assert_eq!(hub.count_followers(room), batch.len());
            batch.len()
        };
        assert_eq!(hears(), 0);
        hub.attach(session, room);
        assert_eq!(hears(), 0, "it is not known yet whether they may read");
        assert!(hub.admit(session, room) && !hub.admit(session, room));
        assert_eq!(hears(), 1);
        hub.detach_user(room, user);
        assert_eq!((hears(), hub.is_attached(session, room)), (0, true), "still fed to their leaving, and no more");
        hub.attach(session, room);
        assert_eq!(hears(), 0, "asking again lets nobody in");
    }

    #[test]
    fn the_newest_of_a_key_stays_and_what_is_dropped_is_told() {
        let key = |n| Some((RoomId::from_u128(n), UserId::NONE));
        let bytes = |n: usize| Bytes::from(vec![n as u8]);
        let mut queue = Queue::default();
        for n in 0..NEWS_MAX {
            assert!(queue.push(if n == 0 { None } else { key(n as u128) }, &bytes(n)));
        }
        assert!(queue.push(key(5), &bytes(200)), "in the place of another");
        assert!(!queue.push(key(900), &bytes(201)), "the oldest goes, which has no key");
        let mut batch = Batch::new();
        batch.push_back(bytes(255));
        queue.take_into(&mut batch);
        assert_eq!(batch.len(), 1 + NEWS_MAX + 1);
        assert_eq!((batch[0][0], batch[1][0], batch[NEWS_MAX - 1][0], batch[NEWS_MAX][0]), (255, 1, 200, 201));
        let missed = confab_protocol::codec::decode_server_frame(batch.back().unwrap()).unwrap();
        assert!(format!("{missed:?}").contains("Missed"), "{missed:?}");

        let mut queue = Queue::default();
        for n in 0..=NEWS_MAX {
            queue.push(key(n as u128), &bytes(n));
        }
        let mut batch = Batch::new();
        queue.take_into(&mut batch);
        assert_eq!(batch.len(), NEWS_MAX, "who typed is not worth a word");
    }
}
