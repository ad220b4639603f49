//! Requests and replies: bounds, resends, and what must not be repeated.

use confab_protocol::command::{Command, History, HistoryRange, Reply};
use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::Seq;
use confab_protocol::reject::RejectCode;
use confab_protocol::session::server::ServerSession;

use crate::harness::{LATENCY_MS, Pair, ROOM};

/// How often a publish was heard, with its `resend` flag.
fn heard(pair: &Pair) -> Vec<bool> {
    let resend = |command: &Command| if let Command::Publish(publish) = command { Some(publish.resend) } else { None };
    pair.app.commands.iter().filter_map(|(_, command)| resend(command)).collect()
}

#[test]
fn a_request_gets_its_own_reply() {
    let mut pair = Pair::following();
    let ping = pair.request(Command::Ping);
    let history = pair.request(Command::History(History {
        room: ROOM,
        range: HistoryRange::Before(Seq(0)),
        thread: None,
        pinned: false,
        limit: 10,
    }));
    pair.run(1_000);
    assert!(matches!(pair.replies(ping)[..], [Ok(Reply::Pong(_))]));
    assert!(matches!(pair.replies(history)[..], [Ok(Reply::Page(_))]));
}

#[test]
fn past_the_bound_the_server_refuses() {
    let mut pair = Pair::following();
    pair.app.mute = true;
    let ids: Vec<_> = (0..IN_FLIGHT_MAX + 3).map(|_| pair.request(Command::Ping)).collect();
    pair.run(1_000);
    for (index, id) in ids.iter().enumerate() {
        match pair.replies(*id)[..] {
            [] => assert!(index < IN_FLIGHT_MAX, "{index} was not refused"),
            [Err(reject)] => {
                assert!(index >= IN_FLIGHT_MAX, "{index} was refused");
                assert!(reject.is(RejectCode::TooManyInFlight), "{reject}");
            }
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(pair.server.as_ref().map(ServerSession::in_flight), Some(IN_FLIGHT_MAX));
}

#[test]
fn a_client_that_asks_for_capacity_is_never_refused() {
    let mut pair = Pair::following();
    pair.app.mute = true;
    let mut asked = 0;
    while pair.client.has_capacity() {
        pair.request(Command::Ping);
        asked += 1;
    }
    // Two heartbeats of the session itself still fit.
    pair.run(40_000);
    assert!(asked + 2 <= IN_FLIGHT_MAX && pair.events.iter().all(|(_, event)| !format!("{event:?}").contains("4002")));
}

#[test]
fn a_publish_lost_on_the_way_is_sent_again() {
    let mut pair = Pair::following();
    let (id, client_id) = pair.publish(ROOM, "hello?");
    pair.cut();
    assert_eq!(heard(&pair), [] as [bool; 0]);
    pair.restore();
    pair.run(5_000);
    assert_eq!(heard(&pair), [true], "it may have been sent before");
    assert!(matches!(pair.replies(id)[..], [Ok(Reply::Appended(appended))] if !appended.duplicate));
    assert_eq!(pair.app.rooms[&ROOM].messages().iter().filter(|message| message.1 == client_id).count(), 1);
    assert_eq!(pair.delivered(ROOM), [1]);
}

#[test]
fn a_publish_whose_reply_was_lost_is_in_the_log_once() {
    let mut pair = Pair::following();
    let (id, client_id) = pair.publish(ROOM, "hello?");
    pair.run(LATENCY_MS);
    assert_eq!((heard(&pair), pair.replies(id)), (vec![false], vec![]), "appended, and the reply is on its way");
    pair.cut();
    pair.restore();
    pair.run(5_000);
    assert_eq!(heard(&pair), [false, true]);
    let [Ok(Reply::Appended(appended))] = pair.replies(id)[..] else { panic!("{:?}", pair.replies(id)) };
    assert_eq!((appended.seq, appended.duplicate), (Seq(1), true));
    assert_eq!(pair.app.rooms[&ROOM].messages().iter().filter(|message| message.1 == client_id).count(), 1);
    assert_eq!(pair.delivered(ROOM), [1]);
}

#[test]
fn an_answered_publish_is_not_sent_again() {
    let mut pair = Pair::following();
    let (id, _) = pair.publish(ROOM, "hello");
    pair.run(1_000);
    pair.cut();
    pair.restore();
    pair.run(5_000);
    assert_eq!(heard(&pair), [false]);
    assert_eq!(pair.replies(id).len(), 1);
}

#[test]
fn publishes_are_resent_in_their_order() {
    let mut pair = Pair::following();
    let texts: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for (index, text) in texts.iter().enumerate() {
        pair.publish(ROOM, text);
        match index {
            5 => pair.cut(),
            9 => pair.restore(),
            14 => pair.silence(),
            17 => pair.restore(),
            _ => pair.run(7),
        }
    }
    pair.run(120_000);
    let logged: Vec<String> = pair.app.rooms[&ROOM].messages().into_iter().map(|message| message.2).collect();
    assert_eq!(logged, texts);
}

#[test]
fn a_login_is_not_repeated_by_itself() {
    let mut pair = Pair::following();
    let login = pair.login("open sesame");
    let ping = pair.request(Command::Ping);
    pair.cut();
    assert!(matches!(pair.replies(login)[..], [Err(reject)] if reject.is(RejectCode::Unavailable)));
    pair.restore();
    pair.run(5_000);
    assert_eq!(pair.replies(login).len(), 1);
    assert!(matches!(pair.replies(ping)[..], [Ok(Reply::Pong(_))]), "what is harmless is");
    assert!(!pair.app.commands.iter().any(|(_, command)| matches!(command, Command::Login(_))));
}

/// Whoever keeps to [`has_capacity`](confab_protocol::session::client::ClientSession::has_capacity) is not
/// refused after a reconnect either, where the session's own requests come on top.
#[test]
fn a_full_client_with_many_rooms_is_not_refused_after_a_reconnect() {
    let mut pair = Pair::following();
    for number in 0..999 {
        let room = confab_protocol::model::RoomId::from_u128(0x1000 + number);
        pair.app.open_room(room);
        pair.follow(room);
    }
    pair.run(1_000);
    pair.app.mute = true;
    let mut ids = Vec::new();
    while pair.client.has_capacity() {
        ids.push(pair.publish(ROOM, "hello").0);
    }
    pair.cut();
    pair.restore();
    pair.run(5_000);
    pair.app.mute = false;
    pair.answer_withheld();
    pair.run(5_000);
    for id in ids {
        assert!(matches!(pair.replies(id)[..], [Ok(Reply::Appended(_))]), "{id}: {:?}", pair.replies(id));
    }
}

/// Logging in makes what waited for an identity sendable; what was sent before must not go out twice.
#[test]
fn a_login_does_not_resend_what_is_in_flight() {
    let mut pair =
        Pair::new(confab_protocol::session::client::Config { access_token: None, ..crate::harness::config() });
    pair.run(1_000);
    // A double click.
    let first = pair.login("open sesame");
    let second = pair.login("open sesame");
    pair.run(1_000);
    assert_eq!((pair.replies(first).len(), pair.replies(second).len()), (1, 1));
    let logins = pair.app.commands.iter().filter(|(_, command)| matches!(command, Command::Login(_))).count();
    assert_eq!(logins, 2, "each makes a device");
}
