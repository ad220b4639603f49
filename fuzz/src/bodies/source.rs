//! Bytes as a source of operations, and the values that both ends are given.

use confab_protocol::command::{Identity, Secret, Session};
use confab_protocol::model::{DeviceId, DisplayName, Millis, RoomId, ServerRole, UserId, Username};

/// `None` when they are used up.
pub(super) struct Source<'a>(pub(super) &'a [u8]);

impl<'a> Source<'a> {
    pub(super) const fn byte(&mut self) -> Option<u8> {
        let Some((first, rest)) = self.0.split_first() else { return None };
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(self.0.len().min(len));
        self.0 = rest;
        taken
    }
}

pub(super) fn identity(token_expires: Millis) -> Identity {
    Identity {
        user: UserId::from_u128(1),
        device: DeviceId::from_u128(2),
        self_room: RoomId::from_u128(3),
        username: Username::parse("fuzz").expect("a name"),
        display_name: DisplayName::parse("Fuzz").expect("a name"),
        role: ServerRole::User,
        token_expires,
    }
}

pub(super) fn session(token_expires: Millis, refresh_expires: Millis) -> Session {
    let (access_token, refresh_token) = (Secret::new("access"), Secret::new("refresh"));
    Session { identity: identity(token_expires), access_token, refresh_token, refresh_expires }
}
