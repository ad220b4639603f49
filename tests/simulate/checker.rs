//! Judges a recorded history: what a chat server owes its writers and readers against what they got. It knows the
//! server only by what the history says. Every log begins at seq 1: nothing was cut off or restored from a backup.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{
    Acked, Altering, CaughtUp, Entry, Event, Final, History, Id, Intent, Knowledge, Known, MessageId, Report, Reset,
    Seen, Source, Subscribed, Summary, Violation,
};

/// Checks all rules, in O(n log n).
pub fn check(history: &History) -> Report {
    let mut found = Vec::new();
    let mut book = Book::read(history, &mut found);
    book.check_final_logs(&mut found);
    book.place_entries(&mut found);
    for sent in book.sent.values() {
        sent.check_answers(&mut found);
        sent.check_places(&mut found);
    }
    let mut summary = book.count(history);
    summary.in_lane = book.check_order_of_writers(&mut found);
    summary.in_real_time = book.check_real_time(&mut found);
    book.check_followers(history, &mut summary, &mut found);
    Report { violations: found, summary }
}

/// A message and everything that became of it.
struct Sent<'a> {
    intent: &'a Intent,
    acks: Vec<&'a Acked>,
    is_refused: bool,
    is_unknown: bool,
    /// Where the final log has it.
    places: Vec<&'a Entry>,
}

impl Sent<'_> {
    /// Its place, as far as anything tells one.
    fn seq(&self) -> Option<u64> {
        self.acks.first().map(|ack| ack.seq).or_else(|| self.places.first().map(|entry| entry.seq))
    }

    fn check_answers(&self, found: &mut Vec<Violation>) {
        let message = self.intent.message;
        let Some(first) = self.acks.first() else {
            if !self.is_refused && !self.is_unknown {
                found.push(Violation::NoOutcome { message });
            }
            return;
        };
        if self.is_refused {
            found.push(Violation::Contradicted { message });
        }
        if self.intent.altering == Altering::Never && self.acks.iter().any(|ack| ack.altered) {
            found.push(Violation::AlteredUnasked { message });
        }
        if self.acks.iter().filter(|ack| !ack.duplicate).count() > 1 {
            found.push(Violation::FreshTwice { message });
        }
        let facts = |ack: &Acked| (ack.seq, ack.time_ms, ack.altered);
        if let Some(other) = self.acks.iter().find(|ack| facts(ack) != facts(first)) {
            found.push(Violation::AcksDiffer { first: **first, other: **other });
        }
    }

    fn check_places(&self, found: &mut Vec<Violation>) {
        let (message, ack, is_acked) = (self.intent.message, self.acks.first(), !self.acks.is_empty());
        if let [first, again, ..] = self.places[..] {
            found.push(Violation::Twice { message, first: first.seq, again: again.seq, is_acked });
        }
        for entry in &self.places {
            let (seq, sent) = (entry.seq, self.intent.hash);
            if !self.may_read(entry.hash) {
                found.push(Violation::WrongBody { message, seq, sent, found: entry.hash, is_acked });
            }
            if self.is_refused {
                found.push(Violation::RefusedThere { message, seq });
            }
        }
        let Some(Acked { seq: acked, time_ms: told, .. }) = ack.copied().copied() else { return };
        match self.places.iter().find(|entry| entry.seq == acked).or(self.places.first()) {
            None => found.push(Violation::Lost { message, seq: acked }),
            Some(entry) if entry.seq != acked => {
                found.push(Violation::Moved { message, acked, found: entry.seq });
            }
            Some(entry) if entry.time_ms != told => {
                found.push(Violation::WrongTime { message, told, found: entry.time_ms });
            }
            Some(_) => {}
        }
    }

    fn may_read(&self, hash: u64) -> bool {
        let as_altered = match self.intent.altering {
            Altering::Never => hash == self.intent.hash,
            Altering::To(altered) => hash == altered,
            Altering::Freely => true,
        };
        match self.acks.first() {
            Some(ack) if ack.altered => as_altered,
            Some(_) => hash == self.intent.hash,
            None => hash == self.intent.hash || as_altered,
        }
    }
}

#[derive(Default)]
struct Room<'a> {
    finals: Vec<&'a Final>,
    /// The first of them by seq.
    log: BTreeMap<u64, &'a Entry>,
    known: Knowledge,
}

impl Room<'_> {
    fn head(&self) -> Option<u64> {
        self.finals.first().map(|view| view.head)
    }
}

/// The history, by message and by room.
struct Book<'a> {
    sent: BTreeMap<MessageId, Sent<'a>>,
    /// In the order in which they were sent.
    intents: Vec<&'a Intent>,
    rooms: BTreeMap<Id, Room<'a>>,
}

impl<'a> Book<'a> {
    fn read(history: &'a History, found: &mut Vec<Violation>) -> Self {
        let mut book = Self { sent: BTreeMap::new(), intents: Vec::new(), rooms: BTreeMap::new() };
        // Intents first: of two tasks that share a message, one may be answered before the other writes it down.
        for event in &history.events {
            let Event::Intent(intent) = event else { continue };
            let message = intent.message;
            let sent = Sent { intent, acks: Vec::new(), is_refused: false, is_unknown: false, places: Vec::new() };
            book.intents.push(intent);
            if book.sent.insert(message, sent).is_some() {
                found.push(Violation::IntendedTwice { message });
            }
        }
        for event in &history.events {
            book.add(event, found);
        }
        book.rooms.values_mut().for_each(|room| room.known.settle());
        book
    }

    fn add(&mut self, event: &'a Event, found: &mut Vec<Violation>) {
        match event {
            Event::Intent(intent) => drop(self.room(intent.message.room)),
            Event::Acked(ack) => {
                self.room(ack.message.room).known.add(ack.at, ack.seq, Source::Acked(ack.message));
                self.settle(ack.message, found, |sent| sent.acks.push(ack));
            }
            Event::Refused(refused) => self.settle(refused.message, found, |sent| sent.is_refused = true),
            Event::Unknown(unknown) => self.settle(unknown.message, found, |sent| sent.is_unknown = true),
            Event::Subscribed(told) => self.room(told.room).known.add(told.at, told.from, Source::Told(told.reader)),
            Event::Seen(seen) => self.room(seen.room).known.add(seen.at, seen.entry.seq, Source::Seen(seen.reader)),
            Event::Reset(told) => self.room(told.room).known.add(told.at, told.head, Source::Told(told.reader)),
            Event::CaughtUp(told) => drop(self.room(told.room)),
            Event::Final(view) => self.room(view.room).finals.push(view),
        }
    }

    fn room(&mut self, id: Id) -> &mut Room<'a> {
        self.rooms.entry(id).or_default()
    }

    fn settle(&mut self, message: MessageId, found: &mut Vec<Violation>, settle: impl FnOnce(&mut Sent<'a>)) {
        match self.sent.get_mut(&message) {
            Some(sent) => settle(sent),
            None => found.push(Violation::NoIntent { message }),
        }
    }

    /// C and F.
    fn check_final_logs(&self, found: &mut Vec<Violation>) {
        for (&id, room) in &self.rooms {
            let Some(first) = room.finals.first() else {
                found.push(Violation::NoFinal { room: id });
                continue;
            };
            check_view(first, found);
            for view in &room.finals {
                if let Some(seq) = first_difference(first, view) {
                    found.push(Violation::ViewsDiffer { room: id, readers: [first.reader, view.reader], seq });
                }
            }
        }
    }

    /// Finds the message of each entry: B.
    fn place_entries(&mut self, found: &mut Vec<Violation>) {
        let mut others = BTreeMap::new();
        for (&id, room) in &mut self.rooms {
            for entry in room.finals.first().into_iter().flat_map(|view| &view.entries) {
                let (message, seq) = (entry.message_in(id), entry.seq);
                room.log.insert(seq, entry);
                match self.sent.get_mut(&message) {
                    Some(sent) if entry.is_message => sent.places.push(entry),
                    Some(_) => found.push(Violation::Disguised { message, seq }),
                    None if entry.is_message => found.push(Violation::NeverSent { room: id, entry: *entry }),
                    None => {
                        if let Some(first) = others.insert(message, seq).filter(|_| message.client_id != 0) {
                            found.push(Violation::Twice { message, first, again: seq, is_acked: false });
                        }
                    }
                }
            }
        }
    }

    /// E: behind the one before in the lane, and behind what was acknowledged to the same writer before. Gives how many
    /// had one before in their lane.
    fn check_order_of_writers(&self, found: &mut Vec<Violation>) -> usize {
        let (mut lanes, mut in_lane) = (BTreeMap::new(), 0);
        let mut own: BTreeMap<_, Knowledge> = BTreeMap::new();
        for Acked { message, at, seq, .. } in self.sent.values().flat_map(|sent| &sent.acks) {
            own.entry((message.room, message.writer)).or_default().add(*at, *seq, Source::Acked(*message));
        }
        own.values_mut().for_each(Knowledge::settle);
        for &&Intent { message, lane, at, .. } in &self.intents {
            let Some(ack) = self.sent[&message].acks.first() else { continue };
            let (seq, key) = (ack.seq, (message.room, message.writer));
            let this = Known { at: ack.at, seq, by: Source::Acked(message) };
            let before = lane.and_then(|lane| lanes.insert((key, lane), this));
            in_lane += usize::from(before.is_some());
            if let Some(earlier) = before.into_iter().chain(own[&key].before(at)).find(|earlier| earlier.seq >= seq) {
                found.push(Violation::OutOfOrder { message, seq, earlier });
            }
        }
        in_lane
    }

    /// G: also for what got no answer, as far as it is there; what was seen or told counts like what was acknowledged.
    /// Gives how many had something before them.
    fn check_real_time(&self, found: &mut Vec<Violation>) -> usize {
        let mut count = 0;
        for &&Intent { message, at: sent, .. } in &self.intents {
            let Some(known) = self.rooms[&message.room].known.before(sent) else { continue };
            let Some(seq) = self.sent[&message].seq() else { continue };
            count += 1;
            if known.seq >= seq {
                found.push(Violation::Overtaken { message, seq, sent, known });
            }
        }
        count
    }

    /// D and H.
    fn check_followers(&self, history: &History, summary: &mut Summary, found: &mut Vec<Violation>) {
        let mut followers: BTreeMap<(Id, Id), Follower> = BTreeMap::new();
        for event in &history.events {
            let (Event::Subscribed(Subscribed { reader, room, .. })
            | Event::Seen(Seen { reader, room, .. })
            | Event::Reset(Reset { reader, room, .. })
            | Event::CaughtUp(CaughtUp { reader, room, .. })) = *event
            else {
                continue;
            };
            let new = || Follower { reader, room, ..Follower::default() };
            followers.entry((reader, room)).or_insert_with(new).follow(event, &self.rooms[&room], found);
        }
        summary.readers = followers.keys().map(|(reader, _)| reader).collect::<BTreeSet<_>>().len();
        summary.followed = followers.len();
        for Follower { reader, room, cursor, promised, reconnections, .. } in followers.into_values() {
            let (reached, head) = (cursor.unwrap_or_default(), promised.unwrap_or_default());
            summary.reconnections += reconnections;
            summary.caught_up += usize::from(promised.is_some() && promised == self.rooms[&room].head());
            if reached < head {
                found.push(Violation::StoppedShort { reader, room, reached, head });
            }
        }
    }

    fn count(&self, history: &History) -> Summary {
        let mut summary = Summary { sent: self.sent.len(), rooms: self.rooms.len(), ..Summary::default() };
        summary.entries = self.rooms.values().map(|room| room.log.len()).sum();
        summary.views = self.rooms.values().map(|room| room.finals.len()).sum();
        summary.seen = history.events.iter().filter(|event| matches!(event, Event::Seen(_))).count();
        summary.resets = history.events.iter().filter(|event| matches!(event, Event::Reset(_))).count();
        for sent in self.sent.values() {
            let is_acked = !sent.acks.is_empty();
            let is_unknown = sent.is_unknown && !is_acked && !sent.is_refused;
            summary.acked += usize::from(is_acked);
            summary.duplicates += sent.acks.iter().filter(|ack| ack.duplicate).count();
            summary.altered += usize::from(sent.acks.iter().any(|ack| ack.altered));
            summary.refused += usize::from(sent.is_refused);
            summary.unknown += usize::from(is_unknown);
            summary.unknown_appended += usize::from(is_unknown && !sent.places.is_empty());
        }
        summary
    }
}

/// Where a reader is in a room that it follows.
#[derive(Default)]
struct Follower {
    reader: Id,
    room: Id,
    /// None before it follows.
    cursor: Option<u64>,
    connection: Option<u32>,
    promised: Option<u64>,
    reconnections: usize,
}

impl Follower {
    fn follow(&mut self, event: &Event, at: &Room<'_>, found: &mut Vec<Violation>) {
        let Self { reader, room, cursor, .. } = *self;
        if cursor.is_none() && !matches!(event, Event::Subscribed(_)) {
            found.push(Violation::Unasked { reader, room });
        }
        let told = match *event {
            Event::Subscribed(Subscribed { from, .. }) => {
                if let Some(cursor) = cursor.filter(|cursor| *cursor != from) {
                    found.push(Violation::Elsewhere { reader, room, cursor, from });
                }
                self.cursor = Some(from);
                from
            }
            Event::Reset(Reset { head, .. }) => {
                if let Some(cursor) = cursor.filter(|cursor| *cursor > head) {
                    found.push(Violation::ResetBack { reader, room, cursor, head });
                }
                self.cursor = Some(head);
                head
            }
            Event::CaughtUp(CaughtUp { head, asked, .. }) => {
                self.promised = self.promised.max(Some(head));
                if let Some(known) = at.known.before(asked).filter(|known| known.seq > head) {
                    found.push(Violation::Stale { reader, room, head, known });
                }
                head
            }
            Event::Seen(ref seen) => return self.see(seen, at, found),
            _ => return,
        };
        if let Some(head) = at.head().filter(|head| told > *head) {
            found.push(Violation::BeyondEnd { reader, room, told, head });
        }
    }

    fn see(&mut self, seen: &Seen, at: &Room<'_>, found: &mut Vec<Violation>) {
        let Self { reader, room, cursor, .. } = *self;
        let Seen { connection, entry, .. } = *seen;
        let (seq, newest) = (entry.seq, self.connection.unwrap_or(connection));
        let (expected, is_across) = (cursor.map_or(seq, |cursor| cursor.saturating_add(1)), connection != newest);
        if connection < newest {
            found.push(Violation::Stray { reader, room, seq, connection, newest });
        }
        if seq > expected {
            found.push(Violation::Skipped { reader, room, expected, seq, is_across });
        }
        if seq < expected {
            found.push(Violation::Repeated { reader, room, expected, seq, is_across });
        }
        let there = at.log.get(&seq).map(|entry| **entry);
        if there != Some(entry) {
            found.push(Violation::Unlike { reader, room, seen: entry, found: there });
        }
        // After a fault it goes on from the furthest, so that one fault is one violation.
        self.cursor = cursor.max(Some(seq));
        self.connection = Some(newest.max(connection));
        self.reconnections += usize::from(connection > newest);
    }
}

/// C: from the beginning to the head, each seq once, and no time before the last.
fn check_view(view: &Final, found: &mut Vec<Violation>) {
    let Final { reader, room, ref entries, first_seq, head } = *view;
    if first_seq != 1 {
        found.push(Violation::WrongStart { room, reader, first_seq });
    }
    let ends = entries.first().zip(entries.last()).map_or((1, 0), |(first, last)| (first.seq, last.seq));
    if ends != (first_seq, head) {
        found.push(Violation::WrongEnds { room, reader, told: (first_seq, head), found: ends });
    }
    for (before, entry) in entries.iter().zip(entries.iter().skip(1)) {
        let (seq, time) = (entry.seq, entry.time_ms);
        if seq != before.seq.saturating_add(1) {
            found.push(Violation::Gap { room, reader, after: before.seq, next: seq });
        }
        if time < before.time_ms {
            found.push(Violation::TimeBack { room, reader, seq, before: before.time_ms, time });
        }
    }
}

/// F: the seq from which on two views are not the same.
fn first_difference(a: &Final, b: &Final) -> Option<u64> {
    let differ = a.entries.iter().zip(&b.entries).find(|(a, b)| a != b);
    let seq = differ.map_or(a.head.min(b.head), |(a, b)| a.seq.min(b.seq));
    (a.entries != b.entries || (a.first_seq, a.head) != (b.first_seq, b.head)).then_some(seq)
}
