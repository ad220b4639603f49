//! Server frames. Pushes are encoded once here and then shared.

use bytes::Bytes;

use super::request::count;
use super::values::{
    read_id, read_rights, read_room_kind, read_room_role, read_server_role, read_visibility, room_kind_to,
    room_role_to, server_role_to, server_text, visibility_to, write_id, write_rights,
};
use super::{FrameError, account, encode, here, moderation, open, search};
use crate::chat_capnp as wire;
use crate::command::{
    Appended, EntriesPush, GoAway, Identity, Member, MessageState, Page, Push, ReactionCount, Reply, ResumeOutcome,
    Resumed, Room, Secret, ServerFrame, Session, Welcome,
};
use crate::limits;
use crate::model::{DisplayName, Envelope, Incarnation, Millis, RoomId, RoomKind, Seq, ServerRole, Username};
use crate::reject::Reject;
use crate::rights::RoomRights;

type Entries<'a> = capnp::struct_list::Reader<'a, wire::envelope::Owned>;

/// Encodes what the server sends.
#[must_use]
pub fn encode_server_frame(frame: &ServerFrame) -> Bytes {
    encode(|message| {
        let root = message.init_root::<wire::server_frame::Builder<'_>>();
        match frame {
            ServerFrame::Welcome(welcome) => write_welcome(root.init_welcome(), welcome),
            ServerFrame::Reply { id, result } => {
                let mut out = root.init_reply();
                out.set_id(*id);
                match result {
                    Ok(reply) => write_reply(out, reply),
                    Err(reject) => {
                        let mut out = out.init_reject();
                        out.set_code(reject.code);
                        out.set_detail(reject.detail.as_str());
                        out.set_retry_after_ms(reject.retry_after_ms);
                    }
                }
            }
            ServerFrame::Push(Push::Entries(push)) => {
                write_entries_push(root.init_push(), push.room, push.incarnation, &push.entries);
            }
            ServerFrame::Push(Push::Notice(text)) => root.init_push().set_notice(text.as_str()),
            ServerFrame::Push(Push::Ephemeral(ephemeral)) => here::write_ephemeral(root.init_push(), ephemeral),
            // Neither is ever sent; an empty notice is the nearest to nothing.
            ServerFrame::Push(Push::Unknown) | ServerFrame::Unknown => root.init_push().set_notice(""),
            ServerFrame::GoAway(away) => {
                let mut out = root.init_go_away();
                out.set_code(away.code);
                out.set_reason(away.reason.as_str());
                out.set_reconnect_after_ms(away.reconnect_after_ms);
                out.set_jitter_ms(away.jitter_ms);
            }
        }
    })
}

/// Encodes the entries of one room once for all its readers. The caller keeps to [`super::page_len`].
#[must_use]
pub fn encode_push(room: RoomId, incarnation: Incarnation, entries: &[Envelope]) -> Bytes {
    encode(|message| {
        let root = message.init_root::<wire::server_frame::Builder<'_>>();
        write_entries_push(root.init_push(), room, incarnation, entries);
    })
}

/// Reads what the server sent. Payloads are slices of the frame, not copies.
///
/// # Errors
/// Bytes that are no frame of the protocol.
pub fn decode_server_frame(frame: &Bytes) -> Result<ServerFrame, FrameError> {
    use wire::{push, server_frame};
    let message = open(frame)?;
    let root = message.get_root::<server_frame::Reader<'_>>()?;
    Ok(match root.which() {
        Ok(server_frame::Which::Welcome(welcome)) => ServerFrame::Welcome(read_welcome(welcome?)?),
        Ok(server_frame::Which::Reply(reply)) => {
            let reply = reply?;
            ServerFrame::Reply { id: reply.get_id(), result: read_result(frame, reply)? }
        }
        Ok(server_frame::Which::Push(push)) => ServerFrame::Push(match push?.which() {
            Ok(push::Which::Entries(entries)) => {
                let entries = entries?;
                Push::Entries(EntriesPush {
                    room: read_id(entries.get_room()?),
                    incarnation: Incarnation(entries.get_incarnation()),
                    entries: read_entries(frame, entries.get_entries()?)?,
                })
            }
            Ok(push::Which::Notice(text)) => Push::Notice(server_text(text)?),
            Ok(push::Which::Ephemeral(ephemeral)) => {
                here::read_ephemeral(ephemeral?)?.map_or(Push::Unknown, Push::Ephemeral)
            }
            Err(_) => Push::Unknown,
        }),
        Ok(server_frame::Which::GoAway(away)) => {
            let away = away?;
            ServerFrame::GoAway(GoAway {
                code: away.get_code(),
                reason: server_text(away.get_reason())?,
                reconnect_after_ms: away.get_reconnect_after_ms(),
                jitter_ms: away.get_jitter_ms(),
            })
        }
        Err(_) => ServerFrame::Unknown,
    })
}

fn write_entries_push(out: wire::push::Builder<'_>, room: RoomId, incarnation: Incarnation, entries: &[Envelope]) {
    let mut out = out.init_entries();
    write_id(out.reborrow().init_room(), room);
    out.set_incarnation(incarnation.0);
    write_entries(out.init_entries(count(entries.len())), entries);
}

fn write_entries(mut list: capnp::struct_list::Builder<'_, wire::envelope::Owned>, entries: &[Envelope]) {
    for (index, entry) in (0..).zip(entries) {
        let mut out = list.reborrow().get(index);
        write_envelope(out.reborrow(), entry);
        if let Some(rewritten) = &entry.rewritten {
            write_envelope(out.init_rewritten(), rewritten);
        }
    }
}

/// Without what it rewrites.
pub(super) fn write_envelope(mut out: wire::envelope::Builder<'_>, entry: &Envelope) {
    out.set_seq(entry.seq.0);
    out.set_time_ms(entry.time.0);
    out.set_rev(entry.rev);
    out.set_payload(&entry.payload);
}

fn read_entries(frame: &Bytes, list: Entries<'_>) -> Result<Vec<Envelope>, FrameError> {
    let entry = |entry: wire::envelope::Reader<'_>| {
        let rewritten = if entry.has_rewritten() { Some(entry.get_rewritten()?) } else { None };
        let rewritten = rewritten.map(|it| read_envelope(frame, it, None)).transpose()?;
        read_envelope(frame, entry, rewritten.map(Box::new))
    };
    list.iter().map(entry).collect()
}

pub(super) fn read_envelope(
    frame: &Bytes,
    entry: wire::envelope::Reader<'_>,
    rewritten: Option<Box<Envelope>>,
) -> Result<Envelope, FrameError> {
    let payload = entry.get_payload()?;
    Ok(Envelope {
        seq: Seq(entry.get_seq()),
        time: Millis(entry.get_time_ms()),
        rev: entry.get_rev(),
        // An absent payload is an empty slice from elsewhere.
        payload: if payload.is_empty() { Bytes::new() } else { frame.slice_ref(payload) },
        rewritten,
    })
}

fn write_states(mut list: capnp::struct_list::Builder<'_, wire::message_state::Owned>, states: &[MessageState]) {
    for (index, state) in (0..).zip(states) {
        let mut out = list.reborrow().get(index);
        out.set_seq(state.seq.0);
        out.set_pinned(state.pinned);
        out.set_replies(state.replies);
        out.set_shadowed(state.shadowed);
        let mut list = out.init_reactions(count(state.reactions.len()));
        for (index, reaction) in (0..).zip(&state.reactions) {
            let mut out = list.reborrow().get(index);
            out.set_emoji(reaction.emoji.as_str());
            out.set_count(reaction.count);
            out.set_mine(reaction.mine);
        }
    }
}

fn read_state(state: wire::message_state::Reader<'_>) -> Result<MessageState, FrameError> {
    let reaction = |reaction: wire::reaction_count::Reader<'_>| {
        let emoji = server_text(reaction.get_emoji())?;
        Ok(ReactionCount { emoji, count: reaction.get_count(), mine: reaction.get_mine() })
    };
    Ok(MessageState {
        seq: Seq(state.get_seq()),
        pinned: state.get_pinned(),
        replies: state.get_replies(),
        reactions: state.get_reactions()?.iter().map(reaction).collect::<Result<_, FrameError>>()?,
        shadowed: state.get_shadowed(),
    })
}

fn write_welcome(mut out: wire::welcome::Builder<'_>, welcome: &Welcome) {
    out.set_version(welcome.version);
    write_id(out.reborrow().init_session(), welcome.session);
    let mut bounds = out.reborrow().init_limits();
    bounds.set_frame_bytes_max(count(limits::FRAME_BYTES_MAX));
    bounds.set_body_bytes_max(count(limits::BODY_BYTES_MAX));
    bounds.set_body_graphemes_max(count(limits::BODY_GRAPHEMES_MAX));
    bounds.set_in_flight_max(short(limits::IN_FLIGHT_MAX));
    bounds.set_page_entries_max(short(limits::PAGE_ITEMS_MAX));
    bounds.set_room_name_bytes_max(short(limits::ROOM_NAME_BYTES_MAX));
    bounds.set_rooms_per_user_max(limits::ROOMS_PER_USER_MAX);
    bounds.set_resume_cursors_max(short(limits::RESUME_CURSORS_MAX));
    out.set_heartbeat_ms(u32::try_from(limits::HEARTBEAT_MS).unwrap_or(u32::MAX));
    out.set_server_time_ms(welcome.server_time.0);
    out.set_reconnect_jitter_ms(welcome.reconnect_jitter_ms);
    if let Some(identity) = &welcome.identity {
        write_identity(out.init_identity(), identity);
    }
}

fn short(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn read_welcome(welcome: wire::welcome::Reader<'_>) -> Result<Welcome, FrameError> {
    Ok(Welcome {
        version: welcome.get_version(),
        session: read_id(welcome.get_session()?),
        server_time: Millis(welcome.get_server_time_ms()),
        identity: if welcome.has_identity() { Some(read_identity(welcome.get_identity()?)?) } else { None },
        reconnect_jitter_ms: welcome.get_reconnect_jitter_ms(),
    })
}

fn write_identity(mut out: wire::identity::Builder<'_>, identity: &Identity) {
    write_id(out.reborrow().init_user(), identity.user);
    write_id(out.reborrow().init_device(), identity.device);
    write_id(out.reborrow().init_self_room(), identity.self_room);
    out.set_username(identity.username.as_str());
    out.set_display_name(identity.display_name.as_str());
    out.set_role(server_role_to(identity.role));
    out.set_token_expires_ms(identity.token_expires.0);
}

fn read_identity(identity: wire::identity::Reader<'_>) -> Result<Identity, FrameError> {
    Ok(Identity {
        user: read_id(identity.get_user()?),
        device: read_id(identity.get_device()?),
        self_room: read_id(identity.get_self_room()?),
        username: Username::parse(&server_text(identity.get_username())?).map_err(|_| FrameError::Invalid)?,
        display_name: DisplayName::parse(&server_text(identity.get_display_name())?)
            .map_err(|_| FrameError::Invalid)?,
        role: read_server_role(identity.get_role()).unwrap_or(ServerRole::User),
        token_expires: Millis(identity.get_token_expires_ms()),
    })
}

fn write_reply(mut out: wire::reply::Builder<'_>, reply: &Reply) {
    match reply {
        Reply::Ok | Reply::Unknown => out.set_ok(()),
        Reply::Pong(time) => out.set_pong(time.0),
        Reply::Session(session) => {
            let mut out = out.init_session();
            write_identity(out.reborrow().init_identity(), &session.identity);
            out.set_access_token(session.access_token.expose());
            out.set_refresh_token(session.refresh_token.expose());
            out.set_refresh_expires_ms(session.refresh_expires.0);
        }
        Reply::Authenticated(identity) => write_identity(out.init_authenticated(), identity),
        Reply::Room(room) => write_room(out.init_room(), room),
        Reply::Rooms { rooms, next } => {
            let mut out = out.init_rooms();
            write_id(out.reborrow().init_next(), *next);
            let mut list = out.init_rooms(count(rooms.len()));
            for (index, room) in (0..).zip(rooms) {
                write_room(list.reborrow().get(index), room);
            }
        }
        Reply::Members { members, next } => {
            let mut out = out.init_members();
            write_id(out.reborrow().init_next(), *next);
            let mut list = out.init_members(count(members.len()));
            for (index, member) in (0..).zip(members) {
                write_member(list.reborrow().get(index), member);
            }
        }
        Reply::Appended(appended) => {
            let mut out = out.init_appended();
            out.set_seq(appended.seq.0);
            out.set_time_ms(appended.time.0);
            out.set_altered(appended.altered);
            out.set_duplicate(appended.duplicate);
        }
        Reply::Held(case) => write_id(out.init_held(), *case),
        Reply::Invited { token, expires } => {
            let mut out = out.init_invited();
            out.set_token(token.expose());
            out.set_expires_ms(expires.0);
        }
        Reply::Found { hits, next } => search::write_found(out.init_found(), hits, next.as_ref()),
        Reply::Here { count, users } => here::write_here(out.init_here(), *count, users),
        Reply::Page(page) => {
            let mut out = out.init_page();
            write_id(out.reborrow().init_room(), page.room);
            out.set_incarnation(page.incarnation.0);
            out.set_next(page.next.0);
            out.set_head(page.head.0);
            out.set_first_seq(page.first_seq.0);
            write_entries(out.reborrow().init_entries(count(page.entries.len())), &page.entries);
            if !page.states.is_empty() {
                write_states(out.init_states(count(page.states.len())), &page.states);
            }
        }
        Reply::Sessions(sessions) => {
            account::write_sessions(out.init_sessions(count(sessions.len())), sessions);
        }
        Reply::Reported(_) | Reply::Cases { .. } | Reply::Case(_) | Reply::Audit { .. } => {
            moderation::write_reply(out, reply);
        }
        Reply::Resumed(outcomes) => {
            let mut list = out.init_resumed(count(outcomes.len()));
            for (index, resumed) in (0..).zip(outcomes) {
                write_resumed(list.reborrow().get(index), resumed);
            }
        }
    }
}

fn read_result(frame: &Bytes, reply: wire::reply::Reader<'_>) -> Result<Result<Reply, Reject>, FrameError> {
    use wire::reply::Which;
    Ok(Ok(match reply.which() {
        Ok(Which::Reject(reject)) => {
            let reject = reject?;
            return Ok(Err(Reject {
                code: reject.get_code(),
                detail: server_text(reject.get_detail())?,
                retry_after_ms: reject.get_retry_after_ms(),
            }));
        }
        Ok(Which::Ok(())) => Reply::Ok,
        Ok(Which::Pong(time)) => Reply::Pong(Millis(time)),
        Ok(Which::Session(session)) => Reply::Session(read_session(session?)?),
        Ok(Which::Authenticated(identity)) => Reply::Authenticated(read_identity(identity?)?),
        Ok(Which::Room(room)) => Reply::Room(read_room(room?)?),
        Ok(Which::Rooms(page)) => {
            let page = page?;
            let rooms = page.get_rooms()?.iter().map(read_room).collect::<Result<_, _>>()?;
            Reply::Rooms { rooms, next: read_id(page.get_next()?) }
        }
        Ok(Which::Members(page)) => {
            let page = page?;
            let members = page.get_members()?.iter().map(read_member).collect::<Result<_, _>>()?;
            Reply::Members { members, next: read_id(page.get_next()?) }
        }
        Ok(Which::Appended(appended)) => {
            let appended = appended?;
            Reply::Appended(Appended {
                seq: Seq(appended.get_seq()),
                time: Millis(appended.get_time_ms()),
                altered: appended.get_altered(),
                duplicate: appended.get_duplicate(),
            })
        }
        Ok(Which::Held(case)) => Reply::Held(read_id(case?)),
        Ok(Which::Invited(invited)) => {
            let invited = invited?;
            let token = Secret::new(server_text(invited.get_token())?);
            Reply::Invited { token, expires: Millis(invited.get_expires_ms()) }
        }
        Ok(Which::Found(found)) => search::read_found(frame, found?)?,
        Ok(Which::Here(here)) => here::read_here(here?)?,
        Ok(Which::Page(page)) => {
            let page = page?;
            Reply::Page(Page {
                room: read_id(page.get_room()?),
                incarnation: Incarnation(page.get_incarnation()),
                entries: read_entries(frame, page.get_entries()?)?,
                next: Seq(page.get_next()),
                head: Seq(page.get_head()),
                first_seq: Seq(page.get_first_seq()),
                states: page.get_states()?.iter().map(read_state).collect::<Result<_, _>>()?,
            })
        }
        Ok(Which::Resumed(list)) => Reply::Resumed(list?.iter().map(read_resumed).collect::<Result<_, FrameError>>()?),
        Ok(Which::Sessions(list)) => {
            Reply::Sessions(list?.iter().map(account::read_session).collect::<Result<_, FrameError>>()?)
        }
        Ok(Which::Reported(case)) => Reply::Reported(read_id(case?)),
        Ok(Which::Cases(cases)) => moderation::read_cases(cases?)?,
        Ok(Which::Case(file)) => moderation::read_file(frame, file?)?,
        Ok(Which::Audit(audit)) => moderation::read_audit(frame, audit?)?,
        Err(_) => Reply::Unknown,
    }))
}

fn read_session(session: wire::session::Reader<'_>) -> Result<Session, FrameError> {
    Ok(Session {
        identity: read_identity(session.get_identity()?)?,
        access_token: Secret::new(server_text(session.get_access_token())?),
        refresh_token: Secret::new(server_text(session.get_refresh_token())?),
        refresh_expires: Millis(session.get_refresh_expires_ms()),
    })
}

fn write_room(mut out: wire::room::Builder<'_>, room: &Room) {
    write_id(out.reborrow().init_id(), room.id);
    out.set_kind(room_kind_to(room.kind));
    out.set_name(room.name.as_str());
    out.set_topic(room.topic.as_str());
    out.set_incarnation(room.incarnation.0);
    out.set_first_seq(room.first_seq.0);
    out.set_head(room.head.0);
    if let Some(role) = room.role {
        out.set_role(room_role_to(role));
    }
    out.set_members(room.members);
    out.set_created_ms(room.created.0);
    out.set_slow_mode_ms(room.slow_mode_ms);
    out.set_retention_ms(room.retention_ms);
    out.set_visibility(visibility_to(room.visibility));
    out.set_knocks(room.knocks);
    if room.rights != RoomRights::default() {
        write_rights(out.reborrow().init_rights(), room.rights);
    }
    out.set_read_seq(room.read_seq.0);
    out.set_unread(room.unread);
    out.set_mentions(room.mentions);
}

fn read_room(room: wire::room::Reader<'_>) -> Result<Room, FrameError> {
    Ok(Room {
        id: read_id(room.get_id()?),
        kind: read_room_kind(room.get_kind()).unwrap_or(RoomKind::Channel),
        name: server_text(room.get_name())?,
        topic: server_text(room.get_topic())?,
        incarnation: Incarnation(room.get_incarnation()),
        first_seq: Seq(room.get_first_seq()),
        head: Seq(room.get_head()),
        role: read_room_role(room.get_role()),
        members: room.get_members(),
        created: Millis(room.get_created_ms()),
        slow_mode_ms: room.get_slow_mode_ms(),
        retention_ms: room.get_retention_ms(),
        visibility: read_visibility(room.get_visibility()).unwrap_or_default(),
        knocks: room.get_knocks(),
        rights: read_rights(room.get_rights()?),
        read_seq: Seq(room.get_read_seq()),
        unread: room.get_unread(),
        mentions: room.get_mentions(),
    })
}

fn write_member(mut out: wire::member::Builder<'_>, member: &Member) {
    write_id(out.reborrow().init_user(), member.user);
    out.set_username(member.username.as_str());
    out.set_display_name(member.display_name.as_str());
    if let Some(role) = member.role {
        out.set_role(room_role_to(role));
    }
}

fn read_member(member: wire::member::Reader<'_>) -> Result<Member, FrameError> {
    Ok(Member {
        user: read_id(member.get_user()?),
        username: server_text(member.get_username())?,
        display_name: server_text(member.get_display_name())?,
        role: read_room_role(member.get_role()),
    })
}

fn write_resumed(mut out: wire::resumed::Builder<'_>, resumed: &Resumed) {
    write_id(out.reborrow().init_room(), resumed.room);
    out.set_incarnation(resumed.incarnation.0);
    out.set_first_seq(resumed.first_seq.0);
    out.set_head(resumed.head.0);
    out.set_outcome(match resumed.outcome {
        ResumeOutcome::Recovered => wire::ResumeOutcome::Recovered,
        ResumeOutcome::GapTooLong => wire::ResumeOutcome::GapTooLong,
        ResumeOutcome::IncarnationChanged => wire::ResumeOutcome::IncarnationChanged,
        ResumeOutcome::Refused => wire::ResumeOutcome::Refused,
    });
}

fn read_resumed(resumed: wire::resumed::Reader<'_>) -> Result<Resumed, FrameError> {
    Ok(Resumed {
        room: read_id(resumed.get_room()?),
        incarnation: Incarnation(resumed.get_incarnation()),
        first_seq: Seq(resumed.get_first_seq()),
        head: Seq(resumed.get_head()),
        outcome: match resumed.get_outcome() {
            Ok(wire::ResumeOutcome::Recovered) => ResumeOutcome::Recovered,
            Ok(wire::ResumeOutcome::GapTooLong) => ResumeOutcome::GapTooLong,
            Ok(wire::ResumeOutcome::IncarnationChanged) => ResumeOutcome::IncarnationChanged,
            _ => ResumeOutcome::Refused,
        },
    })
}
