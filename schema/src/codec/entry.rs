//! Entries: the standalone messages that logs store and pushes carry.

use bytes::Bytes;

use super::request::count;
use super::values::{
    change_to, optional_seq, read_change, read_id, read_rights, read_room_role, read_sanction_kind, read_state,
    read_visibility, room_role_to, sanction_kind_to, server_text, state_to, visibility_to, write_id, write_rights,
};
use super::{FrameError, encode, open};
use crate::chat_capnp as wire;
use crate::model::{
    Body, DisplayName, Emoji, Entry, EntryContent, Message, Millis, Reason, RoomName, RoomRole, RoomSettings, Sanction,
    SelfNote, Seq, Topic,
};
use crate::rights::RoomRights;

/// The bytes of an entry: made once, then stored and sent as they are.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Bytes {
    encode(|message| {
        let mut root = message.init_root::<wire::entry::Builder<'_>>();
        write_id(root.reborrow().init_author(), entry.author);
        write_id(root.reborrow().init_client_id(), entry.client_id);
        match &entry.content {
            EntryContent::Void | EntryContent::Unknown => root.set_void(()),
            EntryContent::Message(message) => write_message(root.init_message(), message),
            EntryContent::Edit(seq) => root.set_edit(seq.0),
            EntryContent::Deletion { seqs, by_moderator } => {
                let mut deletion = root.init_deletion();
                deletion.set_by_moderator(*by_moderator);
                let mut list = deletion.init_seqs(count(seqs.len()));
                for (index, seq) in (0..).zip(seqs) {
                    list.set(index, seq.0);
                }
            }
            EntryContent::Tombstone { by_moderator } => root.init_tombstone().set_by_moderator(*by_moderator),
            EntryContent::Reaction { seq, emoji, removed } => {
                let mut reaction = root.init_reaction();
                reaction.set_seq(seq.0);
                reaction.set_emoji(emoji.as_str());
                reaction.set_removed(*removed);
            }
            EntryContent::Pin { seq, removed } => {
                let mut pin = root.init_pin();
                pin.set_seq(seq.0);
                pin.set_removed(*removed);
            }
            EntryContent::Settings(settings) => {
                let mut out = root.init_room_settings();
                out.set_name(settings.name.as_str());
                out.set_topic(settings.topic.as_str());
                out.set_slow_mode_ms(settings.slow_mode_ms);
                out.set_retention_ms(settings.retention_ms);
                out.set_visibility(visibility_to(settings.visibility));
                out.set_knocks(settings.knocks);
                if settings.rights != RoomRights::default() {
                    write_rights(out.init_rights(), settings.rights);
                }
            }
            EntryContent::Sanction(sanction) => write_sanction(root.init_sanction(), sanction),
            EntryContent::RoomCreated { name, topic } => {
                let mut created = root.init_room_created();
                created.set_name(name.as_str());
                created.set_topic(topic.as_str());
            }
            EntryContent::Membership { user, change, role, display_name } => {
                let mut membership = root.init_membership();
                write_id(membership.reborrow().init_user(), *user);
                membership.set_change(change_to(*change));
                membership.set_role(room_role_to(*role));
                membership.set_display_name(display_name.as_str());
            }
            EntryContent::SelfNote(note) => write_self_note(root.init_self_note(), note),
            EntryContent::Knock => root.set_knock(()),
            EntryContent::Notice(body) => root.set_notice(body.as_str()),
        }
    })
}

/// Reads an entry. A kind of a later version is [`EntryContent::Unknown`].
///
/// # Errors
/// Bytes that are not an entry, or texts out of their bounds.
pub fn decode_entry(payload: &[u8]) -> Result<Entry, FrameError> {
    use wire::entry::Which;
    let message = open(payload)?;
    let root = message.get_root::<wire::entry::Reader<'_>>()?;
    let content = match root.which() {
        Ok(Which::Void(())) => EntryContent::Void,
        Ok(Which::Message(message)) => EntryContent::Message(read_message(message?)?),
        Ok(Which::Edit(seq)) => EntryContent::Edit(Seq(seq)),
        Ok(Which::Deletion(deletion)) => {
            let deletion = deletion?;
            let seqs = deletion.get_seqs()?.iter().map(Seq).collect();
            EntryContent::Deletion { seqs, by_moderator: deletion.get_by_moderator() }
        }
        Ok(Which::Tombstone(stone)) => EntryContent::Tombstone { by_moderator: stone?.get_by_moderator() },
        Ok(Which::Reaction(reaction)) => {
            let reaction = reaction?;
            EntryContent::Reaction {
                seq: Seq(reaction.get_seq()),
                emoji: Emoji::parse(&server_text(reaction.get_emoji())?).map_err(|_| FrameError::Invalid)?,
                removed: reaction.get_removed(),
            }
        }
        Ok(Which::Pin(pin)) => {
            let pin = pin?;
            EntryContent::Pin { seq: Seq(pin.get_seq()), removed: pin.get_removed() }
        }
        Ok(Which::RoomSettings(settings)) => {
            let settings = settings?;
            EntryContent::Settings(RoomSettings {
                name: RoomName::parse(&server_text(settings.get_name())?).map_err(|_| FrameError::Invalid)?,
                topic: Topic::parse(&server_text(settings.get_topic())?).map_err(|_| FrameError::Invalid)?,
                slow_mode_ms: settings.get_slow_mode_ms(),
                retention_ms: settings.get_retention_ms(),
                visibility: read_visibility(settings.get_visibility()).unwrap_or_default(),
                knocks: settings.get_knocks(),
                rights: read_rights(settings.get_rights()?),
            })
        }
        Ok(Which::Sanction(sanction)) => read_sanction(sanction?)?,
        Ok(Which::RoomCreated(created)) => {
            let created = created?;
            EntryContent::RoomCreated {
                name: RoomName::parse(&server_text(created.get_name())?).map_err(|_| FrameError::Invalid)?,
                topic: Topic::parse(&server_text(created.get_topic())?).map_err(|_| FrameError::Invalid)?,
            }
        }
        Ok(Which::Membership(membership)) => read_membership(membership?)?,
        Ok(Which::SelfNote(note)) => read_self_note(note?)?,
        Ok(Which::Knock(())) => EntryContent::Knock,
        Ok(Which::Notice(body)) => {
            EntryContent::Notice(Body::parse(&server_text(body)?).map_err(|_| FrameError::Invalid)?)
        }
        _ => EntryContent::Unknown,
    };
    Ok(Entry { author: read_id(root.get_author()?), client_id: read_id(root.get_client_id()?), content })
}

fn write_message(mut out: wire::message::Builder<'_>, message: &Message) {
    out.set_body(message.body.as_str());
    out.set_reply_to(message.reply_to.map_or(0, |seq| seq.0));
    if !message.mentions.is_empty() {
        let mut list = out.init_mentions(count(message.mentions.len()));
        for (index, user) in (0..).zip(&message.mentions) {
            write_id(list.reborrow().get(index), *user);
        }
    }
}

fn read_message(message: wire::message::Reader<'_>) -> Result<Message, FrameError> {
    let body = message.get_body()?.to_str().map_err(|_| FrameError::Invalid)?;
    Ok(Message {
        body: Body::parse(body).map_err(|_| FrameError::Invalid)?,
        reply_to: optional_seq(message.get_reply_to()),
        mentions: message.get_mentions()?.iter().map(read_id).collect(),
    })
}

fn write_sanction(mut out: wire::sanctioned::Builder<'_>, sanction: &Sanction) {
    write_id(out.reborrow().init_user(), sanction.user);
    out.set_kind(sanction_kind_to(sanction.kind));
    out.set_until_ms(sanction.until.map_or(0, |until| until.0));
    out.set_reason(sanction.reason.as_str());
}

fn write_self_note(mut out: wire::self_note::Builder<'_>, note: &SelfNote) {
    match note {
        SelfNote::AccountCreated => out.set_account_created(()),
        SelfNote::Joined(room) => write_id(out.init_joined(), *room),
        SelfNote::Left(room) => write_id(out.init_left(), *room),
        SelfNote::ProfileChanged => out.set_profile_changed(()),
        SelfNote::Case { case, room, state } => {
            let mut out = out.init_case();
            write_id(out.reborrow().init_case(), *case);
            write_id(out.reborrow().init_room(), *room);
            out.set_state(state_to(*state));
        }
        SelfNote::Read(room, seq) => {
            let mut out = out.init_read();
            out.set_seq(seq.0);
            write_id(out.init_room(), *room);
        }
    }
}

fn read_sanction(sanction: wire::sanctioned::Reader<'_>) -> Result<EntryContent, FrameError> {
    let Some(kind) = read_sanction_kind(sanction.get_kind()) else { return Ok(EntryContent::Unknown) };
    let until = sanction.get_until_ms();
    Ok(EntryContent::Sanction(Sanction {
        user: read_id(sanction.get_user()?),
        kind,
        until: (until != 0).then_some(Millis(until)),
        reason: Reason::parse(&server_text(sanction.get_reason())?).map_err(|_| FrameError::Invalid)?,
    }))
}

fn read_membership(membership: wire::membership::Reader<'_>) -> Result<EntryContent, FrameError> {
    let Some(change) = read_change(membership.get_change()) else { return Ok(EntryContent::Unknown) };
    Ok(EntryContent::Membership {
        user: read_id(membership.get_user()?),
        change,
        role: read_room_role(membership.get_role()).unwrap_or(RoomRole::Guest),
        display_name: DisplayName::parse(&server_text(membership.get_display_name())?)
            .map_err(|_| FrameError::Invalid)?,
    })
}

fn read_self_note(note: wire::self_note::Reader<'_>) -> Result<EntryContent, FrameError> {
    use wire::self_note::Which;
    Ok(match note.which() {
        Ok(Which::AccountCreated(())) => EntryContent::SelfNote(SelfNote::AccountCreated),
        Ok(Which::Joined(room)) => EntryContent::SelfNote(SelfNote::Joined(read_id(room?))),
        Ok(Which::Left(room)) => EntryContent::SelfNote(SelfNote::Left(read_id(room?))),
        Ok(Which::ProfileChanged(())) => EntryContent::SelfNote(SelfNote::ProfileChanged),
        Ok(Which::Read(read)) => {
            let read = read?;
            EntryContent::SelfNote(SelfNote::Read(read_id(read.get_room()?), Seq(read.get_seq())))
        }
        Ok(Which::Case(note)) => {
            let note = note?;
            let (case, room) = (read_id(note.get_case()?), read_id(note.get_room()?));
            let known = |state| EntryContent::SelfNote(SelfNote::Case { case, room, state });
            read_state(note.get_state()).map_or(EntryContent::Unknown, known)
        }
        Err(_) => EntryContent::Unknown,
    })
}
