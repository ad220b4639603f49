//! What the writers and readers of a test did and were told, and the words for what can be wrong with it: plain data.
//! Nothing of the server is known here, and nothing is judged: that is the checker's.
//!
//! Times are nanoseconds of one monotonic clock of the test, [`Recorder::now`]. The checker relies on two habits: the
//! time of what is *sent* or *asked* is taken before that, the time of what is *received* after it.

use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

/// A room, a writer, a reader or a client id.
pub type Id = u128;

/// A message as its writer names it. The same client id in another room, or of another writer, is another message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageId {
    pub room: Id,
    pub writer: Id,
    pub client_id: Id,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {:x} of {:x} in room {:x}", self.client_id, self.writer, self.room)
    }
}

/// One record of a room's log, as a reader got it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub seq: u64,
    pub author: Id,
    pub client_id: Id,
    /// Of the body; of the whole content if it is no message. Bodies should differ, or a mix-up shows in ids only.
    pub hash: u64,
    pub time_ms: u64,
    /// False for what the log holds beside messages (the room's creation, joins): no intent belongs to it.
    pub is_message: bool,
}

impl Entry {
    /// The message that it says it is, in that room.
    pub fn message_in(&self, room: Id) -> MessageId {
        MessageId { room, writer: self.author, client_id: self.client_id }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, author, client_id, hash, time_ms, is_message } = self;
        write!(f, "{seq} ({client_id:x} of {author:x}, body {hash:x}, {time_ms} ms, a message: {is_message})")
    }
}

/// What a plugin may make of a body.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Altering {
    /// It stays as it was sent.
    #[default]
    Never,
    /// It stays, or becomes the body of this hash.
    To(u64),
    /// It may become anything: then its body is only compared between readers.
    Freely,
}

/// Once for each message, before it is sent the first time; resends add nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intent {
    pub message: MessageId,
    pub hash: u64,
    pub altering: Altering,
    /// Messages of one writer with the same lane are sent in this order, each behind the one before: pipelined on one
    /// connection or after its outcome, and resent in that order. `None`: beside others, so only what was acknowledged
    /// before this was sent must be before it. A message that is sent anew after a "not now" is in no lane.
    pub lane: Option<u32>,
    pub at: u64,
}

/// Each acknowledgement that arrived, those of resends too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acked {
    pub message: MessageId,
    pub seq: u64,
    pub time_ms: u64,
    pub altered: bool,
    pub duplicate: bool,
    pub at: u64,
}

/// The last word on a message was that it is not in the log and never will be: a reject, or held and never released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    pub message: MessageId,
    pub at: u64,
}

/// The writer gave up without an answer: it is in the log once or not at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unknown {
    pub message: MessageId,
}

/// A reader follows a room from a cursor that the server told or the reader had reached. Again after each
/// reconnection if the test sees it. Who reads a room anew from elsewhere is another reader, and pages are one too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscribed {
    pub reader: Id,
    pub room: Id,
    /// Everything up to this seq is known.
    pub from: u64,
    pub at: u64,
}

/// One entry that a follower got, live or replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    pub reader: Id,
    pub room: Id,
    /// Grows with each reconnection.
    pub connection: u32,
    pub entry: Entry,
    pub at: u64,
}

/// A follower was told honestly that it cannot be caught up and is live from `head` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reset {
    pub reader: Id,
    pub room: Id,
    pub head: u64,
    pub at: u64,
}

/// A follower was promised everything up to `head`, and stayed for as long as that needs. Best recorded at the end
/// with the head of the final log, for each reader that is still there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaughtUp {
    pub reader: Id,
    pub room: Id,
    pub head: u64,
    /// Before the head was asked for: what was known by then must be within it.
    pub asked: u64,
}

/// A whole log, read at rest after everything stopped; best by several readers, and again after a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Final {
    pub reader: Id,
    pub room: Id,
    pub entries: Vec<Entry>,
    pub first_seq: u64,
    pub head: u64,
}

macro_rules! events {
    ($($name:ident),+) => {
        /// Anything that happened.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Event { $($name($name)),+ }

        $(impl From<$name> for Event {
            fn from(event: $name) -> Self {
                Self::$name(event)
            }
        })+
    };
}
events!(Intent, Acked, Refused, Unknown, Subscribed, Seen, Reset, CaughtUp, Final);

/// Events; those of one reader, and the intents of one lane, are in the order in which they took place.
#[derive(Clone, Default, Debug)]
pub struct History {
    pub events: Vec<Event>,
}

/// Where the tasks of a test write down what happens.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    events: Mutex<Vec<Event>>,
}

impl Recorder {
    /// The clock starts here.
    pub fn new() -> Self {
        Self { start: Instant::now(), events: Mutex::default() }
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap()
    }

    pub fn record(&self, event: impl Into<Event>) {
        self.events.lock().unwrap().push(event.into());
    }

    /// What was recorded so far.
    pub fn history(&self) -> History {
        History { events: self.events.lock().unwrap().clone() }
    }
}

/// What is owed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// A: acknowledged is in the log exactly once, there, as it was sent.
    Acked,
    /// B: whatever is in the log was sent, and not refused; what got no answer is there at most once.
    Intended,
    /// C: seqs have no gap and times never go back.
    Dense,
    /// D: a reader gets the log's entries, each once and in order, or is told that some are skipped.
    Stream,
    /// E: what a writer sends in order is in the log in that order.
    WriterOrder,
    /// F: all read the same log.
    Views,
    /// G: what was known before something was sent is before it in the log.
    RealTime,
    /// H: a reader that is promised everything gets everything.
    CaughtUp,
    /// The recording itself does not make sense: the test is wrong, or has nothing to say.
    Recording,
}

/// How it was known that the log reached a seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Acked(MessageId),
    Seen(Id),
    Told(Id),
}

/// At this time the log was known to reach this seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub at: u64,
    pub seq: u64,
    pub by: Source,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ns: {:x?}", self.seq, self.at, self.by)
    }
}

/// How far a log was known to reach, over time.
#[derive(Default)]
pub struct Knowledge(Vec<Known>);

impl Knowledge {
    pub fn add(&mut self, at: u64, seq: u64, by: Source) {
        self.0.push(Known { at, seq, by });
    }

    /// Sorts, and keeps what reached further than all before: from now on `before` may be asked.
    pub fn settle(&mut self) {
        self.0.sort_by_key(|known| known.at);
        let mut reached = None;
        self.0.retain(|known| {
            let is_further = Some(known.seq) > reached;
            reached = reached.max(Some(known.seq));
            is_further
        });
    }

    /// The furthest that was known before this time.
    pub fn before(&self, at: u64) -> Option<Known> {
        let count = self.0.partition_point(|known| known.at < at);
        count.checked_sub(1).map(|last| self.0[last])
    }
}

macro_rules! violations {
    ($($rule:ident $name:ident { $($field:ident: $type:ty),+ } $text:literal $(, $value:expr)*;)+) => {
        /// Something that a correct server does not do.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Violation { $($name { $($field: $type),+ }),+ }

        impl Violation {
            /// What it breaks; of a message that nobody acknowledged, B rather than A.
            pub fn rule(&self) -> Rule {
                match self {
                    Self::Twice { is_acked: false, .. } | Self::WrongBody { is_acked: false, .. } => Rule::Intended,
                    $(Self::$name { .. } => Rule::$rule),+
                }
            }
        }

        impl fmt::Display for Violation {
            #[allow(unused_variables, reason = "some fields only choose the rule")]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}: ", self.rule())?;
                match self { $(Self::$name { $($field),+ } => write!(f, $text $(, $value)*)),+ }
            }
        }
    };
}

violations! {
    Acked Lost { message: MessageId, seq: u64 } "{message}, acknowledged at {seq}, is not there";
    Acked Moved { message: MessageId, acked: u64, found: u64 } "{message}, acknowledged at {acked}, is at {found}";
    Acked AcksDiffer { first: Acked, other: Acked } "different answers: {first:?} and {other:?}";
    Acked FreshTwice { message: MessageId } "{message} was acknowledged twice as appended just now";
    Acked Contradicted { message: MessageId } "{message} was acknowledged and refused";
    Acked AlteredUnasked { message: MessageId } "{message} was acknowledged as altered, which nothing may do";
    Acked WrongTime { message: MessageId, told: u64, found: u64 } "{message} has time {found}, but {told} was told";
    Acked WrongBody { message: MessageId, seq: u64, sent: u64, found: u64, is_acked: bool }
        "{message} at {seq} has body {found:x}, sent was {sent:x}";
    Acked Twice { message: MessageId, first: u64, again: u64, is_acked: bool } "{message} is at {first} and at {again}";
    Intended NeverSent { room: Id, entry: Entry } "nobody sent this to room {room:x}: {entry}";
    Intended Disguised { message: MessageId, seq: u64 } "{message} is at {seq}, but not as a message";
    Intended RefusedThere { message: MessageId, seq: u64 } "{message} was refused and is at {seq}";
    Dense Gap { room: Id, reader: Id, after: u64, next: u64 } "{next} follows {after} in room {room:x} for {reader:x}";
    Dense WrongStart { room: Id, reader: Id, first_seq: u64 } "room {room:x} begins at {first_seq} for {reader:x}";
    Dense WrongEnds { room: Id, reader: Id, told: (u64, u64), found: (u64, u64) }
        "{reader:x} read {found:?} of room {room:x}, told was {told:?}";
    Dense TimeBack { room: Id, reader: Id, seq: u64, before: u64, time: u64 }
        "the time goes back from {before} to {time} at {seq} in room {room:x} for {reader:x}";
    Stream Skipped { reader: Id, room: Id, expected: u64, seq: u64, is_across: bool }
        "{reader:x} got {seq} instead of {expected} in room {room:x}, across a reconnection: {is_across}";
    Stream Repeated { reader: Id, room: Id, expected: u64, seq: u64, is_across: bool }
        "{reader:x} got {seq} again before {expected} in room {room:x}, across a reconnection: {is_across}";
    Stream Unasked { reader: Id, room: Id } "{reader:x} has news of room {room:x} without following it";
    Stream Unlike { reader: Id, room: Id, seen: Entry, found: Option<Entry> }
        "{reader:x} got {seen} in room {room:x}, the log has {:?}", found.map(|it| it.to_string());
    Stream Stray { reader: Id, room: Id, seq: u64, connection: u32, newest: u32 }
        "{reader:x} got {seq} of room {room:x} on connection {connection} after {newest}";
    Stream Elsewhere { reader: Id, room: Id, cursor: u64, from: u64 }
        "{reader:x} goes on from {from} in room {room:x}, known was {cursor}";
    Stream ResetBack { reader: Id, room: Id, cursor: u64, head: u64 }
        "{reader:x} was reset to {head} in room {room:x} and had {cursor}";
    Stream BeyondEnd { reader: Id, room: Id, told: u64, head: u64 }
        "{reader:x} was told of {told} in room {room:x}, which ends at {head}";
    WriterOrder OutOfOrder { message: MessageId, seq: u64, earlier: Known }
        "{message} is at {seq}, not behind what its writer sent before: {earlier}";
    Views ViewsDiffer { room: Id, readers: [Id; 2], seq: u64 }
        "room {room:x} is not the same for {:x} and {:x} from {seq} on", readers[0], readers[1];
    RealTime Overtaken { message: MessageId, seq: u64, sent: u64, known: Known }
        "{message}, sent at {sent} ns, is at {seq}, but before there was {known}";
    CaughtUp StoppedShort { reader: Id, room: Id, reached: u64, head: u64 }
        "{reader:x} was promised {head} of room {room:x} and got up to {reached}";
    CaughtUp Stale { reader: Id, room: Id, head: u64, known: Known }
        "{reader:x} was promised room {room:x} up to {head} only, but before there was {known}";
    Recording NoOutcome { message: MessageId } "{message} has neither answer nor `Unknown`";
    Recording IntendedTwice { message: MessageId } "{message} has two intents";
    Recording NoIntent { message: MessageId } "{message} has an outcome but no intent";
    Recording NoFinal { room: Id } "nobody read the whole log of room {room:x} at the end";
}

/// How much there was to judge: a check that found nothing in nothing says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    pub sent: usize,
    /// Messages, not answers.
    pub acked: usize,
    pub duplicates: usize,
    pub altered: usize,
    pub refused: usize,
    pub unknown: usize,
    pub unknown_appended: usize,
    pub seen: usize,
    /// In the final logs, of which there are `views`.
    pub entries: usize,
    pub views: usize,
    pub rooms: usize,
    pub readers: usize,
    /// Readers times the rooms that each follows.
    pub followed: usize,
    /// Of the followed, those that were promised everything up to the end of the final log.
    pub caught_up: usize,
    /// How often a follower's connection was a newer one than before.
    pub reconnections: usize,
    pub resets: usize,
    /// Messages that had to be behind an earlier one of their lane.
    pub in_lane: usize,
    /// Messages that had to be behind something known before they were sent.
    pub in_real_time: usize,
}

/// What a check found, and in how much.
#[derive(Clone, Debug)]
pub struct Report {
    pub violations: Vec<Violation>,
    pub summary: Summary,
}

impl Report {
    /// That nothing is wrong; else fails with what is.
    pub fn expect_clean(self) -> Summary {
        let lines: Vec<String> = self.violations.iter().take(20).map(Violation::to_string).collect();
        let count = self.violations.len();
        assert!(count == 0, "{count} violations:\n{}\n{:#?}", lines.join("\n"), self.summary);
        self.summary
    }
}
