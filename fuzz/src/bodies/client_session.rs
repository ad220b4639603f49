//! Operations on a client session.

use bytes::Bytes;
use confab_protocol::close::{Close, CloseCode};
use confab_protocol::codec::{decode_client_frame, encode_server_frame};
use confab_protocol::command::{
    ClientFrame, Command, EntriesPush, GoAway, Push, Reply, RequestId, ResumeOutcome, Resumed, RoomTarget, Secret,
    ServerFrame, Welcome,
};
use confab_protocol::model::{Cursor, Envelope, Incarnation, Millis, RoomId, Seq, SessionId};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::client::{ClientSession, Config, Event, Input, Output};

use super::source::{Source, identity, session};

/// Longer lists say nothing new.
const OPERATIONS_MAX: usize = 1_000;
/// An input has at most so many consequences for each request outstanding and room followed.
const OUTPUTS_MAX: usize = 8 * OPERATIONS_MAX;
const START: Millis = Millis(1_000_000);

/// Operations read out of the bytes, the first of which says what tokens there are: the session never panics, always
/// drains, is never woken again at once, sends only over a link that it asked for and what is a frame, and hands out
/// the entries of a room without a hole.
pub fn client_session(data: &[u8]) {
    let mut source = Source(data);
    let Some(first) = source.byte() else { return };
    let token = |bit: u8, text: &str| (first & bit != 0).then(|| Secret::new(text));
    let config = Config {
        client: "fuzz".into(),
        access_token: token(1, "access"),
        refresh_token: token(2, "refresh"),
        seed: u64::from(first),
    };
    let session = ClientSession::new(START, config);
    let mut run = Run { session, link: Link::Down, now: START, due: START, last_id: 0, resumes: Vec::new() };
    for _ in 0..OPERATIONS_MAX {
        let Some(kind) = source.byte() else { return };
        // Not past a deadline: a driver would have woken the session.
        run.now = run.now.after(u64::from(kind >> 5) * 700).min(run.due.max(run.now));
        if run.perform(kind & 31, &mut source).is_none() {
            return;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Down,
    Connecting,
    Greeting,
    Up,
}

struct Run {
    session: ClientSession,
    link: Link,
    now: Millis,
    due: Millis,
    last_id: RequestId,
    resumes: Vec<(RequestId, Vec<Cursor>)>,
}

impl Run {
    fn perform(&mut self, kind: u8, source: &mut Source<'_>) -> Option<()> {
        let is_timeout = matches!(kind, 20..=24);
        match kind {
            0..=2 => {
                if self.link == Link::Connecting {
                    self.link = Link::Greeting;
                }
                self.session.handle(self.now, Input::Connected);
            }
            3..=5 if self.link != Link::Greeting => {}
            3..=5 => self.hear(&ServerFrame::Welcome(source.welcome(self.now)?)),
            6..=8 => {
                let push = source.push()?;
                self.hear(&push);
            }
            9 => {
                let len = usize::from(source.byte()?) * 8;
                self.session.handle(self.now, Input::Frame(Bytes::copy_from_slice(source.bytes(len))));
            }
            10..=12 => {
                let id = self.last_id.wrapping_sub(u32::from(source.byte()? & 3));
                let result = source.answer(self.now)?;
                self.hear(&ServerFrame::Reply { id, result });
            }
            13..=15 => self.answer_resumes(source)?,
            16 | 17 => self.go_on(source.room()?, source.byte()? & 3),
            18 => {
                let reconnect_after_ms = u32::from(source.byte()?) * 100;
                let away = GoAway { code: 4000, reason: String::new(), reconnect_after_ms, jitter_ms: 50 };
                self.hear(&ServerFrame::GoAway(away));
            }
            19 => {
                let code = CloseCode::ALL.get(usize::from(source.byte()?)).map_or(0, |code| code.number());
                self.link = Link::Down;
                self.session.handle(self.now, Input::Disconnected(Close { code, reason: String::new() }));
            }
            20 => self.session.handle(self.now, Input::Timeout),
            21..=24 => {
                if self.due != Millis::NEVER {
                    self.now = self.now.max(self.due);
                }
                self.session.handle(self.now, Input::Timeout);
            }
            25 | 26 => {
                let command = source.wish()?;
                self.session.request(self.now, command);
            }
            27..=29 => {
                let cursor = source.cursor()?;
                self.session.follow(self.now, cursor);
            }
            _ => self.session.unfollow(self.now, source.room()?),
        }
        self.drain(is_timeout);
        Some(())
    }

    fn hear(&mut self, frame: &ServerFrame) {
        self.session.handle(self.now, Input::Frame(encode_server_frame(frame)));
    }

    /// Honestly, about every cursor that was asked for.
    fn answer_resumes(&mut self, source: &mut Source<'_>) -> Option<()> {
        let (outcome, head) = (source.outcome()?, Seq(u64::from(source.byte()? & 15)));
        for (id, cursors) in std::mem::take(&mut self.resumes) {
            let resumed = |cursor: Cursor| Resumed {
                room: cursor.room,
                incarnation: Incarnation(1),
                first_seq: Seq(1),
                head,
                outcome,
            };
            let result = Ok(Reply::Resumed(cursors.into_iter().map(resumed).collect()));
            self.hear(&ServerFrame::Reply { id, result });
        }
        Some(())
    }

    /// What comes next in a room.
    fn go_on(&mut self, room: RoomId, more: u8) {
        if let Some(cursor) = self.session.cursor(room) {
            self.hear(&push(room, cursor.incarnation, cursor.seq.0 + 1, more));
        }
    }

    fn drain(&mut self, is_timeout: bool) {
        for count in 0.. {
            assert!(count < OUTPUTS_MAX, "it does not drain");
            match self.session.poll() {
                Output::Timeout(due) => {
                    // A backoff may be of no time at all.
                    let is_later = due > self.now || due == Millis::NEVER || self.link == Link::Down;
                    assert!(!is_timeout || is_later, "it would be woken again at once");
                    self.due = due;
                    return;
                }
                Output::Connect => {
                    assert_eq!(self.link, Link::Down, "a second link");
                    self.link = Link::Connecting;
                }
                Output::Disconnect => self.link = Link::Down,
                Output::Transmit(frame) => self.check_frame(&frame),
                Output::Event(Event::Welcome(_)) => self.link = Link::Up,
                Output::Event(Event::Entries(push)) => {
                    let is_next = |pair: &[Envelope]| pair[1].seq.0 == pair[0].seq.0 + 1;
                    assert!(!push.entries.is_empty() && push.entries.windows(2).all(is_next), "a hole");
                }
                Output::Event(_) => {}
            }
        }
    }

    fn check_frame(&mut self, frame: &Bytes) {
        assert!(matches!(self.link, Link::Greeting | Link::Up), "sent over a link that is {:?}", self.link);
        match decode_client_frame(frame) {
            Ok(ClientFrame::Hello(_)) => {}
            Ok(ClientFrame::Request { id, command }) => {
                if let Command::Resume(cursors) = command.expect("a request of ours is one") {
                    self.resumes.push((id, cursors));
                }
                self.last_id = self.last_id.max(id);
            }
            Err(error) => panic!("it sent what is no frame: {error}"),
        }
    }
}

fn push(room: RoomId, incarnation: Incarnation, first: u64, more: u8) -> ServerFrame {
    let envelope = |seq| Envelope { seq: Seq(seq), time: START, rev: 0, payload: Bytes::new(), rewritten: None };
    let entries = (first..=first.saturating_add(u64::from(more))).map(envelope).collect();
    ServerFrame::Push(Push::Entries(EntriesPush { room, incarnation, entries }))
}

/// Of few rooms and small seqs, so that they meet.
impl Source<'_> {
    fn room(&mut self) -> Option<RoomId> {
        Some(RoomId::from_u128(1 + u128::from(self.byte()? % 3)))
    }

    fn cursor(&mut self) -> Option<Cursor> {
        let (room, at) = (self.room()?, self.byte()?);
        Some(Cursor { room, incarnation: Incarnation(u64::from(at >> 7)), seq: Seq(u64::from(at & 15)) })
    }

    fn push(&mut self) -> Option<ServerFrame> {
        let (cursor, more) = (self.cursor()?, self.byte()? & 3);
        Some(push(cursor.room, cursor.incarnation, cursor.seq.0, more))
    }

    fn welcome(&mut self, now: Millis) -> Option<Welcome> {
        let byte = self.byte()?;
        let expires = now.after(u64::from(byte) * 1_000);
        let server_time = Millis(now.0.saturating_add_signed(i64::from(byte.cast_signed()) * 50));
        let identity = (byte & 3 != 0).then(|| identity(expires));
        Some(Welcome { version: 1, session: SessionId::from_u128(9), server_time, identity, reconnect_jitter_ms: 0 })
    }

    fn outcome(&mut self) -> Option<ResumeOutcome> {
        Some(match self.byte()? & 7 {
            0 => ResumeOutcome::GapTooLong,
            1 => ResumeOutcome::IncarnationChanged,
            2 => ResumeOutcome::Refused,
            _ => ResumeOutcome::Recovered,
        })
    }

    fn answer(&mut self, now: Millis) -> Option<Result<Reply, Reject>> {
        let expires = now.after(u64::from(self.byte()?) * 1_000);
        Some(match self.byte()? % 7 {
            0 => Ok(Reply::Ok),
            1 => Ok(Reply::Session(session(expires, now))),
            2 => Ok(Reply::Authenticated(identity(expires))),
            3 => Ok(Reply::Resumed(Vec::new())),
            4 => Err(RejectCode::TokenInvalid.into()),
            5 => Err(RejectCode::TooManyInFlight.into()),
            _ => Err(RejectCode::Unavailable.into()),
        })
    }

    fn wish(&mut self) -> Option<Command> {
        Some(match self.byte()? % 6 {
            0 => Command::Ping,
            1 => Command::Logout,
            2 => Command::Authenticate(Secret::new("access")),
            3 => Command::Refresh(Secret::new("refresh")),
            4 => Command::Typing { room: self.room()?, stopped: false },
            _ => Command::JoinRoom(RoomTarget::Id(self.room()?)),
        })
    }
}
