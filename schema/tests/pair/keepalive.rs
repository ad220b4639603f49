//! Idle connections stay, dead ones are noticed.

use confab_protocol::close::CloseCode;
use confab_protocol::command::Command;
use confab_protocol::limits::{HEARTBEAT_MS, IDLE_TIMEOUT_MS};
use confab_protocol::model::Millis;

use crate::harness::{LATENCY_MS, Pair, ROOM};

const HOUR_MS: u64 = 3_600_000;

#[test]
fn an_idle_session_lives_for_an_hour_on_pings() {
    let mut pair = Pair::following();
    pair.run(HOUR_MS);
    assert_eq!((pair.connects.len(), pair.offline(), pair.closes.len()), (1, vec![], 0));
    let pings = pair.app.commands.iter().filter(|(_, command)| matches!(command, Command::Ping)).count() as u64;
    assert!((HOUR_MS / HEARTBEAT_MS - 1..=HOUR_MS / HEARTBEAT_MS + 1).contains(&pings), "{pings} pings");
    assert!(pair.events.iter().all(|(_, event)| !format!("{event:?}").contains("Reply")), "they are the session's own");
}

#[test]
fn a_hidden_tab_stays_connected_and_notices_a_dead_server_all_the_same() {
    let mut pair = Pair::following();
    pair.is_hidden = true;
    pair.run(HOUR_MS);
    assert_eq!((pair.connects.len(), pair.offline(), pair.closes.len()), (1, vec![], 0));
    let died = pair.now;
    pair.silence();
    // It asks with the first timer that fires, and gives up with the next.
    pair.run(3 * 60_000);
    let [(at, code, _)] = pair.offline()[..1] else { panic!("the client noticed nothing") };
    assert!(code == CloseCode::Idle.number() && at.since(died) <= 2 * 60_000, "after {} ms", at.since(died));
}

#[test]
fn a_busy_client_need_not_ping() {
    let mut pair = Pair::following();
    for number in 0..100 {
        pair.publish(ROOM, &number.to_string());
        pair.run(HEARTBEAT_MS - 1);
    }
    assert!(!pair.app.commands.iter().any(|(_, command)| matches!(command, Command::Ping)));
}

#[test]
fn both_ends_notice_a_dead_peer_in_time() {
    // Whatever the phase of the heartbeat.
    for phase_ms in (0..HEARTBEAT_MS).step_by(997) {
        let mut pair = Pair::following();
        pair.run(phase_ms);
        let died = pair.now;
        pair.silence();
        pair.run(IDLE_TIMEOUT_MS);
        let in_time = |at: Millis| at.since(died) <= IDLE_TIMEOUT_MS && at.since(died) + 2 * HEARTBEAT_MS >= 45_000;
        let [(at, code, _)] = pair.offline()[..1] else { panic!("{phase_ms}: the client noticed nothing") };
        assert!(code == CloseCode::Idle.number() && in_time(at), "{phase_ms}: client, after {} ms", at.since(died));
        let [(at, close)] = &pair.closes[..] else { panic!("{phase_ms}: the server noticed nothing") };
        assert!(
            close.code == CloseCode::Idle.number() && in_time(*at),
            "{phase_ms}: server, after {} ms",
            at.since(died)
        );
    }
}

/// A server that was killed and is back tells it to who sends something, and to nobody else.
#[test]
fn who_waits_for_an_answer_gives_a_sign_of_life_soon() {
    let mut pair = Pair::following();
    pair.run(HEARTBEAT_MS / 2);
    pair.silence();
    pair.publish(ROOM, "into the void");
    let before = pair.sent;
    pair.run(7_000);
    assert_eq!(pair.sent - before, 3, "each two seconds");
}

#[test]
fn after_a_silent_death_the_session_goes_on() {
    let mut pair = Pair::following();
    pair.silence();
    let (id, _) = pair.publish(ROOM, "into the void");
    pair.post(ROOM, "unheard");
    pair.run(60_000);
    pair.restore();
    pair.run(60_000);
    assert_eq!(pair.replies(id).len(), 1);
    assert_eq!(pair.delivered(ROOM), [1, 2]);
}

#[test]
fn a_server_that_never_welcomes_is_given_up() {
    let mut pair = Pair::new(crate::harness::config());
    // Up to the hello, which the link swallows.
    pair.run(LATENCY_MS);
    pair.silence();
    pair.run(15_000);
    assert!(!pair.offline().is_empty(), "{:?}", pair.events);
    pair.restore();
    pair.run(60_000);
    assert!(pair.server.unwrap().is_active());
}
