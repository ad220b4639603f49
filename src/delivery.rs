//! The hub as the core wants it: the one place where the two meet.

use std::sync::Arc;

use bytes::Bytes;
use confab_protocol::command::PresenceStatus;
use confab_protocol::model::{Cursor, DeviceId, Incarnation, RoomId, Seq, SessionId, UserId};

use crate::core::log::{Delivery, Followers, Liveness, NewsKey};
use crate::core::standing::Revoked;
use crate::hub::Hub;

/// Delivers by way of the hub.
pub(crate) struct HubDelivery(pub(crate) Arc<Hub>);

impl Delivery for HubDelivery {
    fn identify(&self, session: SessionId, user: UserId, device: DeviceId) -> bool {
        self.0.identify(session, user, device)
    }

    fn attach(&self, session: SessionId, room: RoomId) {
        self.0.attach(session, room);
    }

    fn go_live(&self, session: SessionId, cursor: Cursor) -> Liveness {
        if self.0.go_live(session, cursor.room, cursor.seq) { Liveness::Live } else { Liveness::Behind }
    }

    fn is_attached(&self, session: SessionId, room: RoomId) -> bool {
        self.0.is_attached(session, room)
    }

    fn seen(&self) -> Vec<(RoomId, Seq)> {
        self.0.seen()
    }

    fn feed_to(&self, room: RoomId, incarnation: Incarnation, head: Seq) -> usize {
        self.0.feed_to(room, incarnation, head)
    }

    fn has_left(&self, session: SessionId, room: RoomId) -> bool {
        self.0.has_left(session, room)
    }

    fn detach(&self, session: SessionId, room: RoomId) {
        self.0.detach(session, room);
    }

    fn admit(&self, session: SessionId, room: RoomId) -> bool {
        self.0.admit(session, room)
    }

    fn is_here(&self, session: SessionId, room: RoomId) -> bool {
        self.0.is_here(session, room)
    }

    fn announce(&self, room: RoomId, key: NewsKey, push: &Bytes) {
        self.0.announce(room, key, push);
    }

    fn count_attached(&self, room: RoomId) -> usize {
        self.0.count_attached(room)
    }

    fn count_followers(&self, room: RoomId) -> usize {
        self.0.count_followers(room)
    }

    fn followers(&self, room: RoomId) -> Followers {
        let (connections, users) = self.0.followers(room);
        Followers { connections, users }
    }

    fn status(&self, session: SessionId) -> PresenceStatus {
        self.0.status(session)
    }

    fn set_status(&self, session: SessionId, status: PresenceStatus) -> Vec<RoomId> {
        self.0.set_status(session, status)
    }

    fn revoke(&self, revoked: Revoked) {
        let Revoked { epoch, user, device, code } = revoked;
        self.0.revoke(user, device, epoch, code);
    }

    fn confirm(&self, session: SessionId, epoch: u64) {
        self.0.confirm(session, epoch);
    }
}
