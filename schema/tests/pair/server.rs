//! The server's end alone, against peers that do not keep to the protocol.

use confab_protocol::close::{Close, CloseCode};
use confab_protocol::codec::{decode_server_frame, encode_client_frame};
use confab_protocol::command::{ClientFrame, Command, GoAway, Hello, Reply, RequestId, RoomTarget, ServerFrame};
use confab_protocol::limits::{
    FRAME_BYTES_MAX, FRAME_TIMEOUT_MS, HELLO_TIMEOUT_MS, IDLE_TIMEOUT_MS, IN_FLIGHT_MAX, LOGIN_TIMEOUT_MS, PROBE_MS,
};
use confab_protocol::model::{Millis, RoomId};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::server::{Event, Input, Output, ServerSession};

use crate::app::App;
use crate::harness::START;

fn hello(version_min: u16, version_max: u16) -> Input {
    let client = "raw/1".into();
    frame(&ClientFrame::Hello(Hello { version_min, version_max, client, token: None, features: 0 }))
}

fn request(id: RequestId, command: Command) -> Input {
    frame(&ClientFrame::Request { id, command: Ok(command) })
}

fn frame(frame: &ClientFrame) -> Input {
    Input::Frame(encode_client_frame(frame))
}

/// All outputs, and the deadline they end with.
fn handle(session: &mut ServerSession, now: Millis, input: Input) -> (Vec<Output>, Millis) {
    session.handle(now, input);
    let mut outputs = Vec::new();
    loop {
        match session.poll() {
            Output::Timeout(due) => return (outputs, due),
            output => outputs.push(output),
        }
    }
}

fn greeted(token: Option<&str>) -> ServerSession {
    let mut session = ServerSession::new(START);
    handle(&mut session, START, hello(1, 1));
    let token = token.map(confab_protocol::command::Secret::new);
    let welcome = App::new().handle_hello(START, token.as_ref());
    let (outputs, _) = handle(&mut session, START, welcome);
    assert!(matches!(outputs.as_slice(), [Output::Transmit(_)]), "{outputs:?}");
    session
}

fn active() -> ServerSession {
    greeted(Some(crate::app::FOREVER))
}

#[track_caller]
fn check_closes(session: &mut ServerSession, now: Millis, input: Input, code: CloseCode) {
    let (outputs, due) = handle(session, now, input);
    assert_eq!(outputs, [Output::Close(Close::from(code))]);
    assert_eq!(due, Millis::NEVER);
    for input in [hello(1, 1), request(9, Command::Ping), Input::Timeout, Input::Close(CloseCode::Internal)] {
        assert_eq!(handle(session, Millis::NEVER, input), (vec![], Millis::NEVER), "it is over");
    }
}

#[track_caller]
fn check_rejects(outputs: &[Output], wanted: RequestId, code: RejectCode) {
    let [Output::Transmit(frame)] = outputs else { panic!("{outputs:?}") };
    let Ok(ServerFrame::Reply { id, result: Err(reject) }) = decode_server_frame(frame) else { panic!("{frame:?}") };
    assert_eq!((id, reject.code), (wanted, code.number()), "{reject}");
}

#[test]
fn silence_instead_of_a_hello_closes() {
    let mut session = ServerSession::new(START);
    let due = START.after(HELLO_TIMEOUT_MS);
    assert_eq!(handle(&mut session, Millis(due.0 - 1), Input::Timeout), (vec![], due));
    check_closes(&mut session, due, Input::Timeout, CloseCode::HelloTimeout);
}

#[test]
fn a_command_before_hello_closes() {
    check_closes(&mut ServerSession::new(START), START, request(1, Command::Ping), CloseCode::WrongState);
}

#[test]
fn a_command_before_the_welcome_closes() {
    let mut session = ServerSession::new(START);
    handle(&mut session, START, hello(1, 1));
    check_closes(&mut session, START, request(1, Command::Ping), CloseCode::WrongState);
}

#[test]
fn a_second_hello_closes() {
    check_closes(&mut active(), START, hello(1, 1), CloseCode::WrongState);
    let mut greeting = ServerSession::new(START);
    handle(&mut greeting, START, hello(1, 1));
    check_closes(&mut greeting, START, hello(1, 1), CloseCode::WrongState);
}

#[test]
fn versions_must_overlap() {
    for (min, max) in [(2, 9), (0, 0), (2, 1)] {
        let mut session = ServerSession::new(START);
        check_closes(&mut session, START, hello(min, max), CloseCode::VersionUnsupported);
    }
    for (min, max) in [(0, 1), (1, 1), (1, u16::MAX)] {
        let (outputs, _) = handle(&mut ServerSession::new(START), START, hello(min, max));
        assert!(matches!(outputs.as_slice(), [Output::Event(Event::Hello { .. })]), "{min}..={max}: {outputs:?}");
    }
}

#[test]
fn bytes_that_are_no_frame_close() {
    let zeros = |len| Input::Frame(vec![0; len].into());
    check_closes(&mut active(), START, zeros(0), CloseCode::MalformedFrame);
    check_closes(&mut active(), START, zeros(64), CloseCode::MalformedFrame);
    check_closes(&mut active(), START, zeros(FRAME_BYTES_MAX + 8), CloseCode::FrameTooLarge);
}

#[test]
fn strangers_may_only_log_in() {
    let mut session = greeted(None);
    let target = RoomTarget::Id(RoomId::from_u128(1));
    for command in [Command::Logout, Command::Resume(vec![]), Command::Profiles(vec![]), Command::JoinRoom(target)] {
        let (outputs, _) = handle(&mut session, START, request(3, command));
        check_rejects(&outputs, 3, RejectCode::NotAuthenticated);
    }
    assert_eq!(session.in_flight(), 0);
    let (outputs, _) = handle(&mut session, START, request(4, Command::Ping));
    assert_eq!(outputs, [Output::Event(Event::Request { id: 4, command: Command::Ping })]);
}

#[test]
fn a_stranger_who_does_not_log_in_is_closed_however_lively() {
    let mut session = greeted(None);
    let due = START.after(LOGIN_TIMEOUT_MS);
    for id in 1..30 {
        let now = START.after(u64::from(id) * 1_000);
        handle(&mut session, now, request(id, Command::Ping));
        let reply = Input::Reply { id, result: Ok(Reply::Pong(now)) };
        assert_eq!(handle(&mut session, now, reply).1, due);
    }
    check_closes(&mut session, due, Input::Timeout, CloseCode::LoginTimeout);
}

#[test]
fn requests_in_flight_are_bounded() {
    let mut session = active();
    let bound = RequestId::try_from(IN_FLIGHT_MAX).unwrap();
    for id in 0..bound {
        let (outputs, _) = handle(&mut session, START, request(id, Command::Ping));
        assert!(matches!(outputs.as_slice(), [Output::Event(_)]), "{id}: {outputs:?}");
    }
    let (outputs, _) = handle(&mut session, START, request(bound, Command::Ping));
    check_rejects(&outputs, bound, RejectCode::TooManyInFlight);
    assert_eq!(session.in_flight(), IN_FLIGHT_MAX, "a refusal does not count");

    handle(&mut session, START, Input::Reply { id: 0, result: Ok(Reply::Ok) });
    let (outputs, _) = handle(&mut session, START, request(bound, Command::Ping));
    assert!(matches!(outputs.as_slice(), [Output::Event(_)]), "a reply makes room: {outputs:?}");
}

#[test]
fn a_reply_to_nothing_does_not_widen_the_bound() {
    let mut session = active();
    let unasked: Result<Reply, Reject> = Ok(Reply::Ok);
    handle(&mut session, START, Input::Reply { id: 77, result: unasked });
    assert_eq!(session.in_flight(), 0);
}

#[test]
fn a_silent_peer_is_closed_and_a_frame_renews_the_time() {
    let mut session = active();
    let heard = START.after(IDLE_TIMEOUT_MS - 1);
    let (_, due) = handle(&mut session, heard, request(1, Command::Ping));
    assert_eq!(due, heard.after(PROBE_MS));
    let (outputs, due) = handle(&mut session, due, Input::Timeout);
    assert_eq!((outputs, due), (vec![Output::Probe], heard.after(IDLE_TIMEOUT_MS)));
    assert_eq!(handle(&mut session, heard.after(IDLE_TIMEOUT_MS - 1), Input::Timeout), (vec![], due));
    check_closes(&mut session, due, Input::Timeout, CloseCode::Idle);
}

#[test]
fn a_sign_of_life_renews_the_time_and_finishes_no_frame() {
    let mut session = active();
    let (_, due) = handle(&mut session, START.after(PROBE_MS - 1), Input::InsideFrame);
    assert_eq!(due, START.after(PROBE_MS), "the probe comes first");
    let began = START.after(PROBE_MS - 1);
    let (_, due) = handle(&mut session, began.after(5_000), Input::Alive { inside_frame: true });
    assert_eq!(due, began.after(FRAME_TIMEOUT_MS));
    // Whatever more of it comes.
    assert_eq!(handle(&mut session, began.after(9_000), Input::InsideFrame).1, due);
    check_closes(&mut session, due, Input::Timeout, CloseCode::FrameTimeout);

    // A ping that came in two parts.
    let mut session = active();
    handle(&mut session, START, Input::InsideFrame);
    let (_, due) = handle(&mut session, START, Input::Alive { inside_frame: false });
    assert_eq!(due, START.after(PROBE_MS));

    let mut session = active();
    handle(&mut session, START, Input::InsideFrame);
    assert!(session.is_inside_frame());
    let (_, due) = handle(&mut session, START.after(9_000), request(1, Command::Ping));
    assert!(!session.is_inside_frame() && due == START.after(9_000 + PROBE_MS), "it came whole in time");
}

#[test]
fn after_its_end_a_session_says_nothing() {
    let mut session = active();
    handle(&mut session, START, request(1, Command::Ping));
    check_closes(&mut session, START, Input::Close(CloseCode::Banned), CloseCode::Banned);
    let away = GoAway { code: 4000, reason: String::new(), reconnect_after_ms: 0, jitter_ms: 0 };
    for input in [Input::GoAway(away), Input::Reply { id: 1, result: Ok(Reply::Ok) }] {
        assert_eq!(handle(&mut session, START, input), (vec![], Millis::NEVER));
    }
    assert!(!session.is_active());
}
