//! What plugins are shown after it happened: apart from those who write, in the order of each room's log, at least once.

pub mod follow;
mod passed;
pub mod sessions;

use std::sync::Arc;

use async_trait::async_trait;
use confab_protocol::codec::decode_entry;
use confab_protocol::model::{EntryContent, Envelope, Millis, RoomId, SanctionKind, Seq, UserId};

use super::audit;

/// Something that happened in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Happening {
    pub room: RoomId,
    /// Of the message, also where this is another text for it.
    pub seq: Seq,
    pub author: UserId,
    pub time: Millis,
    pub what: What,
}

/// See [`Happening`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum What {
    /// Somebody said something, or gave a message another text.
    Message { body: String, edited: bool },
    /// Something was done to somebody, or taken back. Its kind is a word of the contract.
    Sanction { user: UserId, kind: &'static str, until: Option<Millis> },
}

/// How showing it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// Well.
    Seen,
    /// The plugin did not survive it.
    Failed,
    /// It is out of service: come again.
    Paused,
    /// It is out of service, and failed to come back by something of the same author: others' is waited for.
    Barred,
    /// It is not there any more, or observes nothing.
    Gone,
}

/// Plugins that observe.
#[async_trait]
pub trait Observers: Send + Sync {
    /// By their ids; one that is off is none.
    fn observers(&self) -> Vec<String>;
    /// Shows it to one of them.
    async fn show(&self, plugin: &str, happening: Arc<Happening>) -> Shown;
}

/// What an entry is to those who observe, if it is something. It was read as others see it: what only its author sees is
/// nothing, and neither is what was deleted meanwhile.
fn happening(room: RoomId, entry: &Envelope) -> Option<Happening> {
    let decoded = decode_entry(&entry.payload).ok()?;
    let (seq, author, time) = (entry.seq, decoded.author, entry.time);
    match decoded.content {
        EntryContent::Message(message) => {
            let what = What::Message { body: message.body.as_str().to_owned(), edited: entry.rev > 0 };
            Some(Happening { room, seq, author, time, what })
        }
        EntryContent::Edit(_) => {
            let message = entry.rewritten.as_deref()?;
            let decoded = decode_entry(&message.payload).ok()?;
            let EntryContent::Message(text) = decoded.content else { return None };
            let what = What::Message { body: text.body.as_str().to_owned(), edited: true };
            Some(Happening { room, seq: message.seq, author: decoded.author, time, what })
        }
        EntryContent::Sanction(sanction) if sanction.kind != SanctionKind::Shadow => {
            let (user, kind, until) = (sanction.user, audit::sanction_word(sanction.kind), sanction.until);
            Some(Happening { room, seq, author, time, what: What::Sanction { user, kind, until } })
        }
        _ => None,
    }
}
