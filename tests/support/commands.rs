//! Commands as most tests give them.

use confab_protocol::command::{Command, Register, Secret, UpdateRoom, Write};
use confab_protocol::model::{DeviceName, RoomId, Username};

use super::people::PASSWORD;
use super::raw::client_id;

/// An account of this name, with the password of everybody. Who has the token owns the server.
pub fn register(name: &str, owner_token: Option<&str>) -> Command {
    Command::Register(Register {
        username: Username::parse(name).unwrap(),
        password: Secret::new(PASSWORD),
        display_name: None,
        device: DeviceName::parse("test").unwrap(),
        owner_token: owner_token.map(Secret::new),
        invite: None,
    })
}

/// The next write to a room.
pub fn write(room: RoomId) -> Write {
    Write { room, client_id: client_id(), resend: false }
}

/// Changes nothing of a room, for those who change something.
pub fn update_room(write: Write) -> UpdateRoom {
    UpdateRoom {
        write,
        name: None,
        topic: None,
        slow_mode_ms: None,
        retention_ms: None,
        visibility: None,
        knocks: None,
        rights: None,
    }
}
