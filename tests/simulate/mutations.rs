//! Tests of the checker: it finds nothing in the histories of a server that is right, and each fault that is put into
//! them, for every seed. Most faults are told consistently, as a server that believes in its mistake would tell them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::checker::check;
use super::history::{
    Acked, Altering, CaughtUp, Entry, Event, Final, History, Id, Intent, MessageId, Refused, Reset, Rule, Seen,
    Subscribed, Unknown,
};

const SEEDS: u64 = 64;
const STEPS: usize = 400;
const ROOMS: [Id; 3] = [1, 2, 3];
const WRITERS: [Id; 3] = [0x10, 0x11, 0x12];
const READERS: [Id; 4] = [0x20, 0x21, 0x22, 0x23];

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T>(&mut self, from: impl IntoIterator<Item = T>) -> Option<T> {
        let mut all: Vec<T> = from.into_iter().collect();
        (!all.is_empty()).then(|| all.swap_remove(self.below(all.len())))
    }
}

/// A server that is right, those who talk to it, and what they write down.
struct World {
    rng: Rng,
    now: u64,
    events: Vec<Event>,
    logs: BTreeMap<Id, Vec<Entry>>,
    /// By room, writer and lane: what is sent and not decided.
    lanes: BTreeMap<(Id, Id, Option<u32>), VecDeque<Intent>>,
    /// By reader and room: cursor and connection.
    followers: BTreeMap<(Id, Id), (u64, u32)>,
}

impl World {
    fn run(seed: u64) -> Self {
        let (lanes, followers) = (BTreeMap::new(), BTreeMap::new());
        let mut world = Self { rng: Rng(seed), now: 0, events: Vec::new(), logs: BTreeMap::new(), lanes, followers };
        for room in ROOMS {
            world.append(room, WRITERS[0], None);
        }
        for _ in 0..STEPS {
            let key = (ROOMS[world.rng.below(3)], WRITERS[world.rng.below(3)], [None, Some(0)][world.rng.below(2)]);
            let stream = (READERS[world.rng.below(4)], key.0);
            match world.rng.below(20) {
                0..7 => world.send(key),
                7..13 => world.decide(key),
                13..19 => world.deliver(stream, 4),
                _ => world.reconnect(stream),
            }
        }
        world.end();
        world
    }

    fn tick(&mut self) -> u64 {
        self.now += 1 + self.rng.next() % 3;
        self.now
    }

    fn record(&mut self, event: impl Into<Event>) {
        self.events.push(event.into());
    }

    /// In a lane behind what is on its way; beside others only once that is decided.
    fn send(&mut self, key @ (room, writer, lane): (Id, Id, Option<u32>)) {
        let (at, hash, client_id) = (self.tick(), self.rng.next(), Id::from(self.rng.next()));
        let altering = [Altering::Never, Altering::Never, Altering::To(!hash)][self.rng.below(3)];
        let intent = Intent { message: MessageId { room, writer, client_id }, hash, altering, lane, at };
        let sent = self.lanes.entry(key).or_default();
        if sent.is_empty() || (lane.is_some() && sent.len() < 5) {
            sent.push_back(intent);
            self.record(intent);
        }
    }

    fn append(&mut self, room: Id, author: Id, body: Option<(Id, u64)>) -> Entry {
        let (client_id, hash) = body.unwrap_or((Id::from(self.rng.next()), self.rng.next()));
        let log = self.logs.entry(room).or_default();
        let (seq, time_ms) = (log.len() as u64 + 1, 1_000_000 + self.now / 2);
        let entry = Entry { seq, author, client_id, hash, time_ms, is_message: body.is_some() };
        log.push(entry);
        entry
    }

    fn decide(&mut self, key: (Id, Id, Option<u32>)) {
        let Some(Intent { message, hash, altering, lane, .. }) = self.lanes.entry(key).or_default().pop_front() else {
            return;
        };
        // Answers to a lane may be slower than the readers.
        let at = self.tick() + if lane.is_some() { self.rng.next() % 60 } else { 0 };
        let fate = self.rng.below(20);
        match fate {
            0..2 => return self.record(Refused { message, at }),
            2 => return self.record(Unknown { message }),
            _ => {}
        }
        let altered = altering != Altering::Never && fate < 14;
        let body = (message.client_id, if altered { !hash } else { hash });
        let Entry { seq, time_ms, .. } = self.append(message.room, message.writer, Some(body));
        let ack = Acked { message, seq, time_ms, altered, duplicate: false, at };
        let again = Acked { duplicate: true, ..ack };
        match fate {
            3..5 => self.record(Unknown { message }),
            5..7 => self.record(again),
            7 => [ack, again, again].into_iter().for_each(|ack| self.record(ack)),
            8 => [Unknown { message }.into(), Event::from(ack)].into_iter().for_each(|event| self.record(event)),
            _ => self.record(ack),
        }
        self.now = if lane.is_none() { self.now.max(at) } else { self.now };
    }

    fn deliver(&mut self, (reader, room): (Id, Id), most: usize) {
        let Some(&(cursor, connection)) = self.followers.get(&(reader, room)) else {
            let (asked, at) = (self.tick(), self.tick());
            let Entry { seq: head, .. } = self.append(room, reader, None);
            let from = [0, head][self.rng.below(2)];
            self.followers.insert((reader, room), (from, 0));
            self.record(Subscribed { reader, room, from, at });
            self.deliver((reader, room), usize::MAX);
            return self.record(CaughtUp { reader, room, head, asked });
        };
        let news: Vec<Entry> = self.logs[&room].iter().skip(cursor as usize).take(most).copied().collect();
        for entry in news {
            let at = self.tick();
            self.record(Seen { reader, room, connection, entry, at });
            self.followers.insert((reader, room), (entry.seq, connection));
        }
    }

    fn reconnect(&mut self, (reader, room): (Id, Id)) {
        let (at, head, luck) = (self.tick(), self.logs[&room].len() as u64, self.rng.below(3));
        let Some((cursor, connection)) = self.followers.get_mut(&(reader, room)) else { return };
        *connection += 1;
        if head > *cursor + 2 && luck == 0 {
            *cursor = head;
            self.record(Reset { reader, room, head, at });
        } else if luck == 1 {
            let from = *cursor;
            self.record(Subscribed { reader, room, from, at });
        }
    }

    /// Everything stops; most readers stay for the end, and two read all.
    fn end(&mut self) {
        while let Some(key) = self.lanes.iter().find_map(|(key, sent)| (!sent.is_empty()).then_some(*key)) {
            self.decide(key);
        }
        self.now += 60;
        for (reader, room) in self.followers.keys().copied().collect::<Vec<_>>() {
            if self.rng.below(5) > 0 {
                let (asked, head) = (self.tick(), self.logs[&room].len() as u64);
                self.deliver((reader, room), usize::MAX);
                self.record(CaughtUp { reader, room, head, asked });
            }
        }
        for (room, reader) in ROOMS.into_iter().flat_map(|room| [(room, READERS[0]), (room, READERS[1])]) {
            let entries = self.logs[&room].clone();
            let head = entries.len() as u64;
            self.record(Final { reader, room, entries, first_seq: 1, head });
        }
    }
}

#[test]
fn a_server_that_is_right_passes() {
    for seed in 0..5 * SEEDS {
        let summary = check(&History { events: World::run(seed).events }).expect_clean();
        assert!(summary.acked > 40 && summary.refused > 1 && summary.unknown > 1 && summary.altered > 0, "{summary:?}");
        assert!(summary.duplicates > 2 && summary.seen > 100 && summary.in_lane > 10, "{seed}: {summary:?}");
        assert!(summary.in_real_time > 20 && summary.reconnections > 2 && summary.caught_up > 4, "{seed}: {summary:?}");
        assert_eq!((summary.rooms, summary.readers, summary.views), (3, 4, 6), "{seed}: {summary:?}");
    }
}

/// All that was recorded of one kind, to change it.
macro_rules! each {
    ($world:expr, $kind:ident) => {
        $world.events.iter_mut().filter_map(|event| if let Event::$kind(event) = event { Some(event) } else { None })
    };
}

/// What the faults are made of.
impl World {
    /// Any message in a log, acknowledged or not.
    fn any(&mut self, is_acked: bool) -> Option<(MessageId, Entry)> {
        let acked: BTreeSet<MessageId> = each!(self, Acked).map(|ack| ack.message).collect();
        let all = self.logs.iter().flat_map(|(room, log)| log.iter().map(|entry| (entry.message_in(*room), *entry)));
        self.rng.pick(all.filter(|(message, entry)| entry.is_message && acked.contains(message) == is_acked))
    }

    /// Two messages, one right behind the other in the log, by when they were sent and acknowledged.
    fn any_pair(&mut self, is_it: impl Fn(&Intent, Option<&Acked>, &Intent) -> bool) -> Option<(Id, Entry, Entry)> {
        let intents: BTreeMap<MessageId, Intent> = each!(self, Intent).map(|sent| (sent.message, *sent)).collect();
        let acks: BTreeMap<MessageId, Acked> = each!(self, Acked).map(|ack| (ack.message, *ack)).collect();
        let pairs = self.logs.iter().flat_map(|(room, log)| log.windows(2).map(|pair| (*room, pair[0], pair[1])));
        self.rng.pick(pairs.filter(|(room, a, b)| {
            let (a, b) = (a.message_in(*room), b.message_in(*room));
            intents.get(&a).zip(intents.get(&b)).is_some_and(|(first, second)| is_it(first, acks.get(&a), second))
        }))
    }

    /// The seq of any message that was sent after that.
    fn any_sent_after(&mut self, room: Id, at: u64) -> Option<u64> {
        let sent: BTreeSet<MessageId> =
            each!(self, Intent).filter(|sent| sent.at > at).map(|sent| sent.message).collect();
        let late = self.logs[&room].iter().filter(|entry| sent.contains(&entry.message_in(room)));
        self.rng.pick(late.map(|entry| entry.seq))
    }

    /// Where two entries are recorded that a follower got one right after the other.
    fn any_seen(&mut self, is_it: impl Fn(&Seen, &Seen) -> bool) -> Option<(usize, usize)> {
        let (mut last, mut pairs): (BTreeMap<_, (usize, &Seen)>, _) = (BTreeMap::new(), Vec::new());
        for (index, event) in self.events.iter().enumerate() {
            let Event::Seen(b) = event else { continue };
            let before = last.insert((b.reader, b.room), (index, b));
            let before = before.filter(|(_, a)| a.entry.seq + 1 == b.entry.seq && is_it(a, b));
            pairs.extend(before.map(|(before, _)| (before, index)));
        }
        self.rng.pick(pairs)
    }

    fn seen(&mut self, index: usize) -> &mut Seen {
        let Event::Seen(seen) = &mut self.events[index] else { panic!("{index} is something else") };
        seen
    }

    /// After these two a follower gets something else, and the second of them again.
    fn interrupt(&mut self, (_, second): (usize, usize), event: impl Into<Event>) {
        let again = self.events[second].clone();
        self.events.splice(second + 1..second + 1, [event.into(), again]);
    }

    fn acks(&mut self, message: MessageId) -> impl Iterator<Item = &mut Acked> {
        each!(self, Acked).filter(move |ack| ack.message == message)
    }

    fn finals(&mut self, room: Id) -> impl Iterator<Item = &mut Final> {
        each!(self, Final).filter(move |view| view.room == room)
    }

    /// One more at the end of the final logs.
    fn add(&mut self, room: Id, entry: Entry) {
        for view in self.finals(room) {
            view.head += 1;
            let time_ms = view.entries[view.entries.len() - 1].time_ms;
            view.entries.push(Entry { seq: view.head, time_ms, ..entry });
        }
    }

    /// Changes entries of a room wherever they are read.
    fn rewrite(&mut self, room: Id, mut change: impl FnMut(&mut Entry)) {
        each!(self, Seen).filter(|seen| seen.room == room).for_each(|seen| change(&mut seen.entry));
        self.finals(room).flat_map(|view| &mut view.entries).for_each(change);
    }

    /// Changes an entry wherever it is read.
    fn rewrite_one(&mut self, room: Id, seq: u64, change: impl Fn(&mut Entry)) {
        self.rewrite(room, |entry| match entry.seq {
            at if at == seq => change(entry),
            _ => {}
        });
    }

    /// Changes seqs of a room wherever they are told.
    fn renumber(&mut self, room: Id, number: impl Fn(u64) -> u64) {
        self.rewrite(room, |entry| entry.seq = number(entry.seq));
        each!(self, Acked).filter(|ack| ack.message.room == room).for_each(|ack| ack.seq = number(ack.seq));
        each!(self, Subscribed).filter(|told| told.room == room).for_each(|told| told.from = number(told.from));
        each!(self, Reset).filter(|told| told.room == room).for_each(|told| told.head = number(told.head));
        each!(self, CaughtUp).filter(|told| told.room == room).for_each(|told| told.head = number(told.head));
        self.finals(room).for_each(|view| view.head = number(view.head));
    }

    /// As if it had never been appended, but for what its writer was told.
    fn remove(&mut self, room: Id, seq: u64) {
        self.events.retain(|event| !matches!(event, Event::Seen(seen) if seen.room == room && seen.entry.seq == seq));
        self.finals(room).for_each(|view| view.entries.retain(|entry| entry.seq != seq));
        self.renumber(room, |at| at - u64::from(at >= seq));
    }

    /// As if the two had been appended the other way round.
    fn swap(&mut self, room: Id, a: Entry, b: Entry) {
        let place = |entry: Entry, at: Entry| Entry { seq: at.seq, time_ms: at.time_ms, ..entry };
        self.rewrite(room, |entry| match entry.seq {
            seq if seq == a.seq => *entry = place(b, a),
            seq if seq == b.seq => *entry = place(a, b),
            _ => {}
        });
        for (entry, at) in [(a, b), (b, a)] {
            self.acks(entry.message_in(room)).for_each(|ack| (ack.seq, ack.time_ms) = (at.seq, at.time_ms));
        }
    }
}

type Fault = fn(&mut World, MessageId, Entry) -> Option<()>;

/// Puts a fault into the history of each seed, to which it is given with any acknowledged message of it. The fault
/// must be found, and nothing else if it breaks one rule only.
fn spoil(rule: Rule, is_alone: bool, fault: Fault) {
    let mut count = 0;
    for seed in 0..SEEDS {
        let mut world = World::run(seed);
        let (message, entry) = world.any(true).unwrap();
        if fault(&mut world, message, entry).is_none() {
            continue;
        }
        count += 1;
        let found = check(&History { events: world.events }).violations;
        assert!(found.iter().any(|violation| violation.rule() == rule), "{seed}: {found:?}");
        assert!(!is_alone || found.iter().all(|violation| violation.rule() == rule), "{seed}: {found:?}");
    }
    assert!(count > SEEDS / 2, "possible with {count} of {SEEDS} seeds only");
}

macro_rules! faults {
    ($($name:ident: $rule:ident $(+ $more:ident)?, |$world:ident $(, $msg:ident, $entry:ident)?| $fault:block)+) => {
        $(#[test]
        fn $name() {
            let more: &[&str] = &[$(stringify!($more))?];
            spoil(Rule::$rule, more.is_empty(), faults!(@ $world, $($msg, $entry)?, $fault));
        })+
    };
    (@ $world:ident, , $fault:block) => { |$world, _, _| { $fault; Some(()) } };
    (@ $world:ident, $msg:ident, $entry:ident, $fault:block) => { |$world, $msg, $entry| { $fault; Some(()) } };
}

// `+ more`: it cannot but break other rules, too.
faults! {
    lost: Acked + more, |world, message, entry| {
        world.finals(message.room).for_each(|view| view.entries.retain(|at| *at != entry));
    }
    lost_and_the_gap_closed: Acked + more, |world, message, entry| { world.remove(message.room, entry.seq) }
    lost_with_the_tail: Acked + more, |world, message, entry| {
        for view in world.finals(message.room) {
            view.entries.truncate(entry.seq as usize - 1);
            view.head = entry.seq - 1;
        }
    }
    appended_twice: Acked, |world, message, entry| { world.add(message.room, entry) }
    neighbours_swapped: Acked + more, |world, message, entry| {
        let at = entry.seq as usize;
        (world.logs[&message.room].len() > at).then_some(())?;
        for view in world.finals(message.room) {
            view.entries.swap(at - 1, at);
            (view.entries[at - 1].seq, view.entries[at].seq) = (entry.seq, entry.seq + 1);
        }
    }
    altered: Acked, |world, message, entry| { world.rewrite_one(message.room, entry.seq, |entry| entry.hash ^= 1) }
    acknowledged_at_another_seq: Acked + more, |world, message, _entry| {
        world.acks(message).for_each(|ack| ack.seq += 1);
    }
    acknowledged_at_two_seqs: Acked + more, |world, message, _entry| {
        let ack = *world.acks(message).next()?;
        world.record(Acked { seq: ack.seq + 1, duplicate: true, ..ack });
    }
    acknowledged_with_two_times: Acked, |world, message, _entry| {
        let ack = *world.acks(message).next()?;
        world.record(Acked { time_ms: ack.time_ms + 1, duplicate: true, ..ack });
    }
    acknowledged_with_another_time: Acked, |world, message, _entry| {
        world.acks(message).for_each(|ack| ack.time_ms += 1);
    }
    acknowledged_and_refused: Acked + more, |world, message, _entry| { world.record(Refused { message, at: 0 }) }
    acknowledged_as_new_twice: Acked, |world, message, _entry| {
        let ack = *world.acks(message).next().filter(|ack| !ack.duplicate)?;
        world.record(ack);
    }
    acknowledged_as_altered: Acked, |world, message, _entry| {
        each!(world, Intent).find(|sent| sent.message == message && sent.altering == Altering::Never)?;
        world.acks(message).for_each(|ack| ack.altered = true);
    }

    unknown_and_appended_twice: Intended, |world| {
        let (message, entry) = world.any(false)?;
        world.add(message.room, entry);
    }
    unknown_and_altered: Intended, |world| {
        let (message, entry) = world.any(false)?;
        world.rewrite_one(message.room, entry.seq, |entry| entry.hash ^= 1);
    }
    never_sent: Intended, |world, message, entry| {
        world.add(message.room, Entry { client_id: !entry.client_id, ..entry });
    }
    refused_and_there: Intended, |world| {
        let refused = world.rng.pick(each!(world, Refused).map(|refused| refused.message))?;
        let hash = each!(world, Intent).find(|sent| sent.message == refused)?.hash;
        let MessageId { room, writer: author, client_id } = refused;
        world.add(room, Entry { seq: 0, author, client_id, hash, time_ms: 0, is_message: true });
    }
    in_the_name_of_another: Intended + more, |world, message, entry| {
        world.rewrite_one(message.room, entry.seq, |entry| entry.author ^= 1);
    }
    in_another_room: Intended + more, |world, message, entry| {
        world.remove(message.room, entry.seq);
        world.add(message.room % 3 + 1, entry);
    }
    no_message_any_more: Intended + more, |world, message, entry| {
        world.rewrite_one(message.room, entry.seq, |entry| entry.is_message = false);
    }
    joined_twice: Intended, |world| { world.add(1, world.logs[&1][0]) }

    twice_at_one_seq: Dense + more, |world, message, entry| {
        world.finals(message.room).for_each(|view| view.entries.insert(entry.seq as usize, entry));
    }
    a_seq_left_out: Dense + more, |world, message, entry| {
        world.renumber(message.room, |at| at + u64::from(at >= entry.seq));
    }
    the_time_goes_back: Dense, |world, message, entry| {
        let time_ms = world.logs[&message.room][entry.seq as usize - 2].time_ms - 1;
        world.rewrite_one(message.room, entry.seq, |entry| entry.time_ms = time_ms);
        world.acks(message).for_each(|ack| ack.time_ms = time_ms);
    }
    the_head_is_another: Dense, |world| { each!(world, Final).for_each(|view| view.head += 1) }
    the_first_is_missing: Dense + more, |world| { each!(world, Final).for_each(|view| drop(view.entries.drain(..1))) }
    the_beginning_cut_off: Dense + more, |world| {
        each!(world, Final).for_each(|view| view.first_seq = view.entries.remove(0).seq + 1);
    }

    a_reader_misses_one: Stream, |world| {
        let (first, _) = world.any_seen(|a, b| a.connection == b.connection)?;
        world.events.remove(first);
    }
    a_reader_misses_one_across_a_reconnection: Stream, |world| {
        let (_, first) = world.any_seen(|a, b| a.connection < b.connection)?;
        let gone = *world.seen(first);
        let mut next = each!(world, Seen).filter(|at| (at.reader, at.room) == (gone.reader, gone.room));
        next.find(|at| (at.connection, at.entry.seq) == (gone.connection, gone.entry.seq + 1))?;
        world.events.remove(first);
    }
    a_reader_gets_one_twice: Stream, |world| {
        let (first, second) = world.any_seen(|_, _| true)?;
        let again = Seen { connection: world.seen(second).connection, ..*world.seen(first) };
        world.events.insert(second + 1, again.into());
    }
    a_reader_gets_one_twice_across_a_reconnection: Stream, |world| {
        let (first, second) = world.any_seen(|a, b| a.connection < b.connection)?;
        let again = Seen { connection: world.seen(second).connection, ..*world.seen(first) };
        world.events.insert(second, again.into());
    }
    a_reader_gets_two_swapped: Stream, |world| {
        let (first, second) = world.any_seen(|a, b| a.connection == b.connection)?;
        world.events.swap(first, second);
    }
    a_reader_gets_something_else: Stream, |world| {
        let (first, _) = world.any_seen(|_, _| true)?;
        let (change, entry) = (world.rng.below(5), &mut world.seen(first).entry);
        match change {
            0 => entry.hash ^= 1,
            1 => entry.time_ms += 1,
            2 => entry.author ^= 1,
            3 => entry.client_id ^= 1,
            _ => entry.is_message ^= true,
        }
    }
    a_reader_gets_what_is_not_there: Stream + more, |world| {
        let (message, entry) = world.any(false)?;
        let seen = *each!(world, Seen).find(|seen| seen.room == message.room && seen.entry == entry)?;
        world.remove(message.room, entry.seq);
        world.record(seen);
    }
    a_reader_gets_what_it_does_not_follow: Stream, |world| {
        let (first, _) = world.any_seen(|_, _| true)?;
        let seen = Seen { reader: 0x99, ..*world.seen(first) };
        world.record(seen);
    }
    a_reader_is_set_back: Stream, |world| {
        let pair = world.any_seen(|_, _| true)?;
        let Seen { reader, room, entry, at, .. } = *world.seen(pair.0);
        world.interrupt(pair, Subscribed { reader, room, from: entry.seq, at });
    }
    a_reader_is_reset_to_what_it_has: Stream, |world| {
        let pair = world.any_seen(|_, _| true)?;
        let Seen { reader, room, entry, at, .. } = *world.seen(pair.0);
        world.interrupt(pair, Reset { reader, room, head: entry.seq, at });
    }
    a_reader_is_told_of_what_is_not_there: Stream + more, |world| {
        each!(world, CaughtUp).for_each(|told| told.head += 1_000);
    }
    an_old_connection_speaks: Stream, |world| {
        let (_, second) = world.any_seen(|a, b| a.connection == b.connection && a.connection > 0)?;
        world.seen(second).connection -= 1;
    }

    two_of_a_lane_swapped: WriterOrder + more, |world| {
        let lane = |sent: &Intent| (sent.lane, sent.message.writer);
        let (room, a, b) = world.any_pair(|a, acked, b| acked.is_some() && a.lane.is_some() && lane(a) == lane(b))?;
        world.acks(b.message_in(room)).next()?;
        world.swap(room, a, b);
    }
    two_of_a_writer_swapped: WriterOrder + more, |world| {
        let writer = |sent: &Intent| sent.message.writer;
        let (room, a, b) = world.any_pair(|a, ack, b| ack.is_some_and(|ack| ack.at < b.at) && writer(a) == writer(b))?;
        world.acks(b.message_in(room)).next()?;
        world.swap(room, a, b);
    }

    one_reads_another_body: Views, |world| { each!(world, Final).last()?.entries[3].hash ^= 1 }
    one_reads_less: Views, |world| {
        let view = each!(world, Final).last()?;
        view.entries.pop();
        view.head -= 1;
    }

    acknowledged_before_but_behind: RealTime, |world| {
        let writer = |sent: &Intent| sent.message.writer;
        let (room, a, b) = world.any_pair(|a, ack, b| ack.is_some_and(|ack| ack.at < b.at) && writer(a) != writer(b))?;
        world.swap(room, a, b);
    }
    seen_before_it_was_sent: RealTime + more, |world, message, entry| {
        let sent = each!(world, Intent).find(|sent| sent.message == message)?.at;
        each!(world, Seen).find(|seen| seen.room == message.room && seen.entry == entry)?.at = sent - 1;
    }
    seen_before_but_behind: RealTime, |world| {
        let mut seen: BTreeMap<MessageId, u64> = BTreeMap::new();
        for Seen { room, entry, at, .. } in each!(world, Seen) {
            seen.entry(entry.message_in(*room)).or_insert(*at);
        }
        let is_seen = |a: &Intent, b: &Intent| seen.get(&a.message).is_some_and(|at| *at < b.at);
        let (room, a, b) = world.any_pair(|a, ack, b| {
            ack.is_none_or(|ack| ack.at > b.at) && is_seen(a, b) && a.message.writer != b.message.writer
        })?;
        world.swap(room, a, b);
    }

    subscribed_to_what_was_not_sent_yet: RealTime + more, |world| {
        let Subscribed { room, at, .. } = *each!(world, Subscribed).next()?;
        let from = world.any_sent_after(room, at)?;
        each!(world, Subscribed).next()?.from = from;
    }
    reset_to_what_was_not_sent_yet: RealTime + more, |world| {
        let Reset { room, at, .. } = *each!(world, Reset).next()?;
        let head = world.any_sent_after(room, at)?;
        each!(world, Reset).next()?.head = head;
    }

    a_reader_stops_short: CaughtUp, |world| {
        let CaughtUp { reader, room, head, .. } = *each!(world, CaughtUp).last()?;
        let is_last = |seen: &Seen| (seen.reader, seen.room, seen.entry.seq) == (reader, room, head);
        let last = world.events.iter().rposition(|event| matches!(event, Event::Seen(seen) if is_last(seen)))?;
        world.events.remove(last);
    }
    a_reader_is_promised_less: CaughtUp, |world, message, entry| {
        let end = world.logs[&message.room].len() as u64;
        each!(world, CaughtUp).rfind(|told| (told.room, told.head) == (message.room, end))?.head = entry.seq - 1;
    }

    no_final_log: Recording + more, |world| { world.events.retain(|event| !matches!(event, Event::Final(_))) }
    no_outcome: Recording, |world| { world.events.retain(|event| !matches!(event, Event::Refused(_))) }
    no_intent: Recording + more, |world, message, _entry| {
        world.events.retain(|event| !matches!(event, Event::Intent(sent) if sent.message == message));
    }
    two_intents: Recording + more, |world, message, _entry| {
        let again = *each!(world, Intent).find(|sent| sent.message == message)?;
        world.record(again);
    }
}
