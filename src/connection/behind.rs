//! In which rooms a reader lags whose connection is closed for it, and from where on. Costs nothing before that: the places
//! are read from the frames that were not written.

use std::collections::HashMap;

use bytes::Bytes;
use confab_protocol::close::{Close, CloseCode};
use confab_protocol::codec::decode_server_frame;
use confab_protocol::command::{Push, ServerFrame};
use confab_protocol::model::{Cursor, RoomId, Seq};

/// See the module.
#[derive(Default)]
pub(super) struct Behind {
    /// Each room's last seq before all that was not written, and the last that is known of.
    rooms: HashMap<RoomId, (Cursor, Seq)>,
}

impl Behind {
    /// A frame that was not wholly written; only entries of rooms count.
    pub(super) fn note_frame(&mut self, frame: &Bytes) {
        let Ok(ServerFrame::Push(Push::Entries(push))) = decode_server_frame(frame) else { return };
        let (Some(first), Some(last)) = (push.entries.first(), push.entries.last()) else { return };
        let seq = Seq(first.seq.0.saturating_sub(1));
        self.note(Cursor { room: push.room, incarnation: push.incarnation, seq }, last.seq);
    }

    /// Nothing of a room was written from a cursor on, and it goes on to there. Of two cursors the earlier one holds.
    pub(super) fn note(&mut self, cursor: Cursor, until: Seq) {
        let (least, most) = self.rooms.entry(cursor.room).or_insert((cursor, until));
        if cursor.seq < least.seq {
            *least = cursor;
        }
        *most = until.max(*most);
    }

    /// Names the room that lags most.
    pub(super) fn into_close(self) -> Close {
        let missing = |(cursor, until): &(Cursor, Seq)| until.0.saturating_sub(cursor.seq.0);
        let lagging: Vec<_> = self.rooms.into_values().filter(|room| missing(room) > 0).collect();
        let most = lagging.iter().max_by_key(|room| (missing(room), room.0.room));
        // Who follows no room can be slow as well: at taking replies.
        most.map_or_else(
            || CloseCode::SlowConsumer.into(),
            |(cursor, _)| Close::slow_consumer(*cursor, lagging.len() - 1),
        )
    }
}

#[cfg(test)]
mod tests {
    use confab_protocol::codec::{encode_push, encode_server_frame};
    use confab_protocol::model::{Envelope, Incarnation, Millis};

    use super::*;

    fn cursor(room: u128, seq: u64) -> Cursor {
        Cursor { room: RoomId::from_u128(room), incarnation: Incarnation(5), seq: Seq(seq) }
    }

    fn push(room: u128, seqs: std::ops::RangeInclusive<u64>) -> Bytes {
        let envelope = |seq| Envelope {
            seq: Seq(seq),
            time: Millis(1),
            rev: 0,
            payload: Bytes::from_static(b"entry"),
            rewritten: None,
        };
        encode_push(RoomId::from_u128(room), Incarnation(5), &seqs.map(envelope).collect::<Vec<_>>())
    }

    #[test]
    fn the_room_that_lags_most_is_named_with_what_stands_before_the_first_unwritten_frame() {
        let mut behind = Behind::default();
        let notice = encode_server_frame(&ServerFrame::Push(Push::Notice("hello".to_owned())));
        for frame in [push(1, 10..=12), notice, push(2, 3..=3), push(1, 13..=14), Bytes::from_static(b"none")] {
            behind.note_frame(&frame);
        }
        // Fed up to what waits in a frame; the log goes on behind it.
        behind.note(cursor(2, 3), Seq(6));
        // All of it was written: it does not lag.
        behind.note(cursor(3, 40), Seq(40));
        assert_eq!(behind.into_close(), Close::slow_consumer(cursor(1, 9), 1));
    }

    #[test]
    fn who_lags_in_no_room_is_told_nothing_of_rooms() {
        let mut behind = Behind::default();
        behind.note(cursor(1, 7), Seq(0));
        assert_eq!(behind.into_close(), CloseCode::SlowConsumer.into());
    }
}
