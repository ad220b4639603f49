//! Talk to a Confab chat server over QUIC or WebSocket.
//!
//! [`Client`] is a handle to a task that runs the protocol's own client session: it reconnects with backoff,
//! resumes the rooms it follows, resends what was not answered, and renews its tokens. Over either transport
//! and across reconnects, a followed room's entries come once each, in order.
//!
//! ```no_run
//! use confab_client::{Client, Event, Options, Server};
//!
//! # async fn talk() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::parse("quic://localhost:8443")?.pin("5f3c...")?;
//! let (client, mut events) = Client::connect(Options::new(server));
//! client.login("alice", "correct horse battery").await?;
//! let room = client.join("general").await?;
//! client.follow(&room, room.head).await;
//! client.say(room.id, "hello").await?;
//! while let Some(event) = events.recv().await {
//!     if let Event::Entries(push) = event { println!("{} new", push.entries.len()); }
//! }
//! # Ok(()) }
//! ```
#![warn(clippy::unwrap_used, clippy::indexing_slicing)]
#![warn(missing_docs)]

mod driver;
mod link;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub use confab_protocol::command::{
    Appended, Command, History, HistoryRange, Login, Page, Publish, Register, Reply, Room, RoomScope, RoomTarget,
    Session,
};
use confab_protocol::command::{CreateRoom, Secret};
pub use confab_protocol::model;
use confab_protocol::model::{Body, CaseId, ClientId, Cursor, DeviceName, Millis, RoomId, RoomName, Seq, Topic};
pub use confab_protocol::reject::{Reject, RejectCode};
pub use confab_protocol::session::client::Event;
use tokio::sync::{mpsc, oneshot};

pub use crate::server::{Server, ServerError};

/// Requests and events that may wait; callers wait past that, and events gather.
const QUEUE_MAX: usize = 256;

/// How to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    server: Server,
    name: String,
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
}

impl Options {
    /// Connect to this server, not logged in yet.
    #[must_use]
    pub fn new(server: Server) -> Self {
        let name = concat!("confab-client/", env!("CARGO_PKG_VERSION")).to_owned();
        Self { server, name, access_token: None, refresh_token: None }
    }

    /// With an access token of an earlier login.
    #[must_use]
    pub fn access_token(mut self, token: impl Into<String>) -> Self {
        self.access_token = Some(Secret::new(token));
        self
    }

    /// With a refresh token of an earlier login; it is used once, the next comes as [`Event::Session`].
    #[must_use]
    pub fn refresh_token(mut self, token: impl Into<String>) -> Self {
        self.refresh_token = Some(Secret::new(token));
        self
    }
}

/// Why a request has no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server refused it.
    #[error(transparent)]
    Rejected(#[from] Reject),
    /// It went into review; it is not in the room (yet).
    #[error("kept for review: case {0}")]
    Held(CaseId),
    /// The session has ended; the last event said why.
    #[error("the session has ended")]
    Stopped,
    /// Events were not received while this waited, so its reply could not be read; what was asked may be done.
    #[error("events were not received: the outcome is unknown")]
    Unheard,
    /// The server answered something else.
    #[error("the server answered something unexpected")]
    Unexpected,
    /// A text that the protocol does not allow.
    #[error("the {0} {1}")]
    Text(&'static str, confab_protocol::text::TextError),
}

pub(crate) enum Ask {
    Request(Command, oneshot::Sender<Result<Reply, Reject>>),
    Follow(Cursor),
    Unfollow(RoomId),
}

/// A handle to a session. Clones share it; it ends when all are dropped.
#[derive(Clone, Debug)]
pub struct Client {
    asks: mpsc::Sender<Ask>,
    /// Added to the local clock this is server time.
    clock_offset_ms: Arc<AtomicI64>,
}

impl Client {
    /// Starts a session. It connects by itself; what happens comes as events, which must be received.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the task ends with the handles")]
    pub fn connect(options: Options) -> (Self, mpsc::Receiver<Event>) {
        let (asks, asked) = mpsc::channel(QUEUE_MAX);
        let (events, received) = mpsc::channel(QUEUE_MAX);
        let clock_offset_ms = Arc::new(AtomicI64::new(0));
        tokio::spawn(driver::run(options, asked, events, Arc::clone(&clock_offset_ms)));
        (Self { asks, clock_offset_ms }, received)
    }

    /// Sends any command and waits for its reply, across reconnects where it may be repeated.
    ///
    /// # Errors
    /// What the server rejects, or the end of the session.
    pub async fn request(&self, command: Command) -> Result<Reply, Error> {
        let answered = self.begin(command).await?.await;
        // Without an answer: either nobody is there to give it any more, or it was given up.
        let lost = |_| if self.asks.is_closed() { Error::Stopped } else { Error::Unheard };
        answered.map_err(lost)?.map_err(Error::Rejected)
    }

    /// Sends a command; the receiver has the reply. Commands are sent in the order of these calls.
    ///
    /// # Errors
    /// The end of the session.
    pub async fn begin(&self, command: Command) -> Result<oneshot::Receiver<Result<Reply, Reject>>, Error> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Request(command, answer)).await.map_err(|_| Error::Stopped)?;
        Ok(answered)
    }

    /// Logs in by password.
    ///
    /// # Errors
    /// Wrong credentials, limits.
    pub async fn login(&self, username: &str, password: &str) -> Result<Session, Error> {
        let device = DeviceName::parse("").map_err(|error| Error::Text("device name", error))?;
        let login = Login { username: username.into(), password: Secret::new(password), device, device_id: None };
        match self.request(Command::Login(login)).await? {
            Reply::Session(session) => Ok(session),
            _ => Err(Error::Unexpected),
        }
    }

    /// Joins a room by name, or makes it.
    ///
    /// # Errors
    /// A name that is not allowed, limits, a ban.
    pub async fn join(&self, name: &str) -> Result<Room, Error> {
        let name = RoomName::parse(name).map_err(|error| Error::Text("room name", error))?;
        let joined = self.request(Command::JoinRoom(RoomTarget::Name(name.clone()))).await;
        let reply = match joined {
            Err(Error::Rejected(reject)) if reject.is(RejectCode::UnknownRoom) => {
                let topic = Topic::parse("").map_err(|error| Error::Text("topic", error))?;
                let create = CreateRoom {
                    client_id: self.new_client_id(),
                    resend: false,
                    name: name.clone(),
                    topic,
                    private: false,
                };
                match self.request(Command::CreateRoom(create)).await {
                    // Somebody was faster.
                    Err(Error::Rejected(reject)) if reject.is(RejectCode::RoomNameTaken) => {
                        self.request(Command::JoinRoom(RoomTarget::Name(name))).await?
                    }
                    created => created?,
                }
            }
            joined => joined?,
        };
        match reply {
            Reply::Room(room) => Ok(room),
            _ => Err(Error::Unexpected),
        }
    }

    /// Says something in a room, exactly once.
    ///
    /// # Errors
    /// What the server rejects; [`Error::Held`] when a moderator must look first.
    pub async fn say(&self, room: RoomId, text: &str) -> Result<Appended, Error> {
        let body = Body::parse(text).map_err(|error| Error::Text("message", error))?;
        let publish = Publish { room, client_id: self.new_client_id(), resend: false, body, reply_to: None };
        match self.request(Command::Publish(publish)).await? {
            Reply::Appended(appended) => Ok(appended),
            Reply::Held(case) => Err(Error::Held(case)),
            _ => Err(Error::Unexpected),
        }
    }

    /// Messages before a seq (0: the newest), ascending.
    ///
    /// # Errors
    /// Not a member.
    pub async fn history(&self, room: RoomId, before: Seq, limit: usize) -> Result<Page, Error> {
        match self.request(Command::History(History::before(room, before, limit))).await? {
            Reply::Page(page) => Ok(page),
            _ => Err(Error::Unexpected),
        }
    }

    /// Follows a room from a seq on: what is missed and what is new comes as [`Event::Entries`].
    pub async fn follow(&self, room: &Room, known: Seq) {
        let cursor = Cursor { room: room.id, incarnation: room.incarnation, seq: known };
        // A session that has ended follows nothing; the last event said so.
        let _ = self.asks.send(Ask::Follow(cursor)).await;
    }

    /// Stops following a room.
    pub async fn unfollow(&self, room: RoomId) {
        let _ = self.asks.send(Ask::Unfollow(room)).await;
    }

    /// A new idempotency id, on server time.
    #[must_use]
    pub fn new_client_id(&self) -> ClientId {
        let now = driver::local_time().0.saturating_add_signed(self.clock_offset_ms.load(Ordering::Relaxed));
        ClientId::new(Millis(now), driver::random())
    }
}
