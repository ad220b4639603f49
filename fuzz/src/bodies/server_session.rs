//! Operations on a server session.

use bytes::Bytes;
use confab_protocol::close::CloseCode;
use confab_protocol::codec::{decode_server_frame, encode_client_frame};
use confab_protocol::command::{
    ClientFrame, Command, GoAway, Hello, History, Identity, Reply, RequestId, RoomTarget, Secret, ServerFrame, Welcome,
};
use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::{Cursor, Incarnation, Millis, RoomId, Seq, SessionId, UserId};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::server::{Event, Input, Output, ServerSession};

use super::source::{Source, identity, session};

/// Longer lists say nothing new.
const OPERATIONS_MAX: usize = 2_000;

/// Operations read out of the bytes: the session never panics, always drains, is never woken again at once, and
/// serves nobody before the welcome nor after the close.
pub fn server_session(data: &[u8]) {
    let mut source = Source(data);
    let mut run = Run { session: ServerSession::new(Millis(0)), now: Millis(0), welcomed: false, closed: false };
    for _ in 0..OPERATIONS_MAX {
        let Some(kind) = source.byte() else { return };
        run.now = run.now.after(u64::from(kind >> 4) * 1_000);
        let Some(input) = source.input(kind & 15, run.now) else { return };
        run.handle(input);
    }
}

struct Run {
    session: ServerSession,
    now: Millis,
    welcomed: bool,
    closed: bool,
}

impl Run {
    fn handle(&mut self, input: Input) {
        // An application answers only what it was asked; no peer can make it do otherwise.
        if matches!(input, Input::Reply { .. }) && self.session.in_flight() == 0 {
            return;
        }
        let is_timeout = matches!(input, Input::Timeout);
        self.session.handle(self.now, input);
        for count in 0.. {
            assert!(count <= 2, "an input has at most one consequence");
            let output = self.session.poll();
            if let Output::Timeout(due) = output {
                assert!(!is_timeout || due > self.now, "it would be woken again at once");
                assert!(!self.closed || due == Millis::NEVER);
                break;
            }
            assert!(!self.closed, "{output:?} after the close");
            self.take(output);
        }
        assert!(self.session.in_flight() <= IN_FLIGHT_MAX);
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Transmit(frame) => match decode_server_frame(&frame) {
                Ok(ServerFrame::Welcome(_)) => {
                    assert!(!self.welcomed, "a second welcome");
                    self.welcomed = true;
                }
                Ok(ServerFrame::Reply { .. }) => assert!(self.welcomed),
                Ok(_) => {}
                Err(error) => panic!("it sent what is no frame: {error}"),
            },
            Output::Event(Event::Hello { .. }) => assert!(!self.welcomed),
            Output::Event(Event::Request { command, .. }) => {
                assert!(self.welcomed && (self.session.is_active() || command.is_public()), "{}", command.name());
            }
            Output::Close(_) => self.closed = true,
            Output::Probe | Output::Timeout(_) => {}
        }
    }
}

impl Source<'_> {
    fn id(&mut self) -> Option<RequestId> {
        self.byte().map(RequestId::from)
    }

    fn input(&mut self, kind: u8, now: Millis) -> Option<Input> {
        Some(match kind {
            0 | 1 => {
                let (version_min, version_max) = (u16::from(self.byte()? & 3), 1);
                let hello = Hello { version_min, version_max, client: "fuzz".into(), token: None, features: 0 };
                Input::Frame(encode_client_frame(&ClientFrame::Hello(hello)))
            }
            2..=6 => {
                let (id, command) = (self.id()?, self.command()?);
                Input::Frame(encode_client_frame(&ClientFrame::Request { id, command: Ok(command) }))
            }
            7 => {
                let len = usize::from(self.byte()?) * 8;
                Input::Frame(Bytes::copy_from_slice(self.bytes(len)))
            }
            8 | 9 => {
                let identity = self.identity(now)?;
                let session = SessionId::from_u128(1);
                Input::Welcome(Box::new(Welcome {
                    version: 1,
                    session,
                    server_time: now,
                    identity,
                    reconnect_jitter_ms: 0,
                }))
            }
            10..=12 => Input::Reply { id: self.id()?, result: self.result(now)? },
            13 => {
                let reconnect_after_ms = u32::from(self.byte()?);
                Input::GoAway(GoAway { code: 4000, reason: String::new(), reconnect_after_ms, jitter_ms: 0 })
            }
            14 => Input::Close(CloseCode::ALL[usize::from(self.byte()?) % CloseCode::ALL.len()]),
            _ => match self.byte()? & 7 {
                0 => Input::InsideFrame,
                1 => Input::Alive { inside_frame: true },
                2 => Input::Alive { inside_frame: false },
                _ => Input::Timeout,
            },
        })
    }

    fn command(&mut self) -> Option<Command> {
        let room = RoomId::from_u128(7);
        Some(match self.byte()? % 8 {
            0 => Command::Ping,
            1 => Command::Logout,
            2 => Command::Authenticate(Secret::new("access")),
            3 => Command::Refresh(Secret::new("refresh")),
            4 => Command::JoinRoom(RoomTarget::Id(room)),
            5 => Command::Resume(vec![Cursor { room, incarnation: Incarnation(0), seq: Seq(0) }]),
            6 => Command::Profiles(vec![UserId::from_u128(1); usize::from(self.byte()?)]),
            _ => Command::History(History::before(room, Seq(0), 200)),
        })
    }

    fn result(&mut self, now: Millis) -> Option<Result<Reply, Reject>> {
        Some(match self.byte()? % 5 {
            0 => Ok(Reply::Ok),
            1 => Ok(Reply::Pong(now)),
            2 => Ok(Reply::Authenticated(self.identity(now)?.unwrap_or_else(|| identity(now)))),
            3 => Ok(Reply::Session(session(now.after(u64::from(self.byte()?) * 1_000), now))),
            _ => Err(RejectCode::Unavailable.into()),
        })
    }

    /// One time in four nobody.
    #[expect(clippy::option_option, reason = "bytes used up, and nobody")]
    fn identity(&mut self, now: Millis) -> Option<Option<Identity>> {
        let byte = self.byte()?;
        Some((byte & 3 != 0).then(|| identity(now.after(u64::from(byte) * 1_000))))
    }
}
