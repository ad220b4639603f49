//! Who asks for too much, over both transports: told how long to wait, sent away if they do not, and no trouble to others.

use std::time::Duration;

use confab::config::{Config, Limits};
use confab_protocol::command::{Appeal, Command, History, Pin, RoomScope, Secret, Write};
use confab_protocol::model::{CaseId, CaseText, ClientId, Cursor, Incarnation, Millis, RoomId, Seq};
use confab_protocol::reject::{Reject, RejectCode};

use crate::support::raw::{Raw, Target, accounts, appended, client_id, minted, now, publish, resend};
use crate::support::{TRANSPORTS, TestServer, Transport};

const LIMITED: u16 = RejectCode::RateLimited.number();

async fn server(change: impl FnOnce(&mut Limits)) -> (TestServer, Target) {
    let server = TestServer::start_with(|config| {
        config.plugins.chain.clear();
        change(&mut config.limits);
    })
    .await;
    let target = Target::from(&server);
    (server, target)
}

async fn limited(server: &TestServer, limit: &str) -> f64 {
    server.metric(&format!(r#"confab_limited_total{{limit="{limit}"}}"#)).await
}

/// Asks all at once: how many passed, and the refusals.
async fn flood(raw: &mut Raw, commands: Vec<Command>) -> (usize, Vec<Reject>) {
    let mut asked = Vec::new();
    for command in commands {
        asked.push(raw.begin(command).await);
    }
    let (mut passed, mut refused) = (0, Vec::new());
    for id in asked {
        match raw.reply(id).await {
            Err(reject) if reject.code == LIMITED => refused.push(reject),
            _ => passed += 1,
        }
    }
    (passed, refused)
}

async fn heed(refused: &[Reject]) {
    let last = refused.last().expect("some were refused");
    assert!(last.retry_after_ms > 0, "{last:?}");
    tokio::time::sleep(Duration::from_millis(last.retry_after_ms.into())).await;
}

/// A page, which costs ten.
const fn page() -> Command {
    Command::ListRooms { scope: RoomScope::Joined, after: RoomId::NONE, limit: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_weighed_by_what_they_cost() {
    // A connection has half of it: 40 at once, so four pages, and two more each second.
    let (server, target) = server(|it| (it.commands_per_second, it.commands_burst) = (40, 80)).await;
    let tokens = accounts(&server.config, &["alice", "bob", "mallory", "oscar"]).await;
    for (transport, hostile) in TRANSPORTS.into_iter().zip(&tokens[2..]) {
        let mut mallory = Raw::enter(&target, transport, &hostile.1).await;
        let (passed, refused) = flood(&mut mallory, vec![page(); 14]).await;
        assert!((4..14).contains(&passed), "{passed}");
        heed(&refused).await;
        assert!(mallory.request(page()).await.is_ok(), "the wait that was told is enough");
        // Others of the same user until the user's own bound is met, whichever connection asks.
        for _ in 0..10 {
            let mut next = Raw::enter(&target, transport, &hostile.1).await;
            flood(&mut next, vec![page(); 6]).await;
            next.leave().await;
        }
        // Nobody yet: the connection alone is counted.
        let before = limited(&server, "commands_per_connection").await;
        let mut stranger = Raw::greet(&target, transport, None).await.0;
        let refresh = Command::Refresh(Secret::new("none"));
        let (passed, refused) = flood(&mut stranger, vec![refresh; 14]).await;
        assert!((4..14).contains(&passed) && !refused.is_empty(), "{passed}");
        assert!(limited(&server, "commands_per_connection").await > before);
        // Who asks for little is not held up by any of it.
        let mut alice = Raw::enter(&target, transport, &tokens[0].1).await;
        assert!(alice.request(page()).await.is_ok() && alice.request(Command::Ping).await.is_ok());
    }
    assert!(limited(&server, "commands_per_user").await >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_are_far_from_an_ordinary_client() {
    let (server, target) = server(|it| *it = Config::default().limits).await;
    let tokens = accounts(&server.config, &["alice", "bob"]).await;
    for (transport, (_, token)) in TRANSPORTS.into_iter().zip(&tokens) {
        let mut raw = Raw::enter(&target, transport, token).await;
        let room = raw.join(&format!("calm {transport:?}")).await;
        // Coming back to a thousand rooms, with all that may be in flight.
        let cursors: Vec<Cursor> = (1..=200)
            .map(|id| Cursor { room: RoomId::from_u128(id), incarnation: Incarnation(1), seq: Seq(0) })
            .collect();
        let mut commands = vec![Command::Resume(cursors); 5];
        commands.extend(vec![page(); 20]);
        commands.extend(vec![Command::History(History::before(room.id, Seq(0), 0)); 30]);
        commands.extend((0..9).map(|number| publish(room.id, client_id(), &format!("{number}"))));
        assert_eq!(commands.len(), 64);
        let (_, refused) = flood(&mut raw, commands).await;
        assert_eq!(refused, []);
    }
}

/// Each may tell every moderator of the server in a log of their own, and a room's owner makes what there is to appeal
/// against as fast as they write.
#[tokio::test(flavor = "multi_thread")]
async fn appeals_are_bounded_as_reports_are() {
    let (server, target) = server(|_| {}).await;
    let people = accounts(&server.config, &["alice"]).await;
    let mut alice = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    let appeal = |n| Command::Appeal(Appeal { case: CaseId::from_u128(n), text: CaseText::parse("why?").unwrap() });
    let (passed, refused) = flood(&mut alice, (1..=30).map(appeal).collect()).await;
    assert!((20..25).contains(&passed), "{passed}");
    assert!(refused.len() >= 5 && limited(&server, "reports_per_user").await >= 5.0);
}

/// What was sent at once to a room: what was appended, and the refusals.
async fn say_all(raw: &mut Raw, room: RoomId, count: usize) -> (Vec<ClientId>, Vec<Reject>) {
    let ids: Vec<ClientId> = (0..count).map(|_| client_id()).collect();
    let mut asked = Vec::new();
    for id in &ids {
        asked.push((*id, raw.begin(publish(room, *id, "now")).await));
    }
    let (mut sent, mut refused) = (Vec::new(), Vec::new());
    for (id, request) in asked {
        match raw.reply(request).await {
            Ok(_) => sent.push(id),
            Err(reject) => {
                assert_eq!(reject.code, LIMITED, "{reject:?}");
                refused.push(reject);
            }
        }
    }
    (sent, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_says_so_much_in_one_room() {
    let (server, target) = server(|it| (it.sends_burst, it.sends_per_room_per_second) = (5, 2)).await;
    let tokens = accounts(&server.config, &["alice", "bob"]).await;
    for (round, transport) in TRANSPORTS.into_iter().enumerate() {
        let mut alice = Raw::enter(&target, transport, &tokens[0].1).await;
        let mut bob = Raw::enter(&target, transport, &tokens[1].1).await;
        let (room, other) = (alice.join(&format!("a{round}")).await.id, alice.join(&format!("b{round}")).await.id);
        bob.join(&format!("a{round}")).await;
        let (sent, refused) = say_all(&mut alice, room, 16).await;
        assert!((5..16).contains(&sent.len()), "{}", sent.len());
        // A resend is answered with what is recorded, whatever the limits are.
        for id in sent {
            assert!(appended(alice.request(resend(room, id, "now")).await).duplicate);
        }
        assert!(alice.request(publish(other, client_id(), "another room is another matter")).await.is_ok());
        assert!(bob.request(publish(room, client_id(), "and so is somebody else")).await.is_ok());
        heed(&refused).await;
        assert!(alice.request(publish(room, client_id(), "the wait that was told is enough")).await.is_ok());
    }
    assert!(limited(&server, "sends_per_user_and_room").await >= 2.0);
    assert_eq!(limited(&server, "sends_per_user").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_many_costs_by_their_number() {
    let (server, target) = server(|it| it.room_deliveries_per_second = 20).await;
    let tokens = accounts(&server.config, &["alice", "bob"]).await;
    for (round, transport) in TRANSPORTS.into_iter().enumerate() {
        let mut alice = Raw::enter(&target, transport, &tokens[0].1).await;
        let room = alice.join(&format!("a{round}")).await;
        let quiet = alice.join(&format!("b{round}")).await;
        // Five connections follow it: four messages at once, four more each second.
        let mut followers = Vec::new();
        for index in 0..5 {
            let mut bob = Raw::enter(&target, TRANSPORTS[index % 2], &tokens[1].1).await;
            bob.join(&room.name).await;
            bob.resume(room.id, room.incarnation, room.head).await;
            followers.push(bob);
        }
        let sent = say_all(&mut alice, room.id, 16).await.0;
        assert!((4..16).contains(&sent.len()), "{}", sent.len());
        assert_eq!(say_all(&mut alice, quiet.id, 16).await.0.len(), 16, "nobody follows this one");
        let write = Write { room: room.id, client_id: client_id(), resend: false };
        let pin = Command::Pin(Pin { write, seq: Seq(3), remove: false });
        let (_, refused) = flood(&mut alice, vec![pin; 12]).await;
        assert!(!refused.is_empty(), "what is said of what was said costs as much");
        heed(&refused).await;
        let last = appended(alice.request(publish(room.id, client_id(), "enough")).await);
        for mut bob in followers {
            bob.hear_until(room.id, last.seq).await;
            bob.leave().await;
        }
    }
    assert!(limited(&server, "deliveries_per_room").await >= 2.0);
}

/// Pings, fifty at a time, until the connection is closed: how many were refused before that, and the close's code.
async fn insist(raw: &mut Raw) -> (usize, u16) {
    let mut refused = 0;
    for _ in 0..200 {
        let mut asked = Vec::new();
        for _ in 0..50 {
            asked.push(raw.begin(Command::Ping).await);
        }
        for id in asked {
            match raw.try_reply(id).await {
                Ok(Ok(_)) => {}
                Ok(Err(reject)) => {
                    assert_eq!(reject.code, LIMITED);
                    refused += 1;
                }
                Err(close) => return (refused, close.code),
            }
        }
    }
    panic!("still there after {refused} refusals");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_heed_is_sent_away_and_nobody_else() {
    let (server, target) = server(|it| (it.commands_per_second, it.commands_burst) = (2, 80)).await;
    let tokens = accounts(&server.config, &["alice", "mallory"]).await;
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &tokens[0].1).await;
        let before = server.metric(r#"confab_closes_total{code="TooManyRequests"}"#).await;
        for token in [Some(&tokens[1].1), None] {
            let mut mallory = Raw::greet(&target, transport, token).await.0;
            let (refused, code) = insist(&mut mallory).await;
            assert_eq!(code, 4301);
            assert!(refused >= 1_000, "{refused}");
        }
        assert_eq!(server.metric(r#"confab_closes_total{code="TooManyRequests"}"#).await, before + 2.0);
        assert!(alice.request(Command::Ping).await.is_ok());
        assert!(Raw::enter(&target, transport, &tokens[0].1).await.request(Command::Ping).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_not_to_be_tried() {
    for transport in TRANSPORTS {
        let (server, target) = server(|it| it.strangers_per_minute = 3).await;
        let token = accounts(&server.config, &["alice"]).await.remove(0).1;
        let expired = minted(&server.config, &["alice"], 60, Millis(now().0 - 3_600_000)).await.remove(0).1;
        let bad = Secret::new(format!("{}x", token.expose()));
        let key = Secret::new("confab_nothing-of-ours");
        let mut mallory = Raw::greet(&target, transport, None).await.0;
        let (mut invalid, mut refused) = (0, Vec::new());
        for index in 0..12 {
            let tried = if index % 2 == 0 { &bad } else { &key };
            let reject = mallory.request(Command::Authenticate(tried.clone())).await.unwrap_err();
            match reject.code {
                2002 => invalid += 1,
                LIMITED => refused.push(reject),
                other => panic!("{other}"),
            }
        }
        assert!((3..12).contains(&invalid) && refused[0].retry_after_ms > 1_000, "{invalid} {refused:?}");
        assert_eq!(Raw::refused(&target, transport, &bad).await.code, 4301);
        assert!(limited(&server, "bad_tokens_per_network").await >= 2.0);
        // A good one is not refused for that, from the same address and even over the same connection.
        let mut alice = Raw::enter(&target, transport, &token).await;
        assert!(alice.request(Command::Authenticate(token.clone())).await.is_ok());
        assert!(mallory.request(Command::Authenticate(token.clone())).await.is_ok());
        // One that was good once is nobody's try.
        assert_eq!(Raw::refused(&target, transport, &expired).await.code, 4200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_library_that_is_sent_away_comes_back_later() {
    use confab_client::{Client, Event, Options};
    let (server, _target) = server(|it| it.strangers_per_minute = 1).await;
    let first = Options::new(server.client_address(Transport::Quic)).access_token("none");
    // The first of its network is told so; the next one is told to come back later.
    let (_first, mut events) = Client::connect(first);
    assert!(matches!(events.recv().await, Some(Event::Stopped(_))));
    for transport in TRANSPORTS {
        let options = Options::new(server.client_address(transport)).access_token("none");
        let began = now();
        let (_client, mut events) = Client::connect(options);
        let event = events.recv().await;
        let Some(Event::Offline { close, retry_at }) = event else { panic!("{event:?}") };
        assert_eq!(close.code, 4301);
        assert!(retry_at.since(began) >= 10_000, "{retry_at:?} after {began:?}");
    }
}
