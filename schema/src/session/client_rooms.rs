//! The client's cursors: what it knows of each room, and what must wait until a subscription is answered.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{EntriesPush, ResumeOutcome, Resumed};
use crate::limits::RESUME_CURSORS_MAX;
use crate::model::{Cursor, Incarnation, RoomId, Seq};

/// Pushes of one room that may wait for the reply to its `resume`; past that the link is dropped, as a
/// server that answers in order never needs it.
const HELD_PUSHES_MAX: usize = 1_024;

/// What a push or a reply means for a room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// New entries, each once and in order.
    Entries(EntriesPush),
    /// Entries were skipped: page them with `sync`, or start anew.
    Gap { resumed: Resumed, known: Seq },
    /// The room is not ours to read any more.
    Lost(RoomId),
    /// Something is missing: subscribe again from what is known.
    Resubscribe(RoomId),
    /// The server does not keep to the protocol.
    Broken,
}

#[derive(Debug)]
struct Room {
    incarnation: Incarnation,
    known: Seq,
    /// `None` when live; else what came before the reply.
    held: Option<Vec<EntriesPush>>,
}

#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: BTreeMap<RoomId, Room>,
    /// Rooms to subscribe to as soon as the last `resume` is answered: one is in flight at a time.
    waiting: BTreeSet<RoomId>,
    is_resuming: bool,
}

impl Rooms {
    /// Follow a room from a cursor; its pushes wait for the reply.
    pub(super) fn follow(&mut self, cursor: Cursor) {
        let room = Room { incarnation: cursor.incarnation, known: cursor.seq, held: Some(Vec::new()) };
        self.rooms.insert(cursor.room, room);
        self.waiting.insert(cursor.room);
    }

    pub(super) fn forget(&mut self, room: RoomId) {
        self.rooms.remove(&room);
        self.waiting.remove(&room);
    }

    pub(super) fn cursor(&self, room: RoomId) -> Option<Cursor> {
        self.rooms.get(&room).map(|state| Cursor { room, incarnation: state.incarnation, seq: state.known })
    }

    /// The link is new: nothing is live.
    pub(super) fn restart(&mut self) {
        self.is_resuming = false;
        for (room, state) in &mut self.rooms {
            state.held = Some(Vec::new());
            self.waiting.insert(*room);
        }
    }

    /// Something is missing in a room: subscribe again from what is known.
    pub(super) fn hold(&mut self, room: RoomId) {
        if let Some(state) = self.rooms.get_mut(&room) {
            state.held = Some(Vec::new());
            self.waiting.insert(room);
        }
    }

    /// The next `resume` to send, if none is in flight.
    pub(super) fn next_resume(&mut self) -> Option<Vec<Cursor>> {
        if self.is_resuming || self.waiting.is_empty() {
            return None;
        }
        let mut cursors = Vec::new();
        while let Some(room) = self.waiting.pop_first() {
            cursors.extend(self.cursor(room));
            if cursors.len() == RESUME_CURSORS_MAX {
                break;
            }
        }
        self.is_resuming = !cursors.is_empty();
        self.is_resuming.then_some(cursors)
    }

    /// The `resume` in flight was answered.
    pub(super) const fn handle_resume_answered(&mut self) {
        self.is_resuming = false;
    }

    pub(super) fn handle_resumed(&mut self, resumed: Resumed) -> Vec<Step> {
        let Some(state) = self.rooms.get_mut(&resumed.room) else { return Vec::new() };
        let mut steps = Vec::new();
        match resumed.outcome {
            ResumeOutcome::Recovered => state.incarnation = resumed.incarnation,
            ResumeOutcome::GapTooLong | ResumeOutcome::IncarnationChanged => {
                steps.push(Step::Gap { resumed, known: state.known });
                state.incarnation = resumed.incarnation;
                state.known = resumed.head;
            }
            ResumeOutcome::Refused => {
                self.rooms.remove(&resumed.room);
                return vec![Step::Lost(resumed.room)];
            }
        }
        let held = state.held.take().unwrap_or_default();
        steps.extend(held.into_iter().filter_map(|push| self.handle_push(push)));
        steps
    }

    pub(super) fn handle_push(&mut self, mut push: EntriesPush) -> Option<Step> {
        // A push of a room just left may still be on its way.
        let state = self.rooms.get_mut(&push.room)?;
        if let Some(held) = &mut state.held {
            held.push(push);
            return (held.len() > HELD_PUSHES_MAX).then_some(Step::Broken);
        }
        if push.incarnation != state.incarnation {
            return Some(Step::Resubscribe(push.room));
        }
        push.entries.retain(|entry| entry.seq > state.known);
        let first = push.entries.first()?;
        if first.seq != state.known.next() {
            return Some(Step::Resubscribe(push.room));
        }
        let contiguous = push.entries.windows(2).all(|pair| matches!(pair, [a, b] if b.seq == a.seq.next()));
        if !contiguous {
            return Some(Step::Broken);
        }
        state.known = push.entries.last().map_or(state.known, |entry| entry.seq);
        Some(Step::Entries(push))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Envelope, Millis};

    const ROOM: RoomId = RoomId::from_u128(1);

    fn push(seqs: std::ops::RangeInclusive<u64>) -> EntriesPush {
        let envelope =
            |seq| Envelope { seq: Seq(seq), time: Millis(0), rev: 0, payload: bytes::Bytes::new(), rewritten: None };
        EntriesPush { room: ROOM, incarnation: Incarnation(1), entries: seqs.map(envelope).collect() }
    }

    fn resumed(outcome: ResumeOutcome, head: u64) -> Resumed {
        Resumed { room: ROOM, incarnation: Incarnation(1), first_seq: Seq(1), head: Seq(head), outcome }
    }

    fn following(seq: u64) -> Rooms {
        let mut rooms = Rooms::default();
        rooms.follow(Cursor { room: ROOM, incarnation: Incarnation(1), seq: Seq(seq) });
        rooms
    }

    #[test]
    fn pushes_wait_for_the_reply_and_come_once() {
        let mut rooms = following(2);
        assert_eq!(rooms.handle_push(push(3..=4)), None);
        let steps = rooms.handle_resumed(resumed(ResumeOutcome::Recovered, 4));
        assert_eq!(steps, [Step::Entries(push(3..=4))]);
        assert_eq!(rooms.handle_push(push(3..=4)), None, "seen");
        assert_eq!(rooms.handle_push(push(4..=5)), Some(Step::Entries(push(5..=5))), "only what is new");
    }

    #[test]
    fn a_hole_is_never_passed_over() {
        let mut rooms = following(0);
        rooms.handle_resumed(resumed(ResumeOutcome::Recovered, 0));
        assert_eq!(rooms.handle_push(push(2..=2)), Some(Step::Resubscribe(ROOM)));
        let mut holed = push(1..=3);
        holed.entries.remove(1);
        assert_eq!(rooms.handle_push(holed), Some(Step::Broken));
    }

    #[test]
    fn a_long_gap_is_told_and_the_tail_goes_on() {
        let mut rooms = following(5);
        let answer = resumed(ResumeOutcome::GapTooLong, 90_000);
        assert_eq!(rooms.handle_resumed(answer), [Step::Gap { resumed: answer, known: Seq(5) }]);
        assert_eq!(rooms.handle_push(push(90_001..=90_001)), Some(Step::Entries(push(90_001..=90_001))));
    }
}
