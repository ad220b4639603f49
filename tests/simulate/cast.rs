//! Those who talk to the server: writers, which hold several messages in flight, and readers, which follow all rooms.
//! Each writes down what it does and is told, and none goes on silently when something is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use confab_client::{Client, Error, Event, Options, Reply, Room};
use confab_protocol::command::Appended;
use confab_protocol::model::{ClientId, Envelope, RoomId, Seq};
use confab_protocol::reject::{Reject, RejectCode};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::finals::entry_of;
use super::history::{Acked, Altering, Id, Intent, MessageId, Recorder, Reset, Seen, Subscribed, Unknown};
use super::{Rng, hash};
use crate::support::process::PATIENCE;
use crate::support::raw::{client_id, publish, resend, spawn};

/// What a person needs to be there.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub server: confab_client::Server,
    pub token: String,
}

impl Person {
    /// A session once it is welcome, and who that is. It outlives faults; when the server ends it, that is noted.
    pub async fn connect(&self, failures: &Failures) -> (Client, Id) {
        let (client, events, user) = self.open().await;
        let (name, failures) = (self.name.clone(), failures.clone());
        spawn(drain(events, name, failures));
        (client, user)
    }

    async fn open(&self) -> (Client, tokio::sync::mpsc::Receiver<Event>, Id) {
        let (client, mut events) = Client::connect(Options::new(self.server.clone()).access_token(&self.token));
        let welcome = async {
            loop {
                match events.recv().await {
                    Some(Event::Welcome(welcome)) => return welcome.identity.expect("the token is good"),
                    Some(Event::Stopped(close)) => panic!("{} is not let in: {close}", self.name),
                    Some(_) => {}
                    None => panic!("{}: the session ended without a word", self.name),
                }
            }
        };
        // Tries that meet one outage after the other are spaced more and more.
        let identity = timeout(PATIENCE * 4, welcome).await;
        let identity = identity.unwrap_or_else(|_| panic!("{} waits for a welcome", self.name));
        (client, events, identity.user.as_u128())
    }
}

/// What must not be, noted by tasks that nobody waits for.
pub type Failures = Arc<Mutex<Vec<String>>>;

/// Receives until the client is dropped.
async fn drain(mut events: tokio::sync::mpsc::Receiver<Event>, name: String, failures: Failures) {
    while let Some(event) = events.recv().await {
        if let Event::Stopped(close) = event {
            failures.lock().unwrap().push(format!("the session of {name} was ended for good: {close}"));
        }
    }
}

/// What everybody in a run shares.
pub struct Scene {
    pub recorder: Recorder,
    pub rooms: Vec<Room>,
    pub failures: Failures,
    /// Bodies that fill buffers soon.
    pub is_big: bool,
    /// Acknowledgements and pushed entries so far.
    pub acks: AtomicU64,
    pub seen: AtomicU64,
    /// Answers that meant "not now".
    pub put_off: AtomicU64,
    /// Writers begin nothing new.
    pub is_over: AtomicBool,
    sent_anew: Mutex<BTreeSet<MessageId>>,
    /// The first acknowledgement after a time, if that is asked for.
    watched_from: AtomicU64,
    first_ack: AtomicU64,
}

impl Scene {
    pub fn new(rooms: Vec<Room>, is_big: bool, failures: Failures) -> Self {
        Self {
            recorder: Recorder::new(),
            rooms,
            failures,
            is_big,
            acks: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            put_off: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            sent_anew: Mutex::default(),
            watched_from: AtomicU64::new(u64::MAX),
            first_ack: AtomicU64::new(u64::MAX),
        }
    }

    /// Messages that were sent anew after a "not now": what was sent behind them may be before them.
    pub fn sent_anew(&self) -> BTreeSet<MessageId> {
        self.sent_anew.lock().unwrap().clone()
    }

    /// From now on the first acknowledgement is looked for.
    pub fn watch(&self) {
        self.first_ack.store(u64::MAX, Ordering::SeqCst);
        self.watched_from.store(self.recorder.now(), Ordering::SeqCst);
    }

    /// When the first one came, if it did.
    pub fn first_ack(&self) -> Option<u64> {
        Some(self.first_ack.load(Ordering::SeqCst)).filter(|at| *at != u64::MAX)
    }

    fn note_ack(&self, message: MessageId, appended: Appended) {
        let at = self.recorder.now();
        let Appended { seq, time, altered, duplicate, .. } = appended;
        self.recorder.record(Acked { message, seq: seq.0, time_ms: time.0, altered, duplicate, at });
        self.acks.fetch_add(1, Ordering::SeqCst);
        if at > self.watched_from.load(Ordering::SeqCst) {
            self.first_ack.fetch_min(at, Ordering::SeqCst);
        }
    }

    /// A message of this writer, written down before it is sent.
    pub fn intend(&self, room: RoomId, writer: Id, lane: Option<u32>, text: &str) -> Message {
        let client_id = client_id();
        let id = MessageId { room: room.as_u128(), writer, client_id: client_id.as_u128() };
        let (hash, at) = (hash(text.as_bytes()), self.recorder.now());
        self.recorder.record(Intent { message: id, hash, altering: Altering::Never, lane, at });
        Message { id, room, client_id, text: text.to_owned() }
    }
}

/// A message that somebody has sent, or will.
#[derive(Clone)]
pub struct Message {
    pub id: MessageId,
    pub room: RoomId,
    pub client_id: ClientId,
    pub text: String,
}

type Answer = Result<Result<Reply, Reject>, Error>;

/// Says one thing after the other, up to `depth` at a time, for as long as the run is not over.
pub struct Writer {
    pub scene: Arc<Scene>,
    pub person: Person,
    pub rng: Rng,
    pub depth: usize,
    /// It drops everything, as an application that crashes, and comes back.
    pub crash: Arc<Notify>,
}

/// How a writer fared.
#[derive(Clone, Copy, Default, Debug)]
pub struct Written {
    /// Given up in its own crashes.
    pub given_up: usize,
    /// Without an answer although everything was well for long: there should be none.
    pub unanswered: usize,
}

impl Writer {
    pub async fn run(mut self) -> Written {
        let (mut written, mut lane) = (Written::default(), 0);
        loop {
            let mut session = Session::open(&self, lane).await;
            let is_crash = session.talk(&mut self).await;
            for message in session.waiting.values() {
                self.scene.recorder.record(Unknown { message: message.id });
            }
            let count = session.waiting.len();
            if !is_crash {
                written.unanswered += count;
                return written;
            }
            written.given_up += count;
            // What the old connection has sent may still be under way: there is no order between the two.
            lane += 1;
        }
    }

    fn text(&mut self, n: u64) -> String {
        let filler = match self.rng.below(20) {
            _ if self.scene.is_big => "\u{1f600}".repeat(3_500),
            0 => "y".repeat(self.rng.between(1_000, 3_500) as usize),
            1..5 => "x".repeat(self.rng.below(400) as usize),
            _ => String::new(),
        };
        format!("{} {n} {filler}", self.person.name)
    }
}

/// One client of a writer, and what it waits for.
struct Session {
    client: Client,
    writer: Id,
    lane: u32,
    answers: FuturesUnordered<BoxFuture<'static, (MessageId, Answer)>>,
    waiting: BTreeMap<MessageId, Message>,
}

impl Session {
    async fn open(writer: &Writer, lane: u32) -> Self {
        let (client, user) = writer.person.connect(&writer.scene.failures).await;
        Self { client, writer: user, lane, answers: FuturesUnordered::new(), waiting: BTreeMap::new() }
    }

    /// Whether it ended in a crash.
    async fn talk(&mut self, of: &mut Writer) -> bool {
        let mut give_up = None;
        loop {
            if of.scene.is_over.load(Ordering::SeqCst) {
                let by: Instant = *give_up.get_or_insert_with(|| Instant::now() + PATIENCE);
                if self.waiting.is_empty() || Instant::now() >= by {
                    return false;
                }
            } else {
                while self.waiting.len() < of.depth {
                    self.begin(of).await;
                }
            }
            tokio::select! {
                () = of.crash.notified() => return true,
                Some((message, answer)) = self.answers.next() => self.take(of, message, answer),
                () = sleep(Duration::from_millis(200)) => {}
            }
        }
    }

    async fn begin(&mut self, of: &mut Writer) {
        let index = of.rng.below(of.scene.rooms.len() as u64) as usize;
        let n = of.rng.next();
        let text = of.text(n);
        let message = of.scene.intend(of.scene.rooms[index].id, self.writer, Some(self.lane), &text);
        let begun = self.client.begin(publish(message.room, message.client_id, &text)).await;
        let begun = begun.unwrap_or_else(|error| panic!("{} cannot send: {error}", of.person.name));
        let id = message.id;
        self.waiting.insert(id, message);
        // A client that drops the answer without giving one has no reason to.
        self.answers.push(Box::pin(async move { (id, begun.await.map_err(|_| Error::Unheard)) }));
    }

    fn take(&mut self, of: &mut Writer, id: MessageId, answer: Answer) {
        let scene = &of.scene;
        match answer {
            Ok(Ok(Reply::Appended(appended))) => {
                scene.note_ack(id, appended);
                self.waiting.remove(&id);
            }
            Ok(Err(reject)) if is_passing(&reject) => {
                scene.put_off.fetch_add(1, Ordering::SeqCst);
                scene.sent_anew.lock().unwrap().insert(id);
                let pause = Duration::from_millis(of.rng.between(20, 150));
                self.answers.push(Box::pin(send_anew(self.client.clone(), self.waiting[&id].clone(), pause)));
            }
            other => panic!("{}: {id} was answered {other:?}", of.person.name),
        }
    }
}

async fn send_anew(client: Client, message: Message, pause: Duration) -> (MessageId, Answer) {
    sleep(pause).await;
    let answer = match client.request(resend(message.room, message.client_id, &message.text)).await {
        Ok(reply) => Ok(Ok(reply)),
        Err(Error::Rejected(reject)) => Ok(Err(reject)),
        Err(other) => Err(other),
    };
    (message.id, answer)
}

/// Whether it asks to send the same again.
fn is_passing(reject: &Reject) -> bool {
    let passing = [RejectCode::Unavailable, RejectCode::Busy, RejectCode::OrderBroken, RejectCode::TooManyInFlight];
    passing.into_iter().any(|code| reject.is(code))
}

/// Follows all rooms.
pub struct Reader {
    pub scene: Arc<Scene>,
    pub person: Person,
    pub id: Id,
    pub rng: Rng,
    /// From the beginning of the log, rather than from where it was when the run began.
    pub is_from_start: bool,
    /// In percent: how often it takes its time.
    pub laziness: u64,
    /// How far it has got, by room.
    pub reached: Arc<Vec<AtomicU64>>,
}

impl Reader {
    pub fn new(scene: &Arc<Scene>, person: &Person, id: Id, rng: Rng) -> Self {
        let reached = Arc::new(scene.rooms.iter().map(|_| AtomicU64::new(0)).collect());
        let (scene, person) = (Arc::clone(scene), person.clone());
        Self { scene, person, id, rng, is_from_start: false, laziness: 0, reached }
    }

    /// Until the client is dropped with the task.
    pub async fn run(mut self) {
        let (client, mut events, _) = self.person.open().await;
        for (room, reached) in self.scene.rooms.iter().zip(&*self.reached) {
            let from = if self.is_from_start { Seq(0) } else { room.head };
            let at = self.scene.recorder.now();
            let (reader, room_id) = (self.id, room.id.as_u128());
            self.scene.recorder.record(Subscribed { reader, room: room_id, from: from.0, at });
            reached.store(from.0, Ordering::SeqCst);
            client.follow(room, from).await;
        }
        let mut connection = 1;
        while let Some(event) = events.recv().await {
            match event {
                Event::Welcome(_) => connection += 1,
                Event::Entries(push) => push.entries.iter().for_each(|entry| self.see(connection, push.room, entry)),
                Event::Ephemeral(_) => {}
                Event::Gap { resumed, .. } => {
                    let (room, head, at) = (resumed.room.as_u128(), resumed.head.0, self.scene.recorder.now());
                    self.scene.recorder.record(Reset { reader: self.id, room, head, at });
                    self.reach(resumed.room, head);
                }
                Event::Lost(room) => panic!("{} may not read room {room} any more", self.person.name),
                Event::Stopped(close) => panic!("the session of {} was ended: {close}", self.person.name),
                Event::Session(_) | Event::Reply { .. } | Event::Notice(_) | Event::Offline { .. } => {}
            }
            if self.rng.percent(self.laziness) {
                sleep(Duration::from_millis(self.rng.below(100))).await;
            }
        }
        panic!("the session of {} ended without a word", self.person.name);
    }

    fn see(&self, connection: u32, room: RoomId, entry: &Envelope) {
        let at = self.scene.recorder.now();
        let seen = Seen { reader: self.id, room: room.as_u128(), connection, entry: entry_of(entry), at };
        self.scene.recorder.record(seen);
        self.scene.seen.fetch_add(1, Ordering::SeqCst);
        self.reach(room, entry.seq.0);
    }

    fn reach(&self, room: RoomId, seq: u64) {
        let index = self.scene.rooms.iter().position(|other| other.id == room);
        self.reached[index.expect("a room of the run")].store(seq, Ordering::SeqCst);
    }
}
