//! Who is here and what they are doing: commands, replies and pushes, both ways.

use bytes::Bytes;

use super::read::some;
use super::request::count;
use super::values::{malformed, presence_to, read_id, read_presence, write_id};
use super::{FrameError, encode};
use crate::chat_capnp as wire;
use crate::command::{Command, Ephemeral, News, PresenceStatus, Reply};
use crate::model::UserId;
use crate::reject::Reject;

pub(super) fn read_typing(typing: wire::typing::Reader<'_>) -> Result<Command, Reject> {
    Ok(Command::Typing { room: read_id(some(typing.get_room())?), stopped: typing.get_stopped() })
}

pub(super) fn read_set_presence(status: Result<wire::PresenceStatus, capnp::NotInSchema>) -> Result<Command, Reject> {
    match status {
        Ok(wire::PresenceStatus::Unspecified) => Ok(Command::SetPresence(PresenceStatus::Online)),
        status => read_presence(status).map(Command::SetPresence).ok_or_else(malformed),
    }
}

pub(super) fn write(mut out: wire::request::Builder<'_>, command: &Command) {
    match command {
        Command::Typing { room, stopped } => {
            let mut out = out.init_typing();
            write_id(out.reborrow().init_room(), *room);
            out.set_stopped(*stopped);
        }
        Command::SetPresence(status) => out.set_presence(presence_to(*status)),
        Command::WhoIsHere(room) => write_id(out.init_who_is_here(), *room),
        // The others are written elsewhere.
        _ => {}
    }
}

pub(super) fn write_here(mut out: wire::who_is_here::Builder<'_>, counted: u32, users: &[(UserId, PresenceStatus)]) {
    out.set_count(counted);
    let mut list = out.init_users(count(users.len()));
    for (index, (user, status)) in (0..).zip(users) {
        let mut out = list.reborrow().get(index);
        write_id(out.reborrow().init_user(), *user);
        out.set_status(presence_to(*status));
    }
}

pub(super) fn read_here(here: wire::who_is_here::Reader<'_>) -> Result<Reply, FrameError> {
    // A status of a later version is shown as being there.
    let user = |one: wire::here::Reader<'_>| {
        Ok((read_id(one.get_user()?), read_presence(one.get_status()).unwrap_or(PresenceStatus::Online)))
    };
    let users = here.get_users()?.iter().map(user).collect::<Result<_, FrameError>>()?;
    Ok(Reply::Here { count: here.get_count(), users })
}

/// Encodes news of a room once for all its readers.
#[must_use]
pub fn encode_ephemeral(ephemeral: &Ephemeral) -> Bytes {
    encode(|message| write_ephemeral(message.init_root::<wire::server_frame::Builder<'_>>().init_push(), ephemeral))
}

pub(super) fn write_ephemeral(out: wire::push::Builder<'_>, ephemeral: &Ephemeral) {
    let mut out = out.init_ephemeral();
    write_id(out.reborrow().init_room(), ephemeral.room);
    match &ephemeral.news {
        News::Typing { user, for_ms } => {
            let mut out = out.init_typing();
            write_id(out.reborrow().init_user(), *user);
            out.set_for_ms(*for_ms);
        }
        News::Here(users) => {
            let mut list = out.init_here(count(users.len()));
            for (index, (user, status)) in (0..).zip(users) {
                let mut out = list.reborrow().get(index);
                write_id(out.reborrow().init_user(), *user);
                out.set_status(status.map_or(wire::PresenceStatus::Unspecified, presence_to));
            }
        }
        News::Count(count) => out.set_count(*count),
        News::Missed => out.set_missed(()),
    }
}

/// `None`: news that this version does not know.
pub(super) fn read_ephemeral(ephemeral: wire::ephemeral::Reader<'_>) -> Result<Option<Ephemeral>, FrameError> {
    use wire::ephemeral::Which;
    let news = match ephemeral.which() {
        Ok(Which::Typing(typing)) => {
            let typing = typing?;
            News::Typing { user: read_id(typing.get_user()?), for_ms: typing.get_for_ms() }
        }
        Ok(Which::Here(users)) => {
            let user = |here: wire::here::Reader<'_>| {
                let status = match here.get_status() {
                    Ok(wire::PresenceStatus::Unspecified) => None,
                    status => Some(read_presence(status).unwrap_or(PresenceStatus::Online)),
                };
                Ok((read_id(here.get_user()?), status))
            };
            News::Here(users?.iter().map(user).collect::<Result<_, FrameError>>()?)
        }
        Ok(Which::Count(count)) => News::Count(count),
        Ok(Which::Missed(())) => News::Missed,
        Err(_) => return Ok(None),
    };
    Ok(Some(Ephemeral { room: read_id(ephemeral.get_room()?), news }))
}
