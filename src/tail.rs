//! The only writer to the hub: what a commit appended becomes one push per room, encoded once, in seq order; and once
//! more for each who is given what others are not.

use std::collections::BTreeSet;
use std::sync::Arc;

use confab_protocol::codec::{encode_push, page_len};
use confab_protocol::model::{Envelope, Incarnation, RoomId, UserId};

use crate::core::append::{Audience, Decided, Decision, Item, void};
use crate::hub::{Copies, Hub, Span};
use crate::lifecycle::Lifecycle;

/// Feeds the hub.
#[derive(Clone)]
pub struct Tail {
    hub: Arc<Hub>,
    lifecycle: Lifecycle,
}

/// What one commit appended to one room.
struct Fresh {
    room: RoomId,
    incarnation: Incarnation,
    entries: Vec<Envelope>,
    /// Of each entry the one who alone is given it, if somebody is.
    given_to: Vec<Option<UserId>>,
    leavers: Vec<UserId>,
}

impl Tail {
    /// Over this hub.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, lifecycle: Lifecycle) -> Self {
        Self { hub, lifecycle }
    }

    /// Delivers what a durable commit appended.
    pub fn deliver(&self, decided: &[Decided]) {
        for fresh in by_room(decided) {
            if self.hub.is_watched(fresh.room) {
                for (span, push) in encode_all(&fresh) {
                    for flusher in self.hub.deliver(span, &push) {
                        // Beside the next commit, and on every core.
                        self.lifecycle.spawn(async { flusher.flush() });
                    }
                }
            }
            // Their own leaving was the last entry they see.
            for user in fresh.leavers {
                self.hub.detach_user(fresh.room, user);
            }
        }
    }
}

fn by_room(decided: &[Decided]) -> Vec<Fresh> {
    let mut rooms: Vec<Fresh> = Vec::new();
    for decided in decided {
        for (item, decision) in decided.all() {
            let Decision::Append { incarnation, seq, time, audience, .. } = *decision else { continue };
            let rewritten = decided.rewritten.clone().filter(|_| std::ptr::eq(item, &raw const decided.item));
            let (payload, rewritten) = (item.payload.clone(), rewritten.map(Box::new));
            let fresh = room_of(&mut rooms, item, incarnation);
            fresh.entries.push(Envelope { seq, time, rev: 0, payload, rewritten });
            fresh.given_to.push((audience == Audience::Author).then_some(item.author));
            fresh.leavers.extend(item.change.leaver(item.author));
        }
    }
    rooms
}

/// Behind a leaving begins another push: their own leaving is the last entry that they see.
fn room_of<'a>(rooms: &'a mut Vec<Fresh>, item: &Item, incarnation: Incarnation) -> &'a mut Fresh {
    let is_open = |fresh: &Fresh| fresh.room == item.room && fresh.leavers.is_empty();
    let index = rooms.iter().position(is_open).unwrap_or(rooms.len());
    if index == rooms.len() {
        rooms.push(Fresh {
            room: item.room,
            incarnation,
            entries: Vec::new(),
            given_to: Vec::new(),
            leavers: Vec::new(),
        });
    }
    #[expect(clippy::indexing_slicing, reason = "found or just pushed")]
    &mut rooms[index]
}

/// As few pushes as the frame bound allows.
fn encode_all(fresh: &Fresh) -> Vec<(Span, Copies)> {
    let Fresh { room, incarnation, .. } = *fresh;
    let mut pushes = Vec::with_capacity(1);
    let (mut rest, mut given_to) = (fresh.entries.as_slice(), fresh.given_to.as_slice());
    while let (Some(first), Some(last)) = (rest.first(), rest.get(page_len(rest).saturating_sub(1))) {
        let (page, more) = rest.split_at(page_len(rest));
        let (to, others) = given_to.split_at(page.len().min(given_to.len()));
        let span = Span { room, incarnation, first: first.seq, last: last.seq };
        pushes.push((span, encode(room, incarnation, page, to)));
        (rest, given_to) = (more, others);
    }
    pushes
}

/// One encoding for everybody; and one more for each who is given what others are not.
fn encode(room: RoomId, incarnation: Incarnation, page: &[Envelope], given_to: &[Option<UserId>]) -> Copies {
    if given_to.iter().all(Option::is_none) {
        return Copies { everyone: encode_push(room, incarnation, page), own: Vec::new() };
    }
    let copy = |reader: Option<UserId>| {
        let is_given = |to: &Option<UserId>| to.is_none() || *to == reader;
        let seen = page.iter().zip(given_to).map(|(entry, to)| if is_given(to) { entry.clone() } else { void(entry) });
        encode_push(room, incarnation, &seen.collect::<Vec<_>>())
    };
    let readers: BTreeSet<UserId> = given_to.iter().flatten().copied().collect();
    Copies { everyone: copy(None), own: readers.into_iter().map(|reader| (reader, copy(Some(reader)))).collect() }
}
