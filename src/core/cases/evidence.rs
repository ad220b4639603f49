//! What is kept with a case of what was said: how much of it, and what an answer shows.

use confab_protocol::codec::decode_entry;
use confab_protocol::model::{Envelope, Seq};

use super::EVENT_BYTES;

/// Texts of one message that a case keeps: the first, and the newest of those after it.
pub const REVISIONS_MAX: usize = 10;
/// With so many, flags and those who report it again add none: its author makes as many of both as they like, and would push
/// out what others reported.
pub const REPEATED_MAX: usize = 5;
const _: () = assert!(REPEATED_MAX < REVISIONS_MAX);

/// The seq of what is held, which stands nowhere yet.
const HELD: Seq = Seq(0);

/// Of messages, ascending, what is held and those nearest to what it is about, as many as fit: ascending.
#[must_use]
pub fn nearest(messages: Vec<Envelope>, about: Option<Seq>, bytes_max: usize) -> Vec<Envelope> {
    // A message that is held would stand at the end; a sanction came after all of it.
    let about = about.or_else(|| edited(&messages)).unwrap_or(Seq(u64::MAX)).0;
    let texts = messages.chunk_by(|one, next| one.seq == next.seq);
    let ranks: Vec<usize> = texts.flat_map(|texts| ranks(texts.len())).collect();
    let mut by_distance: Vec<(usize, Envelope)> = ranks.into_iter().zip(messages).collect();
    by_distance.sort_by_key(|(rank, message)| (message.seq != HELD, message.seq.0.abs_diff(about), *rank));
    let mut bytes = 0;
    let fits = |message: &Envelope| {
        bytes += message.payload_bytes() + EVENT_BYTES;
        bytes <= bytes_max
    };
    let mut kept: Vec<Envelope> = by_distance.into_iter().map(|(_, message)| message).take_while(fits).collect();
    kept.sort_by_key(|message| (message.seq, message.rev));
    kept
}

/// Of so many texts of one message, ascending, the place of each in the order in which they are let in: the newest, the
/// first, and from the newest back. Neither edit nor report pushes the other end out of sight.
fn ranks(count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| match (index, count - 1 - index) {
        (_, 0) => 0,
        (0, _) => 1,
        (_, newer) => newer + 1,
    })
}

/// The message that what is held is another text for: it has the client id of that one.
fn edited(messages: &[Envelope]) -> Option<Seq> {
    let id = |message: &Envelope| decode_entry(&message.payload).ok().map(|entry| entry.client_id);
    let (held, others) = messages.split_first().filter(|(first, _)| first.seq == HELD)?;
    let of = id(held)?;
    others.iter().find(|other| id(other) == Some(of)).map(|other| other.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use confab_protocol::model::Millis;

    #[test]
    fn of_texts_that_do_not_all_fit_the_newest_and_the_first_are_shown() {
        let message = |seq, rev| {
            let payload = Bytes::from(vec![0; 1_000 - EVENT_BYTES]);
            Envelope { seq: Seq(seq), time: Millis(1), rev, payload, rewritten: None }
        };
        let all = vec![message(6, 2), message(7, 0), message(7, 3), message(7, 4), message(7, 9), message(8, 0)];
        let shown = |thousands: usize| {
            let shown = nearest(all.clone(), Some(Seq(7)), thousands * 1_000);
            shown.iter().map(|it| (it.seq.0, it.rev)).collect::<Vec<_>>()
        };
        assert_eq!(shown(1), [(7, 9)]);
        assert_eq!(shown(2), [(7, 0), (7, 9)]);
        assert_eq!(shown(3), [(7, 0), (7, 4), (7, 9)]);
        assert_eq!(shown(5), [(6, 2), (7, 0), (7, 3), (7, 4), (7, 9)]);
        assert_eq!(shown(6).len(), 6);
    }
}
