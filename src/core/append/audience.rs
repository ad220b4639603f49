//! Who sees an entry. What somebody says who is shadowed is seen by its author, who is not told, and by moderators that
//! look at the history; for everybody else its seq is void.

use std::sync::LazyLock;

use bytes::Bytes;
use confab_protocol::codec::encode_entry;
use confab_protocol::model::{ClientId, Entry, EntryContent, Envelope, Millis, SanctionKind, UserId};

use super::amend::{Act, Amend};
use super::facts::{Facts, TargetState};
use super::{Change, Item, MESSAGE_KIND};

/// Added to the kind of an entry that its author alone is given.
pub(super) const SHADOWED: u8 = 64;
/// The kind of such a message.
pub const SHADOWED_MESSAGE_KIND: u8 = MESSAGE_KIND | SHADOWED;

/// Who is given an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Whoever may read the room.
    Everyone,
    /// Its author; the others find its seq void.
    Author,
}

/// What stands in the place of what one does not see: the same bytes for everybody, encoded once.
static VOID: LazyLock<Bytes> = LazyLock::new(|| {
    let (author, client_id) = (UserId::NONE, ClientId::NONE);
    encode_entry(&Entry { author, client_id, content: EntryContent::Void })
});

/// The entry as those see it who do not.
#[must_use]
pub fn void(entry: &Envelope) -> Envelope {
    Envelope { seq: entry.seq, time: entry.time, rev: 0, payload: VOID.clone(), rewritten: None }
}

/// Whether a reader finds an entry of this kind void. The server itself, which is nobody, sees everything.
#[must_use]
pub fn is_void_for(reader: UserId, kind: u8, author: UserId) -> bool {
    kind & SHADOWED != 0 && reader != author && reader != UserId::NONE
}

impl Audience {
    /// As stores keep it.
    #[must_use]
    pub const fn kind(self, kind: u8) -> u8 {
        match self {
            Self::Everyone => kind,
            Self::Author => kind | SHADOWED,
        }
    }

    /// Of what is about to be appended, before it changes anything.
    pub(super) fn of(facts: &Facts, item: &Item, now: Millis) -> Self {
        let is_hidden = |seq: &_| facts.targets.get(&(item.room, *seq)).is_some_and(TargetState::is_shadowed);
        let is_author_shadowed =
            || facts.members.get(&(item.room, item.author)).is_some_and(|member| member.is_shadowed(now));
        let is_shadowed = match &item.change {
            // An answer to what others do not see would tell them of it.
            Change::Message(said) => said.shadowed || is_author_shadowed() || said.reply_to.iter().any(is_hidden),
            Change::Amend(amend) => {
                let Amend { act, shadowed, .. } = &**amend;
                match act {
                    Act::Edit(seq, ..) | Act::React(seq, ..) | Act::Pin(seq, _) => {
                        *shadowed || is_author_shadowed() || is_hidden(seq)
                    }
                    Act::Delete(seqs) | Act::Erase(seqs) => seqs.iter().all(|(seq, _)| is_hidden(seq)),
                    Act::Sanction(_, SanctionKind::Shadow, _) => true,
                    // That it is over is nobody's affair either.
                    Act::Sanction(user, SanctionKind::Lift, _) => {
                        let member = facts.members.get(&(item.room, *user));
                        member.and_then(|it| it.restriction).is_some_and(|it| it.kind == SanctionKind::Shadow)
                    }
                    _ => false,
                }
            }
            _ => false,
        };
        if is_shadowed { Self::Author } else { Self::Everyone }
    }
}
