//! The two ways out of the core: into a room's log (which the sequencer implements) and to readers (which
//! the hub implements).

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use confab_protocol::command::PresenceStatus;
use confab_protocol::model::{Cursor, DeviceId, Incarnation, RoomId, Seq, SessionId, UserId};
use tokio::sync::oneshot;

use super::append::{Decision, Item};
use super::standing::Revoked;

/// What becomes of a queued item. `Err`: the store failed; nothing was appended.
pub type Receipt = oneshot::Receiver<Result<Decision, super::store::Error>>;

/// The way into room logs. Items of one caller are sequenced in the order of their calls.
#[async_trait]
pub trait Log: Send + Sync {
    /// Queues an item; waits only while the queue is full. The receipt comes after the durable commit.
    async fn append(&self, item: Item) -> Receipt;
    /// Waits until what was queued for a room before, on this server, has its outcome.
    ///
    /// # Errors
    /// Some of it has none: the store does not answer.
    async fn settled(&self, room: RoomId) -> Result<(), super::store::Error>;
}

/// Whether a subscription is live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liveness {
    /// Every later entry comes as a push.
    Live,
    /// Entries were delivered meanwhile: read on from the cursor and try again.
    Behind,
}

/// What newer news of the same key replace; news without one do not.
pub type NewsKey = Option<(RoomId, UserId)>;

/// Who follows a room.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Followers {
    /// By so many connections.
    pub connections: usize,
    /// Each once, as the most present of their connections shows.
    pub users: HashMap<UserId, PresenceStatus>,
}

/// The way to readers. Nothing here waits.
pub trait Delivery: Send + Sync {
    /// A connection is this user's device from now on. `false`: the user has too many.
    fn identify(&self, session: SessionId, user: UserId, device: DeviceId) -> bool;
    /// Notes a room's interest in deliveries, before the store is read, so that nothing falls between.
    fn attach(&self, session: SessionId, room: RoomId);
    /// The reader knows the log up to the cursor: live from there if that is still the head.
    fn go_live(&self, session: SessionId, cursor: Cursor) -> Liveness;
    /// Whether the connection follows the room, live or not.
    fn is_attached(&self, session: SessionId, room: RoomId) -> bool;
    /// The rooms that are followed live, each up to where its least knowing reader knows it.
    fn seen(&self) -> Vec<(RoomId, Seq)>;
    /// The log goes on to here, and nobody will deliver it: live readers who know less are fed from the store. How many.
    fn feed_to(&self, room: RoomId, incarnation: Incarnation, head: Seq) -> usize;
    /// Whether the connection was put out of the room while it was not live in it.
    fn has_left(&self, session: SessionId, room: RoomId) -> bool;
    /// Ends a subscription.
    fn detach(&self, session: SessionId, room: RoomId);
    /// The room that a connection attached to is one that it may read. `true`: that was not so before.
    fn admit(&self, session: SessionId, room: RoomId) -> bool;
    /// Whether a connection was admitted to a room, and not put out since.
    fn is_here(&self, session: SessionId, room: RoomId) -> bool;
    /// News for everybody who follows a room; newer ones of the same key take their place.
    fn announce(&self, room: RoomId, key: NewsKey, push: &Bytes);
    /// How many connections a room's entries go to; also those on their way in or out. Cheap.
    fn count_attached(&self, room: RoomId) -> usize;
    /// How many connections follow a room.
    fn count_followers(&self, room: RoomId) -> usize;
    /// Who follows a room.
    fn followers(&self, room: RoomId) -> Followers;
    /// How a connection shows.
    fn status(&self, session: SessionId) -> PresenceStatus;
    /// How a connection shows from now on; the rooms that it follows.
    fn set_status(&self, session: SessionId, status: PresenceStatus) -> Vec<RoomId>;
    /// Closes the connections that are meant.
    fn revoke(&self, revoked: Revoked);
    /// The standing of who is behind a connection was found good as of this epoch.
    fn confirm(&self, session: SessionId, epoch: u64);
}
