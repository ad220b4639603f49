//! A client session and a server session, a link that can fail, and a clock that is a number. It checks
//! on the way what must hold in every test: outputs drain, time is never spun on, and nothing is sent
//! over a link that is not there.

use bytes::Bytes;
use confab_protocol::close::{Close, CloseCode};
use confab_protocol::command::{Command, GoAway, Login, Publish, Reply, RequestId, Secret, ServerFrame};
use confab_protocol::model::{Body, ClientId, Cursor, DeviceName, Incarnation, Millis, RoomId, Seq};
use confab_protocol::reject::Reject;
use confab_protocol::session::client::{self, ClientSession, Config};
use confab_protocol::session::server::{self, ServerSession};

use crate::app::{Act, App, FOREVER};
use crate::link::{End, Lane, Link, Parcel};

pub(crate) const ROOM: RoomId = RoomId::from_u128(0x100);
pub(crate) const START: Millis = Millis(1_700_000_000_000);
/// One way, unless a test says otherwise.
pub(crate) const LATENCY_MS: u64 = 20;
/// More outputs or wake-ups than this at one moment is a spin.
const SPIN_MAX: usize = 10_000;

pub(crate) fn config() -> Config {
    Config { client: "pair/1".into(), access_token: Some(Secret::new(FOREVER)), refresh_token: None, seed: 1 }
}

/// Small deterministic numbers (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The client's side of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Attachment {
    None,
    Connecting,
    Up,
}

/// Both ends and what is between.
pub(crate) struct Pair {
    pub(crate) now: Millis,
    pub(crate) client: ClientSession,
    pub(crate) server: Option<ServerSession>,
    pub(crate) link: Link,
    pub(crate) app: App,
    /// What the client's application learned, and when.
    pub(crate) events: Vec<(Millis, client::Event)>,
    /// How connections ended at the server's end, and when.
    pub(crate) closes: Vec<(Millis, Close)>,
    /// Connections asked for, and when.
    pub(crate) connects: Vec<Millis>,
    /// Frames that the client gave to its link.
    pub(crate) sent: usize,
    /// The client is a hidden browser tab: its timers fire once a minute, and the browser answers probes for it.
    pub(crate) is_hidden: bool,
    attachment: Attachment,
    client_due: Millis,
    server_due: Millis,
    published: u128,
}

impl Pair {
    pub(crate) fn new(config: Config) -> Self {
        let mut app = App::new();
        app.open_room(ROOM);
        Self {
            now: START,
            client: ClientSession::new(START, config),
            server: None,
            link: Link::new(LATENCY_MS),
            app,
            events: Vec::new(),
            closes: Vec::new(),
            connects: Vec::new(),
            sent: 0,
            is_hidden: false,
            attachment: Attachment::None,
            client_due: START,
            server_due: Millis::NEVER,
            published: 0,
        }
    }

    /// Logged in and following [`ROOM`] from its start.
    pub(crate) fn following() -> Self {
        let mut pair = Self::new(config());
        pair.follow(ROOM);
        pair.run(1_000);
        assert!(pair.server.as_ref().is_some_and(ServerSession::is_active), "{:?}", pair.events);
        pair
    }

    pub(crate) fn follow(&mut self, room: RoomId) {
        self.client.follow(self.now, Cursor { room, incarnation: Incarnation(0), seq: Seq(0) });
        self.settle();
    }

    pub(crate) fn request(&mut self, command: Command) -> RequestId {
        let id = self.client.request(self.now, command);
        self.settle();
        id
    }

    pub(crate) fn publish(&mut self, room: RoomId, text: &str) -> (RequestId, ClientId) {
        self.published += 1;
        let client_id = ClientId::new(self.client.server_time(self.now), self.published);
        let body = Body::parse(text).expect("a body");
        (self.request(Command::Publish(Publish { room, client_id, resend: false, body, reply_to: None })), client_id)
    }

    pub(crate) fn login(&mut self, password: &str) -> RequestId {
        self.request(Command::Login(Login {
            username: "alice".into(),
            password: Secret::new(password),
            device: DeviceName::parse("").expect("a name"),
            device_id: None,
        }))
    }

    /// Somebody else says something.
    pub(crate) fn post(&mut self, room: RoomId, text: &str) {
        if let Some(push) = self.app.post(self.now, room, text) {
            self.send_push(push);
        }
    }

    /// Bytes straight from the server's side, past its session (as pushes are).
    pub(crate) fn send_push(&mut self, frame: Bytes) {
        if self.server.is_some() {
            self.link.send(self.now, Lane::Push, Parcel::Frame(frame));
        }
    }

    /// A server that breaks the rules.
    pub(crate) fn forge(&mut self, frame: &ServerFrame) {
        let frame = confab_protocol::codec::encode_server_frame(frame);
        self.link.send(self.now, Lane::Control, Parcel::Frame(frame));
        self.run(self.link.control_ms);
    }

    /// Answers what a mute application has heard.
    pub(crate) fn answer_withheld(&mut self) {
        for (id, command) in self.app.take_withheld() {
            let acts = self.app.answer(self.now, id, command);
            self.perform(acts);
        }
        self.settle();
    }

    pub(crate) fn close(&mut self, code: CloseCode) {
        self.server_input(server::Input::Close(code));
    }

    pub(crate) fn go_away(&mut self, away: GoAway) {
        self.server_input(server::Input::GoAway(away));
    }

    /// The link breaks, both ends learn it, and none is to be had until [`Self::restore`].
    pub(crate) fn cut(&mut self) {
        self.link.clear();
        self.link.available = false;
        self.link.dead = true;
        self.server = None;
        self.server_due = Millis::NEVER;
        if std::mem::replace(&mut self.attachment, Attachment::None) != Attachment::None {
            self.client.handle(self.now, client::Input::Disconnected(lost()));
        }
        self.settle();
    }

    /// From now on nothing arrives, and nobody is told.
    pub(crate) fn silence(&mut self) {
        if self.attachment == Attachment::Connecting {
            return self.cut();
        }
        self.link.clear();
        self.link.available = false;
        self.link.dead = true;
    }

    /// New connections can be had again; the one that fell silent stays so.
    pub(crate) fn restore(&mut self) {
        self.link.available = true;
    }

    /// Lets time pass; everything due within it happens.
    pub(crate) fn run(&mut self, duration_ms: u64) {
        let end = self.now.after(duration_ms);
        let mut at_once = 0;
        self.settle();
        loop {
            let due = self.link.next_due().min(self.client_due).min(self.server_due);
            if due > end {
                self.now = end;
                return;
            }
            at_once = if due > self.now { 0 } else { at_once + 1 };
            assert!(at_once < SPIN_MAX, "time stands still at {:?}: {:?}", self.now, self.events.last());
            self.now = self.now.max(due);
            self.step();
            self.settle();
        }
    }

    /// The replies the application got to a request.
    pub(crate) fn replies(&self, wanted: RequestId) -> Vec<&Result<Reply, Reject>> {
        let replies = self.events.iter().filter_map(|(_, event)| match event {
            client::Event::Reply { id, result } => Some((*id, result)),
            _ => None,
        });
        replies.filter(|(id, _)| *id == wanted).map(|(_, result)| result).collect()
    }

    /// The seqs of a room in the order in which the application got them.
    pub(crate) fn delivered(&self, wanted: RoomId) -> Vec<u64> {
        let mut seqs = Vec::new();
        for (_, event) in &self.events {
            if let client::Event::Entries(push) = event
                && push.room == wanted
            {
                seqs.extend(push.entries.iter().map(|entry| entry.seq.0));
            }
        }
        seqs
    }

    /// Why and when the client stopped for good.
    pub(crate) fn stopped(&self) -> Option<(Millis, u16)> {
        self.events.iter().find_map(|(at, event)| match event {
            client::Event::Stopped(close) => Some((*at, close.code)),
            _ => None,
        })
    }

    /// When, why and until when the client was offline.
    pub(crate) fn offline(&self) -> Vec<(Millis, u16, Millis)> {
        let offline = |(at, event): &(Millis, client::Event)| match event {
            client::Event::Offline { close, retry_at } => Some((*at, close.code, *retry_at)),
            _ => None,
        };
        self.events.iter().filter_map(offline).collect()
    }

    fn server_input(&mut self, input: server::Input) {
        if let Some(server) = &mut self.server {
            server.handle(self.now, input);
        }
        self.settle();
    }

    fn step(&mut self) {
        let Some((end, parcel)) = self.link.take_due(self.now) else {
            if self.client_due <= self.now {
                self.client.handle(self.now, client::Input::Timeout);
            }
            if let Some(server) = self.server.as_mut().filter(|_| self.server_due <= self.now) {
                server.handle(self.now, server::Input::Timeout);
            }
            return;
        };
        match (end, parcel) {
            (End::Server, Parcel::Frame(frame)) => {
                if let Some(server) = &mut self.server {
                    server.handle(self.now, server::Input::Frame(frame));
                }
            }
            (End::Server, parcel) => panic!("{parcel:?} is not for servers"),
            (End::Client, Parcel::Frame(frame)) => self.client.handle(self.now, client::Input::Frame(frame)),
            (End::Client, Parcel::Connected) => {
                self.attachment = Attachment::Up;
                self.link.dead = false;
                self.server = Some(ServerSession::new(self.now));
                self.app.handle_connect();
                self.client.handle(self.now, client::Input::Connected);
            }
            (End::Client, Parcel::Disconnected(close)) => {
                self.detach();
                self.client.handle(self.now, client::Input::Disconnected(close));
            }
        }
    }

    /// Polls both ends until they are drained.
    fn settle(&mut self) {
        for _ in 0..SPIN_MAX {
            let client = self.poll_client();
            let server = self.poll_server();
            if !client && !server {
                return;
            }
        }
        panic!("the sessions do not settle: {:?}", self.events.last());
    }

    fn poll_client(&mut self) -> bool {
        match self.client.poll() {
            client::Output::Connect => {
                assert_eq!(self.attachment, Attachment::None, "a second link was asked for");
                self.attachment = Attachment::Connecting;
                self.connects.push(self.now);
                let answer = if self.link.available { Parcel::Connected } else { Parcel::Disconnected(lost()) };
                self.link.schedule(self.now, Lane::Control, answer);
            }
            client::Output::Transmit(frame) => {
                assert_eq!(self.attachment, Attachment::Up, "a frame was sent without a link");
                self.sent += 1;
                self.link.send(self.now, Lane::Upstream, Parcel::Frame(frame));
            }
            client::Output::Disconnect => self.detach(),
            client::Output::Event(event) => self.events.push((self.now, event)),
            client::Output::Timeout(due) => {
                let full_minute = Millis(due.0.saturating_add(59_999) / 60_000 * 60_000);
                self.client_due = if self.is_hidden { full_minute } else { due };
                return false;
            }
        }
        true
    }

    fn poll_server(&mut self) -> bool {
        let Some(server) = &mut self.server else { return false };
        let acts = match server.poll() {
            server::Output::Transmit(frame) => {
                self.link.send(self.now, Lane::Control, Parcel::Frame(frame));
                return true;
            }
            server::Output::Probe => {
                if self.is_hidden && !self.link.dead {
                    server.handle(self.now, server::Input::Alive { inside_frame: false });
                }
                return true;
            }
            server::Output::Close(close) => {
                assert_eq!(server.poll(), server::Output::Timeout(Millis::NEVER), "said something after its close");
                self.link.send(self.now, Lane::Control, Parcel::Disconnected(close.clone()));
                self.closes.push((self.now, close));
                self.server = None;
                self.server_due = Millis::NEVER;
                return true;
            }
            server::Output::Timeout(due) => {
                self.server_due = due;
                return false;
            }
            server::Output::Event(server::Event::Hello { token, .. }) => {
                vec![Act::Input(self.app.handle_hello(self.now, token.as_ref()))]
            }
            server::Output::Event(server::Event::Request { id, command }) => {
                self.app.handle_request(self.now, id, command)
            }
        };
        self.perform(acts);
        true
    }

    fn perform(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Input(input) => {
                    if let Some(server) = &mut self.server {
                        server.handle(self.now, input);
                    }
                }
                Act::Push(frame) => self.send_push(frame),
            }
        }
    }

    /// The client's side of the link is gone. A dead link tells the server nothing.
    fn detach(&mut self) {
        self.attachment = Attachment::None;
        self.link.clear();
        if !self.link.dead {
            self.server = None;
            self.server_due = Millis::NEVER;
        }
    }
}

/// A connection that broke without a close code.
pub(crate) fn lost() -> Close {
    Close { code: 0, reason: "lost".into() }
}
