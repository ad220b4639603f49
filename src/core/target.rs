//! Which message a text is about, for plugins that ask: one that is edited, answered or reacted to. What is edited was read
//! for it anyhow; the others are read before plugins are asked, as [`super::context`] is. Where none of them wants it, nothing
//! is read.

use std::sync::Arc;

use confab_protocol::codec::decode_entry;
use confab_protocol::model::{Body, Entry, EntryContent, RoomId, Seq, UserId};

use super::Core;
use super::auth::Actor;
use super::store::{Error, Result};

/// A message that a text is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where it stands.
    pub seq: Seq,
    /// Who said it; nobody: there is none that the author of the text can see.
    pub author: UserId,
    /// As it reads before; `None`: it was deleted, or is not known.
    pub body: Option<Arc<str>>,
}

/// What a text is about: a message, or none.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct About(pub Option<Target>);

/// The same, as far as the command says.
#[derive(Clone, Copy)]
pub(super) enum Aim<'a> {
    /// Nothing.
    Nothing,
    /// What stands there.
    At(Seq),
    /// A message of one's own, and how it reads.
    Own(Seq, &'a Body),
}

impl Core {
    /// What plugins that want it are given; `None`: the store failed, and those who need it decide nothing.
    pub(super) async fn about(&self, actor: &Actor, room: RoomId, aim: Aim<'_>) -> Option<About> {
        let seq = match aim {
            Aim::Nothing => return Some(About(None)),
            Aim::Own(seq, body) => {
                let body = Some(body.as_str().into());
                return Some(About(Some(Target { seq, author: actor.user, body })));
            }
            Aim::At(seq) => seq,
        };
        match self.read_target(actor, room, seq).await {
            Ok(target) => Some(About(Some(target))),
            Err(error) => {
                self.unavailable(&error);
                None
            }
        }
    }

    /// As the actor sees it: a plugin is told no more of it than who writes knows.
    async fn read_target(&self, actor: &Actor, room: RoomId, seq: Seq) -> Result<Target> {
        let before = Seq(seq.0.saturating_sub(1));
        let page = self.store.read(room, actor.user, before, 1).await?;
        let unseen = Target { seq, author: UserId::NONE, body: None };
        let found = page.and_then(|page| page.entries.into_iter().next()).filter(|entry| entry.seq == seq);
        let Some(found) = found else { return Ok(unseen) };
        let Entry { author, content, .. } = decode_entry(&found.payload)
            .map_err(|error| Error::Corrupt(format!("entry {} of room {room}: {error}", seq.0)))?;
        Ok(match content {
            EntryContent::Message(message) => Target { author, body: Some(message.body.as_str().into()), ..unseen },
            EntryContent::Tombstone { .. } => Target { author, ..unseen },
            _ => unseen,
        })
    }
}
