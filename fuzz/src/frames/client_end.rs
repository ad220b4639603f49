//! A client session that gets hostile frames, and an application that follows rooms and asks things.

use bytes::Bytes;
use confab_fuzz::random::Random;
use confab_protocol::close::CloseCode;
use confab_protocol::codec::{decode_client_frame, decode_entry, encode_server_frame};
use confab_protocol::command::{
    ClientFrame, Command, Push, Reply, RequestId, ResumeOutcome, Resumed, Secret, ServerFrame, Welcome,
};
use confab_protocol::model::{Cursor, Incarnation, Millis, RoomId, Seq, SessionId};
use confab_protocol::session::client::{ClientSession, Config, Event, Input, Output};

use super::server_end::identity;
use crate::tally::Tally;

/// The room of the golden frames, the number of their requests, and the log that they come from.
const ROOM: RoomId = RoomId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5504);
const GOLDEN_ID: RequestId = 0xdead_beef;
const INCARNATION: Incarnation = Incarnation(0x0102_0304_0506_0708);

pub(super) struct ClientEnd {
    who: &'static str,
    session: ClientSession,
    random: Random,
    now: Millis,
    due: Millis,
    /// The last requests that were sent, newest last.
    asked: Vec<RequestId>,
}

impl ClientEnd {
    pub(super) fn new(seed: u64, who: &'static str) -> Self {
        let now = Millis(1_700_000_000_000);
        let mut random = Random::new(seed);
        let session = new_session(now, &mut random);
        Self { who, session, random, now, due: now, asked: Vec::new() }
    }

    /// One frame, and whatever follows from it.
    pub(super) fn take(&mut self, frame: &Bytes, tally: &mut Tally) {
        self.now = self.now.after(self.random.below(200) as u64);
        // A link that is down comes up before the next frame can come.
        while self.now >= self.due {
            self.handle(Input::Timeout, tally);
        }
        if self.random.once_in(16) && self.session.has_capacity() {
            let command = match self.random.below(3) {
                0 => Command::Ping,
                1 => Command::Profiles(Vec::new()),
                _ => Command::WhoIsHere(ROOM),
            };
            self.session.request(self.now, command);
        }
        let frame = self.answering(frame);
        self.handle(Input::Frame(frame), tally);
    }

    /// A hostile server knows what it was asked: the number of the golden frames becomes that of a request.
    fn answering(&mut self, frame: &Bytes) -> Bytes {
        let at = frame.array_windows().position(|bytes: &[u8; 4]| *bytes == GOLDEN_ID.to_le_bytes());
        let Some((at, id)) = at.zip(self.asked.pop()) else { return frame.clone() };
        let mut bytes = frame.to_vec();
        bytes[at..at + 4].copy_from_slice(&id.to_le_bytes());
        bytes.into()
    }

    fn handle(&mut self, input: Input, tally: &mut Tally) {
        self.session.handle(self.now, input);
        loop {
            match self.session.poll() {
                Output::Timeout(due) => {
                    self.due = due;
                    break;
                }
                Output::Connect => {
                    self.session.handle(self.now, Input::Connected);
                    if !self.random.once_in(8) {
                        let welcome = welcome(self.now, self.random.once_in(4));
                        self.session.handle(self.now, Input::Frame(welcome));
                    }
                }
                Output::Event(event) => self.learn(event, tally),
                Output::Transmit(frame) => {
                    if let Ok(ClientFrame::Request { id, command }) = decode_client_frame(&frame) {
                        self.hear_request(id, command.ok());
                    }
                }
                Output::Disconnect => self.asked.clear(),
            }
        }
    }

    /// Half the time a `resume` gets an honest answer at once, so that pushes are news.
    fn hear_request(&mut self, id: RequestId, command: Option<Command>) {
        match command {
            Some(Command::Resume(cursors)) if self.random.once_in(2) => {
                let resumed = |cursor: Cursor| Resumed {
                    room: cursor.room,
                    incarnation: INCARNATION,
                    first_seq: Seq(1),
                    head: cursor.seq,
                    outcome: ResumeOutcome::Recovered,
                };
                let result = Ok(Reply::Resumed(cursors.into_iter().map(resumed).collect()));
                let frame = encode_server_frame(&ServerFrame::Reply { id, result });
                self.session.handle(self.now, Input::Frame(frame));
            }
            _ => self.asked.push(id),
        }
    }

    fn learn(&mut self, event: Event, tally: &mut Tally) {
        let what = match event {
            Event::Welcome(_) => "welcome",
            Event::Session(_) => "session",
            Event::Reply { .. } => "reply",
            Event::Entries(push) => {
                push.entries.iter().for_each(|entry| drop(decode_entry(&entry.payload)));
                "entries"
            }
            Event::Gap { .. } => "gap",
            Event::Lost(room) => {
                self.session.follow(self.now, cursor(room, &mut self.random));
                "lost"
            }
            Event::Ephemeral(_) => "ephemeral",
            Event::Notice(_) => "notice",
            Event::Offline { close, retry_at } => {
                self.now = self.now.max(retry_at);
                CloseCode::from_number(close.code).map_or("closed", CloseCode::name)
            }
            Event::Stopped(_) => {
                self.session = new_session(self.now, &mut self.random);
                "stopped"
            }
        };
        tally.count(self.who, what);
    }
}

/// Follows the golden frames' room, from near where they are.
fn new_session(now: Millis, random: &mut Random) -> ClientSession {
    let token = |text: &str| Some(Secret::new(text));
    let (access_token, refresh_token) = (token("access"), token("refresh"));
    let config = Config { client: "fuzz".into(), access_token, refresh_token, seed: random.any() };
    let mut session = ClientSession::new(now, config);
    session.follow(now, cursor(ROOM, random));
    session
}

fn cursor(room: RoomId, random: &mut Random) -> Cursor {
    let incarnation = if random.once_in(4) { Incarnation(0) } else { INCARNATION };
    Cursor { room, incarnation, seq: Seq(69_998 + random.below(8) as u64) }
}

fn welcome(server_time: Millis, is_nobody: bool) -> Bytes {
    let identity = (!is_nobody).then(|| identity(server_time));
    let session = SessionId::from_u128(9);
    encode_server_frame(&ServerFrame::Welcome(Welcome {
        version: 1,
        session,
        server_time,
        identity,
        reconnect_jitter_ms: 0,
    }))
}

pub(super) const fn frame_name(frame: &ServerFrame) -> &'static str {
    match frame {
        ServerFrame::Welcome(_) => "welcome",
        ServerFrame::GoAway(_) => "go away",
        ServerFrame::Push(Push::Entries(_)) => "entries",
        ServerFrame::Push(Push::Notice(_)) => "notice",
        ServerFrame::Push(Push::Ephemeral(_)) => "ephemeral",
        ServerFrame::Push(Push::Unknown) | ServerFrame::Unknown => "of a later version",
        ServerFrame::Reply { result: Err(_), .. } => "reject",
        ServerFrame::Reply { result: Ok(reply), .. } => reply_name(reply),
    }
}

const fn reply_name(reply: &Reply) -> &'static str {
    match reply {
        Reply::Ok => "ok",
        Reply::Pong(_) => "pong",
        Reply::Session(_) => "session",
        Reply::Authenticated(_) => "authenticated",
        Reply::Room(_) => "room",
        Reply::Rooms { .. } => "rooms",
        Reply::Members { .. } => "members",
        Reply::Appended(_) => "appended",
        Reply::Held(_) => "held",
        Reply::Page(_) => "page",
        Reply::Resumed(_) => "resumed",
        Reply::Invited { .. } => "invited",
        Reply::Found { .. } => "found",
        Reply::Here { .. } => "here",
        Reply::Sessions(_) => "sessions",
        Reply::Reported(_) => "reported",
        Reply::Cases { .. } => "cases",
        Reply::Case(_) => "case",
        Reply::Audit { .. } => "audit",
        Reply::Unknown => "reply of a later version",
    }
}
