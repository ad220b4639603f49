//! A server application in a few lines: accounts of one user, rooms as vectors, pushes to whoever
//! subscribed. It exists to give the sessions something true to carry.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use confab_protocol::close::CloseCode;
use confab_protocol::codec::{decode_entry, encode_entry, encode_push, page_len};
use confab_protocol::command::{
    Appended, Command, Identity, Page, Publish, Reply, RequestId, ResumeOutcome, Resumed, Secret, Session, Welcome,
};
use confab_protocol::model::{
    Body, ClientId, Cursor, DeviceId, DisplayName, Entry, EntryContent, Envelope, Incarnation, Millis, RoomId, Seq,
    ServerRole, SessionId, UserId, Username,
};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::server::Input;

pub(crate) const ALICE: UserId = UserId::from_u128(0xa11ce);
pub(crate) const BOB: UserId = UserId::from_u128(0xb0b);
/// An access token that never expires.
pub(crate) const FOREVER: &str = "access-forever";

/// One room.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) incarnation: Incarnation,
    pub(crate) entries: Vec<Envelope>,
    outcomes: BTreeMap<ClientId, Appended>,
}

impl Log {
    pub(crate) fn head(&self) -> Seq {
        Seq(self.entries.len() as u64)
    }

    /// Author, client id and text of each entry.
    pub(crate) fn messages(&self) -> Vec<(UserId, ClientId, String)> {
        let message = |envelope: &Envelope| {
            let entry = decode_entry(&envelope.payload).expect("an entry of our own");
            let EntryContent::Message(message) = entry.content else { panic!("only messages are posted") };
            (entry.author, entry.client_id, message.body.as_str().to_owned())
        };
        self.entries.iter().map(message).collect()
    }

    fn append(&mut self, now: Millis, author: UserId, client_id: ClientId, body: Body) -> Appended {
        if let Some(outcome) = self.outcomes.get(&client_id) {
            return Appended { duplicate: true, ..*outcome };
        }
        let seq = self.head().next();
        let payload = encode_entry(&Entry { author, client_id, content: EntryContent::Message(body.into()) });
        self.entries.push(Envelope { seq, time: now, rev: 0, payload, rewritten: None });
        let outcome = Appended { seq, time: now, altered: false, duplicate: false };
        self.outcomes.insert(client_id, outcome);
        outcome
    }

    fn after(&self, seq: Seq) -> &[Envelope] {
        &self.entries[usize::try_from(seq.0).expect("small")..]
    }
}

/// What the application wants sent, in this order.
#[derive(Debug)]
pub(crate) enum Act {
    Input(Input),
    Push(Bytes),
}

/// The application.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) rooms: BTreeMap<RoomId, Log>,
    /// Every request heard, over all connections.
    pub(crate) commands: Vec<(RequestId, Command)>,
    /// The refusals to give to the next refreshes instead of tokens.
    pub(crate) refresh_refusals: Vec<Reject>,
    /// Lifetime of an access token.
    pub(crate) token_ms: u64,
    /// A longer gap than this is not replayed.
    pub(crate) replay_max: usize,
    /// Requests are heard but not answered, until [`App::take_withheld`].
    pub(crate) mute: bool,
    pub(crate) greetings: usize,
    /// What a welcome says of how those return whom the server lost.
    pub(crate) reconnect_jitter_ms: u16,
    subscribed: BTreeSet<RoomId>,
    access: BTreeMap<String, Millis>,
    refresh: BTreeSet<String>,
    withheld: Vec<(RequestId, Command)>,
    issued: u64,
    posted: u128,
}

impl App {
    pub(crate) fn new() -> Self {
        Self {
            rooms: BTreeMap::new(),
            commands: Vec::new(),
            refresh_refusals: Vec::new(),
            token_ms: 600_000,
            replay_max: usize::MAX,
            mute: false,
            greetings: 0,
            reconnect_jitter_ms: 0,
            subscribed: BTreeSet::new(),
            access: BTreeMap::from([(FOREVER.to_owned(), Millis(u64::MAX / 4))]),
            refresh: BTreeSet::from(["refresh-0".to_owned()]),
            withheld: Vec::new(),
            issued: 0,
            posted: 0,
        }
    }

    pub(crate) fn open_room(&mut self, room: RoomId) {
        let log = Log { incarnation: Incarnation(7), entries: Vec::new(), outcomes: BTreeMap::new() };
        self.rooms.insert(room, log);
    }

    /// A new connection: nothing is subscribed.
    pub(crate) fn handle_connect(&mut self) {
        self.subscribed.clear();
        self.withheld.clear();
    }

    pub(crate) fn handle_hello(&mut self, now: Millis, token: Option<&Secret>) -> Input {
        self.greetings += 1;
        let identity = match token.map(|token| self.access.get(token.expose())) {
            None => None,
            Some(None) => return Input::Close(CloseCode::TokenInvalid),
            Some(Some(expires)) if now >= *expires => return Input::Close(CloseCode::TokenExpired),
            Some(Some(expires)) => Some(identity(*expires)),
        };
        let session = SessionId::new(now, self.greetings as u128);
        Input::Welcome(Box::new(Welcome {
            version: 0,
            session,
            server_time: now,
            identity,
            reconnect_jitter_ms: self.reconnect_jitter_ms,
        }))
    }

    pub(crate) fn handle_request(&mut self, now: Millis, id: RequestId, command: Command) -> Vec<Act> {
        self.commands.push((id, command.clone()));
        if self.mute {
            self.withheld.push((id, command));
            return Vec::new();
        }
        self.answer(now, id, command)
    }

    /// What was heard and not answered.
    pub(crate) fn take_withheld(&mut self) -> Vec<(RequestId, Command)> {
        std::mem::take(&mut self.withheld)
    }

    pub(crate) fn answer(&mut self, now: Millis, id: RequestId, command: Command) -> Vec<Act> {
        let mut pushes = Vec::new();
        let result = match command {
            Command::Ping => Ok(Reply::Pong(now)),
            Command::Login(login) if login.password.expose() == "open sesame" => Ok(self.issue(now)),
            Command::Login(_) => Err(RejectCode::BadCredentials.into()),
            Command::Refresh(token) => self.refresh(now, &token),
            Command::Publish(publish) => self.publish(now, publish, &mut pushes),
            Command::Resume(cursors) => {
                let outcomes = cursors.iter().map(|cursor| self.resume(*cursor, &mut pushes)).collect();
                Ok(Reply::Resumed(outcomes))
            }
            Command::History(history) => self.history(history.room, history.limit),
            Command::Unsubscribe(_) => Ok(Reply::Ok),
            _ => Err(RejectCode::Unsupported.into()),
        };
        let reply = Act::Input(Input::Reply { id, result });
        std::iter::once(reply).chain(pushes.into_iter().map(Act::Push)).collect()
    }

    /// Bob says something; the push if the connection subscribed to the room.
    pub(crate) fn post(&mut self, now: Millis, room: RoomId, text: &str) -> Option<Bytes> {
        self.posted += 1;
        let client_id = ClientId::from_u128(0xb0b << 64 | self.posted);
        let log = self.rooms.get_mut(&room).expect("an open room");
        log.append(now, BOB, client_id, Body::parse(text).expect("a body"));
        self.push_of_newest(room)
    }

    fn push_of_newest(&self, room: RoomId) -> Option<Bytes> {
        let log = self.rooms.get(&room)?;
        let newest = log.entries.last()?;
        self.subscribed.contains(&room).then(|| encode_push(room, log.incarnation, std::slice::from_ref(newest)))
    }

    fn publish(&mut self, now: Millis, publish: Publish, pushes: &mut Vec<Bytes>) -> Result<Reply, Reject> {
        let log = self.rooms.get_mut(&publish.room).ok_or(RejectCode::UnknownRoom)?;
        let appended = log.append(now, ALICE, publish.client_id, publish.body);
        if !appended.duplicate {
            pushes.extend(self.push_of_newest(publish.room));
        }
        Ok(Reply::Appended(appended))
    }

    fn resume(&mut self, cursor: Cursor, pushes: &mut Vec<Bytes>) -> Resumed {
        let Cursor { room, incarnation, seq } = cursor;
        let Some(log) = self.rooms.get(&room) else {
            let outcome = ResumeOutcome::Refused;
            return Resumed { room, incarnation, first_seq: Seq(0), head: Seq(0), outcome };
        };
        self.subscribed.insert(room);
        let known = incarnation == log.incarnation || incarnation == Incarnation(0);
        let outcome = if !known || seq > log.head() {
            ResumeOutcome::IncarnationChanged
        } else if log.after(seq).len() > self.replay_max {
            ResumeOutcome::GapTooLong
        } else {
            let mut missed = log.after(seq);
            while !missed.is_empty() {
                let (page, rest) = missed.split_at(page_len(missed));
                pushes.push(encode_push(room, log.incarnation, page));
                missed = rest;
            }
            ResumeOutcome::Recovered
        };
        Resumed { room, incarnation: log.incarnation, first_seq: Seq(1), head: log.head(), outcome }
    }

    fn history(&self, room: RoomId, limit: usize) -> Result<Reply, Reject> {
        let log = self.rooms.get(&room).ok_or(RejectCode::UnknownRoom)?;
        let entries = log.entries[log.entries.len().saturating_sub(limit)..].to_vec();
        Ok(Reply::Page(Page {
            room,
            incarnation: log.incarnation,
            entries,
            next: Seq(0),
            first_seq: Seq(1),
            head: log.head(),
            states: Vec::new(),
        }))
    }

    fn refresh(&mut self, now: Millis, token: &Secret) -> Result<Reply, Reject> {
        if !self.refresh_refusals.is_empty() {
            return Err(self.refresh_refusals.remove(0));
        }
        if self.refresh.remove(token.expose()) { Ok(self.issue(now)) } else { Err(RejectCode::TokenInvalid.into()) }
    }

    fn issue(&mut self, now: Millis) -> Reply {
        self.issued += 1;
        let expires = now.after(self.token_ms);
        let (access, refresh) = (format!("access-{}", self.issued), format!("refresh-{}", self.issued));
        self.access.insert(access.clone(), expires);
        self.refresh.insert(refresh.clone());
        Reply::Session(Session {
            identity: identity(expires),
            access_token: Secret::new(access),
            refresh_token: Secret::new(refresh),
            refresh_expires: now.after(30 * 86_400_000),
        })
    }
}

fn identity(token_expires: Millis) -> Identity {
    Identity {
        user: ALICE,
        device: DeviceId::from_u128(1),
        self_room: RoomId::from_u128(0x5e1f),
        username: Username::parse("alice").expect("a name"),
        display_name: DisplayName::parse("Alice").expect("a name"),
        role: ServerRole::User,
        token_expires,
    }
}
