//! Finding messages by their words. An index follows the logs from a cursor, apart from appends; what it finds is read
//! from the log again, and given only if it still says what was asked for.

pub mod index;
pub mod words;

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{FoundAt, Hit, Reply, Search};
use confab_protocol::limits::PAGE_BYTES_MAX;
use confab_protocol::model::{EntryContent, Envelope, Incarnation, Millis, RoomId, Seq};
use confab_protocol::reject::{Reject, RejectCode};

use self::words::Query;
use super::Core;
use super::auth::Actor;

/// Places are counted from here, so that they fit a number of 63 bits until 2089.
const PLACES_FROM_MS: u64 = 1_577_836_800_000;
/// Bits of a place that tell messages of one millisecond apart.
const TIE_BITS: u32 = 22;

/// Where a message stands among all: by time, and within a millisecond by a hash that is the same in every store.
#[must_use]
pub fn place(at: FoundAt) -> i64 {
    let millis = at.time.0.saturating_sub(PLACES_FROM_MS).min((1 << (63 - TIE_BITS)) - 1);
    let tie = match at.room {
        // Before everything of its millisecond.
        RoomId::NONE => 0,
        room => {
            let mixed = (room.as_u128() as u64 ^ (room.as_u128() >> 64) as u64 ^ at.seq.0.rotate_left(32))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed >> (64 - TIE_BITS)
        }
    };
    ((millis << TIE_BITS) | tie).cast_signed()
}

/// The time of a place.
#[must_use]
pub const fn time_of(place: i64) -> Millis {
    Millis((place.cast_unsigned() >> TIE_BITS) + PLACES_FROM_MS)
}

/// How far the index of a room follows its log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Progress {
    pub room: RoomId,
    /// Of the log, as of now.
    pub incarnation: Incarnation,
    /// Of the log, as of now.
    pub first_seq: Seq,
    /// 0 where it has nothing of this incarnation.
    pub indexed: Seq,
}

/// What a message says from now on, to the index.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Indexed {
    pub seq: Seq,
    /// See [`place`].
    pub place: i64,
    /// None: it is gone.
    pub words: Vec<String>,
}

/// A step of the index along a log. Whoever finds it elsewhere than at `from.indexed` leaves it alone.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Step {
    pub from: Progress,
    pub to: Seq,
    /// Each message once.
    pub changes: Vec<Indexed>,
}

/// What is looked for in the index.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Wanted {
    pub room: Option<RoomId>,
    pub query: Query,
    /// Only what stands before this one.
    pub before: Option<FoundAt>,
    pub limit: usize,
}

/// What the index has, the newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matches {
    /// Messages as they read now.
    pub messages: Vec<(RoomId, Envelope)>,
    /// Where the look ended, if there may be more: go on before this. It is in a room that the reader is in.
    pub stopped: Option<FoundAt>,
}

impl Core {
    /// Messages by their words, in rooms that the actor is in, the newest first.
    ///
    /// # Errors
    /// A query without words or of too many; too often; not a member.
    pub async fn search(&self, actor: &Actor, search: Search) -> Result<Reply, Reject> {
        self.limits.check_search(actor.user)?;
        let Search { room, query, before, limit } = search;
        let Some(blinder) = self.store.words() else {
            let why = "searches are off here: what people say is sealed where it is stored";
            return Err(Reject::new(RejectCode::Unsupported, why));
        };
        let query = words::parse(&query).map_err(|error| Reject::new(RejectCode::Malformed, error.to_string()))?;
        let Some(blinded) = query.blinded(&blinder) else {
            return Err(Reject::new(
                RejectCode::Unsupported,
                "only whole words are found here, no beginnings of words",
            ));
        };
        if let Some(room) = room {
            self.check_read(actor, room).await?;
        }
        let wanted = Wanted { room, query: blinded, before, limit };
        let found = self.store.search(actor.user, wanted).await.map_err(|error| self.unavailable(&error))?;
        let (mut hits, mut bytes) = (Vec::with_capacity(found.messages.len()), 0);
        let mut last = None;
        for (room, message) in found.messages {
            bytes += message.payload_bytes();
            if bytes > PAGE_BYTES_MAX && !hits.is_empty() {
                return Ok(Reply::Found { hits, next: last });
            }
            last = Some(FoundAt { time: message.time, room, seq: message.seq });
            // The index may be behind an edit.
            if says(&message).is_some_and(|words| query.matches(&words)) {
                hits.push(Hit { room, message });
            }
        }
        Ok(Reply::Found { hits, next: found.stopped })
    }
}

/// The words of a message; `None` for other entries.
fn says(entry: &Envelope) -> Option<Vec<String>> {
    match decode_entry(&entry.payload).ok()?.content {
        EntryContent::Message(message) => Some(words::words(message.body.as_str())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_time_and_tell_one_millisecond_apart() {
        let at = |time, room, seq| place(FoundAt { time: Millis(time), room: RoomId::from_u128(room), seq: Seq(seq) });
        let now = 1_790_000_000_000;
        assert!(at(now, 7, 1) < at(now + 1, 3, 1) && at(now, 0, 0) < at(now, 7, 1));
        assert_eq!(time_of(at(now, 7, 9)), Millis(now));
        let places: std::collections::HashSet<i64> = (1..=1_000).map(|seq| at(now, 7, seq)).collect();
        assert!(places.len() > 990, "{} of 1,000", places.len());
        assert!(at(0, 1, 1) >= 0 && at(u64::MAX, 1, 1) > 0, "whatever the clock says");
    }
}
