//! Entries: the standalone messages that logs store and pushes carry.

use bytes::Bytes;

use super::values::{change_to, read_change, read_id, read_room_role, room_role_to, server_text, write_id};
use super::{FrameError, encode, open};
use crate::chat_capnp as wire;
use crate::model::{Body, DisplayName, Entry, EntryContent, RoomName, RoomRole, SelfNote, Topic};

/// The bytes of an entry: made once, then stored and sent as they are.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Bytes {
    encode(|message| {
        let mut root = message.init_root::<wire::entry::Builder<'_>>();
        write_id(root.reborrow().init_author(), entry.author);
        write_id(root.reborrow().init_client_id(), entry.client_id);
        match &entry.content {
            EntryContent::Void | EntryContent::Unknown => root.set_void(()),
            EntryContent::Message(body) => root.init_message().set_body(body.as_str()),
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
            EntryContent::SelfNote(note) => {
                let mut out = root.init_self_note();
                match note {
                    SelfNote::AccountCreated => out.set_account_created(()),
                    SelfNote::Joined(room) => write_id(out.init_joined(), *room),
                    SelfNote::Left(room) => write_id(out.init_left(), *room),
                }
            }
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
        Ok(Which::Message(message)) => {
            let body = message?.get_body()?.to_str().map_err(|_| FrameError::Invalid)?;
            EntryContent::Message(Body::parse(body).map_err(|_| FrameError::Invalid)?)
        }
        Ok(Which::RoomCreated(created)) => {
            let created = created?;
            EntryContent::RoomCreated {
                name: RoomName::parse(&server_text(created.get_name())?).map_err(|_| FrameError::Invalid)?,
                topic: Topic::parse(&server_text(created.get_topic())?).map_err(|_| FrameError::Invalid)?,
            }
        }
        Ok(Which::Membership(membership)) => read_membership(membership?)?,
        Ok(Which::SelfNote(note)) => read_self_note(note?)?,
        _ => EntryContent::Unknown,
    };
    Ok(Entry { author: read_id(root.get_author()?), client_id: read_id(root.get_client_id()?), content })
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
        Err(_) => EntryContent::Unknown,
    })
}
