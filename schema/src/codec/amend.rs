//! Commands about what was said before, and about people and rooms: both ways.

use super::door;
use super::read::{body, bounded, client_id, invite_bounds, some};
use super::request::count;
use super::values::{
    bad_name, malformed, read_id, read_rights, read_room_role, read_sanction_kind, read_visibility, room_role_to,
    sanction_kind_to, utf8, visibility_to, write_id, write_rights,
};
use crate::chat_capnp as wire;
use crate::command::{Command, Delete, Edit, Pin, React, SanctionUser, SetRole, UpdateRoom, Write};
use crate::limits::{DELETE_MAX, RETENTION_MS_MAX, RETENTION_MS_MIN, SLOW_MODE_MS_MAX};
use crate::model::{Emoji, Reason, RoomId, RoomName, RoomRole, Seq, Topic};
use crate::reject::{Reject, RejectCode};

pub(super) fn read(which: wire::request::WhichReader<'_>) -> Result<Command, Reject> {
    use wire::request::Which;
    Ok(match which {
        Which::Edit(edit) => {
            let edit = some(edit)?;
            let (write, seq) = (read_write(edit.get_write())?, Seq(edit.get_seq()));
            Command::Edit(Edit { write, seq, body: body(edit.get_body())? })
        }
        Which::Delete(delete) => {
            let delete = some(delete)?;
            let seqs = some(delete.get_seqs())?;
            bounded(seqs.len(), DELETE_MAX)?;
            if seqs.is_empty() {
                return Err(malformed());
            }
            Command::Delete(Delete { write: read_write(delete.get_write())?, seqs: seqs.iter().map(Seq).collect() })
        }
        Which::React(react) => {
            let react = some(react)?;
            Command::React(React {
                write: read_write(react.get_write())?,
                seq: Seq(react.get_seq()),
                emoji: Emoji::parse(utf8(react.get_emoji())?).map_err(bad_name("reaction"))?,
                remove: react.get_remove(),
            })
        }
        Which::Pin(pin) => {
            let pin = some(pin)?;
            Command::Pin(Pin { write: read_write(pin.get_write())?, seq: Seq(pin.get_seq()), remove: pin.get_remove() })
        }
        Which::MarkRead(mark) => {
            let mark = some(mark)?;
            Command::MarkRead { room: read_id(some(mark.get_room())?), seq: Seq(mark.get_seq()) }
        }
        Which::UpdateRoom(update) => Command::UpdateRoom(read_update(some(update)?)?),
        Which::SetRole(set) => Command::SetRole(read_set_role(some(set)?)?),
        Which::Sanction(sanction) => Command::Sanction(read_sanction(some(sanction)?)?),
        Which::Revisions(target) => {
            let target = some(target)?;
            let (room, seq) = (read_id(some(target.get_room())?), Seq(target.get_seq()));
            Command::Revisions { room, seq, before: target.get_before() }
        }
        Which::Direct(direct) => {
            let direct = some(direct)?;
            Command::Direct { client_id: client_id(direct.get_client_id())?, user: read_id(some(direct.get_user())?) }
        }
        Which::Invite(invite) => read_invite(some(invite)?)?,
        which => return door::read(which),
    })
}

fn read_set_role(set: wire::set_role::Reader<'_>) -> Result<SetRole, Reject> {
    let is_granted = |role: &RoomRole| {
        matches!(role, RoomRole::Owner | RoomRole::Admin | RoomRole::Moderator | RoomRole::Member | RoomRole::Guest)
    };
    Ok(SetRole {
        write: read_write(set.get_write())?,
        user: read_id(some(set.get_user())?),
        role: read_room_role(set.get_role()).filter(is_granted).ok_or_else(malformed)?,
    })
}

fn read_sanction(sanction: wire::sanction::Reader<'_>) -> Result<SanctionUser, Reject> {
    Ok(SanctionUser {
        write: read_write(sanction.get_write())?,
        user: read_id(some(sanction.get_user())?),
        kind: read_sanction_kind(sanction.get_kind()).ok_or_else(malformed)?,
        duration_ms: sanction.get_duration_ms(),
        reason: Reason::parse(utf8(sanction.get_reason())?).map_err(bad_name("reason"))?,
    })
}

fn read_invite(invite: wire::invite::Reader<'_>) -> Result<Command, Reject> {
    let (uses, duration_ms) = invite_bounds(invite.get_uses(), invite.get_duration_ms())?;
    Ok(Command::Invite { room: read_id(some(invite.get_room())?), uses, duration_ms })
}

pub(super) fn read_write(write: capnp::Result<wire::write::Reader<'_>>) -> Result<Write, Reject> {
    let write = some(write)?;
    let room: RoomId = read_id(some(write.get_room())?);
    Ok(Write { room, client_id: client_id(write.get_client_id())?, resend: write.get_resend() })
}

fn read_update(update: wire::update_room::Reader<'_>) -> Result<UpdateRoom, Reject> {
    let name = update.has_name().then(|| utf8(update.get_name())).transpose()?;
    let topic = update.has_topic().then(|| utf8(update.get_topic())).transpose()?;
    let slow_mode_ms = update.get_has_slow_mode().then(|| update.get_slow_mode_ms());
    if slow_mode_ms.is_some_and(|slow| slow > SLOW_MODE_MS_MAX) {
        return Err(Reject::new(RejectCode::Malformed, "the slow mode is too long: at most six hours"));
    }
    let retention_ms = update.get_has_retention().then(|| update.get_retention_ms());
    if retention_ms
        .is_some_and(|retention| retention != 0 && !(RETENTION_MS_MIN..=RETENTION_MS_MAX).contains(&retention))
    {
        return Err(Reject::new(RejectCode::Malformed, "the retention is two days to a hundred years, or 0 for ever"));
    }
    let rights = if update.has_rights() { Some(read_rights(some(update.get_rights())?)) } else { None };
    if rights.is_some_and(|rights| !rights.is_valid()) {
        return Err(Reject::new(RejectCode::Malformed, "no room can give that right to that role"));
    }
    Ok(UpdateRoom {
        write: read_write(update.get_write())?,
        name: name.map(|name| RoomName::parse(name).map_err(bad_name("room name"))).transpose()?,
        topic: topic.map(|topic| Topic::parse(topic).map_err(bad_name("topic"))).transpose()?,
        slow_mode_ms,
        retention_ms,
        visibility: read_visibility(update.get_visibility()),
        knocks: update.get_has_knocks().then(|| update.get_knocks()),
        rights,
    })
}

pub(super) fn write(out: wire::request::Builder<'_>, command: &Command) {
    match command {
        Command::Edit(edit) => {
            let mut out = out.init_edit();
            write_write(out.reborrow().init_write(), &edit.write);
            out.set_seq(edit.seq.0);
            out.set_body(edit.body.as_str());
        }
        Command::Delete(delete) => {
            let mut out = out.init_delete();
            write_write(out.reborrow().init_write(), &delete.write);
            let mut list = out.init_seqs(count(delete.seqs.len()));
            for (index, seq) in (0..).zip(&delete.seqs) {
                list.set(index, seq.0);
            }
        }
        Command::React(react) => {
            let mut out = out.init_react();
            write_write(out.reborrow().init_write(), &react.write);
            out.set_seq(react.seq.0);
            out.set_emoji(react.emoji.as_str());
            out.set_remove(react.remove);
        }
        Command::Pin(pin) => {
            let mut out = out.init_pin();
            write_write(out.reborrow().init_write(), &pin.write);
            out.set_seq(pin.seq.0);
            out.set_remove(pin.remove);
        }
        Command::MarkRead { room, seq } => {
            let mut out = out.init_mark_read();
            write_id(out.reborrow().init_room(), *room);
            out.set_seq(seq.0);
        }
        Command::UpdateRoom(update) => write_update(out.init_update_room(), update),
        Command::SetRole(set) => {
            let mut out = out.init_set_role();
            write_write(out.reborrow().init_write(), &set.write);
            write_id(out.reborrow().init_user(), set.user);
            out.set_role(room_role_to(set.role));
        }
        Command::Sanction(sanction) => {
            let mut out = out.init_sanction();
            write_write(out.reborrow().init_write(), &sanction.write);
            write_id(out.reborrow().init_user(), sanction.user);
            out.set_kind(sanction_kind_to(sanction.kind));
            out.set_duration_ms(sanction.duration_ms);
            out.set_reason(sanction.reason.as_str());
        }
        Command::Revisions { room, seq, before } => {
            let mut out = out.init_revisions();
            write_id(out.reborrow().init_room(), *room);
            out.set_seq(seq.0);
            out.set_before(*before);
        }
        Command::Direct { client_id, user } => {
            let mut out = out.init_direct();
            write_id(out.reborrow().init_client_id(), *client_id);
            write_id(out.init_user(), *user);
        }
        Command::Invite { room, uses, duration_ms } => {
            let mut out = out.init_invite();
            out.set_uses(*uses);
            out.set_duration_ms(*duration_ms);
            write_id(out.init_room(), *room);
        }
        _ => {}
    }
}

pub(super) fn write_write(mut out: wire::write::Builder<'_>, write: &Write) {
    write_id(out.reborrow().init_room(), write.room);
    write_id(out.reborrow().init_client_id(), write.client_id);
    out.set_resend(write.resend);
}

fn write_update(mut out: wire::update_room::Builder<'_>, update: &UpdateRoom) {
    write_write(out.reborrow().init_write(), &update.write);
    if let Some(name) = &update.name {
        out.set_name(name.as_str());
    }
    if let Some(topic) = &update.topic {
        out.set_topic(topic.as_str());
    }
    if let Some(slow_mode_ms) = update.slow_mode_ms {
        out.set_slow_mode_ms(slow_mode_ms);
        out.set_has_slow_mode(true);
    }
    if let Some(retention_ms) = update.retention_ms {
        out.set_retention_ms(retention_ms);
        out.set_has_retention(true);
    }
    if let Some(visibility) = update.visibility {
        out.set_visibility(visibility_to(visibility));
    }
    if let Some(knocks) = update.knocks {
        out.set_knocks(knocks);
        out.set_has_knocks(true);
    }
    if let Some(rights) = update.rights {
        write_rights(out.init_rights(), rights);
    }
}
