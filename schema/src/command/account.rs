//! Accounts and logins.

use crate::model::{DeviceId, DeviceName, DisplayName, Millis, RoomId, ServerRole, UserId, Username};
use crate::text::Secret;

/// Who is behind a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Identity {
    pub user: UserId,
    pub device: DeviceId,
    pub self_room: RoomId,
    pub username: Username,
    pub display_name: DisplayName,
    pub role: ServerRole,
    pub token_expires: Millis,
}

/// A new account.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Register {
    pub username: Username,
    pub password: Secret,
    pub display_name: Option<DisplayName>,
    pub device: DeviceName,
    pub owner_token: Option<Secret>,
    pub invite: Option<Secret>,
}

/// Which of one's own logins to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum EndSession {
    Of(DeviceId),
    AllOthers,
}

/// An existing account. The username is kept as typed: an impossible one is just a wrong one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Login {
    pub username: String,
    pub password: Secret,
    pub device: DeviceName,
    pub device_id: Option<DeviceId>,
}

/// A device that is logged in, or an API key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct SessionInfo {
    pub device: DeviceId,
    pub name: String,
    pub created: Millis,
    pub seen: Millis,
    pub current: bool,
    pub is_key: bool,
}

/// A login: who, and the tokens of this device.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Session {
    pub identity: Identity,
    pub access_token: Secret,
    pub refresh_token: Secret,
    pub refresh_expires: Millis,
}
