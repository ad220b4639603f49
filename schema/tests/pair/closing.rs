//! How connections end, and what the client makes of it: the ranges of the close codes, `goAway`, backoff.

use confab_protocol::close::{Close, CloseCode, Comeback};
use confab_protocol::command::GoAway;
use confab_protocol::model::Millis;

use crate::harness::{LATENCY_MS, Pair, ROOM};

fn away(reconnect_after_ms: u32, jitter_ms: u32) -> GoAway {
    GoAway { code: CloseCode::GoingAway.number(), reason: "an upgrade".into(), reconnect_after_ms, jitter_ms }
}

#[test]
fn every_code_is_acted_on_by_its_range() {
    for code in CloseCode::ALL {
        let mut pair = Pair::following();
        pair.close(*code);
        let closed = pair.now;
        pair.run(60_000);
        let stops = match Close::from(*code).comeback() {
            Comeback::Reconnect | Comeback::ReconnectLater => false,
            Comeback::Never | Comeback::NewCredentials => true,
        };
        assert_eq!(pair.stopped().map(|(_, code)| code), stops.then(|| code.number()), "{code:?}");
        assert_eq!(pair.connects.len(), if stops { 1 } else { 2 }, "{code:?}");
        let wait_ms = pair.connects.get(1).map_or(u64::MAX, |at| at.since(closed));
        let at_least = if Close::from(*code).comeback() == Comeback::ReconnectLater { 10_000 } else { 0 };
        assert!(stops || (at_least..at_least + 1_000).contains(&wait_ms), "{code:?}: after {wait_ms} ms");
    }
}

#[test]
fn a_code_of_a_later_version_is_acted_on_by_its_range() {
    for (code, connects) in [(4_099, 2), (4_199, 1), (4_299, 1), (4_399, 2), (1_006, 2)] {
        let mut pair = Pair::following();
        pair.server = None;
        let close = Close { code, reason: "later".into() };
        pair.link.send(pair.now, crate::link::Lane::Control, crate::link::Parcel::Disconnected(close));
        pair.run(60_000);
        assert_eq!(pair.connects.len(), connects, "{code}");
    }
}

#[test]
fn a_client_at_fault_never_comes_back() {
    let mut pair = Pair::following();
    pair.close(CloseCode::MalformedFrame);
    pair.publish(ROOM, "nobody listens");
    pair.run(24 * 3_600_000);
    assert_eq!((pair.connects.len(), pair.app.greetings), (1, 1));
}

#[test]
fn go_away_says_when_to_come_back() {
    for seed in 0..20 {
        let mut pair = Pair::new(confab_protocol::session::client::Config { seed, ..crate::harness::config() });
        pair.run(1_000);
        pair.go_away(away(20_000, 5_000));
        pair.run(60_000);
        let [(left, _, retry_at)] = pair.offline()[..] else { panic!("{:?}", pair.offline()) };
        assert!((20_000..25_250).contains(&retry_at.since(left)), "{seed}: {} ms", retry_at.since(left));
        assert_eq!(pair.connects[1..], [retry_at], "{seed}");
    }
}

#[test]
fn go_away_counts_once() {
    let mut pair = Pair::following();
    pair.go_away(away(20_000, 0));
    pair.close(CloseCode::GoingAway);
    pair.run(60_000);
    pair.close(CloseCode::GoingAway);
    pair.run(60_000);
    let [_, (left, _, retry_at)] = pair.offline()[..] else { panic!("{:?}", pair.offline()) };
    assert!(retry_at.since(left) < 1_000);
}

#[test]
fn go_away_spreads_the_clients() {
    let mut returns: Vec<Millis> = (0..50)
        .map(|seed| {
            let mut pair = Pair::new(confab_protocol::session::client::Config { seed, ..crate::harness::config() });
            pair.run(1_000);
            pair.go_away(away(0, 10_000));
            pair.close(CloseCode::GoingAway);
            pair.run(30_000);
            pair.connects[1]
        })
        .collect();
    returns.sort();
    assert!(returns[49].since(returns[0]) > 7_000, "{returns:?}");
    assert!(returns.windows(10).all(|ten| ten[9].since(ten[0]) > 200), "{returns:?}");
}

/// A server that is killed says nothing: what its welcome said counts, once, and never for longer than a minute.
#[test]
fn a_welcome_spreads_those_who_are_cut_off() {
    for (jitter_ms, (at_least, at_most)) in [(0, (0, 250)), (10_000, (7_000, 10_250)), (u16::MAX, (45_000, 60_250))] {
        let mut waits = Vec::new();
        for seed in 0..50 {
            let mut pair = Pair::new(confab_protocol::session::client::Config { seed, ..crate::harness::config() });
            pair.app.reconnect_jitter_ms = jitter_ms;
            pair.run(1_000);
            pair.cut();
            pair.run(600_000);
            let [(left, _, retry_at), (again, _, then), ..] = pair.offline()[..] else { panic!("it tries again") };
            waits.push(retry_at.since(left));
            assert!(then.since(again) < 500, "{seed}: the second time it is the backoff alone");
        }
        waits.sort_unstable();
        assert!((at_least..=at_most).contains(&waits[49]), "{jitter_ms}: {waits:?}");
        assert!(jitter_ms == 0 || waits.windows(10).all(|ten| ten[9] - ten[0] > 200), "{jitter_ms}: {waits:?}");
    }
}

#[test]
fn who_is_put_out_alone_comes_back_at_once() {
    for code in [CloseCode::RightsChanged, CloseCode::SlowConsumer, CloseCode::FrameTimeout] {
        let mut pair = Pair::new(crate::harness::config());
        pair.app.reconnect_jitter_ms = u16::MAX;
        pair.run(1_000);
        pair.close(code);
        pair.run(120_000);
        let [(left, _, retry_at), ..] = pair.offline()[..] else { panic!("{code:?}: it comes back") };
        assert!(retry_at.since(left) < 250, "{code:?}: after {} ms", retry_at.since(left));
    }
}

#[test]
fn attempts_back_off_and_recover() {
    let mut pair = Pair::following();
    pair.cut();
    pair.run(600_000);
    let waits: Vec<u64> = pair.offline().iter().map(|(left, _, retry_at)| retry_at.since(*left)).collect();
    assert!((20..200).contains(&waits.len()), "{} attempts in ten minutes", waits.len());
    assert!(waits.iter().all(|wait| *wait < 30_000), "{waits:?}");
    assert!(waits[0] < 250 && *waits.iter().max().unwrap() > 5_000, "{waits:?}");

    pair.restore();
    pair.run(40_000);
    assert!(pair.server.as_ref().is_some_and(confab_protocol::session::server::ServerSession::is_active));
    pair.cut();
    let (left, _, retry_at) = *pair.offline().last().unwrap();
    assert!(retry_at.since(left) < 250, "a link that lasts ends the backoff");
}

#[test]
fn a_close_is_heard_after_what_was_sent_before_it() {
    let mut pair = Pair::following();
    let (id, _) = pair.publish(ROOM, "the last word");
    pair.run(LATENCY_MS);
    pair.close(CloseCode::GoingAway);
    pair.run(LATENCY_MS);
    assert_eq!(pair.replies(id).len(), 1);
    assert_eq!(pair.offline().len(), 1);
}

/// `chat.capnp`: the server "asks the client to leave"; `Input::GoAway`: "which then leaves by itself".
#[test]
fn a_client_asked_to_go_leaves_by_itself() {
    let mut pair = Pair::following();
    pair.go_away(away(1_000, 0));
    pair.run(60_000);
    assert_eq!(pair.offline().len(), 1, "it stayed");
    assert_eq!(pair.connects.len(), 2);
}
