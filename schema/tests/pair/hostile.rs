//! The client's end against a server that does not keep to the protocol: it may lose the link, and must
//! not lose its head.

use bytes::Bytes;
use confab_protocol::codec::{encode_ephemeral, encode_server_frame};
use confab_protocol::command::{
    EntriesPush, Ephemeral, GoAway, News, Push, Reply, ResumeOutcome, Resumed, ServerFrame, Welcome,
};
use confab_protocol::model::{Envelope, Incarnation, Millis, RoomId, Seq, SessionId};
use confab_protocol::session::client::{ClientSession, Event, Input, Output};

use crate::app::App;
use crate::harness::{LATENCY_MS, Pair, ROOM, START, config};

fn push(room: RoomId, seqs: &[u64]) -> ServerFrame {
    let envelope = |seq| Envelope { seq: Seq(seq), time: Millis(0), rev: 0, payload: Bytes::new(), rewritten: None };
    let entries = seqs.iter().copied().map(envelope).collect();
    ServerFrame::Push(Push::Entries(EntriesPush { room, incarnation: Incarnation(7), entries }))
}

fn resumed(room: RoomId, outcome: ResumeOutcome, head: u64) -> Resumed {
    Resumed { room, incarnation: Incarnation(7), first_seq: Seq(1), head: Seq(head), outcome }
}

/// Following some rooms; nothing is answered.
fn waiting(rooms: &[RoomId]) -> (Pair, u32) {
    let mut pair = Pair::new(config());
    pair.app.mute = true;
    rooms.iter().for_each(|room| pair.follow(*room));
    pair.run(10 * LATENCY_MS);
    let [(resume, _)] = pair.app.take_withheld()[..] else { panic!("one resume is asked") };
    (pair, resume)
}

/// Connected, hello sent.
fn greeting() -> ClientSession {
    let mut client = ClientSession::new(START, config());
    client.handle(START, Input::Timeout);
    client.handle(START, Input::Connected);
    drain(&mut client);
    client
}

fn drain(client: &mut ClientSession) -> Vec<Output> {
    let mut outputs = Vec::new();
    loop {
        match client.poll() {
            Output::Timeout(_) => return outputs,
            output => outputs.push(output),
        }
    }
}

fn welcome(server_time: Millis) -> ServerFrame {
    let token = config().access_token;
    let confab_protocol::session::server::Input::Welcome(welcome) = App::new().handle_hello(START, token.as_ref())
    else {
        panic!("the token is good")
    };
    ServerFrame::Welcome(Welcome { version: 1, session: SessionId::from_u128(1), server_time, ..*welcome })
}

fn handle(client: &mut ClientSession, frame: &ServerFrame) -> Vec<Output> {
    client.handle(START, Input::Frame(encode_server_frame(frame)));
    drain(client)
}

#[test]
fn a_push_with_a_hole_breaks_the_link() {
    for seqs in [&[1, 3][..], &[1, 2, 2], &[1, 3, 2], &[1, 2, 1]] {
        let mut pair = Pair::following();
        pair.forge(&push(ROOM, seqs));
        let seen = pair.delivered(ROOM);
        // Repeats of what is known may be dropped; nothing may be passed over or come twice.
        assert!(pair.server.is_none() && seen.is_empty(), "{seqs:?}: {seen:?}");
    }
}

#[test]
fn a_second_welcome_breaks_the_link() {
    let mut pair = Pair::following();
    pair.forge(&welcome(START));
    assert!(pair.server.is_none());
}

#[test]
fn an_answer_to_nothing_is_ignored() {
    let mut pair = Pair::following();
    let before = pair.events.len();
    for result in [Ok(Reply::Pong(START)), Ok(Reply::Resumed(vec![resumed(ROOM, ResumeOutcome::Refused, 0)]))] {
        pair.forge(&ServerFrame::Reply { id: 4_000, result });
    }
    assert_eq!(pair.events.len(), before);
    pair.post(ROOM, "still here");
    pair.run(1_000);
    assert_eq!(pair.delivered(ROOM), [1]);
}

#[test]
fn what_a_later_version_sends_is_ignored() {
    let mut pair = Pair::following();
    let before = pair.events.len();
    let notice = encode_server_frame(&ServerFrame::Push(Push::Notice("of another kind".into())));
    let news = encode_ephemeral(&Ephemeral { room: ROOM, news: News::Missed });
    // The header and a pointer, then the kind of the frame, of the push, and of the news, a pointer before each.
    for (frame, kind_at) in [(&notice, 16), (&notice, 32), (&news, 48)] {
        let mut frame = frame.to_vec();
        frame[kind_at..kind_at + 2].fill(0xff);
        pair.send_push(frame.into());
    }
    pair.run(1_000);
    assert_eq!(pair.events[before..], [], "there is nothing to tell");
    pair.forge(&ServerFrame::Push(Push::Notice("hello".into())));
    pair.post(ROOM, "still here");
    pair.run(1_000);
    assert_eq!(pair.delivered(ROOM), [1]);
    assert!(pair.events.iter().any(|(_, event)| *event == Event::Notice("hello".into())));
}

#[test]
fn pushes_held_for_a_reply_that_never_comes_are_bounded() {
    let (mut pair, _) = waiting(&[ROOM]);
    let mut held = 0;
    while pair.server.is_some() && held < 100_000 {
        pair.forge(&push(ROOM, &[1]));
        held += 1;
        pair.link.control_ms = 0;
    }
    assert!((100..=2_000).contains(&held), "{held} held");
}

#[test]
fn an_endless_go_away_is_no_overflow() {
    let mut pair = Pair::following();
    pair.forge(&ServerFrame::GoAway(GoAway {
        code: u16::MAX,
        reason: String::new(),
        reconnect_after_ms: u32::MAX,
        jitter_ms: u32::MAX,
    }));
    pair.cut();
    let [(left, _, retry_at)] = pair.offline()[..] else { panic!("{:?}", pair.offline()) };
    assert!(retry_at.since(left) >= u64::from(u32::MAX));
}

#[test]
fn any_server_time_is_no_overflow() {
    for time in [0, 1, START.0, u64::MAX / 2, u64::MAX] {
        let mut client = greeting();
        let outputs = handle(&mut client, &welcome(Millis(time)));
        assert!(matches!(outputs.first(), Some(Output::Event(Event::Welcome(_)))), "{time}: {outputs:?}");
        let _ = client.server_time(START);
    }
}

#[test]
fn the_earliest_signed_server_time_is_no_overflow() {
    for time in [1 << 63, (1 << 63) + 1] {
        handle(&mut greeting(), &welcome(Millis(time)));
    }
}

#[test]
fn the_last_seq_is_no_overflow() {
    let (mut pair, resume) = waiting(&[ROOM]);
    let outcome = resumed(ROOM, ResumeOutcome::GapTooLong, u64::MAX - 1);
    pair.forge(&ServerFrame::Reply { id: resume, result: Ok(Reply::Resumed(vec![outcome])) });
    pair.forge(&push(ROOM, &[u64::MAX, u64::MAX]));
}

#[test]
fn after_dropping_the_link_the_client_sends_nothing_over_it() {
    let other = RoomId::from_u128(0x101);
    let (mut pair, resume) = waiting(&[ROOM, other]);
    // Held until the reply: a push with a hole in the one room, a missing push in the other.
    pair.forge(&push(ROOM, &[1, 3]));
    pair.forge(&push(other, &[2]));
    let outcomes = [ROOM, other].map(|room| resumed(room, ResumeOutcome::Recovered, 3)).to_vec();
    // The harness refuses to send without a link.
    pair.forge(&ServerFrame::Reply { id: resume, result: Ok(Reply::Resumed(outcomes)) });
}

#[test]
fn the_first_frame_must_be_the_welcome() {
    let mut client = greeting();
    let asked = client.request(START, confab_protocol::command::Command::Ping);
    let outputs = handle(&mut client, &ServerFrame::Reply { id: asked, result: Ok(Reply::Pong(START)) });
    assert!(matches!(outputs.first(), Some(Output::Disconnect)), "answered before it was sent: {outputs:?}");
}
