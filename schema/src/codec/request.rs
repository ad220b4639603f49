//! Client frames.

use bytes::Bytes;
use capnp::text;

use super::read::read_command;
use super::values::{server_text, write_cursor, write_id};
use super::{FrameError, account, amend, door, encode, here, moderation, open, search};
use crate::chat_capnp as wire;
use crate::command::{
    ClientFrame, Command, CreateRoom, Hello, History, HistoryRange, Publish, RoomScope, RoomTarget, Secret,
};
use crate::limits::{CLIENT_NAME_BYTES_MAX, HELLO_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::model::Cursor;

/// Encodes what a client sends. A request whose command is an error cannot be sent and encodes a ping.
#[must_use]
pub fn encode_client_frame(frame: &ClientFrame) -> Bytes {
    encode(|message| {
        let root = message.init_root::<wire::client_frame::Builder<'_>>();
        match frame {
            ClientFrame::Hello(hello) => write_hello(root.init_hello(), hello),
            ClientFrame::Request { id, command } => {
                let mut request = root.init_request();
                request.set_id(*id);
                write_command(request, command.as_ref().unwrap_or(&Command::Ping));
            }
        }
    })
}

/// Reads what a client sent.
///
/// # Errors
/// Bytes that are no frame of the protocol; the connection ends.
pub fn decode_client_frame(frame: &[u8]) -> Result<ClientFrame, FrameError> {
    use wire::client_frame::Which;
    let message = open(frame)?;
    let root = message.get_root::<wire::client_frame::Reader<'_>>()?;
    match root.which()? {
        Which::Hello(hello) => {
            if frame.len() > HELLO_BYTES_MAX {
                return Err(FrameError::TooLarge);
            }
            Ok(ClientFrame::Hello(read_hello(hello?)?))
        }
        Which::Request(request) => {
            let request = request?;
            Ok(ClientFrame::Request { id: request.get_id(), command: read_command(request) })
        }
    }
}

fn read_hello(hello: wire::hello::Reader<'_>) -> Result<Hello, FrameError> {
    let bounded = |text: capnp::Result<text::Reader<'_>>, bytes_max| {
        let text = server_text(text)?;
        if text.len() > bytes_max { Err(FrameError::TooLarge) } else { Ok(text) }
    };
    let token = bounded(hello.get_token(), TOKEN_BYTES_MAX)?;
    let client = bounded(hello.get_client(), CLIENT_NAME_BYTES_MAX)?;
    // It is written to logs.
    if client.chars().any(char::is_control) {
        return Err(FrameError::Invalid);
    }
    Ok(Hello {
        version_min: hello.get_version_min(),
        version_max: hello.get_version_max(),
        client,
        token: (!token.is_empty()).then(|| Secret::new(token)),
        features: hello.get_features(),
    })
}

fn write_hello(mut out: wire::hello::Builder<'_>, hello: &Hello) {
    out.set_version_min(hello.version_min);
    out.set_version_max(hello.version_max);
    out.set_client(hello.client.as_str());
    if let Some(token) = &hello.token {
        out.set_token(token.expose());
    }
    out.set_features(hello.features);
}

fn write_command(mut out: wire::request::Builder<'_>, command: &Command) {
    match command {
        Command::Ping => out.set_ping(()),
        Command::CreateRoom(create) => write_create(out.init_create_room(), create),
        Command::JoinRoom(target) => write_target(out.init_join_room(), target),
        Command::LeaveRoom(target) => write_target(out.init_leave_room(), target),
        Command::Unsubscribe(target) => write_target(out.init_unsubscribe(), target),
        Command::ListRooms { .. } | Command::ListMembers { .. } | Command::Profiles(_) => write_lists(out, command),
        Command::Publish(publish) => write_publish(out.init_publish(), publish),
        Command::Edit(_)
        | Command::Delete(_)
        | Command::React(_)
        | Command::Pin(_)
        | Command::MarkRead { .. }
        | Command::UpdateRoom(_)
        | Command::SetRole(_)
        | Command::Sanction(_)
        | Command::Revisions { .. }
        | Command::Direct { .. }
        | Command::Invite { .. } => amend::write(out, command),
        Command::Knock(_) | Command::Admit(_) | Command::UpdateProfile(_) | Command::Notice(_) => {
            door::write(out, command);
        }
        Command::Register(_)
        | Command::Login(_)
        | Command::Authenticate(_)
        | Command::Refresh(_)
        | Command::Logout
        | Command::Sessions
        | Command::EndSession(_)
        | Command::ChangePassword { .. }
        | Command::ResetPassword { .. }
        | Command::Restrict { .. }
        | Command::SetServerRole { .. }
        | Command::IssueReset(_)
        | Command::InviteAccount { .. } => account::write(out, command),
        Command::Report(_)
        | Command::ListCases(_)
        | Command::Case(_)
        | Command::UpdateCase(_)
        | Command::Appeal(_)
        | Command::ListAudit(_) => moderation::write(out, command),
        Command::Search(search) => search::write(out.init_search(), search),
        Command::Typing { .. } | Command::SetPresence(_) | Command::WhoIsHere(_) => here::write(out, command),
        Command::History(history) => write_history(out.init_history(), history),
        Command::Sync { cursor, limit } => write_sync(out.init_sync(), cursor, *limit),
        Command::Resume(cursors) => {
            let mut list = out.init_resume(count(cursors.len()));
            for (index, cursor) in (0..).zip(cursors) {
                write_cursor(list.reborrow().get(index), cursor);
            }
        }
    }
}

fn write_lists(out: wire::request::Builder<'_>, command: &Command) {
    match command {
        Command::ListRooms { scope, after, limit } => {
            let mut out = out.init_list_rooms();
            out.set_scope(match scope {
                RoomScope::Joined => wire::RoomScope::Joined,
                RoomScope::Open => wire::RoomScope::Open,
            });
            write_id(out.reborrow().init_after(), *after);
            out.set_limit(limit_to_wire(*limit));
        }
        Command::ListMembers { room, after, limit } => {
            let mut out = out.init_list_members();
            write_id(out.reborrow().init_room(), *room);
            write_id(out.reborrow().init_after(), *after);
            out.set_limit(limit_to_wire(*limit));
        }
        Command::Profiles(users) => {
            let mut list = out.init_profiles(count(users.len()));
            for (index, user) in (0..).zip(users) {
                write_id(list.reborrow().get(index), *user);
            }
        }
        _ => {}
    }
}

fn write_sync(mut out: wire::sync::Builder<'_>, cursor: &Cursor, limit: usize) {
    write_cursor(out.reborrow().init_cursor(), cursor);
    out.set_limit(limit_to_wire(limit));
}

fn write_create(mut out: wire::create_room::Builder<'_>, create: &CreateRoom) {
    write_id(out.reborrow().init_client_id(), create.client_id);
    out.set_resend(create.resend);
    out.set_name(create.name.as_str());
    out.set_topic(create.topic.as_str());
    out.set_private(create.private);
}

fn write_publish(mut out: wire::publish::Builder<'_>, publish: &Publish) {
    write_id(out.reborrow().init_room(), publish.room);
    write_id(out.reborrow().init_client_id(), publish.client_id);
    out.set_resend(publish.resend);
    out.set_body(publish.body.as_str());
    out.set_reply_to(publish.reply_to.map_or(0, |seq| seq.0));
}

fn write_history(mut out: wire::history::Builder<'_>, history: &History) {
    write_id(out.reborrow().init_room(), history.room);
    match history.range {
        HistoryRange::Before(seq) => out.set_before(seq.0),
        HistoryRange::After(seq) => out.set_after(seq.0),
        HistoryRange::Around(seq) => out.set_around(seq.0),
    }
    out.set_pinned(history.pinned);
    out.set_thread(history.thread.map_or(0, |seq| seq.0));
    out.set_limit(limit_to_wire(history.limit));
}

fn write_target(mut out: wire::room_target::Builder<'_>, target: &RoomTarget) {
    match target {
        RoomTarget::Id(id) => write_id(out.init_room(), *id),
        RoomTarget::Name(name) => out.set_name(name.as_str()),
        RoomTarget::Invite(token) => out.set_invite(token.expose()),
    }
}

fn limit_to_wire(limit: usize) -> u16 {
    u16::try_from(limit).unwrap_or(0)
}

pub(super) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
