//! Connecting and logging in.

use confab_protocol::close::CloseCode;
use confab_protocol::command::{Command, Reply, Secret};
use confab_protocol::limits::LOGIN_TIMEOUT_MS;
use confab_protocol::reject::RejectCode;
use confab_protocol::session::client::{Config, Event};

use crate::app::ALICE;
use crate::harness::{LATENCY_MS, Pair, ROOM, START, config};

fn anonymous() -> Config {
    Config { access_token: None, ..config() }
}

#[test]
fn a_good_token_is_welcomed_with_an_identity() {
    let mut pair = Pair::new(config());
    pair.run(1_000);
    let [(at, Event::Welcome(welcome))] = pair.events.as_slice() else { panic!("{:?}", pair.events) };
    assert_eq!(*at, START.after(3 * LATENCY_MS), "connect, hello, welcome");
    assert_eq!(welcome.version, 1);
    assert_eq!(welcome.identity.as_ref().map(|identity| identity.user), Some(ALICE));
    assert!(pair.server.unwrap().is_active());
}

#[test]
fn without_a_token_one_logs_in_afterwards() {
    let mut pair = Pair::new(anonymous());
    pair.run(1_000);
    assert!(matches!(pair.events.as_slice(), [(_, Event::Welcome(welcome))] if welcome.identity.is_none()));
    assert!(!pair.server.as_ref().unwrap().is_active());

    let wrong = pair.login("guess");
    pair.run(1_000);
    assert!(matches!(pair.replies(wrong)[..], [Err(reject)] if reject.is(RejectCode::BadCredentials)));

    let right = pair.login("open sesame");
    pair.run(1_000);
    assert!(matches!(pair.replies(right)[..], [Ok(Reply::Session(_))]));
    assert!(pair.events.iter().any(|(_, event)| matches!(event, Event::Session(_))));
    assert!(pair.server.as_ref().unwrap().is_active());
}

#[test]
fn what_needs_an_identity_waits_for_it() {
    let mut pair = Pair::new(anonymous());
    let (publish, client_id) = pair.publish(ROOM, "said before the login");
    pair.follow(ROOM);
    pair.run(1_000);
    assert!(pair.app.commands.is_empty(), "{:?}", pair.app.commands);

    pair.login("open sesame");
    pair.run(1_000);
    assert!(matches!(pair.replies(publish)[..], [Ok(Reply::Appended(_))]));
    assert_eq!(pair.delivered(ROOM), [1]);
    assert_eq!(pair.app.rooms[&ROOM].messages(), [(ALICE, client_id, "said before the login".to_owned())]);
}

#[test]
fn nobody_stays_anonymous_for_long() {
    let mut pair = Pair::new(anonymous());
    pair.run(LOGIN_TIMEOUT_MS + 1_000);
    let [(at, close)] = pair.closes.as_slice() else { panic!("{:?}", pair.closes) };
    assert_eq!(close.code, CloseCode::LoginTimeout.number());
    assert_eq!(*at, START.after(2 * LATENCY_MS + LOGIN_TIMEOUT_MS));
    assert_eq!(pair.stopped().map(|(_, code)| code), Some(4202), "there is nothing to come back with");
    pair.run(3_600_000);
    assert_eq!(pair.connects.len(), 1);
}

#[test]
fn a_wrong_token_stops_a_client_that_has_no_other() {
    let mut pair = Pair::new(Config { access_token: Some(Secret::new("forged")), ..config() });
    pair.run(60_000);
    assert_eq!(pair.stopped(), Some((START.after(3 * LATENCY_MS), CloseCode::TokenInvalid.number())));
    assert_eq!(pair.connects.len(), 1);
}

#[test]
fn a_wrong_token_is_replaced_by_the_refresh_token() {
    let access_token = Some(Secret::new("forged"));
    let refresh_token = Some(Secret::new("refresh-0"));
    let mut pair = Pair::new(Config { access_token, refresh_token, ..config() });
    pair.run(5_000);
    assert_eq!((pair.stopped(), pair.connects.len()), (None, 2));
    assert!(matches!(pair.app.commands.as_slice(), [(_, Command::Refresh(_))]), "{:?}", pair.app.commands);
    assert!(pair.server.unwrap().is_active());
}

#[test]
fn a_used_refresh_token_stops_the_client() {
    let refresh_token = Some(Secret::new("used before"));
    let mut pair = Pair::new(Config { access_token: None, refresh_token, ..config() });
    pair.run(5_000);
    assert_eq!(pair.stopped().map(|(_, code)| code), Some(CloseCode::TokenInvalid.number()));
}

#[test]
fn the_clients_clock_follows_the_servers() {
    let mut pair = Pair::new(config());
    pair.run(1_000);
    // The harness has one clock; the reply was on its way for one latency.
    assert_eq!(pair.client.server_time(pair.now), confab_protocol::model::Millis(pair.now.0 - LATENCY_MS));
}
