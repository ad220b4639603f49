//! Lists of operations, sensible or not, on each end of a session: it never panics, always drains, never
//! spins on its own deadline, and keeps the few promises that hold whatever the other side does.

use bytes::Bytes;
use confab_protocol::close::{Close, CloseCode};
use confab_protocol::codec::{decode_server_frame, encode_client_frame, encode_server_frame};
use confab_protocol::command::{
    ClientFrame, Command, EntriesPush, GoAway, Hello, Identity, Push, Reply, RequestId, ResumeOutcome, Resumed, Secret,
    ServerFrame, Session, Welcome,
};
use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::{
    Cursor, DeviceId, DisplayName, Envelope, Incarnation, Millis, RoomId, Seq, ServerRole, SessionId, UserId, Username,
};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::{client, server};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases;
use crate::generators::{client_frame, command, server_frame};

/// An input makes at most this many outputs for each request outstanding and room followed.
const OUTPUTS_MAX: usize = 4_000;
const START: Millis = Millis(1_000_000);
/// The good one more often.
const OUTCOMES: [ResumeOutcome; 6] = [
    ResumeOutcome::Recovered,
    ResumeOutcome::Recovered,
    ResumeOutcome::Recovered,
    ResumeOutcome::GapTooLong,
    ResumeOutcome::IncarnationChanged,
    ResumeOutcome::Refused,
];

fn identity(token_expires: Millis) -> Identity {
    Identity {
        user: UserId::from_u128(1),
        device: DeviceId::from_u128(2),
        self_room: RoomId::from_u128(3),
        username: Username::parse("alice").expect("a name"),
        display_name: DisplayName::parse("Alice").expect("a name"),
        role: ServerRole::User,
        token_expires,
    }
}

fn near_time() -> impl Strategy<Value = Millis> {
    prop_oneof![4 => 0..10_000_000_u64, 1 => select(vec![0, u64::MAX / 2, u64::MAX])].prop_map(Millis)
}

fn welcome() -> impl Strategy<Value = Welcome> {
    // Not from 1 << 63 on: see `the_earliest_signed_server_time_is_no_overflow` of the pair tests.
    let server_time = (0..10_000_000_u64).prop_map(Millis);
    (server_time, option::of(near_time())).prop_map(|(server_time, expires)| Welcome {
        version: 1,
        session: SessionId::from_u128(9),
        server_time,
        identity: expires.map(identity),
        reconnect_jitter_ms: 0,
    })
}

fn login_reply() -> impl Strategy<Value = Reply> {
    let session = |expires| {
        let (access_token, refresh_token) = (Secret::new("access"), Secret::new("refresh"));
        Reply::Session(Session { identity: identity(expires), access_token, refresh_token, refresh_expires: START })
    };
    prop_oneof![near_time().prop_map(session), near_time().prop_map(|expires| Reply::Authenticated(identity(expires)))]
}

fn result() -> impl Strategy<Value = Result<Reply, Reject>> {
    let codes = vec![RejectCode::TokenInvalid, RejectCode::TooManyInFlight, RejectCode::Unavailable];
    prop_oneof![
        2 => Just(Ok(Reply::Ok)),
        2 => login_reply().prop_map(Ok),
        2 => vec(resumed(), 0..4).prop_map(|outcomes| Ok(Reply::Resumed(outcomes))),
        2 => select(codes).prop_map(|code| Err(code.into())),
    ]
}

/// Of few rooms and small seqs, so that they meet.
fn resumed() -> impl Strategy<Value = Resumed> {
    (near_room(), 0..2_u64, 0..12_u64, select(OUTCOMES.to_vec())).prop_map(|(room, incarnation, head, outcome)| {
        Resumed { room, incarnation: Incarnation(incarnation), first_seq: Seq(1), head: Seq(head), outcome }
    })
}

fn near_room() -> impl Strategy<Value = RoomId> {
    (1..4_u128).prop_map(RoomId::from_u128)
}

fn near_push() -> impl Strategy<Value = ServerFrame> {
    (near_room(), 0..2_u64, 0..12_u64, 0..4_u64)
        .prop_map(|(room, incarnation, first, more)| push(room, Incarnation(incarnation), first, more))
}

fn push(room: RoomId, incarnation: Incarnation, first: u64, more: u64) -> ServerFrame {
    let envelope = |seq| Envelope { seq: Seq(seq), time: START, rev: 0, payload: Bytes::new(), rewritten: None };
    let entries = (first..=first + more).map(envelope).collect();
    ServerFrame::Push(Push::Entries(EntriesPush { room, incarnation, entries }))
}

fn go_away() -> impl Strategy<Value = GoAway> {
    (any::<u16>(), any::<u32>(), any::<u32>()).prop_map(|(code, reconnect_after_ms, jitter_ms)| GoAway {
        code,
        reason: String::new(),
        reconnect_after_ms,
        jitter_ms,
    })
}

fn noise() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..64).prop_map(Bytes::from)
}

fn pause_ms() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..1_000_u64, 2 => 0..60_000_u64, 1 => 0..10_000_000_u64]
}

// ---------------------------------------------------------------------------------------- the server's end

fn server_input() -> impl Strategy<Value = server::Input> {
    let hello = || {
        let token = option::of(Just(Secret::new("token")));
        (0..3_u16, 0..3_u16, token).prop_map(|(version_min, version_max, token)| {
            let hello = Hello { version_min, version_max, client: "ops".into(), token, features: 0 };
            server::Input::Frame(encode_client_frame(&ClientFrame::Hello(hello)))
        })
    };
    let request = (0..100_u32, select(vec![Command::Ping, Command::Logout, Command::Resume(vec![])]))
        .prop_map(|(id, command)| ClientFrame::Request { id, command: Ok(command) });
    prop_oneof![
        3 => hello(),
        12 => request.prop_map(|frame| server::Input::Frame(encode_client_frame(&frame))),
        2 => client_frame().prop_map(|frame| server::Input::Frame(encode_client_frame(&frame))),
        1 => noise().prop_map(server::Input::Frame),
        4 => welcome().prop_map(|welcome| server::Input::Welcome(Box::new(welcome))),
        5 => (0..100_u32, result()).prop_map(|(id, result)| server::Input::Reply { id, result }),
        1 => go_away().prop_map(server::Input::GoAway),
        1 => select(CloseCode::ALL).prop_map(server::Input::Close),
        4 => Just(()).prop_map(|()| server::Input::Timeout),
        2 => Just(()).prop_map(|()| server::Input::InsideFrame),
        2 => any::<bool>().prop_map(|inside_frame| server::Input::Alive { inside_frame }),
    ]
}

/// A sensible beginning in most cases: otherwise nearly all lists end with the first frame.
fn server_inputs() -> impl Strategy<Value = Vec<(u64, server::Input)>> {
    let greeted = |(hello, welcome, rest): (Hello, Welcome, Vec<_>)| {
        let hello = Hello { version_min: 1, version_max: 1, client: "ops".into(), ..hello };
        let frame = encode_client_frame(&ClientFrame::Hello(hello));
        let start = [(0, server::Input::Frame(frame)), (0, server::Input::Welcome(Box::new(welcome)))];
        start.into_iter().chain(rest).collect()
    };
    let rest = || vec((pause_ms(), server_input()), 0..150);
    let hello = crate::generators::hello().prop_map(|hello| Hello { token: None, ..hello });
    prop_oneof![1 => rest(), 4 => (hello, welcome(), rest()).prop_map(greeted)]
}

struct ServerRun {
    session: server::ServerSession,
    welcomed: bool,
    closed: bool,
}

impl ServerRun {
    fn handle(&mut self, now: Millis, input: server::Input) -> Result<(), TestCaseError> {
        if matches!(input, server::Input::Reply { .. }) && self.session.in_flight() == 0 {
            return Ok(()); // An application answers only what it was asked; peers cannot make it do this.
        }
        let is_timeout = matches!(input, server::Input::Timeout);
        self.session.handle(now, input);
        for count in 0.. {
            prop_assert!(count <= 2, "an input has at most one consequence");
            prop_assert!(!self.closed || matches!(self.session.poll(), server::Output::Timeout(Millis::NEVER)));
            match self.session.poll() {
                server::Output::Timeout(due) => {
                    prop_assert!(!is_timeout || due > now || due == Millis::NEVER, "it would be woken again at once");
                    break;
                }
                server::Output::Transmit(frame) => self.check_frame(&frame)?,
                server::Output::Event(server::Event::Hello { .. }) => prop_assert!(!self.welcomed),
                server::Output::Event(server::Event::Request { command, .. }) => {
                    prop_assert!(self.welcomed, "a request before the welcome");
                    prop_assert!(self.session.is_active() || command.is_public(), "{} of a stranger", command.name());
                }
                server::Output::Probe => {}
                server::Output::Close(_) => self.closed = true,
            }
        }
        prop_assert!(self.session.in_flight() <= IN_FLIGHT_MAX);
        prop_assert!(!self.session.is_active() || !self.closed);
        Ok(())
    }

    fn check_frame(&mut self, frame: &Bytes) -> Result<(), TestCaseError> {
        match decode_server_frame(frame) {
            Ok(ServerFrame::Welcome(_)) => {
                prop_assert!(!self.welcomed, "a second welcome");
                self.welcomed = true;
            }
            Ok(ServerFrame::Reply { result: Err(_), .. }) => prop_assert!(self.welcomed),
            Ok(_) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
        Ok(())
    }
}

// ---------------------------------------------------------------------------------------- the client's end

#[derive(Clone, Debug)]
enum ClientOperation {
    Connected,
    /// Only while one is due; a frame is as rude as it likes.
    Welcome(Welcome),
    Frame(Bytes),
    /// The answer to the n-th of the last requests.
    Answer(RequestId, Result<Reply, Reject>),
    /// The honest answer to every `resume`, with this outcome and head.
    Recover(ResumeOutcome, u64),
    /// What comes next in a room.
    Tail(RoomId, u64),
    Disconnected(u16),
    Timeout,
    /// Time passes up to the deadline.
    Sleep,
    Request(Command),
    Follow(Cursor),
    Unfollow(RoomId),
}

fn client_operation() -> impl Strategy<Value = ClientOperation> {
    use ClientOperation as Op;
    let encoded = |frame: &ServerFrame| Op::Frame(encode_server_frame(frame));
    // Another welcome ends the session; and see `welcome` for its extremes.
    let lasting = |frame: &ServerFrame| !matches!(frame, ServerFrame::Welcome(_));
    let codes = prop_oneof![4 => Just(0), 2 => Just(4000), 2 => Just(4300), 1 => 4000..4400_u16];
    let cursor = (near_room(), 0..2_u64, 0..12_u64).prop_map(|(room, incarnation, seq)| Cursor {
        room,
        incarnation: Incarnation(incarnation),
        seq: Seq(seq),
    });
    prop_oneof![
        18 => Just(Op::Connected),
        18 => welcome().prop_map(Op::Welcome),
        1 => welcome().prop_map(move |welcome| encoded(&ServerFrame::Welcome(welcome))),
        24 => near_push().prop_map(move |frame| encoded(&frame)),
        9 => server_frame().prop_filter("a welcome", lasting).prop_map(move |frame| encoded(&frame)),
        1 => noise().prop_map(Op::Frame),
        36 => (0..4_u32, result()).prop_map(|(back, result)| Op::Answer(back, result)),
        30 => (select(OUTCOMES.to_vec()), 0..12_u64).prop_map(|(outcome, head)| Op::Recover(outcome, head)),
        30 => (near_room(), 0..4_u64).prop_map(|(room, more)| Op::Tail(room, more)),
        4 => codes.prop_map(Op::Disconnected),
        9 => Just(Op::Timeout),
        24 => Just(Op::Sleep),
        12 => command().prop_map(Op::Request),
        15 => cursor.prop_map(Op::Follow),
        3 => near_room().prop_map(Op::Unfollow),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LinkState {
    Down,
    Connecting,
    Greeting,
    Up,
}

struct ClientRun {
    session: client::ClientSession,
    link: LinkState,
    now: Millis,
    due: Millis,
    last_id: RequestId,
    resumes: Vec<(RequestId, Vec<Cursor>)>,
}

impl ClientRun {
    fn perform(&mut self, operation: ClientOperation) -> Result<(), TestCaseError> {
        use ClientOperation as Op;
        let now = self.now;
        let frame = |frame: &ServerFrame| client::Input::Frame(encode_server_frame(frame));
        let is_timeout = matches!(operation, Op::Timeout | Op::Sleep);
        match operation {
            Op::Connected => {
                if self.link == LinkState::Connecting {
                    self.link = LinkState::Greeting;
                }
                self.session.handle(now, client::Input::Connected);
            }
            Op::Welcome(_) if self.link != LinkState::Greeting => return Ok(()),
            Op::Welcome(welcome) => self.session.handle(now, frame(&ServerFrame::Welcome(welcome))),
            Op::Frame(bytes) => self.session.handle(now, client::Input::Frame(bytes)),
            Op::Answer(back, result) => {
                let id = self.last_id.wrapping_sub(back);
                self.session.handle(now, frame(&ServerFrame::Reply { id, result }));
            }
            Op::Recover(outcome, head) => {
                for (id, cursors) in std::mem::take(&mut self.resumes) {
                    let resumed = |cursor: Cursor| Resumed {
                        room: cursor.room,
                        incarnation: Incarnation(1),
                        first_seq: Seq(1),
                        head: Seq(head),
                        outcome,
                    };
                    let result = Ok(Reply::Resumed(cursors.into_iter().map(resumed).collect()));
                    self.session.handle(now, frame(&ServerFrame::Reply { id, result }));
                }
            }
            Op::Tail(room, more) => {
                let Some(cursor) = self.session.cursor(room) else { return Ok(()) };
                self.session.handle(now, frame(&push(room, cursor.incarnation, cursor.seq.0 + 1, more)));
            }
            Op::Disconnected(code) => {
                let close = Close { code, reason: String::new() };
                self.link = LinkState::Down;
                self.session.handle(now, client::Input::Disconnected(close));
            }
            Op::Timeout => self.session.handle(now, client::Input::Timeout),
            Op::Sleep => {
                if self.due != Millis::NEVER {
                    self.now = now.max(self.due);
                }
                self.session.handle(self.now, client::Input::Timeout);
            }
            Op::Request(command) => drop(self.session.request(now, command)),
            Op::Follow(cursor) => self.session.follow(now, cursor),
            Op::Unfollow(room) => self.session.unfollow(now, room),
        }
        self.drain(is_timeout)
    }

    fn drain(&mut self, is_timeout: bool) -> Result<(), TestCaseError> {
        for count in 0.. {
            prop_assert!(count < OUTPUTS_MAX, "it does not drain");
            match self.session.poll() {
                client::Output::Timeout(due) => {
                    // A backoff may be of no time at all.
                    let later = due > self.now || due == Millis::NEVER || self.link == LinkState::Down;
                    prop_assert!(!is_timeout || later, "it would be woken again at once");
                    self.due = due;
                    return Ok(());
                }
                client::Output::Connect => {
                    prop_assert_eq!(self.link, LinkState::Down, "a second link");
                    self.link = LinkState::Connecting;
                }
                client::Output::Disconnect => self.link = LinkState::Down,
                client::Output::Transmit(frame) => self.check_frame(&frame)?,
                client::Output::Event(client::Event::Welcome(_)) => self.link = LinkState::Up,
                client::Output::Event(client::Event::Entries(push)) => {
                    let contiguous = push.entries.windows(2).all(|pair| pair[1].seq.0 == pair[0].seq.0 + 1);
                    prop_assert!(contiguous && !push.entries.is_empty());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_frame(&mut self, frame: &Bytes) -> Result<(), TestCaseError> {
        let linked = matches!(self.link, LinkState::Greeting | LinkState::Up);
        prop_assert!(linked, "sent over a link that is {:?}", self.link);
        match confab_protocol::codec::decode_client_frame(frame) {
            Ok(ClientFrame::Hello(_)) => {}
            Ok(ClientFrame::Request { id, command }) => {
                prop_assert!(command.is_ok(), "{command:?}");
                if let Ok(Command::Resume(cursors)) = command {
                    self.resumes.push((id, cursors));
                }
                self.last_id = self.last_id.max(id);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn no_inputs_upset_a_server_session(inputs in server_inputs()) {
        let session = server::ServerSession::new(START);
        let mut run = ServerRun { session, welcomed: false, closed: false };
        let mut now = START;
        for (pause_ms, input) in inputs {
            now = now.after(pause_ms);
            run.handle(now, input)?;
        }
    }

    #[test]
    fn no_operations_upset_a_client_session(
        operations in vec((pause_ms(), client_operation()), 0..200),
        token in option::of(Just(Secret::new("access"))),
        refresh_token in option::of(Just(Secret::new("refresh"))),
        seed: u64,
    ) {
        let config = client::Config { client: "ops".into(), access_token: token, refresh_token, seed };
        let session = client::ClientSession::new(START, config);
        let mut run = ClientRun { session, link: LinkState::Down, now: START, due: START, last_id: 0, resumes: Vec::new() };
        for (pause_ms, operation) in operations {
            // Time goes on, but not past a deadline: a driver would have woken the session.
            run.now = run.now.after(pause_ms).min(run.due.max(run.now));
            run.perform(operation)?;
        }
    }

    #[test]
    fn time_at_its_end_is_no_overflow(inputs in server_inputs(), operations in vec(client_operation(), 0..60)) {
        let mut run = ServerRun { session: server::ServerSession::new(Millis::NEVER), welcomed: false, closed: false };
        for (_, input) in inputs {
            run.session.handle(Millis::NEVER, input);
            while !matches!(run.session.poll(), server::Output::Timeout(_)) {}
        }
        let config = client::Config { client: "ops".into(), access_token: None, refresh_token: None, seed: 1 };
        let session = client::ClientSession::new(Millis::NEVER, config);
        let mut run = ClientRun { session, link: LinkState::Down, now: Millis::NEVER, due: Millis::NEVER, last_id: 0, resumes: Vec::new() };
        for operation in operations {
            run.perform(operation)?;
        }
    }
}
