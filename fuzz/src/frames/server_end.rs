//! A server session that gets hostile frames, and an application that answers it.

use bytes::Bytes;
use confab_fuzz::random::Random;
use confab_protocol::close::CloseCode;
use confab_protocol::codec::encode_client_frame;
use confab_protocol::command::{ClientFrame, Command, Hello, Identity, Reply, RequestId, Secret, Session, Welcome};
use confab_protocol::model::{DeviceId, DisplayName, Millis, RoomId, ServerRole, SessionId, UserId, Username};
use confab_protocol::reject::RejectCode;
use confab_protocol::session::server::{Event, Input, Output, ServerSession};

use crate::tally::Tally;

pub(super) struct ServerEnd {
    who: &'static str,
    session: ServerSession,
    random: Random,
    now: Millis,
    due: Millis,
    unanswered: Vec<RequestId>,
}

impl ServerEnd {
    pub(super) fn new(seed: u64, who: &'static str) -> Self {
        let now = Millis(1_700_000_000_000);
        let session = ServerSession::new(now);
        Self { who, session, random: Random::new(seed), now, due: Millis::NEVER, unanswered: Vec::new() }
    }

    /// One frame, and whatever follows from it.
    pub(super) fn take(&mut self, frame: &Bytes, tally: &mut Tally) {
        self.now = self.now.after(self.random.below(200) as u64);
        if self.now >= self.due {
            self.handle(Input::Timeout, tally);
        }
        self.handle(Input::Frame(frame.clone()), tally);
        // An application takes its time, sometimes so long that no more may be asked.
        if self.random.once_in(512) {
            for id in std::mem::take(&mut self.unanswered) {
                self.handle(Input::Reply { id, result: Ok(Reply::Ok) }, tally);
            }
        }
    }

    fn handle(&mut self, input: Input, tally: &mut Tally) {
        self.session.handle(self.now, input);
        loop {
            match self.session.poll() {
                Output::Timeout(due) => {
                    self.due = due;
                    break;
                }
                Output::Event(Event::Hello { .. }) => {
                    tally.count(self.who, "greeted");
                    let identity = (!self.random.once_in(4)).then(|| identity(self.now));
                    let (version, session, server_time) = (1, SessionId::from_u128(1), self.now);
                    let welcome = Welcome { version, session, server_time, identity, reconnect_jitter_ms: 0 };
                    self.session.handle(self.now, Input::Welcome(Box::new(welcome)));
                }
                Output::Event(Event::Request { id, command }) => {
                    tally.count(self.who, "asked of the application");
                    self.answer(id, &command);
                }
                Output::Transmit(_) => {
                    if let Some(code) = self.session.take_refusal() {
                        tally.count(self.who, reject_name(code));
                    }
                }
                Output::Probe => tally.count(self.who, "asked for a sign of life"),
                Output::Close(close) => {
                    tally.count(self.who, CloseCode::from_number(close.code).map_or("closed", CloseCode::name));
                    self.restart();
                }
            }
        }
    }

    fn answer(&mut self, id: RequestId, command: &Command) {
        let result = match command {
            Command::Login(_) | Command::Register(_) | Command::Refresh(_) if self.random.once_in(2) => {
                Ok(Reply::Session(session(self.now)))
            }
            Command::Authenticate(_) => Err(RejectCode::TokenInvalid.into()),
            _ => return self.unanswered.push(id),
        };
        self.session.handle(self.now, Input::Reply { id, result });
    }

    /// The next connection; most begin as they should, or nearly all would end with their first frame.
    fn restart(&mut self) {
        self.session = ServerSession::new(self.now);
        self.unanswered.clear();
        if !self.random.once_in(8) {
            let hello = Hello { version_min: 1, version_max: 1, client: "hostile".into(), token: None, features: 0 };
            self.session.handle(self.now, Input::Frame(encode_client_frame(&ClientFrame::Hello(hello))));
        }
    }
}

pub(super) fn identity(now: Millis) -> Identity {
    Identity {
        user: UserId::from_u128(1),
        device: DeviceId::from_u128(2),
        self_room: RoomId::from_u128(3),
        username: Username::parse("fuzz").expect("a name"),
        display_name: DisplayName::parse("Fuzz").expect("a name"),
        role: ServerRole::User,
        token_expires: now.after(900_000),
    }
}

fn session(now: Millis) -> Session {
    let (access_token, refresh_token) = (Secret::new("access"), Secret::new("refresh"));
    Session { identity: identity(now), access_token, refresh_token, refresh_expires: now.after(1_000_000) }
}

pub(super) fn reject_name(code: u16) -> &'static str {
    RejectCode::from_number(code).map_or("a number of a later version", RejectCode::name)
}
