//! Commands as a server reads them: every bound is checked here, so that the values above are valid by type.

use capnp::text;

use super::values::{bad_name, malformed, optional_seq, read_cursor, read_id, utf8};
use super::{amend, here, search};
use crate::chat_capnp as wire;
use crate::command::{
    Command, CreateRoom, History, HistoryRange, Login, Publish, Register, RoomScope, RoomTarget, Secret,
};
use crate::limits::{
    INVITE_BYTES_MAX, INVITE_MS_MAX, INVITE_USES_MAX, PAGE_ITEMS_MAX, PASSWORD_BYTES_MAX, RESUME_CURSORS_MAX,
    TOKEN_BYTES_MAX, USERNAME_BYTES_MAX,
};
use crate::model::{Body, ClientId, DeviceId, DeviceName, DisplayName, RoomId, RoomName, Seq, Topic, Username};
use crate::reject::{Reject, RejectCode};
use crate::text::TextError;

/// The one path for what is not served yet: reserved members and members of later versions alike.
pub(super) fn unsupported() -> Reject {
    RejectCode::Unsupported.into()
}

pub(super) fn read_command(request: wire::request::Reader<'_>) -> Result<Command, Reject> {
    use wire::request::Which;
    Ok(match request.which().map_err(|_| unsupported())? {
        Which::Ping(()) => Command::Ping,
        Which::Register(register) => Command::Register(read_register(some(register)?)?),
        Which::Login(login) => Command::Login(read_login(some(login)?)?),
        Which::Authenticate(token) => Command::Authenticate(secret(token, TOKEN_BYTES_MAX)?),
        Which::Refresh(token) => Command::Refresh(secret(token, TOKEN_BYTES_MAX)?),
        Which::Logout(()) => Command::Logout,
        Which::CreateRoom(create) => Command::CreateRoom(read_create_room(some(create)?)?),
        Which::JoinRoom(target) => Command::JoinRoom(read_target(some(target)?)?),
        Which::LeaveRoom(target) => Command::LeaveRoom(read_target(some(target)?)?),
        Which::Unsubscribe(target) => Command::Unsubscribe(read_target(some(target)?)?),
        Which::ListRooms(list) => {
            let list = some(list)?;
            Command::ListRooms {
                scope: match list.get_scope() {
                    Ok(wire::RoomScope::Open) => RoomScope::Open,
                    Ok(wire::RoomScope::Unspecified | wire::RoomScope::Joined) => RoomScope::Joined,
                    Err(_) => return Err(malformed()),
                },
                after: read_id(some(list.get_after())?),
                limit: limit(list.get_limit()),
            }
        }
        Which::ListMembers(list) => {
            let list = some(list)?;
            Command::ListMembers {
                room: read_id(some(list.get_room())?),
                after: read_id(some(list.get_after())?),
                limit: limit(list.get_limit()),
            }
        }
        Which::Profiles(users) => {
            let users = some(users)?;
            bounded(users.len(), PAGE_ITEMS_MAX)?;
            Command::Profiles(users.iter().map(read_id).collect())
        }
        Which::Publish(publish) => Command::Publish(read_publish(some(publish)?)?),
        Which::History(history) => {
            let history = some(history)?;
            let range = match (history.get_before(), history.get_after(), history.get_around()) {
                (before, 0, 0) => HistoryRange::Before(Seq(before)),
                (0, after, 0) => HistoryRange::After(Seq(after)),
                (0, 0, around) => HistoryRange::Around(Seq(around)),
                _ => return Err(malformed()),
            };
            let (room, thread) = (read_id(some(history.get_room())?), optional_seq(history.get_thread()));
            let pinned = history.get_pinned();
            Command::History(History { room, range, thread, pinned, limit: limit(history.get_limit()) })
        }
        Which::Sync(sync) => {
            let sync = some(sync)?;
            Command::Sync { cursor: some(read_cursor(some(sync.get_cursor())?))?, limit: limit(sync.get_limit()) }
        }
        Which::Resume(cursors) => {
            let cursors = some(cursors)?;
            bounded(cursors.len(), RESUME_CURSORS_MAX)?;
            Command::Resume(some(cursors.iter().map(read_cursor).collect())?)
        }
        Which::Search(search) => Command::Search(search::read(some(search)?)?),
        Which::Typing(typing) => here::read_typing(some(typing)?)?,
        Which::Presence(status) => here::read_set_presence(status)?,
        Which::WhoIsHere(room) => Command::WhoIsHere(read_id(some(room)?)),
        other => return amend::read(other),
    })
}

fn read_register(register: wire::register::Reader<'_>) -> Result<Register, Reject> {
    let display_name = utf8(register.get_display_name())?;
    let owner_token = secret(register.get_owner_token(), TOKEN_BYTES_MAX)?;
    let invite = secret(register.get_invite(), INVITE_BYTES_MAX)?;
    Ok(Register {
        username: Username::parse(utf8(register.get_username())?).map_err(bad_name("user name"))?,
        password: secret(register.get_password(), PASSWORD_BYTES_MAX)?,
        display_name: match display_name {
            "" => None,
            text => Some(DisplayName::parse(text).map_err(bad_name("display name"))?),
        },
        device: DeviceName::parse(utf8(register.get_device())?).map_err(bad_name("device name"))?,
        owner_token: (!owner_token.expose().is_empty()).then_some(owner_token),
        invite: (!invite.expose().is_empty()).then_some(invite),
    })
}

fn read_login(login: wire::login::Reader<'_>) -> Result<Login, Reject> {
    let username = utf8(login.get_username())?;
    bounded(username.len(), USERNAME_BYTES_MAX)?;
    let device_id: DeviceId = read_id(some(login.get_device_id())?);
    Ok(Login {
        username: username.to_owned(),
        password: secret(login.get_password(), PASSWORD_BYTES_MAX)?,
        device: DeviceName::parse(utf8(login.get_device())?).map_err(bad_name("device name"))?,
        device_id: (!device_id.is_none()).then_some(device_id),
    })
}

fn read_create_room(create: wire::create_room::Reader<'_>) -> Result<CreateRoom, Reject> {
    Ok(CreateRoom {
        client_id: client_id(create.get_client_id())?,
        resend: create.get_resend(),
        name: RoomName::parse(utf8(create.get_name())?).map_err(bad_name("room name"))?,
        topic: Topic::parse(utf8(create.get_topic())?).map_err(bad_name("topic"))?,
        private: create.get_private(),
    })
}

fn read_target(target: wire::room_target::Reader<'_>) -> Result<RoomTarget, Reject> {
    let id: RoomId = read_id(some(target.get_room())?);
    if !id.is_none() {
        return Ok(RoomTarget::Id(id));
    }
    if target.has_invite() {
        return Ok(RoomTarget::Invite(secret(target.get_invite(), INVITE_BYTES_MAX)?));
    }
    let name = utf8(target.get_name())?;
    Ok(RoomTarget::Name(RoomName::parse(name).map_err(bad_name("room name"))?))
}

fn read_publish(publish: wire::publish::Reader<'_>) -> Result<Publish, Reject> {
    if publish.has_attachments() {
        return Err(Reject::new(RejectCode::Unsupported, "attachments are not served yet"));
    }
    Ok(Publish {
        room: read_id(some(publish.get_room())?),
        client_id: client_id(publish.get_client_id())?,
        resend: publish.get_resend(),
        body: body(publish.get_body())?,
        reply_to: optional_seq(publish.get_reply_to()),
    })
}

pub(super) fn body(text: capnp::Result<text::Reader<'_>>) -> Result<Body, Reject> {
    let text = some(text)?.to_str().map_err(|_| RejectCode::BodyInvalid)?;
    Body::parse(text).map_err(|error| match error {
        TextError::Blank => RejectCode::BodyBlank.into(),
        TextError::TooLong => RejectCode::BodyTooLong.into(),
        TextError::Invalid => RejectCode::BodyInvalid.into(),
    })
}

pub(super) fn client_id(id: capnp::Result<wire::id::Reader<'_>>) -> Result<ClientId, Reject> {
    let id: ClientId = read_id(some(id)?);
    if id.is_none() { Err(Reject::new(RejectCode::Malformed, "a client id is missing")) } else { Ok(id) }
}

pub(super) fn secret(text: capnp::Result<text::Reader<'_>>, bytes_max: usize) -> Result<Secret, Reject> {
    let text = utf8(text)?;
    bounded(text.len(), bytes_max)?;
    Ok(Secret::new(text))
}

/// Uses and time of an invitation, where nobody gave them: one, and a day.
pub(super) fn invite_bounds(uses: u32, duration_ms: u64) -> Result<(u32, u64), Reject> {
    const MS_DEFAULT: u64 = 24 * 3600 * 1000;
    if uses > INVITE_USES_MAX || duration_ms > INVITE_MS_MAX {
        return Err(Reject::new(RejectCode::Malformed, "at most 1,000 uses and 30 days"));
    }
    Ok((uses.max(1), if duration_ms == 0 { MS_DEFAULT } else { duration_ms }))
}

pub(super) fn some<T>(value: capnp::Result<T>) -> Result<T, Reject> {
    value.map_err(|_| malformed())
}

pub(super) fn bounded(len: impl TryInto<usize>, max: usize) -> Result<(), Reject> {
    let len = len.try_into().unwrap_or(usize::MAX);
    if len > max { Err(malformed()) } else { Ok(()) }
}

fn limit(wire: u16) -> usize {
    match usize::from(wire) {
        0 => PAGE_ITEMS_MAX,
        limit => limit.min(PAGE_ITEMS_MAX),
    }
}
