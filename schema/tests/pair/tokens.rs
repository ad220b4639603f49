//! Tokens expire; a client with a refresh token renews them, one without is stopped.

use confab_protocol::close::CloseCode;
use confab_protocol::command::{Command, Secret};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::client::{Config, Event};

use crate::harness::{Pair, ROOM, config};

/// No access token yet; the refresh token buys the first.
fn renewing() -> Config {
    Config { access_token: None, refresh_token: Some(Secret::new("refresh-0")), ..config() }
}

fn refreshes(pair: &Pair) -> usize {
    pair.app.commands.iter().filter(|(_, command)| matches!(command, Command::Refresh(_))).count()
}

#[test]
fn an_expired_token_closes() {
    let mut pair = Pair::new(Config { access_token: None, ..config() });
    pair.app.token_ms = 120_000;
    pair.run(1_000);
    pair.login("open sesame");
    // An application that keeps no refresh token cannot be imitated here; the server takes none back.
    pair.app.refresh_refusals = vec![RejectCode::TokenInvalid.into()];
    pair.run(200_000);
    let [(at, close)] = pair.closes.as_slice() else { panic!("{:?}", pair.closes) };
    assert_eq!(close.code, CloseCode::TokenExpired.number());
    assert_eq!(at.since(crate::harness::START), 1_000 + crate::harness::LATENCY_MS + 120_000);
    assert_eq!(pair.stopped().map(|(_, code)| code), Some(CloseCode::TokenExpired.number()));
}

#[test]
fn tokens_are_renewed_before_they_expire() {
    let mut pair = Pair::new(renewing());
    pair.app.token_ms = 300_000;
    pair.follow(ROOM);
    pair.run(3_600_000);
    assert_eq!((pair.connects.len(), pair.closes.len(), pair.offline()), (1, 0, vec![]));
    assert!((12..=15).contains(&refreshes(&pair)), "{} in an hour of 5 minutes each", refreshes(&pair));
    let kept = pair.events.iter().filter(|(_, event)| matches!(event, Event::Session(_))).count();
    assert_eq!(kept, refreshes(&pair), "the application must hear of each");
    pair.post(ROOM, "still there?");
    pair.run(1_000);
    assert_eq!(pair.delivered(ROOM), [1]);
}

#[test]
fn a_token_that_expired_while_away_is_renewed_on_return() {
    let mut pair = Pair::new(renewing());
    pair.follow(ROOM);
    pair.run(1_000);
    pair.cut();
    pair.run(2 * pair.app.token_ms);
    pair.post(ROOM, "meanwhile");
    pair.restore();
    pair.run(120_000);
    let [.., (_, close)] = pair.closes.as_slice() else { panic!("{:?}", pair.closes) };
    assert_eq!(close.code, CloseCode::TokenExpired.number());
    assert_eq!((pair.stopped(), refreshes(&pair)), (None, 2));
    assert_eq!(pair.delivered(ROOM), [1]);
}

#[test]
fn a_close_for_expiry_is_survived_with_a_refresh_token() {
    let mut pair = Pair::new(renewing());
    pair.run(1_000);
    pair.close(CloseCode::TokenExpired);
    pair.run(5_000);
    assert_eq!((pair.stopped(), refreshes(&pair), pair.connects.len()), (None, 2, 2));
    assert!(pair.server.unwrap().is_active());
}

/// A server that is busy for a moment: the renewal must wait a little and be tried again.
#[test]
fn a_renewal_refused_for_a_moment_is_tried_again_without_haste() {
    let mut pair = Pair::new(renewing());
    pair.app.token_ms = 120_000;
    pair.run(1_000);
    pair.app.refresh_refusals = vec![Reject::retry(RejectCode::RateLimited, 1_000); 10_000];
    // Renewal is due after 90 s; the token lives for 30 s more.
    pair.run(110_000);
    assert!((2..=40).contains(&refreshes(&pair)), "{} refreshes in 20 s", refreshes(&pair));
    pair.app.refresh_refusals.clear();
    pair.run(60_000);
    assert_eq!((pair.stopped(), pair.closes.len()), (None, 0));
}

#[test]
fn a_first_renewal_refused_for_a_moment_is_tried_again() {
    let mut pair = Pair::new(renewing());
    pair.app.refresh_refusals = vec![Reject::retry(RejectCode::Unavailable, 1_000)];
    pair.run(60_000);
    assert_eq!(pair.stopped(), None, "the refresh token is still good");
    assert!(pair.server.unwrap().is_active());
}

#[test]
fn a_short_lived_token_is_not_renewed_in_a_spin() {
    let mut pair = Pair::new(renewing());
    pair.app.token_ms = 20_000;
    pair.run(60_000);
    assert!(refreshes(&pair) <= 20, "{} refreshes in a minute", refreshes(&pair));
}

/// The server has spent the old token; soon it takes its reuse for a theft.
#[test]
fn a_renewal_whose_answer_was_lost_is_asked_again_at_once() {
    let mut pair = Pair::new(renewing());
    pair.app.token_ms = 300_000;
    pair.follow(ROOM);
    pair.run(1_000);
    let before = refreshes(&pair);
    while refreshes(&pair) == before {
        pair.run(10);
    }
    pair.cut();
    pair.restore();
    pair.run(1_000);
    assert_eq!(pair.offline().len(), 1);
    assert_eq!(refreshes(&pair), before + 2, "with the first thing that it says");
}

#[test]
fn a_server_that_fails_everyone_after_the_welcome_is_not_stormed() {
    let mut pair = Pair::following();
    for _ in 0..300 {
        pair.run(100);
        pair.close(CloseCode::Internal);
    }
    assert!(pair.connects.len() < 20, "{} connections in half a minute", pair.connects.len());
}
