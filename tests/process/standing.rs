//! What an operator does to accounts beside a running server is heard by it. How soon is for the bench.

use std::time::{Duration, Instant};

use confab_protocol::codec::decode_audit;
use confab_protocol::command::{Command, Delete, ListAudit, PresenceStatus, Reply, RoomTarget, Secret, SetRole, Write};
use confab_protocol::model::{AuditId, RoomRole, Seq};
use confab_protocol::reject::RejectCode;

use crate::support::people::Person;
use crate::support::process::{Place, eventually, run};
use crate::support::raw::{Raw, Target, client_id, publish};
use crate::support::{TRANSPORTS, Transport};

fn target(place: &Place) -> Target {
    Target::new(place.http, place.quic, &place.data_dir)
}

fn operator(place: &Place, arguments: &[&str]) -> String {
    run(&mut place.command(arguments), "").assert_good().trim().to_owned()
}

/// Sets the level, until the server has heard of it; what was printed.
fn emergency(place: &Place, level: &str) -> String {
    let printed = operator(place, &["emergency", level]);
    let is_heard = || place.metric("confab_emergency_level").to_string() == level;
    eventually("the level is heard", || is_heard().then_some(()));
    printed
}

/// What the audit has of what people did, the newest first: act and detail.
async fn records(owner: &Person) -> Vec<(String, String)> {
    let list = ListAudit { room: None, user: None, case: None, plugin: None, before: AuditId::NONE, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list)).await else { panic!() };
    let read = records.iter().map(|entry| decode_audit(&entry.record).unwrap());
    read.filter(|record| record.finding.is_none()).map(|record| (record.act, record.detail)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_closes_all_connections_at_once() {
    let place = Place::new();
    let _server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let mut connections = Vec::new();
    for transport in TRANSPORTS {
        connections.push(Raw::enter(&target(&place), transport, &alice.session.access_token).await);
    }
    assert_eq!(operator(&place, &["user", "ban", "alice", "--for", "1h"]), "alice is banned");
    for raw in &mut connections {
        assert_eq!(raw.closed().await.code, 4204);
    }
    for transport in TRANSPORTS {
        let refused = Raw::refused(&target(&place), transport, &alice.session.access_token).await;
        assert_eq!(refused.code, 4204);
    }
    operator(&place, &["user", "lift", "alice"]);
    place.login(Transport::WebSocket, "alice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_may_what_its_key_was_given() {
    let place = Place::new();
    let _server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let room = alice.enter("plaza").await.id;
    let echo = operator(&place, &["bot", "create", "echo", "--display-name", "The Echo"]).parse().unwrap();
    for odd in ["\u{202e}nimda", "p\u{430}ypal"] {
        let refused = run(&mut place.command(&["bot", "create", "other", "--display-name", odd]), "");
        refused.assert_refused(1, &["display name"]);
    }
    run(&mut place.command(&["bot", "key", "alice"]), "").assert_refused(1, &["no bot"]);
    let odd = run(&mut place.command(&["bot", "key", "echo", "--scopes", "root"]), "");
    assert!(odd.code == Some(2) && odd.err.contains("one of read, write, moderate"), "{odd:?}");
    let reader = Secret::new(operator(&place, &["bot", "key", "echo", "--scopes", "read"]));
    let writer = Secret::new(operator(&place, &["bot", "key", "echo", "--label", "deploys"]));
    for transport in TRANSPORTS {
        let mut raw = Raw::enter(&target(&place), transport, &writer).await;
        raw.join("plaza").await;
        let mut raw = Raw::enter(&target(&place), transport, &reader).await;
        let missing = RejectCode::ScopeMissing.number();
        assert_eq!(raw.refusal(publish(room, client_id(), "may I?")).await, missing);
        assert_eq!(raw.refusal(Command::Sessions).await, missing, "keys are not for keys to see");
        // Nothing that others see, and nothing that stays.
        let write = Write { room, client_id: client_id(), resend: false };
        let changes = [
            Command::JoinRoom(RoomTarget::Id(room)),
            Command::LeaveRoom(RoomTarget::Id(room)),
            Command::Knock(write),
            Command::MarkRead { room, seq: Seq(1) },
            Command::SetPresence(PresenceStatus::Away),
            Command::Typing { room, stopped: false },
        ];
        for change in changes {
            let name = change.name();
            assert_eq!(raw.refusal(change).await, missing, "{name}");
        }
        let mut raw = Raw::enter(&target(&place), transport, &writer).await;
        raw.say(room, "hello from a program").await;
        // No key becomes another by the way of a request.
        assert_eq!(raw.refusal(Command::Revisions { room, seq: Seq(1), before: 0 }).await, missing);
    }
    // A moderator's account does not make a moderator's key.
    let said = alice.client.say(room, "of alice").await.unwrap();
    let client = alice.client.clone();
    let write = move || Write { room, client_id: client.new_client_id(), resend: false };
    let role = SetRole { write: write(), user: echo, role: RoomRole::Moderator };
    alice.client.request(Command::SetRole(role)).await.unwrap();
    let mut raw = Raw::enter(&target(&place), Transport::Quic, &writer).await;
    let delete = |seqs| Command::Delete(Delete { write: write(), seqs });
    assert_eq!(raw.refusal(delete(vec![said.seq])).await, RejectCode::ScopeMissing.number());
    let own = raw.say(room, "of the bot").await;
    raw.request(delete(vec![own.seq])).await.unwrap();
    let listed = operator(&place, &["user", "sessions", "echo"]);
    let id = listed.lines().find(|line| line.ends_with("deploys")).unwrap().split('\t').next().unwrap();
    let mut raw = Raw::enter(&target(&place), Transport::WebSocket, &writer).await;
    let left = operator(&place, &["user", "sessions", "echo", "--end", id]);
    assert!(!left.contains("deploys") && left.contains("key"), "{left}");
    assert_eq!(raw.closed().await.code, 4203);
    assert_eq!(Raw::refused(&target(&place), Transport::Quic, &writer).await.code, 4201);
    // A key whose time is over.
    let short = Secret::new(operator(&place, &["bot", "key", "echo", "--for", "1s"]));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(Raw::refused(&target(&place), Transport::Quic, &short).await.code, 4200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_goes_up_and_down_by_one_command() {
    let place = Place::with("auth.registration = \"invite\"");
    let mut server = place.serve();
    let token = super::start::owner_token(&place.out());
    let owner = place.register_with(Transport::Quic, "owner", token.as_deref()).await;
    let room = owner.enter("plaza").await.id;
    let (mut stranger, _) = Raw::greet(&target(&place), Transport::WebSocket, None).await;
    let register = |name: &str, invite: Option<&str>| {
        let (username, password) = (confab_protocol::model::Username::parse(name).unwrap(), Secret::new("a password"));
        let device = confab_protocol::model::DeviceName::parse("").unwrap();
        let invite = invite.map(Secret::new);
        let (display_name, owner_token) = (None, None);
        Command::Register(confab_protocol::command::Register {
            username,
            password,
            display_name,
            device,
            owner_token,
            invite,
        })
    };
    assert_eq!(stranger.refusal(register("bob", None)).await, 2004, "by invitation only");
    let invitation = operator(&place, &["user", "invite", "--uses", "2"]);
    assert!(emergency(&place, "1").starts_with("1: nobody registers"));
    assert_eq!(stranger.refusal(register("bob", Some(&invitation))).await, 2004);
    assert!(emergency(&place, "0").starts_with("0: normal"));
    stranger.request(register("bob", Some(&invitation))).await.unwrap();
    stranger.join("plaza").await;
    stranger.say(room, "hello").await;
    for level in ["2", "3"] {
        emergency(&place, level);
        assert_eq!(stranger.refusal(publish(room, client_id(), "again")).await, 2010);
        owner.client.say(room, "those who run the server write").await.unwrap();
    }
    // Who has the machine leaves records as well.
    operator(&place, &["bot", "create", "echo"]);
    operator(&place, &["bot", "key", "echo", "--scopes", "write,read", "--label", "deploys"]);
    let expected = [
        ("bot-key", "read, write"),
        ("emergency", "2 -> 3"),
        ("emergency", "0 -> 2"),
        ("emergency", "1 -> 0"),
        ("emergency", "0 -> 1"),
        ("invite-account", ""),
    ];
    assert_eq!(records(&owner).await, expected.map(|(act, detail)| (act.to_owned(), detail.to_owned())));
    // It outlives the server.
    server.kill();
    let _server = place.serve();
    assert!(operator(&place, &["emergency"]).starts_with("3: "));
    assert!(place.metric("confab_emergency_level") > 2.0, "before anything is asked");
    assert_eq!(run(&mut place.command(&["emergency", "4"]), "").code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_tokens_rotate_and_the_last_two_are_good() {
    let place = Place::new();
    let _server = place.serve();
    place.register(Transport::Quic, "alice").await;
    let mint = || Secret::new(operator(&place, &["token", "mint", "alice"]).split('\t').nth(1).unwrap());
    let first = mint();
    let rotate = || {
        let said = operator(&place, &["token", "keys", "rotate"]);
        assert!(said.ends_with("signs from now on"), "{said}");
    };
    rotate();
    let second = mint();
    let kid = |token: &Secret| token.expose().split('.').next().unwrap().to_owned();
    assert_ne!(kid(&first), kid(&second));
    // The server has heard of it when it takes the new one.
    let wait = Instant::now();
    loop {
        let mut raw = Raw::open(&target(&place), Transport::Quic).await;
        raw.send(&crate::support::raw::hello(Some(&second))).await;
        if matches!(raw.next().await, crate::support::raw::Received::Frame(_)) {
            break;
        }
        assert!(wait.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Raw::enter(&target(&place), Transport::WebSocket, &first).await;
    rotate();
    let wait = Instant::now();
    loop {
        let mut raw = Raw::open(&target(&place), Transport::WebSocket).await;
        raw.send(&crate::support::raw::hello(Some(&first))).await;
        match raw.next().await {
            crate::support::raw::Received::Closed(close) => break assert_eq!(close.code, 4201),
            other => assert!(wait.elapsed() < Duration::from_secs(10), "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Raw::enter(&target(&place), Transport::Quic, &second).await;
    let keys = std::fs::read_dir(place.data_dir.join("keys")).unwrap();
    let names = keys.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("token-")).count(), 2);
}
