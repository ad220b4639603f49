//! The hub as the core wants it: the one place where the two meet.

use std::sync::Arc;

use confab_protocol::close::CloseCode;
use confab_protocol::model::{Cursor, DeviceId, RoomId, Seq, SessionId, UserId};

use crate::core::log::{Delivery, Liveness};
use crate::hub::{Hub, Standing};

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

    fn feed_until(&self, session: SessionId, room: RoomId) -> Option<Seq> {
        match self.0.standing(session, room) {
            Standing::Follows => Some(Seq(u64::MAX)),
            Standing::Until(seq) => Some(seq),
            Standing::Gone => None,
        }
    }

    fn detach(&self, session: SessionId, room: RoomId) {
        self.0.detach(session, room);
    }

    fn close_device(&self, user: UserId, device: DeviceId, code: CloseCode) {
        self.0.close_device(user, device, code);
    }
}
