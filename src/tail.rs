//! The only writer to the hub: what a commit appended becomes one push per room, encoded once, in seq order.

use std::sync::Arc;

use bytes::Bytes;
use confab_protocol::codec::{encode_push, page_len};
use confab_protocol::model::{Envelope, Incarnation, RoomId};

use crate::core::append::{Change, Decided, Decision, Item};
use crate::hub::{Hub, Span};
use crate::lifecycle::Lifecycle;

/// Feeds the hub.
#[derive(Clone)]
pub struct Tail {
    hub: Arc<Hub>,
    lifecycle: Lifecycle,
}

/// What one commit appended to one room.
struct Fresh<'a> {
    room: RoomId,
    incarnation: Incarnation,
    entries: Vec<Envelope>,
    leavers: Vec<&'a Item>,
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
            for item in fresh.leavers {
                self.hub.detach_user(item.room, item.author);
            }
        }
    }
}

fn by_room(decided: &[Decided]) -> Vec<Fresh<'_>> {
    let mut rooms: Vec<Fresh<'_>> = Vec::new();
    for (item, decision) in decided.iter().flat_map(Decided::all) {
        let Decision::Append { incarnation, seq, time, .. } = *decision else { continue };
        // Behind a leaving begins another push: their own leaving is the last entry that they see.
        let is_open = |fresh: &Fresh<'_>| fresh.room == item.room && fresh.leavers.is_empty();
        let index = rooms.iter().position(is_open).unwrap_or_else(|| {
            rooms.push(Fresh { room: item.room, incarnation, entries: Vec::new(), leavers: Vec::new() });
            rooms.len() - 1
        });
        let Some(fresh) = rooms.get_mut(index) else { continue };
        fresh.entries.push(Envelope { seq, time, rev: 0, payload: item.payload.clone() });
        if item.change == Change::Leave {
            fresh.leavers.push(item);
        }
    }
    rooms
}

/// As few pushes as the frame bound allows.
fn encode_all(fresh: &Fresh<'_>) -> Vec<(Span, Bytes)> {
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
