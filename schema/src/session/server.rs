//! The server's end: who may say what when. It knows no accounts, no rooms and no sockets.

use std::collections::VecDeque;

use bytes::Bytes;

use super::VERSION;
use crate::close::{Close, CloseCode};
use crate::codec::{FrameError, decode_client_frame, encode_server_frame};
use crate::command::{ClientFrame, Command, GoAway, Hello, Reply, RequestId, Secret, ServerFrame, Welcome};
use crate::limits::{FRAME_TIMEOUT_MS, HELLO_TIMEOUT_MS, IDLE_TIMEOUT_MS, IN_FLIGHT_MAX, LOGIN_TIMEOUT_MS, PROBE_MS};
use crate::model::Millis;
use crate::reject::{Reject, RejectCode};

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// The peer sent a frame.
    Frame(Bytes),
    /// A part of a frame came; the rest is due.
    InsideFrame,
    /// The peer gave a sign of life that is no frame.
    Alive {
        /// Whether a part of a frame came before it and the rest is still due.
        inside_frame: bool,
    },
    /// The hello was accepted, with or without an identity.
    Welcome(Box<Welcome>),
    /// A request is done.
    Reply {
        /// Which one.
        id: RequestId,
        /// How it went.
        result: Result<Reply, Reject>,
    },
    /// The server drains: tell the peer, which then leaves by itself.
    GoAway(GoAway),
    /// The connection must end.
    Close(CloseCode),
    /// Time has passed.
    Timeout,
}

/// What a session wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Transmit(Bytes),
    /// Do this and answer with an [`Input`].
    Event(Event),
    /// Ask the peer for a sign of life, if the transport can.
    Probe,
    /// Close the link; the session is over.
    Close(Close),
    /// Nothing until then.
    Timeout(Millis),
}

/// What a peer asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Answer with [`Input::Welcome`] or [`Input::Close`].
    Hello {
        /// Name of the client, for logs.
        client: String,
        /// Its access token.
        token: Option<Secret>,
    },
    /// Answer with [`Input::Reply`].
    Request {
        /// Comes back with the reply.
        id: RequestId,
        /// What to do. Allowed in this state.
        command: Command,
    },
}

#[derive(Debug)]
enum State {
    /// Nothing heard yet.
    AwaitHello { deadline: Millis },
    /// Hello heard, identity being checked.
    Greeting { version: u16 },
    /// Welcome sent, nobody logged in.
    Anonymous { deadline: Millis },
    /// Welcome sent, somebody is there until the token expires.
    Active { expires: Millis },
    /// Over.
    Closed,
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct ServerSession {
    state: State,
    outputs: VecDeque<Output>,
    last_heard: Millis,
    /// Asked for a sign of life since it was last heard.
    is_probed: bool,
    /// The frame that is on its way is whole by then, or never.
    frame_due: Option<Millis>,
    in_flight: usize,
    refusal: Option<u16>,
}

impl ServerSession {
    /// A connection that was just accepted.
    #[must_use]
    pub const fn new(now: Millis) -> Self {
        Self {
            state: State::AwaitHello { deadline: now.after(HELLO_TIMEOUT_MS) },
            outputs: VecDeque::new(),
            last_heard: now,
            is_probed: false,
            frame_due: None,
            in_flight: 0,
            refusal: None,
        }
    }

    /// Whether somebody is logged in.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.state, State::Active { .. })
    }

    /// The code of the request that the session itself refused last, once; for counting.
    pub const fn take_refusal(&mut self) -> Option<u16> {
        self.refusal.take()
    }

    /// Whether it knows that a frame is on its way.
    #[must_use]
    pub const fn is_inside_frame(&self) -> bool {
        self.frame_due.is_some()
    }

    /// Requests without a reply.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes one input; then poll until drained.
    pub fn handle(&mut self, now: Millis, input: Input) {
        match input {
            Input::Frame(frame) => self.handle_frame(now, &frame),
            Input::InsideFrame => self.frame_due = self.frame_due.or(Some(now.after(FRAME_TIMEOUT_MS))),
            Input::Alive { inside_frame } => {
                self.heard(now);
                self.frame_due = self.frame_due.filter(|_| inside_frame);
            }
            Input::Welcome(welcome) => self.handle_welcome(now, *welcome),
            Input::Reply { id, result } => self.handle_reply(id, result),
            Input::GoAway(away) => self.transmit(&ServerFrame::GoAway(away)),
            Input::Close(code) => self.close(code),
            Input::Timeout => self.handle_timeout(now),
        }
    }

    /// The next thing to do; [`Output::Timeout`] when there is nothing now.
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        // An idle session keeps no queue.
        self.outputs = VecDeque::new();
        Output::Timeout(self.deadline())
    }

    fn deadline(&self) -> Millis {
        let silence = if self.wants_probe() { PROBE_MS } else { IDLE_TIMEOUT_MS };
        let idle = self.last_heard.after(silence).min(self.frame_due.unwrap_or(Millis::NEVER));
        match self.state {
            State::AwaitHello { deadline } | State::Anonymous { deadline } => idle.min(deadline),
            State::Active { expires } => idle.min(expires),
            State::Greeting { .. } => idle,
            State::Closed => Millis::NEVER,
        }
    }

    fn handle_frame(&mut self, now: Millis, frame: &[u8]) {
        if matches!(self.state, State::Closed) {
            return;
        }
        self.heard(now);
        self.frame_due = None;
        match decode_client_frame(frame) {
            Ok(ClientFrame::Hello(hello)) => self.handle_hello(hello),
            Ok(ClientFrame::Request { id, command }) => self.handle_request(id, command),
            Err(FrameError::TooLarge) => self.close(CloseCode::FrameTooLarge),
            // A kind of frame of a later version cannot be answered: it has no request id.
            Err(_) => self.close(CloseCode::MalformedFrame),
        }
    }

    /// Who is logged in may be silent for long; the others have deadlines of their own.
    const fn wants_probe(&self) -> bool {
        !self.is_probed && self.is_active()
    }

    fn heard(&mut self, now: Millis) {
        self.last_heard = now;
        self.is_probed = false;
    }

    fn handle_hello(&mut self, hello: Hello) {
        let State::AwaitHello { .. } = self.state else { return self.close(CloseCode::WrongState) };
        if hello.version_min > VERSION || hello.version_max < VERSION {
            return self.close(CloseCode::VersionUnsupported);
        }
        self.state = State::Greeting { version: VERSION };
        self.outputs.push_back(Output::Event(Event::Hello { client: hello.client, token: hello.token }));
    }

    fn handle_request(&mut self, id: RequestId, command: Result<Command, Reject>) {
        let refusal = match (&self.state, &command) {
            (State::AwaitHello { .. } | State::Greeting { .. } | State::Closed, _) => {
                return self.close(CloseCode::WrongState);
            }
            (_, Err(reject)) => Some(reject.clone()),
            (_, Ok(_)) if self.in_flight >= IN_FLIGHT_MAX => Some(RejectCode::TooManyInFlight.into()),
            (State::Anonymous { .. }, Ok(command)) if !command.is_public() => Some(RejectCode::NotAuthenticated.into()),
            _ => None,
        };
        match (refusal, command) {
            (None, Ok(command)) => {
                self.in_flight += 1;
                self.outputs.push_back(Output::Event(Event::Request { id, command }));
            }
            (Some(reject), _) | (None, Err(reject)) => {
                self.refusal = Some(reject.code);
                self.transmit(&ServerFrame::Reply { id, result: Err(reject) });
            }
        }
    }

    fn handle_welcome(&mut self, now: Millis, mut welcome: Welcome) {
        let State::Greeting { version } = self.state else { return };
        welcome.version = version;
        self.state = match &welcome.identity {
            Some(identity) => State::Active { expires: identity.token_expires },
            None => State::Anonymous { deadline: now.after(LOGIN_TIMEOUT_MS) },
        };
        self.transmit(&ServerFrame::Welcome(welcome));
    }

    fn handle_reply(&mut self, id: RequestId, result: Result<Reply, Reject>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if matches!(self.state, State::Closed) {
            return;
        }
        match &result {
            Ok(Reply::Session(session)) => self.state = State::Active { expires: session.identity.token_expires },
            Ok(Reply::Authenticated(identity)) => self.state = State::Active { expires: identity.token_expires },
            _ => {}
        }
        self.transmit(&ServerFrame::Reply { id, result });
    }

    fn handle_timeout(&mut self, now: Millis) {
        match self.state {
            State::AwaitHello { deadline } if now >= deadline => self.close(CloseCode::HelloTimeout),
            State::Anonymous { deadline } if now >= deadline => self.close(CloseCode::LoginTimeout),
            State::Active { expires } if now >= expires => self.close(CloseCode::TokenExpired),
            State::Closed => {}
            _ if self.frame_due.is_some_and(|due| now >= due) => self.close(CloseCode::FrameTimeout),
            _ if now >= self.last_heard.after(IDLE_TIMEOUT_MS) => self.close(CloseCode::Idle),
            _ if self.wants_probe() && now >= self.last_heard.after(PROBE_MS) => {
                self.is_probed = true;
                self.outputs.push_back(Output::Probe);
            }
            _ => {}
        }
    }

    fn transmit(&mut self, frame: &ServerFrame) {
        if !matches!(self.state, State::Closed) {
            self.outputs.push_back(Output::Transmit(encode_server_frame(frame)));
        }
    }

    fn close(&mut self, code: CloseCode) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.outputs.push_back(Output::Close(code.into()));
        }
    }
}
