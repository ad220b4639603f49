//! The only writer to the hub: what a commit appended becomes one push per room, encoded once, in seq order.

use std::sync::Arc;

use bytes::Bytes;
use confab_protocol::codec::{encode_push, page_len};
use confab_protocol::model::{Envelope, Incarnation, RoomId, UserId};

use crate::core::append::{Decided, Decision, Item};
use crate::hub::{Hub, Span};
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
            let Decision::Append { incarnation, seq, time, .. } = *decision else { continue };
            let rewritten = decided.rewritten.clone().filter(|_| std::ptr::eq(item, &raw const decided.item));
            let (payload, rewritten) = (item.payload.clone(), rewritten.map(Box::new));
            let fresh = room_of(&mut rooms, item, incarnation);
            fresh.entries.push(Envelope { seq, time, rev: 0, payload, rewritten });
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
        rooms.push(Fresh { room: item.room, incarnation, entries: Vec::new(), leavers: Vec::new() });
    }
    #[expect(clippy::indexing_slicing, reason = "found or just pushed")]
    &mut rooms[index]
}

/// As few pushes as the frame bound allows.
fn encode_all(fresh: &Fresh) -> Vec<(Span, Bytes)> {
    let Fresh { room, incarnation, .. } = *fresh;
    let mut pushes = Vec::with_capacity(1);
    let mut rest = fresh.entries.as_slice();
    while let (Some(first), Some(last)) = (rest.first(), rest.get(page_len(rest).saturating_sub(1))) {
        let (page, more) = rest.split_at(page_len(rest));
        let span = Span { room, incarnation, first: first.seq, last: last.seq };
        pushes.push((span, encode_push(room, incarnation, page)));
        rest = more;
    }
    pushes
}
